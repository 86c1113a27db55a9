"""Which events train, which validate and which test: leave-one-out, a cut in time, and ties in time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tastemaker.corpus.events import Bools, Histories, Ints
from tastemaker.errors import InputError, SparseDataError
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to be predicted: the item `target` (T,) that followed each history of `context` (T users)."""

    context: Histories
    target: Ints

    def __len__(self) -> int:
        """Number of users to be evaluated."""
        return len(self.target)

    def keep(self, keep: Bools) -> Targets:
        """Only the users marked in `keep` (T,)."""
        return Targets(self.context.keep_users(keep), self.target[keep])

    def sample(self, users: int, seed: int) -> Targets:
        """A keyed sample of `users` users, in order; all of them when there are no more, or for 0."""
        if not users or users >= len(self):
            return self
        keep = np.zeros(len(self), bool)
        keep[generator(seed, "sampled users").choice(len(self), users, replace=False)] = True
        return self.keep(keep)


@dataclass(frozen=True, eq=False)
class Split:
    """Training histories and the targets of validation and test.

    `excluded`: users too short to be evaluated (their events still train). `cuts`: for a split in time, the
    first second of validation and of test.
    """

    train: Histories
    validation: Targets
    test: Targets
    excluded: int = 0
    cuts: tuple[float, float] | None = None


def leave_one_out(h: Histories) -> Split:
    """Each user's last event is the test target, the one before the validation target, the rest trains.

    The test input is all but the last event, validation event included. Users with fewer than 3 events are
    not evaluated: all their events train and `Split.excluded` counts them. Raises InputError when no user has
    3 events.
    """
    evaluated = h.lengths >= 3
    if not evaluated.any():
        raise SparseDataError(
            f"none of the {len(h):,} users has 3 or more events; leave-one-out needs one event each for"
            " training, validation and test: add interactions"
        )
    evaluated_events = np.repeat(evaluated, h.lengths)
    train = h.keep_events(~evaluated_events | (h.from_end >= 2))
    return Split(
        train,
        validation=_last_as_target(h.keep_events(h.from_end >= 1).keep_users(evaluated)),
        test=_last_as_target(h.keep_users(evaluated)),
        excluded=int(len(h) - evaluated.sum()),
    )


def _last_as_target(h: Histories) -> Targets:
    """Every user's last event as target, earlier ones as context. Each user must have an event."""
    return Targets(h.keep_events(h.from_end >= 1), h.items[h.offsets[1:] - 1])


def time_split(h: Histories, *, validation_share: float = 0.1, test_share: float = 0.1) -> Split:
    """Train on everything before one moment, as a deployed system must: no model sees any user's future.

    The cuts are quantiles of the event times: the last `test_share` of events is the test period, the
    `validation_share` before it the validation period. In each period a user's target is the last event
    there; the context is all that the same user did before it, also inside the period. Users without an
    earlier event are not evaluated; `excluded` counts users of the test period for whom that is so.

    Raises InputError when times are missing or not in order, or a period has nobody to evaluate.
    Source: Gusak et al., "Time to Split", RecSys 2025 (global temporal split, last target).
    """
    if h.times is None or not np.all(np.isfinite(h.times)):
        raise InputError("a split in time needs a timestamp on every event; add them or use leave-one-out")
    times = h.times
    back = np.flatnonzero((np.diff(times) < 0) & (np.diff(h.user_rows) == 0))
    if len(back):  # a last event by position that is not the last in time would silently become the target
        user = h.users[h.user_rows[back[0]]]
        raise InputError(
            f"a split in time needs events in time order; those of user '{user}' are not: order them by"
            " timestamp"
        )
    validation_from, test_from = (
        float(t) for t in np.quantile(times, [1 - validation_share - test_share, 1 - test_share])
    )
    train = h.keep_events(times < validation_from)
    train = train.keep_users(train.lengths > 0)
    before_test = h.keep_events(times < test_from)
    validation, _ = _period(before_test, validation_from)
    test, excluded = _period(h, test_from)
    if not len(train) or not len(validation) or not len(test):
        raise InputError(
            f"the cut in time leaves {len(train):,} users to train on, {len(validation):,} to validate,"
            f" {len(test):,} to test; widen the shares or use leave-one-out"
        )
    return Split(train, validation, test, excluded, (validation_from, test_from))


def _period(h: Histories, start: float) -> tuple[Targets, int]:
    """Targets among the events from `start` on, and how many users there have nothing before theirs."""
    assert h.times is not None
    active = np.bincount(h.user_rows[h.times >= start], minlength=len(h)) > 0
    enough = active & (h.lengths > 1)
    return _last_as_target(h.keep_users(enough)), int((active & ~enough).sum())


def moments_of(h: Histories) -> Ints:
    """(E,) number of each event's moment, shared by a person's events of one time; else each its own."""
    if h.times is None:
        return np.arange(len(h.items))
    apart = (np.diff(h.user_rows) != 0) | ~(np.diff(h.times) == 0)
    return np.concatenate([np.zeros(min(1, len(h.items)), np.int64), np.cumsum(apart)])


def ends_tied(h: Histories) -> Bools:
    """(U,) whose last two events have the same time, so that which is the last is not known."""
    several = np.flatnonzero(h.lengths > 1)
    moments, last = moments_of(h), h.offsets[1:][several] - 1
    tied = np.zeros(len(h), bool)
    tied[several] = moments[last] == moments[last - 1]
    return tied


def shuffle_ties(h: Histories, key: int | str) -> Histories:
    """The same events, those of a person at one time in another, keyed order: what may not matter."""
    noise = generator(key, "ties").random(len(h.items))
    return replace(h, items=h.items[np.lexsort((noise, moments_of(h)))])


def had_before(targets: Targets) -> float:
    """The share of targets that stand in their own person's context."""
    if not len(targets):
        return 0.0
    repeats = np.repeat(targets.target, targets.context.lengths) == targets.context.items
    rows = targets.context.user_rows[repeats]
    return len(np.unique(rows)) / len(targets)
