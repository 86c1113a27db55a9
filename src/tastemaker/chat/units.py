"""Units of work (conversations, judgements) over an engine: each once, failures apart, in order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tastemaker.chat.cache import canonical
from tastemaker.chat.engine import Engine
from tastemaker.chat.protocol import BudgetReached, CallError, StoppedEarly, Usage
from tastemaker.errors import InputError

T = TypeVar("T")
_AHEAD = 2
"""Results held back for order: at most this many times the units open, so memory stays flat."""


@dataclass(frozen=True)
class Unit(Generic[T]):
    """One piece of work: a stable id (hash of settings and index), whom it is about, and its input."""

    id: str
    subject: str
    value: T


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: value (JSON), or kind and detail of its failure; `replayed`: earlier session's."""

    id: str
    value: Any = None
    failure: str | None = None
    detail: str = ""
    replayed: bool = False


@dataclass(frozen=True)
class Progress:
    """The heartbeat of a run; allowed: how many calls may be under way."""

    finished: int
    failed: int
    total: int
    under_way: int
    allowed: int
    usage: Usage
    money: float | None


def map_units(
    engine: Engine,
    work: Callable[[Unit[T]], Any],
    units: Sequence[Unit[T]],
    *,
    retry: Collection[str] = (),
    report: Callable[[Progress], None] | None = None,
    unit_label: str = "unit",
) -> Iterator[Outcome]:
    """Run `work(unit)` (returns JSON) on every unit not yet done, several at once; outcomes in their order.

    A unit that failed in an earlier session is not touched unless its kind is in `retry`; a unit that was
    done is read back. When the run stops early or reaches its budget, what finishes still comes, and then the
    reason is raised. Interrupting (Ctrl-C, closing the iterator) lets calls under way finish, so that what
    was paid is kept. unit_label: what messages call a unit.

    Raises InputError for two units of one id; StoppedEarly, BudgetReached as above.
    """
    ids = _different_ids(units)
    run = _Run(engine, work, frozenset(retry))
    engine.retrying = frozenset(name for name in ids if run.before(name) in run.retry)
    workers = engine.settings.pace.most
    waiting: deque[Future[Outcome | None]] = deque()
    queue = iter(units)
    total, finished, failed = len(ids), 0, 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unit")

    def tell() -> None:
        if report is not None:
            pace, budget = engine.pace, engine.budget
            report(
                Progress(finished, failed, total, pace.under_way, pace.allowed, budget.usage, budget.money)
            )

    try:
        while True:
            while (
                run.reason is None
                and len(waiting) < _AHEAD * workers
                and (unit := next(queue, None)) is not None
            ):
                waiting.append(pool.submit(run.finish, unit))
            if not waiting:
                break
            while not wait([waiting[0]], timeout=1.0).done:
                tell()
            outcome = waiting.popleft().result()
            if outcome is not None:
                finished, failed = finished + 1, failed + (outcome.failure is not None)
                tell()
                yield outcome
    finally:
        if waiting:
            engine.pace.stop("interrupted")
        pool.shutdown(wait=True, cancel_futures=True)
    if run.reason is not None:
        raise type(run.reason)(_explained(run.reason, finished - failed, total, unit_label))


def _different_ids(units: Sequence[Unit[Any]]) -> list[str]:
    ids = [unit.id for unit in units]
    if len(set(ids)) != len(ids):
        twice = next(name for place, name in enumerate(ids) if name in ids[:place])
        raise InputError(f"two units have the id {twice!r}; ids must differ")
    return ids


class _Run:
    """What the workers of one map share."""

    def __init__(self, engine: Engine, work: Callable[[Unit[Any]], Any], retry: frozenset[str]) -> None:
        self.engine, self.work, self.retry = engine, work, retry
        self.reason: StoppedEarly | BudgetReached | None = None

    def before(self, unit: str) -> str | None:
        """How the unit ended in an earlier session; None when it did not."""
        return self.engine.journal.units.get(unit) if self.engine.journal else None

    def finish(self, unit: Unit[Any]) -> Outcome | None:
        """The unit's outcome; None when the run ended before it did."""
        cache, journal = self.engine.cache, self.engine.journal
        before = self.before(unit.id)
        if before == "done" and cache is not None:
            value = cache.get(unit.subject, f"unit-{unit.id}")
            if value is not None:
                return Outcome(unit.id, value, replayed=True)
        elif before not in (None, "done") and before not in self.retry:
            return Outcome(unit.id, failure=before, detail="failed in an earlier session", replayed=True)
        if self.reason is not None:
            return None
        try:
            value = self.work(unit)
        except CallError as error:
            if journal is not None:
                journal.unit(unit.id, error.kind)
            return Outcome(unit.id, failure=error.kind, detail=error.detail)
        except (StoppedEarly, BudgetReached) as reason:
            self.reason = self.reason or reason
            return None
        value = json.loads(canonical(value))  # what a later session will read back
        if cache is not None:
            cache.put(unit.subject, f"unit-{unit.id}", value)
        if journal is not None:
            journal.unit(unit.id, "done")
        return Outcome(unit.id, value)


def _explained(reason: StoppedEarly | BudgetReached, finished: int, total: int, label: str) -> str:
    if isinstance(reason, BudgetReached) and finished == 0:
        return (
            f"{reason}. Not one of {total} {label}s was finished: the budget is smaller than one {label};"
            " raise it and resume"
        )
    return f"{reason} ({finished} of {total} {label}s finished; resume goes on from there)"
