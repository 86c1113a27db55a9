"""Which lower bound certifies what: rates in the paired world, bounds against rows, and a panel of dense
rewards.

    python -m recipes.explore.bounds
    python -m recipes.explore.bounds --quick

Tests are asked whether V(pi) > .95 V0. One-sample tests compare their lower bound of V(pi) with .95 times the
mean logged reward of the same rows; paired tests bound the mean of g = (w - .95) r. delta = .05.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.explore.draws import bernstein, hoeffding, padded, rate, rewarded_actions, student, wealth
from recipes.explore.worlds import PAIRED_TILTS, paired_world
from tastemaker.stats import betting
from tastemaker.stats.random import generator

C, DELTA = 0.95, 0.05
TESTS = ("Hoeffding", "Bernstein", "Student t", "one-sample betting", "paired t", "paired betting")
BATCH = 20


def judge(n: int, seed: int, batch: int) -> dict[str, Any]:
    """BATCH runs of n rows: how often each test passed each policy, and the mean lower bounds of V(pi) over
    V(pi).
    """
    small, draws = paired_world(), generator(seed, "bounds", n, batch)
    policies = [small.tilted(b) for b in PAIRED_TILTS]
    passed = {test: [0] * len(policies) for test in TESTS}
    bounds: dict[str, float] = dict.fromkeys(TESTS[:4], 0.0)
    for _ in range(BATCH):
        action = rewarded_actions(small.q, small.logger, n, draws)
        logged = len(action) / n
        for place, policy in enumerate(policies):
            weight = policy[action] / small.logger[action]
            span = float((policy / small.logger).max())
            total, squares = float(weight.sum()), float((weight**2).sum())
            lows = {
                "Hoeffding": hoeffding(total, n, DELTA, span),
                "Bernstein": bernstein(total, squares, n, DELTA, span),
                "Student t": float(student(np.array(total), np.array(squares), n, DELTA)),
                "one-sample betting": betting.lower(
                    padded(weight, n), DELTA, 0.0, fractions=betting.SPARSE_FRACTIONS
                ),
            }
            for test, low in lows.items():
                passed[test][place] += low > C * logged
                if place == 2:
                    bounds[test] += max(low, 0.0) / small.value(policy) / BATCH
            gains = weight - C
            paired = student(np.array(gains.sum()), np.array((gains**2).sum()), n, DELTA)
            passed["paired t"][place] += bool(paired > 0)
            passed["paired betting"][place] += wealth(gains, n, C) >= -np.log(DELTA)
    return {"passed": passed, "bounds": bounds}


def dense(seed: int, run: int, n: int = 1_000) -> dict[str, float]:
    """Lower bounds over V0 where every row has a reward: 50 items, V0 = .57, a policy worth 1.309 V0, Beta
    rewards.
    """
    draws = generator(seed, "dense", run)
    level = np.linspace(-1, 1, 50)
    q = 0.57 + 0.33 * level
    small = paired_world(50)
    policy = np.exp(2.14 * level) / np.exp(2.14 * level).sum()
    # The tilt that is worth 1.309 V0 in this world, found once by bisection.
    left, right = 0.0, 10.0
    for _ in range(60):
        middle = (left + right) / 2
        policy = np.exp(middle * level) / np.exp(middle * level).sum()
        left, right = (middle, right) if policy @ q < 1.309 * q.mean() else (left, middle)
    action = draws.integers(0, len(small.q), n)
    value = policy[action] * 50 * draws.beta(4 * q[action], 4 * (1 - q[action]))
    span, total, squares = float(policy.max() * 50), float(value.sum()), float((value**2).sum())
    lows = {
        "Hoeffding": hoeffding(total, n, DELTA, span),
        "Bernstein": bernstein(total, squares, n, DELTA, span),
        "Student t": float(student(np.array(total), np.array(squares), n, DELTA)),
        "one-sample betting": betting.lower(value, DELTA, 0.0, fractions=betting.SPARSE_FRACTIONS),
    }
    return {test: low / float(q.mean()) for test, low in lows.items()}


def main() -> None:
    """Run, print three tables, draw two panels."""
    arguments = read_arguments(parser(main, "10,000 rows at most, 40 runs: inconclusive"), "explore/bounds")
    plan = (
        {1_000: 40, 10_000: 40}
        if arguments.quick
        else {1_000: 400, 10_000: 400, 100_000: 400, 1_000_000: 100}
    )
    journal = Journal(arguments.out, {"recipe": "bounds", "seed": arguments.seed, "batch": BATCH})
    keys = [[n, batch] for n, runs in plan.items() for batch in range(runs // BATCH)]
    results = journal.run(keys, lambda key: judge(key[0], arguments.seed, key[1]), "paired world")
    rich = journal.run(
        [["dense", run] for run in range(40 if arguments.quick else 400)],
        lambda key: dense(arguments.seed, key[1]),
        "dense",
    )
    note = (
        "In percent, with 95 % Clopper-Pearson intervals. Columns: V/V0 of the policy; .949 must not pass in"
        " more than 5 %."
    )
    if arguments.quick:
        note += " A quick run: inconclusive."
    shares: dict[int, dict[str, float]] = {}
    for n, runs in plan.items():
        batches = [result for key, result in zip(keys, results, strict=True) if key[0] == n]
        shares[n] = {test: float(np.mean([batch["bounds"][test] for batch in batches])) for test in TESTS[:4]}
        rows = [_line(test, [batch["passed"][test] for batch in batches], runs) for test in TESTS]
        show_table(arguments.out, rows, f"Certified, {n:,} rows, {runs} runs", note, f"rates-{n}")
    rows = [{"bound": test, **{f"{n:,} rows": f"{shares[n][test]:.3f}" for n in plan}} for test in TESTS[:4]]
    show_table(arguments.out, rows, "Lower bound of V(pi) over V(pi), mean, V/V0 = 1.117", name="shares")
    means = {test: float(np.mean([run[test] for run in rich])) for test in TESTS[:4]}
    rows = [{"bound": test, "lower bound / V0": f"{means[test]:.3f}"} for test in TESTS[:4]]
    show_table(arguments.out, rows, f"Dense rewards, 1,000 rows, {len(rich)} runs, truth 1.309", name="dense")
    save_figure(arguments.out, draw(shares, means))


def _line(test: str, counts: list[list[int]], runs: int) -> dict[str, str]:
    totals = functools.reduce(lambda a, b: [x + y for x, y in zip(a, b, strict=True)], counts)
    return {
        "test": test,
        **{str(r): rate(k, runs) for r, k in zip((0.949, 1, 1.117, 1.468), totals, strict=True)},
    }


def draw(shares: dict[int, dict[str, float]], means: dict[str, float]) -> Figure:
    """Bounds against rows; dense rewards beside."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for test, style in zip(TESTS[:4], ("s:", "^-.", "o--", "D-"), strict=True):
        left.plot(list(shares), [shares[n][test] for n in shares], style, label=test)
    left.axhline(1, color="0.4", linewidth=0.8)
    left.set(
        xscale="log",
        ylim=(-0.03, 1.05),
        xlabel="rows",
        ylabel="lower bound / V(π), mean",
        title="Clicks, V0 = 0.7 %",
    )
    left.legend(
        frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4, columnspacing=1.2
    )
    names = list(means)
    right.barh(names, [means[test] for test in names], color="0.6")
    right.axvline(1.309, color="0.2", linewidth=0.9)
    right.text(1.30, -0.62, "truth 1.309", ha="right", va="center", fontsize=8)
    right.set(
        xlim=(0, 1.45), ylim=(-0.9, 3.6), xlabel="lower bound / V0, mean", title="Dense rewards, 1,000 rows"
    )
    return figure


if __name__ == "__main__":
    command(main)
