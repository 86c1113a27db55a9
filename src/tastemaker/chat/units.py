"""Units of work (conversations, judgements) mapped over an engine: each done once, failures kept apart,
results in order.
"""

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
    """One piece of work: a stable id (a hash of settings and index), whom it is about, and what `work`
    needs.
    """

    id: str
    subject: str
    value: T


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: its value (JSON), or the kind and detail of its failure; `replayed` when an earlier
    sitting did it.
    """

    id: str
    value: Any = None
    failure: str | None = None
    detail: str = ""
    replayed: bool = False


@dataclass(frozen=True)
class Progress:
    """The heartbeat of a run. oldest: age of the oldest attempt under way, in seconds; allowed: how many may
    be under way.
    """

    finished: int
    failed: int
    total: int
    under_way: int
    oldest: float
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
    beat: float = 1.0,
    noun: str = "unit",
) -> Iterator[Outcome]:
    """Run `work(unit)` (returns JSON) on every unit not yet done, several at once; outcomes come in the order
    of `units`.

    A unit that failed in an earlier sitting is not touched unless its kind is in `retry`; a unit that was
    done is read back. When the run stops early or reaches its budget, what finishes still comes, and then the
    reason is raised. Interrupting (Ctrl-C, closing the iterator) lets calls under way finish, so that what
    was paid is kept. noun: what messages call a unit.

    Raises
    ------
    InputError
        for two units of one id.
    StoppedEarly, BudgetReached
        as above.
    """
    ids = _different_ids(units)
    run = _Run(engine, work, frozenset(retry))
    engine.retrying = frozenset(one for one in ids if run.before(one) in run.retry)
    workers = engine.settings.open_units * engine.settings.pace.most
    waiting: deque[Future[Outcome | None]] = deque()
    rest = iter(units)
    total, finished, failed = len(ids), 0, 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unit")
    try:
        while True:
            while (
                run.reason is None
                and len(waiting) < _AHEAD * workers
                and (unit := next(rest, None)) is not None
            ):
                waiting.append(pool.submit(run.one, unit))
            if not waiting:
                break
            while not wait([waiting[0]], timeout=beat).done:
                _tell(report, engine, finished, failed, total)
            outcome = waiting.popleft().result()
            if outcome is not None:
                finished, failed = finished + 1, failed + (outcome.failure is not None)
                _tell(report, engine, finished, failed, total)
                yield outcome
    finally:
        if waiting:
            engine.pace.stop("interrupted")
        pool.shutdown(wait=True, cancel_futures=True)
        if engine.journal is not None:
            engine.journal.flush()
    if run.reason is not None:
        raise type(run.reason)(_explained(run.reason, finished - failed, total, noun))


def _different_ids(units: Sequence[Unit[Any]]) -> list[str]:
    ids = [unit.id for unit in units]
    if len(set(ids)) != len(ids):
        twice = next(one for place, one in enumerate(ids) if one in ids[:place])
        raise InputError(f"two units have the id {twice!r}; ids must differ")
    return ids


class _Run:
    """What the workers of one map share."""

    def __init__(self, engine: Engine, work: Callable[[Unit[Any]], Any], retry: frozenset[str]) -> None:
        self.engine, self.work, self.retry = engine, work, retry
        self.reason: StoppedEarly | BudgetReached | None = None

    def before(self, unit: str) -> str | None:
        return self.engine.journal.units.get(unit) if self.engine.journal else None

    def one(self, unit: Unit[Any]) -> Outcome | None:
        """The unit's outcome; None when the run ended before it did."""
        cache, journal = self.engine.cache, self.engine.journal
        before = self.before(unit.id)
        if before == "done" and cache is not None:
            kept = cache.get(unit.subject, f"unit-{unit.id}")
            if kept is not None:
                return Outcome(unit.id, kept, replayed=True)
        elif before not in (None, "done") and before not in self.retry:
            return Outcome(unit.id, failure=before, detail="failed in an earlier sitting", replayed=True)
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
        value = json.loads(canonical(value))  # what a later sitting will read back
        if cache is not None:
            cache.put(unit.subject, f"unit-{unit.id}", value)
        if journal is not None:
            journal.unit(unit.id, "done")
        return Outcome(unit.id, value)


def _tell(
    report: Callable[[Progress], None] | None, engine: Engine, finished: int, failed: int, total: int
) -> None:
    if report is not None:
        under_way, oldest = engine.pace.under_way()
        report(
            Progress(
                finished,
                failed,
                total,
                under_way,
                oldest,
                engine.pace.allowed,
                engine.budget.usage,
                engine.budget.money,
            )
        )


def _explained(reason: StoppedEarly | BudgetReached, done: int, total: int, noun: str) -> str:
    if isinstance(reason, BudgetReached) and done == 0:
        return (
            f"{reason}. Not one of {total} {noun}s was finished: the budget is smaller than one {noun}; raise"
            " it and resume"
        )
    return f"{reason} ({done} of {total} {noun}s finished; resume goes on from there)"
