"""The routes that talk: the page's stream of parts, and OpenAI's chat completions with these parts."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from tastemaker.assist.parts import Text, plain_text
from tastemaker.errors import TastemakerError
from tastemaker.server.access import PERSON, READING, SERVING, VISITOR, Me, Routes, allow
from tastemaker.server.admission import Refused
from tastemaker.server.models import Identifier, In, ProblemOut
from tastemaker.server.recommendations import REFUSALS
from tastemaker.server.web import Problem

if TYPE_CHECKING:
    from tastemaker.assist.assistant import Assistant
    from tastemaker.assist.parts import Part

MODEL = "tastemaker"
AT_ONCE = 16  # turns at the same time; more are asked to come back
REMEMBERED = 2_000  # conversations of the completions route
EVENTS = "text/event-stream"
NO_MODEL: dict[int | str, dict[str, object]] = {404: {"model": ProblemOut, "description": "no such model"}}


class TurnIn(In):
    """One turn: words, chips to take back, or the press of a button."""

    message: str = Field("", max_length=20_000)
    conversation_id: str | None = Field(None, min_length=1, max_length=80)
    user_id: Identifier | None = None
    remove: list[str] = Field(default_factory=list, max_length=32)
    feedback: dict[str, Literal["like", "skip", "play"]] = Field(default_factory=dict, max_length=16)
    stored: bool = Field(False, strict=True, description="this turn is kept already: nothing of it is logged")


class PartIn(BaseModel):
    """A part of an earlier answer."""

    kind: str = Field(max_length=40)
    item_id: str | None = Field(None, max_length=200)


class Extension(BaseModel):
    """`tastemaker` of an earlier answer, sent back in its message."""

    parts: list[PartIn] = Field(default_factory=list, max_length=200)


class MessageIn(BaseModel):
    """One message as OpenAI has it; an answer's `tastemaker` may be sent back: the list is then its items."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tastemaker: Extension | None = None

    @property
    def items(self) -> tuple[str, ...]:
        """Ids of the items that an answer showed, as its extension sent back says."""
        parts = self.tastemaker.parts if self.tastemaker and self.role == "assistant" else []
        return tuple(part.item_id for part in parts if part.kind == "item" and part.item_id)

    @property
    def text(self) -> str:
        """Its words."""
        if isinstance(self.content, list):
            return " ".join(
                str(part.get("text") or "") for part in self.content if part.get("type") == "text"
            )
        return self.content or ""

    @property
    def attached(self) -> bool:
        """Whether it brings more than words: a picture, sound, a file."""
        return isinstance(self.content, list) and any(part.get("type") != "text" for part in self.content)


class CompletionIn(BaseModel):
    """`messages` hold the whole conversation; `user` is who talks, and with a person's token that person,
    named or not. Sampling fields are accepted and change nothing.
    """

    messages: list[MessageIn] = Field(min_length=1, max_length=400)
    model: str = MODEL
    stream: bool = Field(False, strict=True)
    user: Identifier | None = None
    stream_options: dict[str, Any] | None = None


class Rooms:
    """Which conversation an OpenAI client goes on with: known by all messages so far and who sends them."""

    def __init__(self, talker: Assistant) -> None:
        self.talker = talker
        self._known: OrderedDict[str, str] = OrderedDict()
        self._guard = threading.Lock()

    def conversation(self, user: str | None, earlier: Sequence[MessageIn]) -> str | None:
        """The id of the conversation that these messages make, once: whoever goes on from them again, after
        another answer, has not seen that answer. It is recalled where it is not remembered.
        """
        if not any(message.role == "user" and message.text.strip() for message in earlier):
            return None
        with self._guard:
            known = self._known.pop(_digest(user, earlier), None)
        self.talker.check(item for message in earlier for item in message.items)
        return known or self.talker.recall([(line.role, line.text, line.items) for line in earlier], user)

    def keep(self, user: str | None, messages: Sequence[MessageIn], answer: str, name: str) -> None:
        """The conversation after this answer."""
        with self._guard:
            self._known[_digest(user, [*messages, MessageIn(role="assistant", content=answer)])] = name
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _digest(user: str | None, messages: Sequence[MessageIn]) -> str:
    turns = [[message.role, message.text] for message in messages if message.role in ("user", "assistant")]
    return hashlib.blake2b(json.dumps([user, turns]).encode("utf-8", "replace"), digest_size=16).hexdigest()


class Slots:
    """How many turns are answered at once."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(AT_ONCE)

    def begun(self, make: Callable[[], Iterator[Part]]) -> tuple[Part, Iterator[Part]]:
        """The first part, made before the answer begins so that a refusal has a status, and the others."""
        if not self._free.acquire(blocking=False):
            raise Refused("too many are talking at once", 1, 429)
        parts = self._releasing(make())
        return next(parts), parts

    def _releasing(self, parts: Iterator[Part]) -> Iterator[Part]:
        try:
            yield from parts
        finally:
            self._free.release()


def assistant_routes(talker: Assistant) -> Routes:
    """`POST /assist`, `POST /v1/chat/completions` and `GET /v1/models`."""
    router, slots = Routes("assistant"), Slots()

    streamed: dict[int | str, dict[str, object]] = {200: {"content": {EVENTS: {}}}, **REFUSALS}

    @router.post("/assist", response_class=StreamingResponse, responses=streamed)
    @allow(*SERVING)
    def assist(body: TurnIn, me: Me) -> Response:
        """One turn of a conversation, streamed: `data: {"kind": "text" | "item" | ..., ...}` a part, `done`
        last.

        Send `conversation_id` of the last `done` to go on. `remove` takes back chips, `feedback` says what
        was pressed. With a person's token it is that person who talks, named or not; only the page's visitors
        are nobody until they are named.
        """
        known = me.role == PERSON and not str(me.person).startswith(VISITOR)
        first, others = slots.begun(
            lambda: talker.respond(
                body.message,
                body.conversation_id,
                body.user_id or (me.person if known else None),
                remove=tuple(body.remove),
                feedback=dict(body.feedback),
                stored=body.stored,
            ),
        )
        return StreamingResponse(
            _events(first, others), media_type=EVENTS, headers={"Cache-Control": "no-store"}
        )

    @router.get("/v1/models", responses=REFUSALS)
    @allow(*READING, lenient=True)
    def models() -> dict[str, Any]:
        """The one model there is, as OpenAI lists them."""
        return {
            "object": "list",
            "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "tastemaker"}],
        }

    _add_completions(router, talker, slots)
    return router


def _add_completions(router: Routes, talker: Assistant, slots: Slots) -> None:
    """`POST /v1/chat/completions`."""
    rooms = Rooms(talker)

    @router.post("/v1/chat/completions", responses={**REFUSALS, **NO_MODEL})
    @allow(*SERVING, lenient=True)
    def completions(body: CompletionIn, me: Me) -> Response:
        """A chat completion for OpenAI clients: plain text, items as lines, and all parts as `tastemaker`."""
        if body.model.partition("/")[0] != MODEL:
            raise Problem(
                404, f"model '{body.model[:80]}' is not here", f"ask for '{MODEL}'; see GET /v1/models"
            )
        if body.messages[-1].role != "user":
            raise Problem(400, "the last message is not the user's", "end `messages` with what the user says")
        if me.role == PERSON and body.user not in (None, me.person):
            raise Problem(403, "`user` is somebody else", "leave it out, or name yourself")
        body.user = me.person if me.role == PERSON else body.user
        earlier = body.messages[:-1]
        name = rooms.conversation(body.user, earlier)
        first, others = slots.begun(lambda: talker.respond(body.messages[-1].text or "?", name, body.user))
        if body.messages[-1].attached:
            others = chain([first], others)
            first = Text("I cannot read pictures, sound or files, so I go by words alone.")
        answer = _Answer(rooms, body)
        if body.stream:
            return StreamingResponse(
                answer.chunks(first, others), media_type=EVENTS, headers={"Cache-Control": "no-store"}
            )
        for _ in answer.chunks(first, others):
            pass
        return JSONResponse(answer.completion())


def _events(first: Part, others: Iterator[Part]) -> Iterator[str]:
    yield f"data: {_json(first.public())}\n\n"
    try:
        for part in others:
            yield f"data: {_json(part.public())}\n\n"
    except TastemakerError as error:  # the status is out already
        yield f"data: {_json({'kind': 'notice', 'text': str(error)})}\n\n"


class _Answer:
    """One completion, whole or in chunks."""

    def __init__(self, rooms: Rooms, body: CompletionIn) -> None:
        self.rooms, self.body, self.lines, self.parts = rooms, body, list[str](), list[dict[str, Any]]()
        self.head = {"id": "chatcmpl-" + secrets.token_hex(12), "created": int(time.time()), "model": MODEL}

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def chunks(self, first: Part, others: Iterator[Part]) -> Iterator[str]:
        """Server-sent events, as the OpenAI client reads them."""
        yield self._chunk({"role": "assistant", "content": ""})
        for part in (p for parts in ([first], others) for p in parts):
            public = part.public()
            self.parts.append(public)
            line = plain_text(part)
            piece = ("\n" if self.lines and line else "") + line
            if line:
                self.lines.append(line)
            if part.kind == "done":
                self.rooms.keep(self.body.user, self.body.messages, self.text, public["conversation_id"])
            yield self._chunk({"content": piece} if piece else {}, tastemaker=public)
        yield self._chunk({}, "stop")
        if (self.body.stream_options or {}).get("include_usage"):
            counted = {**self.head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()}
            yield f"data: {_json(counted)}\n\n"
        yield "data: [DONE]\n\n"

    def completion(self) -> dict[str, Any]:
        """The answer in one piece."""
        message = {"role": "assistant", "content": self.text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}]
        return {
            **self.head,
            "object": "chat.completion",
            "choices": choices,
            "usage": self._usage(),
            "tastemaker": {"parts": self.parts},
        }

    def _chunk(self, delta: dict[str, Any], finish: str | None = None, **data: Any) -> str:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        return (
            f"data: {_json({**self.head, 'object': 'chat.completion.chunk', 'choices': choices, **data})}\n\n"
        )

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(message.text) for message in self.body.messages) // 4
        completion = len(self.text) // 4
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
