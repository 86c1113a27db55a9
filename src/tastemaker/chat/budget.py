"""What calls cost: a dated price, the most tokens a request can use, and limits that are never passed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date
from typing import Any

from tastemaker.chat.answers import schema_prompt
from tastemaker.chat.protocol import BudgetReached, Media, Request, Usage
from tastemaker.errors import InputError

BYTES_A_TOKEN = 4
"""Rule of thumb for English text; forecasts use it, limits never do."""
MESSAGE_TOKENS = 16
IMAGE_TOKENS = 1600
"""A generous count for one image; providers differ (85 to about 1,500)."""
AUDIO_TOKENS_A_SECOND = 32
UNKNOWN_SECONDS_BYTES = 8000
"""A sound of unknown length is taken for 8 kB a second, as little as compressed speech needs."""


@dataclass(frozen=True)
class Price:
    """Money per million tokens of input and of output, on a day."""

    input: float
    output: float
    as_of: date
    currency: str = "USD"

    def of(self, usage: Usage) -> float:
        """Money for `usage`."""
        return (usage.input * self.input + usage.output * self.output) / 1e6


@dataclass(frozen=True)
class Limits:
    """What a run may use in all its sessions; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("calls", self.calls), ("tokens", self.tokens), ("money", self.money)):
            if value is not None and value <= 0:
                raise InputError(f"limit of {name} {value}: must be above 0; leave it out for no limit")


class Budget:
    """Reserves a call's maximum, then settles what it used; `spent + reserved` never passes a limit.

    usage, calls: what earlier sessions spent (`Journal.billed`). Without usage a reply costs its maximum.

    Raises InputError for a limit of money without a price.
    """

    def __init__(
        self, limits: Limits = Limits(), price: Price | None = None, usage: Usage = Usage(), calls: int = 0
    ) -> None:
        if limits.money is not None and price is None:
            raise InputError(
                "a limit of money needs the price of the model, per million tokens and with its date; give"
                " one, or limit calls or tokens"
            )
        self.limits, self.price, self.usage, self.calls = limits, price, usage, calls
        self._reserved: list[Usage] = []
        self._changed = threading.Condition()

    @property
    def money(self) -> float | None:
        """Money spent so far; None without a price."""
        return None if self.price is None else self.price.of(self.usage)

    def reserve(self, most: Usage) -> None:
        """Set `most` aside; while calls under way could still give something back, wait for them.

        Raises BudgetReached when spent + `most` passes a limit.
        """
        with self._changed:
            while (reached := self._reached(most)) is not None:
                if not self._reserved:
                    raise BudgetReached(reached)
                self._changed.wait(1.0)
            self._reserved.append(most)

    def settle(self, most: Usage, usage: Usage | None) -> None:
        """Give `most` back and book what was used (None: nothing was billed)."""
        with self._changed:
            self._reserved.remove(most)
            if usage is not None:
                self.usage += usage
                self.calls += 1
            self._changed.notify_all()

    def _reached(self, most: Usage) -> str | None:
        """The limit that `most` would pass, as a sentence."""
        aside = sum(self._reserved, Usage())
        amounts = [
            ("calls", self.limits.calls, (self.calls, len(self._reserved), 1)),
            ("tokens", self.limits.tokens, (self.usage.total, aside.total, most.total)),
        ]
        if self.price is not None:
            booked, reserved, needed = (self.price.of(usage) for usage in (self.usage, aside, most))
            amounts.append((self.price.currency, self.limits.money, (booked, reserved, needed)))  # type: ignore[arg-type]
        for name, limit, (booked, reserved, needed) in amounts:
            if limit is not None and booked + reserved + needed > limit:
                return (
                    f"the budget of {limit:g} {name} is reached: {booked:g} spent, the next call may need"
                    f" {needed:g} more"
                )
        return None


def maximum(request: Request[Any]) -> Usage:
    """The most a request can use: tokenizers make at most a token a byte, max_tokens bounds answers."""
    text, fixed = _sizes(request)
    return Usage(text + fixed, request.sampling.max_tokens)


def estimated_input(request: Request[Any]) -> int:
    """Tokens a request is likely to have: a quarter of its bytes, frames and media."""
    text, fixed = _sizes(request)
    return text // BYTES_A_TOKEN + fixed


def estimated_output(text: str) -> int:
    """Tokens an answer is likely to have."""
    return -(-len(text.encode()) // BYTES_A_TOKEN)


def _sizes(request: Request[Any]) -> tuple[int, int]:
    """Bytes of text, and tokens of media and message frames."""
    parts = [part for message in request.messages for part in message.parts]
    text = len(schema_prompt(request).encode()) + sum(
        len(part.encode()) for part in parts if isinstance(part, str)
    )
    media = sum(_media_tokens(part) for part in parts if isinstance(part, Media))
    return text, media + MESSAGE_TOKENS * (len(request.messages) + 2)


def _media_tokens(media: Media) -> int:
    if media.medium == "image":
        return IMAGE_TOKENS
    return int(AUDIO_TOKENS_A_SECOND * (media.seconds or len(media.data) / UNKNOWN_SECONDS_BYTES)) + 1
