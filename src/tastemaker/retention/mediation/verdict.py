"""Three paths from a better answer to a return (item, user, user's day), the verdict, and its report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.special import ndtri

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.retention.mediation.within import (
    Answered,
    MediationSettings,
    clustered_logit,
    dealt_effect,
    expectations,
    group_means,
    item_means,
    read_answered,
    repeaters,
)
from tastemaker.retention.report import LEAST_PEOPLE, Cell, ClaimReport, Intervals, Table
from tastemaker.retention.report import Verdict as ClaimVerdict
from tastemaker.schema.columns import codes, numbers
from tastemaker.stats.intervals import Interval
from tastemaker.stats.random import generator

Verdict = Literal["item", "user", "state", "unknown"]


@dataclass(frozen=True)
class MediationTests:
    """within, between: log-odds of returning a point of answer, inside a user and between users; exposure:
    change of the return probability a point of item mean dealt at random, None without slates; reliability:
    share of the variance of those item means that is no noise; repeaters: users with answers on two days.
    """

    verdict: Verdict
    reason: str
    within: Interval | None
    between: Interval | None
    exposure: Interval | None
    reliability: float | None
    n: int
    users: int
    repeaters: int
    settings: MediationSettings


def mediation_tests(
    rows: pa.Table,
    slates: pa.Table | None = None,
    *,
    candidates: pa.Table | None = None,
    settings: MediationSettings | None = None,
    key: int | str = 0,
    name: str = "rows",
) -> MediationTests:
    """Which path carries the link between answer and return: item, user, state, or unknown.

    rows: one a shown item: user, item, day, request, answer (null = none), outcome, controls. slates: as
    `schema.SLATES`, of requests whose items were drawn with known probability; candidates: see
    `rows.expectations`. item: the randomised exposure is positive. state: it is not, and answers move returns
    inside a user. user: answers move returns between users only. Without slates an inside link stays unknown:
    mood does the same. Without users who answered on two days everything but exposure is unknown.

    Raises InputError naming table, row, column and remedy on rows or slates that cannot be used.
    """
    settings = settings or MediationSettings()
    answered = read_answered(rows, settings, name)
    again = repeaters(answered)
    differ = bool(np.ptp(answered.answer - group_means(answered.answer, answered.users)) > 0)
    enough = again >= 2 and len(answered.user_ids) >= LEAST_PEOPLE and differ
    within, between = _inside(answered, settings) if enough else (None, None)
    exposure, reliability = (
        (None, None) if slates is None else _exposure(rows, slates, candidates, settings, key, name)
    )
    verdict, reason = _verdict(within, between, exposure, again, len(answered.user_ids))
    users = len(answered.user_ids)
    paths = (within, between, exposure, reliability)
    return MediationTests(verdict, reason, *paths, len(answered.answer), users, again, settings)


def _verdict(
    within: Interval | None, between: Interval | None, exposure: Interval | None, again: int, users: int
) -> tuple[Verdict, str]:
    if users < LEAST_PEOPLE:
        return (
            "unknown",
            f"too few units: {many(users, 'person', 'people')} answered; {LEAST_PEOPLE} are needed",
        )
    if exposure is not None and exposure.low > 0:
        words = f"users dealt better-answered items at random returned more: {100 * exposure.value:+.2f} pp a"
        return "item", f"{words} point [{100 * exposure.low:+.2f}, {100 * exposure.high:+.2f}]"
    if within is None or between is None:
        if again >= 2:
            return "unknown", "every user gives one answer only, so nothing can be told inside users"
        words = (
            f"{many(again, 'user has', 'users have')} answers on two different days, so a"
            " link inside users cannot be told"
        )
        return "unknown", f"{words} from one between them: ask the same users again on another day"
    inside = f"inside users {within.value:+.3f} log-odds a point [{within.low:+.3f}, {within.high:+.3f}]"
    outside = f"{inside}, between users {between.value:+.3f}"
    if within.low > 0 and exposure is None:
        words = f"{inside}, which the item and the user's mood of the day both explain; only randomised"
        return "unknown", f"{words} slates tell"
    if within.low > 0 and exposure is not None:
        if np.isnan(exposure.value):
            return "unknown", f"{inside}; {exposure.reason}"
        if exposure.high < 0:
            words = f"{inside}, yet users dealt better-answered items at random returned less"
            return "unknown", f"{words}: the two contradict each other"
        words = f"{inside}, yet items dealt at random moved nothing: the day explains it, or a match no item"
        return "state", f"{words} mean shows"
    if between.low > 0:
        return "user", f"{outside}: people who answer high return, whatever they see"
    if within.high < 0 or between.high < 0:
        words = f"{outside}: better answers go with fewer returns; where 1 is the best answer, turn it"
        return "unknown", f"{words} (6 less the answer)"
    return "unknown", f"{outside} [{between.low:+.3f}, {between.high:+.3f}]: no link was found"


def _inside(answered: Answered, settings: MediationSettings) -> tuple[Interval, Interval]:
    mean = group_means(answered.answer, answered.users)
    # A control that varies inside users needs its user mean beside it (Mundlak): the events of a user's
    # *other* day also tell of the user, and a single slope for both would push that onto the answer's
    # deviation (measured: +.07 where the truth is 0).
    means = [group_means(column, answered.users) for column in answered.controls.T]
    means = [
        item
        for item, column in zip(means, answered.controls.T, strict=True)
        if np.abs(item - column).max() > 1e-9
    ]
    x = np.column_stack([answered.answer - mean, mean, answered.controls, *means, np.ones(len(mean))])
    b, cov = clustered_logit(x, answered.outcome, answered.users)
    people = len(answered.user_ids)
    kind = "logit, user-clustered"
    within = _estimate(b[0], cov[0, 0], people, kind, settings.alpha, "answers of a user on different days")
    return within, _estimate(b[1], cov[1, 1], people, kind, settings.alpha, "")


def _estimate(value: float, variance: float, n: int, kind: str, alpha: float, assumption: str) -> Interval:
    half = ndtri(1 - alpha / 2) * np.sqrt(variance)
    return Interval.around(value, half, n, kind, (assumption,) if assumption else ())


def _exposure(
    rows: pa.Table,
    slates: pa.Table,
    candidates: pa.Table | None,
    settings: MediationSettings,
    key: int | str,
    name: str,
) -> tuple[Interval, float]:
    """Item means from one half of the users, outcomes of the other half.

    One direction only: using both halves both ways would let a user-day's mood enter one side's means and the
    other's outcome.
    """
    users, ids = codes(rows, settings.user, name)
    rng = generator(key, "halves")
    teaches = (rng.permutation(len(ids)) % 2 == 0)[users]
    items, item_ids = codes(rows, settings.item, name)
    answer, outcome = (
        numbers(rows, column, name, nulls=True) for column in (settings.survey, settings.outcome)
    )
    means, reliability = item_means(np.nan_to_num(answer), items, teaches & ~np.isnan(answer), len(item_ids))
    dealt, expected = _dealt(slates, candidates, item_ids, means)
    request = rows[settings.request].to_pylist()
    use = ~teaches & ~np.isnan(outcome) & np.array([entry in dealt for entry in request])
    first = np.zeros(len(use), dtype=bool)
    first[np.unique(codes(rows, settings.request, name)[0], return_index=True)[1]] = True
    at = np.flatnonzero(use & first)
    if len(at) < 20:
        raise InputError(
            f"slates: only {len(at)} of their requests have an outcome in {name}; check that request ids"
            " agree"
        )
    value = np.array([dealt[request[entry]] for entry in at])
    hope = np.array([expected[request[entry]] for entry in at])
    slope, error = dealt_effect(outcome[at], users[at], value, hope, _controls(rows, settings, at, name))
    half = float(ndtri(1 - settings.alpha / 2)) * error
    believed = (
        "slate probabilities are as logged",
        "the dealing half's answers are independent of the other half's returns",
    )
    people, kind = len(np.unique(users[at])), "randomised exposure, user-clustered"
    if np.isnan(slope):
        reason = "every item dealt had the same mean answer, so exposure says nothing"
        return Interval.unknown(people, kind, reason, believed), reliability
    return Interval.around(slope, half, people, kind, believed), reliability


def _controls(rows: pa.Table, settings: MediationSettings, at: Ints, name: str) -> Floats | None:
    if not settings.controls:
        return None
    return np.column_stack(
        [np.nan_to_num(numbers(rows, column, name, nulls=True)[at]) for column in settings.controls]
    )


def _dealt(
    slates: pa.Table, candidates: pa.Table | None, items: list[str], means: Floats
) -> tuple[dict[str, float], dict[str, float]]:
    """request_id -> summed item means of its slate, and what its policy could expect."""
    hope = expectations(slates, candidates, items, means, "slates")
    value, overall = dict(zip(items, means.tolist(), strict=True)), float(means.mean())
    request, ids = codes(slates, "request_id", "slates")
    v = np.array([value.get(slate, overall) for slate in slates["item_id"].to_pylist()])
    sums, sizes = np.bincount(request, v, len(ids)), np.bincount(request)
    policy = slates["policy_id"].to_pylist()
    first = np.unique(request, return_index=True)[1]
    missing = {policy[item] for item in first} - set(hope)
    if missing:
        raise InputError(
            f"candidates: policy '{sorted(missing)[0]}' of the slates has no candidate; add its rows"
        )
    return dict(zip(ids, sums.tolist(), strict=True)), {
        ids[request[item]]: float(sizes[request[item]]) * hope[policy[item]] for item in first
    }


VERDICTS: dict[str, ClaimVerdict] = {
    "item": "supported",
    "user": "not supported",
    "state": "not supported",
    "unknown": "cannot tell",
}


def claim(tests: MediationTests, horizon: str = "day 1") -> ClaimReport:
    """'The item causes the return': supported by randomised exposure only; else cannot tell."""
    verdict = VERDICTS[tests.verdict]
    named: list[tuple[str, str, Interval | None]] = [
        ("inside users", "log-odds a point", tests.within),
        ("between users", "log-odds a point", tests.between),
        ("dealt at random", "probability a point", tests.exposure),
    ]
    rows: list[dict[str, Cell]] = [
        {"test": test, "unit": unit, "estimate": item, "positive": item and item.low > 0}
        for test, unit, item in named
    ]
    note = (
        f"{many(tests.n, 'answer')} of {many(tests.users, 'user')}, {tests.repeaters:,} of"
        " them on two or more days."
    )
    if tests.reliability is not None:
        note += f" Reliability of the item means: {tests.reliability:.2f}."
    odds = {test: item for test, unit, item in named if item is not None and unit == "log-odds a point"}
    label = "log-odds a point of answer"
    picture = Intervals.of("Link between answer and return", label, odds, reference=0.0)
    return ClaimReport(
        claim=f"Better answers to '{tests.settings.survey}' bring returns because of the item shown.",
        verdict=verdict,
        because=f"Verdict {tests.verdict}: {tests.reason}.",
        tables=(Table.of("Three paths", rows, note),),
        figures=(picture,) if odds else (),
        assumptions=tuple(sorted({text for _, _, item in named if item for text in item.assumptions})),
        limits=(
            "A link inside users does not prove that the item causes: a good day lifts the answer and the"
            " return alike.",
            "Exposure tests what item means show; a purely personal match between user and item escapes it.",
        ),
        horizon=horizon,
        settings=asdict(tests.settings) | {"verdict": tests.verdict},
    )
