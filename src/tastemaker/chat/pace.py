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
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

SLOWING = ("rate_limited", "unavailable", "timeout")
PASSING = (*SLOWING, "dropped", "unreachable")


class Clock(Protocol):
    """Time as an argument: `now` in seconds from anywhere, `sleep` until then."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's monotonic clock."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class PaceSettings:
    """Adaptive concurrency: halved once per cool-down when slowed, +1 after as many successes as calls are
    allowed at once.

    Before the endpoint has slowed us for the first time there is nothing to be careful about yet: +1 after
    every success, so that the number doubles with every round of answers (slow start, RFC 5681, 3.1).
    back_off, longest: first and longest wait of the exponential back-off. patience: a longer Retry-After
    stops the run.
    tries: attempts of one call, once the endpoint has answered anything at all. window, share: the run stops
    when more than `share` of the last `window` attempts failed (429 excluded), or when `give_up` attempts
    failed before the first one succeeded.
    """

    start: int = 4
    most: int = 16
    cool_down: float = 10.0
    back_off: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    tries: int = 6
    window: int = 50
    share: float = 0.3
    give_up: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.start <= self.most or self.tries < 1 or self.window < 1 or self.give_up < 1:
            raise InputError(f"{self}: needs 1 <= start <= most, and tries, window and give_up of at least 1")
        if not 0 < self.share < 1 or min(self.cool_down, self.back_off, self.longest, self.patience) < 0:
            raise InputError(f"{self}: needs 0 < share < 1 and no negative time")


class Place:
    """One attempt under way, and how it ended; neither answered nor failed when something else was raised."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.succeeded = False
        self.error: CallError | None = None

    def answered(self) -> None:
        self.succeeded = True

    def failed(self, error: CallError) -> None:
        self.error = error


class Pace:
    """The gate every call passes. Thread-safe; `stop(reason)` turns away all that wait and all that come."""

    def __init__(self, settings: PaceSettings, clock: Clock, seed: int = 0) -> None:
        self.settings, self.clock, self.seed = settings, clock, seed
        self.allowed = settings.start
        self.stopped: StoppedEarly | None = None
        self._changed = threading.Condition()
        self._under_way: list[Place] = []
        self._successes = 0
        self._halved_at = float("-inf")
        self._not_before = float("-inf")
        self._failed: deque[bool] = deque(maxlen=settings.window)
        self._answered = False
        self._unanswered = 0
        self._starved = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """One attempt: waits for a place and for the end of a pause the endpoint asked for; the block says
        how it ended.

        Raises
        ------
        StoppedEarly
            when the run has ended.
        """
        place = self._enter()
        try:
            yield place
        finally:
            with self._changed:
                self._under_way.remove(place)
                if place.succeeded:
                    self._succeeded()
                elif place.error is not None:
                    self._slowed(place.error)
                    self._count(place.error)
                if self.stopped is None:
                    self._changed.notify(max(1, self.allowed - len(self._under_way)))
                else:
                    self._changed.notify_all()

    def _enter(self) -> Place:
        while True:
            with self._changed:
                self.raise_if_stopped()
                pause = self._not_before - self.clock.now()
                if pause <= 0:
                    if len(self._under_way) < self.allowed:
                        place = Place(self.clock.now())
                        self._under_way.append(place)
                        return place
                    self._changed.wait(1.0)
            if pause > 0:
                self.sleep(pause)

    def _succeeded(self) -> None:
        self._failed.append(False)
        self._answered = True
        self._unanswered = self._starved = 0
        self._successes += 1
        enough = self.allowed if self._slowed_before() else 1
        if self._successes >= enough and self.allowed < self.settings.most:
            self.allowed += 1
            self._successes = 0

    def _slowed_before(self) -> bool:
        return self._halved_at > float("-inf")

    def _slowed(self, error: CallError) -> None:
        now = self.clock.now()
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
        if error.kind == "refused":
            return  # the request is at fault, or `fatal` ends the run
        if error.kind == "rate_limited":
            self._starved += 1
            if self._starved >= self.settings.give_up * self.settings.tries:
                self._end(f"the last {self._starved} attempts were all refused for their rate (429)")
            return
        self._failed.append(True)
        self._unanswered += 1
        if self._unanswered >= self.settings.give_up and not self._answered:
            self._end(f"the endpoint has answered none of {self._unanswered} attempts ({error})")
        self._check_share()

    def invalid(self) -> None:
        """A call ended without a usable answer although the model was asked again: counts as one failure."""
        with self._changed:
            self._failed.append(True)
            self._check_share()
            self._changed.notify_all()

    def _check_share(self) -> None:
        window, failed = self.settings.window, sum(self._failed)
        if len(self._failed) == window and failed > self.settings.share * window:
            self._end(f"{failed} of the last {window} attempts failed")

    def _end(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = StoppedEarly(
                f"stopped early: {reason}. Finished work is kept; resume when the cause is gone"
            )

    def stop(self, reason: str) -> None:
        """End the run: attempts under way finish, no new one leaves."""
        with self._changed:
            self._end(reason)
            self._changed.notify_all()

    def raise_if_stopped(self) -> None:
        """Raise StoppedEarly when the run has ended."""
        if self.stopped is not None:
            raise StoppedEarly(str(self.stopped))

    @property
    def answered(self) -> bool:
        """Whether the endpoint has answered anything yet."""
        return self._answered

    def back_off(self, error: CallError, key: str, attempt: int) -> float:
        """Seconds to wait before attempt + 1: the larger of Retry-After and an exponential back-off with
        keyed jitter.
        """
        settings = self.settings
        jitter = float(generator(self.seed, "back-off", key, attempt).uniform(0.5, 1.0))
        return max(error.wait, jitter * min(settings.longest, settings.back_off * 2.0**attempt))

    def sleep(self, seconds: float) -> None:
        """Sleep in steps, so that a stop is noticed within half a second."""
        end = self.clock.now() + seconds
        while (left := end - self.clock.now()) > 0:
            self.raise_if_stopped()
            self.clock.sleep(min(left, 0.5))

    def under_way(self) -> tuple[int, float]:
        """Number of attempts under way, and the age of the oldest in seconds: the heartbeat."""
        with self._changed:
            began = [place.began for place in self._under_way]
        return len(began), self.clock.now() - min(began) if began else 0.0
