"""A dated price, and limits that are never passed."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import date

from tastemaker.chat.protocol import BudgetReached, Usage
from tastemaker.errors import InputError


@dataclass(frozen=True)
class Price:
    """Money per million tokens on a day; `cached` is for input the endpoint had already read (None: as other
    input).
    """

    input: float
    output: float
    as_of: date
    cached: float | None = None
    currency: str = "USD"

    def of(self, usage: Usage) -> float:
        """Money for `usage`."""
        cached = self.input if self.cached is None else self.cached
        return (
            (usage.input - usage.cached) * self.input + usage.cached * cached + usage.output * self.output
        ) / 1e6


@dataclass(frozen=True)
class Limits:
    """What a run may use in all its sittings; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    money: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("calls", self.calls), ("tokens", self.tokens), ("money", self.money)):
            if value is not None and value <= 0:
                raise InputError(f"limit of {name} {value}: must be above 0; leave it out for no limit")


class Budget:
    """Reserves the maximum of a call before it leaves, and settles what it used; `spent + reserved` never
    passes a limit.

    usage, calls: what earlier sittings spent (`Journal.spent`). A reply without usage is settled at its
    maximum.

    Raises
    ------
    InputError
        for a limit of money without a price.
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

        Raises
        ------
        BudgetReached
            when spent + `most` passes a limit.
        """
        with self._changed:
            while True:
                over = self._over(most)
                if over is None:
                    self._reserved.append(most)
                    return
                if not self._reserved:
                    raise BudgetReached(over)
                self._changed.wait(1.0)

    def settle(self, most: Usage, used: Usage | None) -> None:
        """Give `most` back and book what was used (None: nothing was billed)."""
        with self._changed:
            self._reserved.remove(most)
            if used is not None:
                self.usage += used
                self.calls += 1
            self._changed.notify_all()

    def _over(self, most: Usage) -> str | None:
        reserved = sum(self._reserved, Usage())
        needs: list[tuple[str, float | None, float, float]] = [
            ("calls", self.limits.calls, self.calls, 1),
            ("tokens", self.limits.tokens, self.usage.input + self.usage.output, most.input + most.output),
        ]
        held: list[float] = [len(self._reserved), reserved.input + reserved.output]
        if self.price is not None:
            needs.append(
                (self.price.currency, self.limits.money, self.price.of(self.usage), self.price.of(most))
            )
            held.append(self.price.of(reserved))
        for (name, limit, spent, need), aside in zip(needs, held, strict=True):
            if limit is not None and spent + aside + need > limit:
                return (
                    f"the budget of {limit:g} {name} is reached: {spent:g} spent, the next call may need"
                    f" {need:g} more"
                )
        return None
