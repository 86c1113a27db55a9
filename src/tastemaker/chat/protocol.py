"""The chat protocol: what is asked of a model, what comes back, and how a call can fail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Generic, Literal, Protocol, TypeVar

from pydantic import BaseModel

from tastemaker.errors import InputError, TastemakerError

A = TypeVar("A")
Medium = Literal["image", "audio"]
MEDIA_TYPES = ("image/png", "image/jpeg", "audio/wav", "audio/mpeg")
FAILURES = {
    "rate_limited": "the endpoint asked for fewer calls (429)",
    "unavailable": "the endpoint failed (5xx)",
    "timeout": "no answer within the deadline",
    "dropped": "the connection broke before the answer was complete",
    "unreachable": "no connection to the endpoint",
    "denied": "the endpoint turned the key, the model or the address away (401 to 404)",
    "refused": "the endpoint refused the request (4xx)",
    "cut_off": "the answer reached its maximum of tokens",
    "not_json": "the answer is not JSON",
    "schema": "the answer is JSON of another shape",
    "domain": "the answer has the right shape but is not allowed",
}
"""Kinds of failed calls. The first five pass with time, `denied` ends the run, `refused` the call; the last
four are answered by asking again."""


class CallError(TastemakerError):
    """A failed call; `kind`: one of FAILURES, `wait`: Retry-After in seconds, `paid`: may be billed."""

    def __init__(self, kind: str, detail: str, *, wait: float = 0.0, paid: bool = False) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.wait, self.paid = kind, detail, wait, paid


class StoppedEarly(TastemakerError):
    """The run was stopped (too many failures, or by the user); finished work is kept and `resume` goes on."""

    exit_code = 3


class BudgetReached(TastemakerError):
    """The next call could pass the budget; finished work is kept, `resume` with a larger one goes on."""

    exit_code = 4


@dataclass(frozen=True)
class Media:
    """An image or a sound inside a message. Its content takes part in the cache key by sha256 only."""

    data: bytes = field(repr=False)
    media_type: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.media_type not in MEDIA_TYPES:
            raise InputError(
                f"media type {self.media_type!r} is not sent; convert it to one of {', '.join(MEDIA_TYPES)}"
            )

    @property
    def medium(self) -> Medium:
        return "image" if self.media_type.startswith("image/") else "audio"

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


Part = str | Media


@dataclass(frozen=True)
class Message:
    """One message: a role and its parts in order; a part is a text or `Media`."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks."""
        return "\n".join(part for part in self.parts if isinstance(part, str))


def system(text: str) -> Message:
    """A system message."""
    return Message("system", (text,))


def user(*parts: Part) -> Message:
    """A user message of text and media."""
    return Message("user", parts)


def assistant(text: str) -> Message:
    """An earlier answer of the model."""
    return Message("assistant", (text,))


@dataclass(frozen=True)
class Sampling:
    """How the model draws its answer; max_tokens bounds the answer and, with it, what a call can cost."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 512


@lru_cache(maxsize=256)
def schema_of(answer: Callable[..., Any]) -> dict[str, Any] | None:
    """JSON schema of every answer of this type, not to be changed; None for plain text."""
    return answer.model_json_schema() if isinstance(answer, type) and issubclass(answer, BaseModel) else None


@dataclass(frozen=True)
class Request(Generic[A]):
    """One question to a model.

    answer: a pydantic model (its JSON schema is sent along and the answer must satisfy it), or `str` for
    plain text. sample: 0, 1, ... draws another answer to the same question. subject: whom the answer is
    about, for erasure. unit: the piece of work (conversation) it belongs to. kind: what it is for
    ("listener", "judge"), for reports and forecasts. view: what the messages were rendered from, for chats
    that read data instead of prose. choices: the values that a field of the answer may have this time, for
    models that decode by a schema. It only says more strictly what the messages say; none of the last six is
    in the cache key. tools: function tools that the model may call instead; the answer then is {"calls":
    [{"name", "arguments"}]}.
    """

    messages: tuple[Message, ...]
    answer: type[A]
    sampling: Sampling = Sampling()
    sample: int = 0
    subject: str = ""
    unit: str = ""
    kind: str = ""
    view: Any = field(default=None, compare=False, repr=False)
    choices: Mapping[str, tuple[str | bool | None, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )
    tools: tuple[Mapping[str, Any], ...] = field(default=(), compare=False, repr=False)

    @property
    def schema(self) -> dict[str, Any] | None:
        """JSON schema of the answer with this time's choices; None for plain text."""
        schema = schema_of(self.answer)  # type: ignore[arg-type]
        narrow = {name: {"enum": list(values)} for name, values in self.choices.items()}
        return schema | {"properties": schema["properties"] | narrow} if schema and narrow else schema


@dataclass(frozen=True)
class Usage:
    """Tokens of one or more calls."""

    input: int = 0
    output: int = 0

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Usage:
        """What `as_list` wrote (version 0.1 wrote a third number, of tokens read before)."""
        return cls(*numbers[:2])

    def as_list(self) -> list[int]:
        """For JSON."""
        return [self.input, self.output]

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.input + other.input, self.output + other.output)


@dataclass(frozen=True)
class Reply:
    """What a model said. usage: None when the endpoint does not tell. cut_off: it stopped at max_tokens."""

    text: str
    usage: Usage | None = None
    cut_off: bool = False


class Chat(Protocol):
    """A model that answers. `model` names it with its revision ("name@revision"): part of every cache key."""

    @property
    def model(self) -> str: ...

    def complete(self, request: Request[Any]) -> Reply:
        """Answer once; no retries, no checks.

        Raises CallError of one of the kinds of FAILURES.
        """
        ...


Check = Callable[[A], str | None]
"""A domain check: None when the answer may be used, else one sentence that tells the model what is wrong."""
