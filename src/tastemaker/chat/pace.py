"""How many calls at once, how long to wait, and when to give up: plain state over an injected clock."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tastemaker.chat.protocol import CallError, StoppedEarly
from tastemaker.stats.random import generator

SLOWING = ("rate_limited", "unavailable", "timeout")
PASSING = (*SLOWING, "dropped", "unreachable")


class Clock(Protocol):
    """Time as an argument; the module `time` is one."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


@dataclass(frozen=True)
class PaceSettings:
    """most: calls at once; halved once per `cool_down` seconds when the endpoint slows us, and one more again
    after as many successes as are allowed.

    back_off, longest: first and longest wait of the exponential back-off. patience: a longer Retry-After
    stops the run. tries: attempts of one call, once the endpoint has answered anything at all. The run stops
    when more than `share` of the last `window` attempts failed (429 excluded), when `give_up` attempts, or
    two and `starving` seconds, failed before the first one succeeded, or when nothing but 429 came for
    `starving` seconds.
    """

    most: int = 16
    cool_down: float = 10.0
    back_off: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    tries: int = 6
    window: int = 50
    share: float = 0.3
    give_up: int = 8
    starving: float = 60.0


class Pace:
    """The gate every call passes. Thread-safe; `stop(reason)` turns away all that wait and all that come."""

    def __init__(self, settings: PaceSettings, clock: Clock = time, seed: int = 0) -> None:
        self.settings, self.clock, self.seed = settings, clock, seed
        self.allowed, self.under_way, self.answered = settings.most, 0, False
        self.stopped: str | None = None
        self._changed = threading.Condition()
        self._successes = 0
        self._halved_at = self._not_before = float("-inf")
        self._failures: deque[bool] = deque(maxlen=settings.window)
        self._in_vain = self._rate_limited = 0
        self._answered_at = clock.monotonic()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """One attempt: waits for a slot and for the end of a pause the endpoint asked for. A CallError counts
        as its failure, leaving the block as its success; anything else is neither.

        Raises StoppedEarly when the run has ended.
        """
        self._acquire()
        outcome: CallError | bool = False
        try:
            yield
            outcome = True
        except CallError as error:
            outcome = error
            raise
        finally:
            with self._changed:
                self.under_way -= 1
                if isinstance(outcome, CallError):
                    self._slow_down(outcome)
                    self._count(outcome)
                elif outcome:
                    self._succeed()
                self._changed.notify_all()

    def _acquire(self) -> None:
        while True:
            with self._changed:
                self.raise_if_stopped()
                pause = self._not_before - self.clock.monotonic()
                if pause <= 0:
                    if self.under_way < self.allowed:
                        self.under_way += 1
                        return
                    self._changed.wait(1.0)
            if pause > 0:
                self.sleep(pause)

    def _succeed(self) -> None:
        self._failures.append(False)
        self.answered, self._answered_at = True, self.clock.monotonic()
        self._in_vain = self._rate_limited = 0
        self._successes += 1
        if self._successes >= self.allowed and self.allowed < self.settings.most:
            self.allowed, self._successes = self.allowed + 1, 0

    def _slow_down(self, error: CallError) -> None:
        now = self.clock.monotonic()
        if error.kind in SLOWING and now - self._halved_at >= self.settings.cool_down:
            self.allowed = max(1, self.allowed // 2)
            self._halved_at, self._successes = now, 0
        if error.wait > self.settings.patience:
            self._end(
                f"the endpoint asks to wait {error.wait:.0f} s, more than {self.settings.patience:.0f} s"
            )
        elif error.wait > 0:
            self._not_before = max(self._not_before, now + error.wait)

    def _count(self, error: CallError) -> None:
        """One failure more, and whether it is one too many."""
        waited = self.clock.monotonic() - self._answered_at
        if error.kind == "denied":
            self._end(error.detail)
        elif error.kind == "rate_limited":
            self._rate_limited += 1
            if self._rate_limited >= self.settings.give_up and waited >= self.settings.starving:
                self._end(
                    f"the endpoint answered nothing but 429 (too many requests) for {waited:.0f} s,"
                    f" {self._rate_limited} times; ask for fewer at once with --at-once, or try later"
                )
        elif error.kind != "refused":  # a request that was refused is at fault itself
            self._in_vain += 1
            enough = 2 if waited >= self.settings.starving else self.settings.give_up
            if self._in_vain >= enough and not self.answered:
                self._end(f"the endpoint has answered none of {self._in_vain} attempts ({error})")
            self._fail()

    def _fail(self) -> None:
        self._failures.append(True)
        window, failed = self.settings.window, sum(self._failures)
        if len(self._failures) == window and failed > self.settings.share * window:
            self._end(f"{failed} of the last {window} attempts failed")

    def invalid(self) -> None:
        """A call ended without a usable answer although the model was asked again: counts as one failure."""
        with self._changed:
            self._fail()
            self._changed.notify_all()

    def _end(self, reason: str) -> None:
        self.stopped = self.stopped or reason

    def stop(self, reason: str) -> None:
        """End the run: attempts under way finish, no new one leaves."""
        with self._changed:
            self._end(reason)
            self._changed.notify_all()

    def raise_if_stopped(self) -> None:
        """Raise StoppedEarly when the run has ended."""
        if self.stopped is not None:
            raise StoppedEarly(
                f"stopped early: {self.stopped}. Finished work is kept; resume when the cause is gone"
            )

    def back_off(self, error: CallError, key: str, attempt: int) -> float:
        """Seconds before attempt + 1: the larger of Retry-After and exponential back-off, jitter keyed."""
        settings = self.settings
        jitter = float(generator(self.seed, "back-off", key, attempt).uniform(0.5, 1.0))
        return max(error.wait, jitter * min(settings.longest, settings.back_off * 2.0**attempt))

    def sleep(self, seconds: float) -> None:
        """Sleep in steps, so that a stop is noticed within half a second."""
        end = self.clock.monotonic() + seconds
        while (remaining := end - self.clock.monotonic()) > 0:
            self.raise_if_stopped()
            self.clock.sleep(min(remaining, 0.5))
