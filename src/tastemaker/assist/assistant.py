"""The assistant of a workspace: conversations by id, one turn at a time, with a model or without."""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tastemaker.assist.desk import END, LIKE, Desk
from tastemaker.assist.gate import Gate
from tastemaker.assist.library import Library
from tastemaker.assist.offline import answer
from tastemaker.assist.parts import Done, Item, Notice, Part, Question, Text, listed, plain_text
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import FOREIGN, State, chip_name, dump, leave, load, moved, take_up
from tastemaker.converse.claims import HIDDEN
from tastemaker.converse.reading.together import without
from tastemaker.errors import InputError
from tastemaker.schema import check_person
from tastemaker.serving.serve import Parts
from tastemaker.store import Workspace
from tastemaker.store.database import Talks

if TYPE_CHECKING:
    from tastemaker.assist.model import Model
    from tastemaker.serving.service import WorkspaceService

log = logging.getLogger("tastemaker.assist")
SWITCH = 0.0005  # seconds of a thread's turn: who holds the database waits for no ranking
REPLY = 8_000  # letters that are kept of an answer
REPLAYED = 20  # messages of a conversation that is read anew


@dataclass(frozen=True)
class Limits:
    """Limits of a turn and a person. seconds, calls, tokens: of a model in a turn; letters: of a message.

    conversations: kept in memory, the oldest go. turns: of a person in an hour.
    """

    seconds: float = 20.0
    calls: int = 6
    tokens: int = 12_000
    letters: int = 10_000
    conversations: int = 1_000
    turns: int = 600


@dataclass
class _Conversation:
    """A conversation in memory. shelf: the one whose rows `state` and `handles` hold."""

    state: State
    shelf: Shelf
    lock: threading.Lock = field(default_factory=threading.Lock)
    handles: list[int] = field(default_factory=list)
    left: str = ""  # to other processes, after the last turn here

    def follow(self, shelf: Shelf) -> None:
        """The same items in the rows of another shelf."""
        if shelf is not self.shelf:
            old, self.shelf = self.shelf.catalogue, shelf
            self.state, self.handles = moved(self.state, self.handles, old, shelf.catalogue)


class Assistant:
    """Talks about one workspace. model: `NAME@URL` of an OpenAI-compatible endpoint, or None for rules alone.

    Safe to call from several threads; turns of one conversation come one after another.
    """

    def __init__(
        self, service: WorkspaceService, model: Model | None = None, limits: Limits = Limits()
    ) -> None:
        self.service, self.model, self.limits = service, model, limits
        self._guard = threading.Lock()
        self._building, self._computing = threading.Lock(), threading.Lock()
        self._talks = Talks(service.database)
        self._library: tuple[Parts, Library] | None = None
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()
        self._turns: dict[str, list[float]] = {}
        sys.setswitchinterval(SWITCH)

    @classmethod
    def open(cls, workspace: str | Path, model: str | None = None, limits: Limits = Limits()) -> Assistant:
        """The assistant of a trained workspace. Raises InputError and ArtifactError as `serve` does."""
        from tastemaker.assist.model import Model
        from tastemaker.serving.service import WorkspaceService

        service = WorkspaceService(Workspace.open(Path(workspace)))
        return cls(service, Model.of(model) if model else None, limits)

    def library(self) -> Library:
        """What the deployment in service knows; built once for each."""
        parts = self.service.parts
        with self._building:
            if self._library is None or self._library[0] is not parts:
                library = Library(self.service.workspace, self.service)
                library.warm()
                self._library = parts, library
            return self._library[1]

    def respond(
        self,
        message: str,
        conversation_id: str | None = None,
        user_id: str | None = None,
        *,
        remove: Sequence[str] = (),
        feedback: Mapping[str, str] | None = None,
        stored: bool = False,
    ) -> Iterator[Part]:
        """The parts of one turn, as they come.

        conversation_id: from an earlier turn's `done`; a new conversation without. user_id: who talks;
        nothing is kept about nobody. remove: names of chips to take back. feedback: item id -> like, skip or
        play, of a button. stored: all of this turn is kept already, so that nothing of it is logged again.

        Raises InputError for a message that is too long, a conversation of another person, or too many turns.
        """
        started = time.monotonic()
        message = HIDDEN.sub("", message.encode(errors="replace").decode()).strip()
        if len(message) > (most := self.limits.letters):
            raise InputError(f"the message has {len(message):,} letters; send at most {most:,}")
        if user_id is not None:
            check_person(user_id)
        held = self._conversation(conversation_id, user_id, self.library().shelf)
        self._count(user_id or held.state.conversation_id)
        with held.lock:
            library = self.library()
            held.follow(shelf := library.shelf)
            take_up(self.service.common, held, shelf.catalogue)
            gate = Gate(shelf, held.state)
            desk = Desk(shelf, library.ranker, library, held.state, gate, keeps=not stored)
            degraded, usage, partial, reply = False, {"seconds": 0.0}, set[str](), list[str]()
            try:
                self._take_back(desk, remove)
                self._button(desk, feedback or {})
                if message or remove:
                    for part in self._plan(message, desk, held.handles):
                        if isinstance(part, Done):
                            degraded, usage = part.degraded, {**usage, **part.usage}
                        elif (allowed := gate.pass_on(part)) is not None:
                            desk.log()
                            reply.append(plain_text(allowed))
                            yield allowed
                        elif isinstance(part, Item):
                            partial.add(part.request_id)
                elif not feedback:
                    yield Question("What would you like?", ())
            except InputError as error:
                yield Notice(f"{error}")
            finally:
                held.state = desk.state
                leave(self.service.common, held, shelf.catalogue)
            if sent := {choice.request_id for choice in desk.offered[: desk.logged]} - partial:
                self.service.delivered(tuple(sent))
            kept_for = held.state.user_id
            if kept_for is not None and not stored and (message or remove or feedback):
                ids, rows = shelf.catalogue.item_ids, held.state.shown if desk.offered else ()
                name, shown = held.state.conversation_id, [ids[row] for row in rows]
                self._talks.keep(
                    name,
                    kept_for,
                    message,
                    shown,
                    dump(held.state, ids, "\n".join(filter(None, reply))[:REPLY]),
                )
        usage["seconds"] = round(time.monotonic() - started, 3)
        versions = {"deployment": library.parts.deployment, **library.parts.searcher.versions}
        yield Done(held.state.conversation_id, versions, degraded, usage, desk.changed)

    def check(self, item_ids: Iterable[str]) -> None:
        """Raises InputError for an id that is no item's here."""
        for item in item_ids:
            if item not in self.library().shelf.catalogue.row:
                raise InputError(f"item '{item[:80]}' is not in the catalogue; send back ids that were shown")

    def recall(self, messages: Sequence[tuple[str, str, Sequence[str]]], user_id: str | None = None) -> str:
        """The id of the conversation that a client has: the one of this person that is kept and agrees with
        it, else a new one that was read from it as nobody, so that nothing is logged twice.

        messages: (role, text, item ids), oldest first. A list is what the client saw, by ids or by its lines:
        "the second" is its second, and where its lines are not items here, it is asked which is meant.
        """
        shelf = self.library().shelf

        def lines_of(text: str, items: Sequence[str]) -> list[str]:
            return [shelf.line(shelf.catalogue.row.get(item, -1)) for item in items] or listed(text)

        past = [HIDDEN.sub("", text).strip() for role, text, _ in messages if role == "user" and text.strip()]
        lists = [lines_of(text, items) for role, text, items in messages if role == "assistant"]
        if user_id is not None and (
            name := self._agreeing(user_id, past, next(filter(None, lists[::-1]), []))
        ):
            return name
        held = self._conversation("c-" + secrets.token_hex(8), None, self.library().shelf)
        name, skipped = held.state.conversation_id, max(0, len(past) - REPLAYED)
        for role, text, items in messages:
            if role == "user" and text.strip():
                before, skipped = replace(held), skipped - 1
                for _ in self.respond(text[: self.limits.letters], name, stored=True) if skipped < 0 else ():
                    pass
                before.follow(held.shelf)
                held.state = held.state.as_seen(before.state)
            elif role == "assistant" and items:
                held.state = held.state.with_list([held.shelf.catalogue.row.get(item, -1) for item in items])
            elif role == "assistant" and (lines := listed(text)):
                held.state = held.state.with_list([held.shelf.lines.get(line, -1) for line in lines])
        return name

    def _agreeing(self, user_id: str, texts: Sequence[str], lines: Sequence[str]) -> str:
        """The conversation of a person in which all of this was said, and whose newest list is this one."""
        shelf, talks = self.library().shelf, dict[str, tuple[list[str], tuple[str, ...]]]()
        for turn in self._talks.of(user_id):
            earlier, shown = talks.get(turn.conversation_id, ([], ()))
            talks[turn.conversation_id] = [*earlier, *filter(None, [turn.message])], turn.shown or shown
        agreeing = {
            name: shown
            for name, (words, shown) in talks.items()
            if words == texts and [shelf.line(shelf.catalogue.row.get(item, -1)) for item in shown] == lines
        }
        return [*agreeing, ""][len(agreeing) - 1] if len(set(agreeing.values())) == 1 else ""

    def state(self, conversation_id: str) -> State:
        """What stands in a conversation. Raises KeyError for one that is not known."""
        return self._conversations[conversation_id].state

    def _plan(self, message: str, desk: Desk, handles: list[int]) -> Iterator[Part]:
        if self.model is None or not message:
            yield from self._by_rules(message or "more", desk)
            return
        from tastemaker.assist.model import Failed

        start, said_so_far = desk.state, False
        try:
            for part in self.model.answer(message, desk, handles, self.limits):
                said_so_far = said_so_far or isinstance(part, Text)
                yield part
        except Failed as error:
            log.warning("the model failed (%s); rules answer", error)
            yield Notice("The language model did not answer; simple rules do instead.")
            if not said_so_far:
                desk.state = desk.gate.state = start
            yield from self._by_rules(message, desk)
            yield Done("", degraded=True)

    def _by_rules(self, message: str, desk: Desk) -> Iterator[Part]:
        """The parts that rules make, one thread at a time: side by side each would take as long as all."""
        parts = answer(message, desk)
        while True:
            with self._computing:
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _conversation(self, name: str | None, user_id: str | None, shelf: Shelf) -> _Conversation:
        with self._guard:
            held = self._conversations.get(name or "")
            who = held.state.user_id if held is not None else None
            if held is not None and who and self.service.parts.people.forgotten(who):
                del self._conversations[held.state.conversation_id]
                held = None
            if held is not None and held.state.user_id not in (None, user_id):
                raise InputError(FOREIGN)
            if held is None:
                held = _Conversation(self._stored_state(name, user_id, shelf), shelf)
                self._conversations[held.state.conversation_id] = held
            elif user_id is not None and held.state.user_id is None:
                held.state = replace(held.state, user_id=user_id)
            self._conversations.move_to_end(held.state.conversation_id)
            while len(self._conversations) > self.limits.conversations:
                self._conversations.popitem(last=False)
            return held

    def _stored_state(self, name: str | None, user_id: str | None, shelf: Shelf) -> State:
        """The state of a conversation that a person had before the server last began, else a new one."""
        if name is None:
            return State(user_id=user_id)
        known = self._talks.newest(name[:80])
        if known is None:
            return State(name[:80], user_id)
        if known[0] != user_id:
            raise InputError(FOREIGN)
        return load(known[1], name[:80], known[0], shelf.catalogue)

    def _count(self, who: str) -> None:
        """One more turn of this person; refused past the limit of an hour."""
        now = time.monotonic()
        with self._guard:
            recent = [moment for moment in self._turns.get(who, ()) if moment > now - 3600]
            if len(recent) >= self.limits.turns:
                raise InputError(f"{self.limits.turns} turns in an hour are the most; go on later")
            self._turns.pop(who, None)  # whoever has been silent the longest goes first
            self._turns[who] = [*recent, now]
            if len(self._turns) > 10 * self.limits.conversations:
                self._turns.pop(next(iter(self._turns)))

    def _take_back(self, desk: Desk, names: Sequence[str]) -> None:
        if names:
            gone = {each for name in names for each in name.split("\n")}
            state, ids = desk.state, desk.shelf.catalogue.item_ids
            left = without(state.active, [c for c in state.active if chip_name(c) in gone])
            near = tuple(row for row in state.near if LIKE + ids[row] not in gone)
            end = "" if END + state.extreme in gone else state.extreme
            words = tuple(name for name in state.words if name not in gone)
            messages = state.messages if left or near or end or words else ()
            desk.change(active=left, near=near, extreme=end, words=words, messages=messages)

    def _button(self, desk: Desk, feedback: Mapping[str, str]) -> None:
        for item, kind in feedback.items():
            if kind not in ("like", "skip", "play"):
                raise InputError(f"feedback '{kind[:40]}' is not known; send like, skip or play")
            row = desk.shelf.catalogue.row.get(item)
            if row is None:
                raise InputError(f"item '{item[:80]}' is not in the catalogue; send an id that was shown")
            desk.feedback((row,), kind)

    def close(self) -> None:
        """Close the workspace's database."""
        self.service.close()
