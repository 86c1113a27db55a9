"""How often an experiment's read-out is wrong, in worlds with a known truth: coverage of intervals and false
alarms.

2,000 runs a world (200 with --quick), with exact binomial intervals. "Wald" is the read-out of version 0.1, a
Wald test and interval of the relative lift, on the same draws. Worlds: A/A of rare events with unequal arms,
of ratios, of heavy tails (plain, winsorised, the median), of whole clusters (means, medians); lifts with a
covariate that explains nearly all; guardrails exactly at their margin, with so few events that an arm may
have none; three arms; twenty looks at two metrics, at a winsorised one, a median, a ratio, a guardrail at its
margin; and the sample ratio. --only TEXT runs the worlds whose names hold it; finished worlds are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from recipes.common import Journal, command, parser, read_arguments, show_table
from tastemaker.errors import InputError
from tastemaker.experiment import (
    Effect,
    Metric,
    Moments,
    Plan,
    clustered,
    decide,
    effect,
    non_inferior,
    srm,
    watch,
)
from tastemaker.experiment.quantiles import Values, effect_of_rows, quantile_effect
from tastemaker.stats.random import generator

NAME = "experiment_rates"
Floats = npt.NDArray[np.float64]
Run = dict[str, bool]
EVEN = {"a": 0.5, "b": 0.5}


def wald(item: Effect) -> tuple[float, float, float]:
    """Interval and p of a relative lift as version 0.1 had them: value / se by Student's t."""
    half = float(stats.t.ppf(0.975, item.df)) * item.se
    return item.value - half, item.value + half, float(2 * stats.t.sf(abs(item.value) / item.se, item.df))


def seen(item: Effect, truth: float = 0.0) -> Run:
    """Whether an effect missed the truth, and to which side, by Fieller and by Wald; none has no number."""
    if item.reason:
        return {"wrong": False, "none": True}
    low, high, p = wald(item)
    if truth:
        return {"wrong": not item.low <= truth <= item.high, "Wald wrong": not low <= truth <= high}
    wrong, up = item.p < 0.05, item.treatment > item.control
    return {"wrong": wrong, "up": wrong and up, "down": wrong and not up, "Wald wrong": p < 0.05}


def split(rng: np.random.Generator, values: Floats, share: float) -> tuple[Floats, Floats]:
    """The rows of treatment and control."""
    treated = rng.random(len(values)) < share
    return values[treated], values[~treated]


def both(rows: Sequence[Floats], *columns: str) -> list[Moments]:
    """Moments of treatment and control."""
    return [Moments.of(columns, part) for part in rows]


def rare(rng: np.random.Generator, n: int, rate: float, share: float) -> Run:
    """An A/A test of a rate."""
    t, c = both(split(rng, np.asarray(rng.random((n, 1)) < rate, np.float64), share), "y")
    return seen(effect(t, c, Metric("y")))


def clicks(rng: np.random.Generator, n: int, share: float) -> Run:
    """An A/A test of clicks per list; people differ in both."""
    shown = 1 + rng.negative_binomial(1, 0.1, n)
    values = np.column_stack([rng.binomial(shown, rng.beta(0.5, 4, n)), shown]) * 1.0
    t, c = both(split(rng, values, share), "c", "i")
    return seen(effect(t, c, Metric("m", "c", "i")))


def heavy(rng: np.random.Generator, n: int, metric: Metric, sd: float = 2.0, share: float = 0.5) -> Run:
    """An A/A test of minutes with a heavy tail, read as `metric` says."""
    values = rng.lognormal(0, sd, (n, 1))
    if metric.winsorise < 1:
        values = np.minimum(values, np.quantile(values, metric.winsorise))
    t, c = split(rng, values, share)
    return seen(effect_of_rows(t, c, replace(metric, winsorise=1.0)))


def houses(rng: np.random.Generator, count: int) -> Run:
    """An A/A test of whole houses of 1 to 29 people; Wald: of people, as if they had been assigned."""
    size = rng.integers(1, 30, count)
    house = np.repeat(np.arange(count), size)
    value = 5 + rng.normal(0, 1, count)[house] + rng.normal(0, 1, len(house))
    treated = rng.permutation(count) % 2 == 0
    totals = np.column_stack([np.bincount(house, value, count), size]) * 1.0
    t, c = (Moments.of(("y", "units"), totals[part]) for part in (treated, ~treated))
    t_naive, c_naive = both([value[part[house], None] for part in (treated, ~treated)], "y")
    item, by_person = effect(t, c, clustered(Metric("y"))), effect(t_naive, c_naive, Metric("y"))
    return seen(item) | {"Wald wrong": by_person.p < 0.05}


def medians(rng: np.random.Generator, count: int) -> Run:
    """An A/A test of the median of whole houses; Wald: of people, as if they had been assigned."""
    house = np.repeat(np.arange(count), rng.integers(1, 30, count))
    value = np.exp(rng.normal(0, 1, count)[house] + rng.normal(0, 1, len(house)))
    treated = (rng.permutation(count) % 2 == 0)[house]
    metric = Metric("y", quantile=0.5)
    by_house = [Values(value[part], house[part]) for part in (treated, ~treated)]
    by_person = [Values(value[part]) for part in (treated, ~treated)]
    item, naive = (quantile_effect(pair[0], pair[1], metric) for pair in (by_house, by_person))
    return seen(item) | {"Wald wrong": naive.p < 0.05}


def lifted(rng: np.random.Generator, rho: float, lift: float, n: int, kind: str) -> Run:
    """A lift with a covariate of correlation `rho` from before the test (case 18b)."""
    arms = []
    for added in (lift, 0.0):
        x = rng.gamma(1, 10, n)
        y = x + rng.standard_normal(n) * 10 * np.sqrt(1 / rho**2 - 1)
        y = y * (1 + added) if kind == "multiplied" else y + 10 * added
        arms.append(np.column_stack([y, x]))
    t, c = both(arms, "y", "x")
    return seen(effect(t, c, Metric("y", covariate="x")), lift)


def margin(rng: np.random.Generator, n: int, share: float) -> Run:
    """A guardrail whose true harm is exactly what is tolerated: passing is wrong."""
    treated = rng.random(n) < share
    y: Floats = np.asarray(rng.random(n) < np.where(treated, 0.1 * 0.95, 0.1), np.float64)[:, None]
    t, c = both((y[treated], y[~treated]), "y")
    item = effect(t, c, Metric("y"))
    old = replace(item, contrast=None)
    return {"wrong": non_inferior(item, 0.05).passed, "Wald wrong": non_inferior(old, 0.05).passed}


def hardly_any(rng: np.random.Generator, n: int, events: float, better: Literal["up", "down"]) -> Run:
    """A guardrail exactly at its margin of 25 %, with `events` expected in the control; "up": an arm had
    none, and it passed.
    """
    harm = 0.25 if better == "down" else -0.25
    t, c = (
        Moments.of(("y",), np.asarray(rng.random((n, 1)) < rate, dtype=np.float64))
        for rate in (events / n * (1 + harm), events / n)
    )
    item = effect(t, c, Metric("y", better=better))
    passed = non_inferior(item, 0.25).passed
    return {"wrong": passed, "up": passed and item.empty is not None, "none": item.empty is not None}


def three(rng: np.random.Generator, n: int) -> Run:
    """Two treatments that do nothing, two primary metrics: shipping one of them, or calling one worse, is
    wrong.
    """
    arms = [Moments.of(("a", "b", "skips"), rng.normal(5, 1, (n, 3))) for _ in range(3)]
    metrics = (Metric("a"), Metric("b"), Metric("skips", better="down"))
    items = [
        replace(effect(part, arms[0], metric), arm=name)
        for name, part in (("new", arms[1]), ("newer", arms[2]))
        for metric in metrics
    ]
    decision = decide(items, Plan(("a", "b"), {"skips": 0.05}), srm({"a": n, "b": n}, EVEN))
    wrong = [
        line for line in decision.lines if line.role == "primary" and line.outcome in ("better", "worse")
    ]
    alone = [item for item in items if item.metric != "skips" and item.p < 0.05]
    return {"wrong": bool(wrong), "Wald wrong": bool(alone)}


def looks(rng: np.random.Generator, each: int = 200, count: int = 20) -> Run:
    """Twenty looks at two primary metrics that share alpha; Wald: the fixed intervals of the same looks."""
    values = np.column_stack([(rng.random(each * count) < 0.02) * 1.0, rng.lognormal(0, 1, each * count)])
    treated = rng.random(len(values)) < 0.5
    wrong, fixed = False, False
    for place in range(2):
        taken = []
        for end in range(each, len(values) + 1, each):
            rows = values[:end, place, None]
            t, c = both((rows[treated[:end]], rows[~treated[:end]]), "y")
            taken.append(effect(t, c, Metric("y")))
        readings = [look for look in watch(taken, 4000, 0.025, n_min=500) if not look.reason]
        wrong = wrong or any(look.low > 0 or look.high < 0 for look in readings)
        fixed = fixed or any(look.fixed_low > 0 or look.fixed_high < 0 for look in readings)
    return {"wrong": wrong, "Wald wrong": fixed}


def sequence(rng: np.random.Generator, what: str, share: float, each: int = 200, count: int = 20) -> Run:
    """Twenty looks at one metric without an effect, or at a guardrail whose harm is exactly what is
    tolerated: that an effect, or more harm, is shown at any of them is wrong. Wald: the fixed intervals.
    """
    n = each * count
    treated = rng.random(n) < share
    rows: Floats = rng.lognormal(0, 2, (n, 1))
    metric, edge = Metric("y"), 0.0
    if what == "median":
        metric = Metric("y", quantile=0.5)
    elif what == "ratio":
        shown = 1 + rng.negative_binomial(1, 0.1, n)
        rows, metric = np.column_stack([rng.binomial(shown, 0.1), shown]) * 1.0, Metric("m", "y", "i")
    elif what == "guardrail":
        edge, metric = 0.25, Metric("y", better="down")
        chance = np.where(treated, 0.02 * (1 + edge), 0.02)[:, None]
        rows = np.asarray(rng.random((n, 1)) < chance, np.float64)
    taken = []
    for end in range(each, n + 1, each):
        part = rows[:end]
        if what == "winsorised":
            part = np.minimum(part, np.quantile(part, 0.99))
        pair = part[treated[:end]], part[~treated[:end]]
        if metric.quantile:
            taken.append(effect_of_rows(*pair, metric))
        else:
            t, c = both(pair, *metric.columns)
            taken.append(effect(t, c, metric))
    readings = [look for look in watch(taken, n, n_min=100) if not look.reason]
    if edge:
        return {
            "wrong": any(look.low > edge for look in readings),
            "Wald wrong": any(look.fixed_low > edge for look in readings),
        }
    up, down = any(look.low > 0 for look in readings), any(look.high < 0 for look in readings)
    fixed = any(look.fixed_low > 0 or look.fixed_high < 0 for look in readings)
    return {"wrong": up or down, "up": up, "down": down, "Wald wrong": fixed}


def sample_ratio(rng: np.random.Generator, n: int, share: float) -> Run:
    """The sample ratio at alarm .001; "up": a warning below .01."""
    check = srm({"a": (k := int(rng.binomial(n, share))), "b": n - k}, EVEN)
    return {"wrong": check.alarm, "up": check.warning}


World = Callable[[np.random.Generator], Run]
WORLDS: dict[str, tuple[float, World]] = (
    {
        "A/A, rate .1, 2,000 people, 50/50": (0.05, partial(rare, n=2000, rate=0.1, share=0.5)),
        "A/A, rate .1, 2,000 people, 90/10": (0.05, partial(rare, n=2000, rate=0.1, share=0.9)),
        "A/A, rate .02, 20,000 people, 90/10": (0.05, partial(rare, n=20000, rate=0.02, share=0.9)),
        "A/A, clicks per list, 1,000 people, 50/50": (0.05, partial(clicks, n=1000, share=0.5)),
        "A/A, clicks per list, 1,000 people, 10/90": (0.05, partial(clicks, n=1000, share=0.1)),
        "A/A, lognormal sd 1, mean, 90/10": (
            0.05,
            partial(heavy, n=2000, metric=Metric("y"), sd=1.0, share=0.9),
        ),
        "A/A, lognormal sd 2, winsorised at .99, 90/10": (
            0.05,
            partial(heavy, n=2000, metric=Metric("y", winsorise=0.99), share=0.9),
        ),
        "A/A, lognormal sd 2, median, 90/10": (
            0.05,
            partial(heavy, n=2000, metric=Metric("y", quantile=0.5), share=0.9),
        ),
        "A/A, lognormal sd 2, mean": (0.05, partial(heavy, n=2000, metric=Metric("y"))),
        "A/A, lognormal sd 2, winsorised at .99": (
            0.05,
            partial(heavy, n=2000, metric=Metric("y", winsorise=0.99)),
        ),
        "A/A, lognormal sd 2, median": (0.05, partial(heavy, n=2000, metric=Metric("y", quantile=0.5))),
        "A/A, 60 houses": (0.05, partial(houses, count=60)),
        "A/A, 16 houses": (0.05, partial(houses, count=16)),
        "A/A, 8 houses": (0.05, partial(houses, count=8)),
        "A/A, median of 60 houses": (0.05, partial(medians, count=60)),
        "A/A, median of 16 houses": (0.05, partial(medians, count=16)),
    }
    | {
        f"CUPED, rho {rho:g}, lift {lift:.0%} {kind}": (
            0.05,
            partial(lifted, rho=rho, lift=lift, n=500, kind=kind),
        )
        for kind in ("added", "multiplied")
        for rho, lift in ((0.9, 0.1), (0.95, 0.3), (0.99, 0.5), (0.99, 1.0))
    }
    | {
        "guardrail at its margin, 50/50": (0.05, partial(margin, n=20000, share=0.5)),
        "guardrail at its margin, 90/10": (0.05, partial(margin, n=20000, share=0.9)),
        "guardrail at its margin, 3 events": (0.05, partial(hardly_any, n=500, events=3.0, better="down")),
        "guardrail at its margin, 8 events": (0.05, partial(hardly_any, n=500, events=8.0, better="down")),
        "guardrail at its margin, 3 events, up": (0.05, partial(hardly_any, n=500, events=3.0, better="up")),
        "three arms, two primary metrics, A/A": (0.05, partial(three, n=1000)),
        "20 looks at two metrics, A/A": (0.05, looks),
        "sample ratio, 10,000 people, as promised": (0.001, partial(sample_ratio, n=10_000, share=0.5)),
        "sample ratio, 90,000 people, .44 points off (power)": (
            float("nan"),
            partial(sample_ratio, n=90_000, share=0.5044),
        ),
    }
)
WORLDS |= {
    f"20 looks at a {what}, {shares}": (0.05, partial(sequence, what=what, share=share))
    for what in ("winsorised", "median", "ratio", "guardrail")
    for shares, share in (("50/50", 0.5), ("90/10", 0.9))
}


def world(name: str, runs: int, seed: int) -> dict[str, Any]:
    """Counts of a world over `runs` draws."""
    counts: dict[str, int] = {}
    for run in range(runs):
        for key, value in WORLDS[name][1](generator(f"{seed} {name}", run)).items():
            counts[key] = counts.get(key, 0) + int(value)
    return {"runs": runs, **counts}


def main() -> None:
    """Run every world, show."""
    options = parser(main, "200 runs a world instead of 2,000")
    options.add_argument("--only", default="", help="worlds whose names hold this text")
    arguments = read_arguments(options, NAME)
    journal = Journal(arguments.out, {"seed": arguments.seed, "quick": arguments.quick})
    runs = 200 if arguments.quick else 2_000
    names = [name for name in WORLDS if arguments.only in name]
    if not names:
        raise InputError(f"--only {arguments.only}: no world is called so; there are {', '.join(WORLDS)}")
    done = journal.run(names, lambda name: world(name, runs, arguments.seed), "worlds")
    rows = [_row(name, WORLDS[name][0], item) for name, item in zip(names, done, strict=True)]
    note = (
        f"{runs:,} runs a world; exact 95 % binomial intervals. Wald: relative Wald interval and test of"
        " version 0.1 on the same draws (houses: people read as units; looks: fixed intervals; three arms:"
        " no correction)."
    )
    show_table(arguments.out, rows, "How often a read-out is wrong", note)


def _row(name: str, due: float, item: dict[str, Any]) -> dict[str, str]:
    def share(key: str) -> str:
        if key not in item:
            return ""
        result: Any = stats.binomtest(item[key], item["runs"])
        low, high = result.proportion_ci(0.95)
        return f"{100 * result.statistic:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"

    return {
        "world": name,
        "due": "" if np.isnan(due) else f"{100 * due:g} %",
        "wrong": share("wrong"),
        "up": share("up"),
        "down": share("down"),
        "Wald": share("Wald wrong"),
    }


if __name__ == "__main__":
    command(main)
