"""The tool table over the Model Context Protocol: stdio and streamable HTTP, by the official package."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_type_hints

from tastemaker.assist.desk import Desk
from tastemaker.assist.gate import Gate
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State, moved
from tastemaker.assist.tools import TOOLS, Toolbox
from tastemaker.errors import InputError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from tastemaker.assist.assistant import Assistant

NOT_OFFERED = ("show", "nothing_fits")  # they speak to a person who is not here
CONVERSATIONS = 200
CALLS = 2_000  # of one conversation
ABOUT = """Tools over one catalogue. Items are named by handles such as T3, valid within one `conversation`
(any name you choose; without it, one conversation for all). Wishes given to search_items stay for it."""


class Rooms:
    """The conversations of one server, by name; the oldest go."""

    def __init__(self, assistant: Assistant, user: str | None) -> None:
        self.assistant, self.user = assistant, user
        self._held: dict[str, tuple[State, list[int], int, Shelf]] = {}
        self._guard = threading.Lock()

    def call(self, tool: str, conversation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a tool in a conversation."""
        library = self.assistant.library()
        name = conversation[:80]
        with self._guard:
            new: tuple[State, list[int], int, Shelf] = State(user_id=self.user), [], 0, library.shelf
            state, handles, calls, shelf = self._held.pop(name, new)
            if shelf is not library.shelf:  # another deployment than at the last call
                state, handles = moved(state, handles, shelf.catalogue, library.shelf.catalogue)
            if calls >= CALLS:
                raise InputError(f"{CALLS} calls are the most of one conversation; choose another name")
            desk = Desk(library.shelf, library.ranker, library, state, Gate(library.shelf, state))
            box = Toolbox(desk, handles, free=True)
            if tool == "search_items":
                desk.change(messages=(*state.messages, ""))
            try:
                result = box.call(tool, arguments)
                desk.change(seen=())
                self.assistant.service.delivered(desk.offered)
                return result
            finally:
                self._held[name] = desk.state, handles, calls + 1, library.shelf
                if len(self._held) > CONVERSATIONS:
                    self._held.pop(next(iter(self._held)))


def server(assistant: Assistant, user: str | None = None) -> MCPServer:
    """The MCP server. Raises InputError when the extra is not installed."""
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        raise InputError("the package mcp is not installed; run pip install 'tastemaker[mcp]'") from None
    rooms = Rooms(assistant, user)
    made = MCPServer("tastemaker", instructions=ABOUT, log_level="WARNING")
    for name, tool in TOOLS.items():
        if name not in NOT_OFFERED:
            made.add_tool(
                _offered(rooms, name, tool), name=name, description=" ".join((tool.__doc__ or "").split())
            )
    return made


def serve(assistant: Assistant, user: str | None = None, port: int | None = None) -> None:
    """Serve until the other side goes, or over HTTP until interrupted."""
    made = server(assistant, user)
    if port is None:
        made.run("stdio")
    else:
        made.run("streamable-http", host="127.0.0.1", port=port)


def _offered(rooms: Rooms, name: str, tool: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """The tool as a function of its own arguments and the conversation."""

    def offered(**arguments: Any) -> dict[str, Any]:
        conversation = str(arguments.pop("conversation", ""))
        return rooms.call(name, conversation, arguments)

    hints = get_type_hints(tool)
    own = [parameter for parameter in inspect.signature(tool).parameters.values() if parameter.name != "self"]
    own = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
    chosen = inspect.Parameter("conversation", inspect.Parameter.KEYWORD_ONLY, default="", annotation=str)
    offered.__signature__ = inspect.Signature([*own, chosen], return_annotation=dict[str, Any])  # type: ignore[attr-defined]
    offered.__annotations__ = {p.name: p.annotation for p in (*own, chosen)} | {"return": dict[str, Any]}
    offered.__name__ = name
    return offered
