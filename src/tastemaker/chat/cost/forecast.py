"""What a run will use, before it is paid: a few units tried with a free model, and scaled up."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tastemaker.chat.cost.budget import Limits, Price
from tastemaker.chat.cost.tokens import BYTES_A_TOKEN, estimated_input, estimated_output
from tastemaker.chat.protocol import Chat, Message, Reply, Request, Usage
from tastemaker.errors import InputError


@dataclass(frozen=True)
class Measured:
    """One call of the trial: estimated tokens, `reused` the part of the input that began the same kind's
    earlier call.
    """

    unit: str
    kind: str
    input: int
    reused: int
    output: int
    most: int


class Meter:
    """A chat that measures what passes through it; give it to an engine in place of `chat`, then read
    `calls`.
    """

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._before: dict[tuple[str, str], tuple[Message, ...]] = {}
        self._lock = threading.Lock()
        self.calls: list[Measured] = []

    @property
    def model(self) -> str:
        return self._chat.model

    def complete(self, request: Request[Any]) -> Reply:
        reply = self._chat.complete(request)
        whole = estimated_input(request)
        place = (request.unit, request.kind)
        with self._lock:
            reused = min(whole, _shared(self._before.get(place, ()), request.messages) // BYTES_A_TOKEN)
            self._before[place] = request.messages
            output = reply.usage.output if reply.usage else estimated_output(reply.text)
            self.calls.append(Measured(*place, whole, reused, output, request.sampling.max_tokens))
        return reply


def _shared(before: Sequence[Message], now: Sequence[Message]) -> int:
    """Bytes of text at the start of two message lists that are equal."""
    total = 0
    for old, new in zip(before, now, strict=False):
        if old == new:
            total += len(new.text.encode())
            continue
        if old.role == new.role:
            a, b = old.text.encode(), new.text.encode()
            total += next(
                (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
            )
        break
    return total


@dataclass(frozen=True)
class Forecast:
    """Expected use of a whole run. money: (all prefixes reused, no reuse, every answer as long as allowed);
    None without a price.

    seconds: (most calls at once, one at a time), at the latency and speed assumed.
    """

    units: int
    calls: int
    usage: Usage
    longest: Usage
    by_kind: dict[str, int]
    money: tuple[float, float, float] | None
    seconds: tuple[float, float]
    currency: str | None
    price_as_of: str | None

    def covered(self, limits: Limits) -> int:
        """How many of the units are likely to be finished within `limits`; money as without prefix reuse."""
        money = None if self.money is None else self.money[1]
        needs = (
            (limits.calls, self.calls),
            (limits.tokens, self.usage.input + self.usage.output),
            (limits.money, money),
        )
        shares = [limit / need for limit, need in needs if limit is not None and need]
        return min(self.units, *(int(self.units * share) for share in shares)) if shares else self.units


def forecast(
    calls: Sequence[Measured],
    units: int,
    *,
    price: Price | None = None,
    at_once: int = 16,
    latency: float = 1.0,
    tokens_a_second: float = 60.0,
) -> Forecast:
    """Scale the calls of a trial to `units` units of work.

    latency: seconds before the first token of an answer; tokens_a_second: speed after it.

    Raises
    ------
    InputError
        when the trial made no call.
    """
    tried = len({one.unit for one in calls})
    if not calls:
        raise InputError("the trial made no call, so nothing can be forecast; try at least one unit")
    scale = units / tried
    kinds: dict[str, float] = defaultdict(float)
    for one in calls:
        kinds[one.kind] += scale
    total = [
        sum(getattr(one, name) for one in calls) * scale for name in ("input", "output", "reused", "most")
    ]
    whole, output, reused, most = (round(value) for value in total)
    plain, best, worst = Usage(whole, output), Usage(whole, output, reused), Usage(whole, most)
    seconds = sum(latency + one.output / tokens_a_second for one in calls) * scale
    return Forecast(
        units=units,
        calls=round(len(calls) * scale),
        usage=best,
        longest=worst,
        by_kind={kind: round(count) for kind, count in sorted(kinds.items())},
        money=(price.of(best), price.of(plain), price.of(worst)) if price else None,
        seconds=(seconds / min(at_once, max(units, 1)), seconds),
        currency=price.currency if price else None,
        price_as_of=price.as_of.isoformat() if price else None,
    )
