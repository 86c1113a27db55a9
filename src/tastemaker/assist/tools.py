"""The assistant's tools: plain typed functions, the same table for a model's calls and over the Model Context
Protocol (stdio and streamable HTTP, by the official package).
"""

from __future__ import annotations

import inspect
import json
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from socket import socket
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model
from rapidfuzz import process

from tastemaker.assist.desk import MOST_SHOWN, SHOWN, Desk, as_told
from tastemaker.assist.gate import Gate, held_in_place
from tastemaker.assist.parts import Part
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State, moved
from tastemaker.converse.claims import safe
from tastemaker.converse.constraints import Change, Clause
from tastemaker.converse.reading.plain import in_words
from tastemaker.converse.reading.standing import settle
from tastemaker.converse.reading.wishes import WishReading
from tastemaker.errors import InputError, TastemakerError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from tastemaker.assist.library import Library
    from tastemaker.serving.service import WorkspaceService

PERMITTED = {"log_feedback": ("like", "skip", "unlike"), "get_profile": ("profile",)}
NOT_OFFERED = ("show", "nothing_fits")  # they speak to a person who is not here
CONVERSATIONS = 200
CALLS = 2_000  # of one conversation
NAME = 200  # characters
ABOUT = """Tools over one catalogue. Items are named by handles such as T3, valid within one `conversation`
(any name you choose; without it, one conversation for all). Wishes given to search_items stay for it."""


class Wish(BaseModel):
    """A demand or a preference on one field."""

    field: str = Field(description="a field of the catalogue")
    value: str | float | list[str] | list[float] = Field(
        description="a value; two numbers for between, several values for in"
    )
    cmp: Literal["eq", "in", "le", "ge", "between", "contains"] = "eq"
    kind: Literal["must", "must_not", "prefer"] = "must"


class Toolbox:
    """The tools for one turn. handles: rows by handle, "T1" first. acts: what the person's own message
    does. many: how many items it asks for; 0 where it does not say.
    """

    def __init__(
        self, desk: Desk, handles: list[int], acts: Sequence[str] = (), free: bool = False, many: int = 0
    ) -> None:
        self.desk, self.handles, self.acts, self.free = desk, handles, tuple(acts), free
        self.many = min(many, MOST_SHOWN)
        self.ranked: list[int] = []
        self.parts: list[Part] = []
        self.showed = False

    def search_items(self, *, words: str = "", wishes: Sequence[Wish] = (), k: int = 5) -> dict[str, Any]:
        """Find items by words and by wishes on fields, which stay; says what to relax when none fits."""
        active = self.desk.state.active
        for wish in wishes[:12]:
            active = settle(
                active, WishReading((Change("add", wish.kind, self._clause(wish)),)), self.desk.shelf.kinds
            )
        self.desk.change(active=active)
        if words.strip():
            *before, newest = self.desk.state.messages or ("",)
            self.desk.change(messages=(*before, f"{newest} {words[:300]}".strip()))
        self.parts.append(self.desk.understood())
        nothing = self.desk.nothing()
        if nothing is not None:
            return {"fits": 0, "ways_out": [dict(way) for way in nothing.ways]}
        rows = self.desk.fitting()
        rows = rows if len(rows) else self.desk.fitting(again=True)
        return self._offer(self.desk.ranked(rows, self._few(k)), len(rows))

    def recommend(self, *, k: int = 5) -> dict[str, Any]:
        """What suits this person, from what they did before, within the wishes that stand."""
        rows = self.desk.fitting()
        return self._offer(self.desk.ranked(rows, self._few(k)), len(rows))

    def similar_items(self, *, handle: str, k: int = 5) -> dict[str, Any]:
        """Items like one that was shown or found."""
        row, rows = self._row(handle), self.desk.fitting(again=True)
        return self._offer(self.desk.ranked(rows, self._few(k), like=(row,)), len(rows))

    def relax(self) -> dict[str, Any]:
        """For each demand, how many items would fit without it."""
        nothing = self.desk.nothing()
        return {
            "fits": self.desk.shelf.fits(self.desk.state.active),
            "ways_out": [dict(way) for way in nothing.ways] if nothing else [],
        }

    def get_item(self, *, handle: str) -> dict[str, Any]:
        """Everything known of an item."""
        row = self._row(handle)
        text = safe(self.desk.shelf.texts[row])[:600]
        return self._about(row) | {"text": text}

    def explain(self, *, handle: str) -> dict[str, Any]:
        """Why an item suits: claims with their evidence; an empty list means that nothing says so."""
        reasons = self.desk.explain(self._row(handle))
        return {"reasons": [{"claim": reason.text, "evidence": reason.evidence} for reason in reasons]}

    def compare(self, *, handles: list[str]) -> dict[str, Any]:
        """The facts of several items side by side."""
        return {"items": [self._about(self._row(handle)) for handle in handles[:5]]}

    def log_feedback(self, *, handle: str, kind: Literal["like", "skip", "play", "unlike"]) -> dict[str, Any]:
        """Keep that the person likes or turns down an item, or take back that they liked it; only what they
        said themselves.
        """
        if not self.free and not set(self.acts) & set(PERMITTED["log_feedback"]):
            raise InputError("log_feedback needs the person's own word in this message; do not call it")
        if kind == "unlike":
            self.desk.take_back((self._row(handle),))
        else:
            self.desk.feedback((self._row(handle),), kind)
        return {"kept": kind}

    def get_profile(self) -> dict[str, Any]:
        """What is known about this person: the newest items they wanted, and the wishes that stand."""
        history, unwanted = self.desk.history()
        shelf = self.desk.shelf
        titles = [shelf.title(row) for row in history[-10:][::-1]]
        return {
            "wanted": titles,
            "wanted_in_all": len(history),
            "turned_down": len(unwanted),
            "wishes": [chip["label"] for chip in self.desk.understood().chips],
        }

    def nothing_fits(self) -> dict[str, Any]:
        """Tell the person that nothing meets their demands; refused while something does."""
        nothing = self.desk.nothing()
        if nothing is None:
            raise InputError("something fits; show it instead")
        self.parts.append(nothing)
        self._show(self.desk.closest().rows, closest=True)
        return {"told": True}

    def show(self, *, handles: list[str]) -> dict[str, Any]:
        """Show items to the person, best first: the last step of an answer with items."""
        rows, unknown = [], []
        for handle in handles[:MOST_SHOWN]:
            try:
                rows.append(self._row(handle))
            except InputError:
                unknown.append(handle)
        if unknown and not rows:
            raise InputError(f"handles {', '.join(unknown)[:80]} are unknown; use those of a result")
        held = [row for row in held_in_place(self.ranked, rows) if self._fits(row)]
        more = [row for row in self._fitting() if row not in held]
        self._show([*held, *more][: self.many] if self.many else held[: SHOWN + 2] or more[:SHOWN])
        return {"shown": len(held)}

    def _few(self, k: int) -> int:
        return min(max(k, self.many, 1), MOST_SHOWN)

    def _fits(self, row: int) -> bool:
        return bool(self.desk.shelf.adherence(self.desk.state.active).holds[row])

    def _fitting(self) -> list[int]:
        return [row for row in self.ranked if self._fits(row)]

    def _show(self, rows: Sequence[int], closest: bool = False) -> None:
        for item, reasons in self.desk.items(as_told(rows), closest):
            self.parts += [item, *reasons]
        self.showed = self.showed or bool(rows)

    def _offer(self, rows: list[int], fits: int) -> dict[str, Any]:
        self.ranked = [*rows, *(row for row in self.ranked if row not in rows)]
        self.desk.gate.allow(rows)
        if self.free:  # over MCP a result is what is shown
            self.desk.offer(as_told(rows))
        return {"fits": fits, "items": [self._about(row) for row in rows]}

    def _about(self, row: int) -> dict[str, Any]:
        catalogue = self.desk.shelf.catalogue
        facts = {name: safe(in_words(value)) for name, value in catalogue.facts(row)}
        self.desk.gate.allow((row,))
        return {
            "handle": self._handle(row),
            "title": self.desk.shelf.title(row),
            "creator": safe(catalogue.creators[row] or ""),
            **facts,
        }

    def _handle(self, row: int) -> str:
        if row not in self.handles:
            self.handles.append(row)
        return f"T{self.handles.index(row) + 1}"

    def _row(self, handle: str) -> int:
        digits = handle.strip().removeprefix("T").removeprefix("#")
        number = int(digits) if digits.isdecimal() and len(digits) <= 9 else 0
        row = self.handles[number - 1] if 1 <= number <= len(self.handles) else -1
        if row >= 0:
            return row
        raise InputError(f"handle '{handle[:40]}' is unknown; use one of a result")

    def _clause(self, wish: Wish) -> Clause:
        fields = self.desk.shelf.catalogue.fields
        if wish.field not in fields:
            near = [name for name, *_ in process.extract(wish.field, list(fields), limit=4)]
            raise InputError(
                f"there is no field '{wish.field[:40]}'; nearest are {', '.join(near) or 'none'}"
            )
        known = fields[wish.field]
        given = wish.value if isinstance(wish.value, list) else [wish.value]
        if not given:
            raise InputError(f"the wish on '{wish.field}' has no value; give one")
        if known.kind == "number":
            try:
                numbers = [float(part) for part in given]
            except ValueError:
                numbers = []
            if len(numbers) > 2 or not numbers or not all(map(math.isfinite, numbers)):
                raise InputError(
                    f"field '{wish.field}' holds numbers from {in_words(known.low)} to"
                    f" {in_words(known.high)}; give one, or the two ends of a range"
                )
            if len(numbers) == 2:
                return Clause(wish.field, "between", (min(numbers), max(numbers)))
            return (
                Clause(wish.field, wish.cmp, numbers[0])
                if wish.cmp in ("le", "ge")
                else Clause(wish.field, "between", (numbers[0], numbers[0]))
            )
        values = list(dict.fromkeys(self._value(wish.field, str(part)) for part in given))
        if len(values) > 1:
            return Clause(wish.field, "in", tuple(values))
        return Clause(wish.field, "contains" if known.kind == "words" else "eq", values[0])

    def _value(self, name: str, said_value: str) -> str:
        values = {value.casefold(): value for value in self.desk.shelf.catalogue.fields[name].values}
        if said_value.casefold() in values:
            return values[said_value.casefold()]
        near = [values[value] for value, *_ in process.extract(said_value.casefold(), list(values), limit=5)]
        raise InputError(f"no item has {name} '{said_value[:40]}'; nearest are {', '.join(near) or 'none'}")

    def call(self, name: str, arguments: str | dict[str, Any]) -> dict[str, Any]:
        """The result of a tool by name, or {"error": what is wrong and what is legal}."""
        if name not in TOOLS:
            return {"error": f"there is no tool '{name[:40]}'; there are {', '.join(TOOLS)}"}
        try:
            given = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
            checked = _adapter(name).validate_python(dict(given))
            result: dict[str, Any] = getattr(self, name)(
                **{k: getattr(checked, k) for k in type(checked).model_fields}
            )
            return result
        except InputError as error:
            return {"error": str(error)}
        except ValidationError as error:
            wrong = error.errors()[0]
            return {"error": f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"[:300]}
        except (ValueError, TypeError, RecursionError) as error:
            return {"error": " ".join(str(error).split())[:300]}

    def finish(self, wants: bool) -> None:
        """What is shown where the model found items and showed none."""
        if wants and not self.showed and self.ranked:
            self._show(self._fitting()[: self.many or SHOWN])


TOOLS: dict[str, Callable[..., dict[str, Any]]] = {
    name: getattr(Toolbox, name)
    for name in (
        "search_items",
        "recommend",
        "similar_items",
        "relax",
        "get_item",
        "explain",
        "compare",
        "log_feedback",
        "get_profile",
        "nothing_fits",
        "show",
    )
}


@lru_cache(maxsize=32)
def _adapter(name: str) -> TypeAdapter[Any]:
    hints = get_type_hints(TOOLS[name])
    fields: dict[str, Any] = {
        parameter.name: (
            hints[parameter.name],
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(TOOLS[name]).parameters.values()
        if parameter.name != "self"
    }
    return TypeAdapter(create_model(name, **fields))


@lru_cache(maxsize=1)
def openai_tools() -> list[dict[str, Any]]:
    """The table as OpenAI's `tools`."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": " ".join((tool.__doc__ or "").split()),
                "parameters": _adapter(name).json_schema(),
            },
        }
        for name, tool in TOOLS.items()
    ]


class Host(Protocol):
    """What the tools of a server act on; see `assist.assistant.Assistant`."""

    service: WorkspaceService

    def library(self) -> Library: ...


class Rooms:
    """The conversations of one server, by name; the oldest go."""

    def __init__(self, assistant: Host, user: str | None) -> None:
        self.assistant, self.user = assistant, user
        self._held: dict[str, tuple[State, list[int], int, Shelf]] = {}
        self._guard = threading.Lock()

    def call(self, tool: str, conversation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a tool in a conversation, or {"error": what is wrong}."""
        try:
            return self._call(tool, conversation, arguments)
        except TastemakerError as error:
            return {"error": str(error)}

    def _call(self, tool: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if len(name) > NAME:
            raise InputError(f"a conversation's name has {NAME} characters at most; choose a shorter one")
        library = self.assistant.library()
        with self._guard:
            new: tuple[State, list[int], int, Shelf] = State(user_id=self.user), [], 0, library.shelf
            state, handles, calls, shelf = self._held.get(name, new)
            if calls >= CALLS:
                raise InputError(f"{CALLS} calls are the most of one conversation; choose another name")
            if shelf is not library.shelf:  # another deployment than at the last call
                state, handles = moved(state, handles, shelf.catalogue, library.shelf.catalogue)
            desk = Desk(library.shelf, library.ranker, library, state, Gate(library.shelf, state))
            box = Toolbox(desk, handles, free=True)
            if tool == "search_items":
                desk.change(messages=(*state.messages, ""))
            try:
                result = box.call(tool, arguments)
                desk.change(seen=())
                desk.log()
                self.assistant.service.delivered([choice.request_id for choice in desk.offered])
                return result
            finally:
                self._held.pop(name, None)  # the newest comes last
                self._held[name] = desk.state, handles, calls + 1, library.shelf
                if len(self._held) > CONVERSATIONS:
                    self._held.pop(next(iter(self._held)))


def mcp_server(assistant: Host, user: str | None = None) -> MCPServer:
    """The MCP server. Raises InputError when the extra is not installed."""
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError:
        raise InputError("the package mcp is not installed; run pip install 'tastemaker[mcp]'") from None
    rooms = Rooms(assistant, user)
    offering = MCPServer("tastemaker", instructions=ABOUT, log_level="WARNING")
    for name, tool in TOOLS.items():
        if name not in NOT_OFFERED:
            offering.add_tool(
                _offered(rooms, name, tool), name=name, description=" ".join((tool.__doc__ or "").split())
            )
    return offering


def serve_mcp(assistant: Host, user: str | None = None, listener: socket | None = None) -> None:
    """Serve until the other side goes, or at a bound socket until interrupted, as streamable HTTP."""
    offering = mcp_server(assistant, user)
    if listener is None:
        offering.run("stdio")
        return
    import uvicorn

    config = uvicorn.Config(offering.streamable_http_app(), log_level="warning", ws="none")
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again after a clean stop
        uvicorn.Server(config).run(sockets=[listener])


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
