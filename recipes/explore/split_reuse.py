"""What it costs to choose and judge on the same rows: false certificates against the number of unsafe
candidates.

    python -m recipes.explore.split_reuse
    python -m recipes.explore.split_reuse --quick

50 policies of the paired world, all worth .90 to .949 V0, so that every certificate (V > .95 V0) is false.
Same rows: any of m candidates passes on 10,000 rows. Fixed sequence: 4,000 rows choose where to start, 6,000
certify once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.explore.draws import rate, rewarded_actions, student, wealth
from recipes.explore.worlds import SmallWorld, paired_world
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, Split
from tastemaker.stats.random import generator

C, DELTA, ROWS, BATCH = 0.95, 0.05, 10_000, 20
COUNTS = (1, 2, 5, 10, 20, 30, 40, 50)
RULES = ("paired t, same rows", "paired t, Bonferroni", "paired betting, same rows", "fixed sequence")


def candidates() -> npt.NDArray[np.float64]:
    """(50, 80) weights pi/pi0 of softmax(.5 xi_j + b_j u), xi_j in order from default_rng(0), b_j solved for
    V/V0 .90 to .949.
    """
    small, draws = paired_world(), np.random.default_rng(0)
    out = []
    for worth in np.linspace(0.90, 0.949, 50):
        base = np.exp(0.5 * draws.standard_normal(80))
        out.append(small.worth(worth, base / base.sum()) / small.logger)
    return np.array(out)


def rows(small: SmallWorld, items: npt.NDArray[np.int64], n: int) -> Log:
    """A log of n rows from its rewarded ones. Which item another row showed decides nothing."""
    action = np.zeros(n, dtype=np.int64)
    action[: len(items)] = items
    reward = (np.arange(n) < len(items)).astype(np.float64)
    return Log(np.zeros((n, 1)), action, reward, small.logger[action], small.world.actions)


def judge(seed: int, batch: int) -> dict[str, Any]:
    """BATCH runs: for each rule, in how many any of the first m (in random order) was certified; and each
    candidate alone.
    """
    small, weights, draws = paired_world(), candidates(), generator(seed, "split reuse", batch)
    hits = {rule: [0] * len(COUNTS) for rule in RULES}
    alone = np.zeros(len(weights), dtype=int)
    goal, settings = -np.log(DELTA), GateSettings(C, DELTA, floor=C)
    for run in range(BATCH):
        order = draws.permutation(len(weights))
        same, choose, judged = (
            rewarded_actions(small.q, small.logger, n, draws) for n in (ROWS, 4_000, 6_000)
        )
        gains = weights[order][:, same] - C
        total, squares = gains.sum(axis=1), (gains**2).sum(axis=1)
        plain = student(total, squares, ROWS, DELTA) > 0
        alone[order] += plain
        bets = np.array([wealth(row, ROWS, C) >= goal for row in gains])
        policies = [TablePolicy((weights[place] * small.logger)[None, :]) for place in order]
        s2, s3 = rows(small, choose, 4_000), rows(small, judged, 6_000)
        for place, m in enumerate(COUNTS):
            hits[RULES[0]][place] += bool(plain[:m].any())
            hits[RULES[1]][place] += bool((student(total[:m], squares[:m], ROWS, DELTA / m) > 0).any())
            hits[RULES[2]][place] += bool(bets[:m].any())
            # All candidates are unsafe: whatever the gate lets pass is a false certificate.
            certificates = certify(policies[:m], Split(s2, s2, s3, f"run {batch}/{run}"), settings)
            hits[RULES[3]][place] += any(certificate.passed for certificate in certificates)
    return {"hits": hits, "alone": alone.tolist()}


def main() -> None:
    """Run, print the table, draw the curves."""
    arguments = read_arguments(parser(main, "100 runs: inconclusive"), "explore/split_reuse")
    runs = 100 if arguments.quick else 1_000
    journal = Journal(arguments.out, {"recipe": "split_reuse", "seed": arguments.seed, "batch": BATCH})
    results = journal.run(range(runs // BATCH), lambda batch: judge(arguments.seed, batch), "split reuse")
    hits = {rule: np.sum([result["hits"][rule] for result in results], axis=0) for rule in RULES}
    rows = [
        {"candidates": m, **{rule: rate(int(hits[rule][place]), runs) for rule in RULES}}
        for place, m in enumerate(COUNTS)
    ]
    alone = np.sum([result["alone"] for result in results], axis=0)
    note = (
        f"In percent of {runs} runs, with 95 % Clopper-Pearson intervals; delta = 5 %. One fixed candidate,"
        f" paired t: {rate(int(alone.sum()), runs * 50)} on average, {rate(int(alone[-1]), runs)} for the one"
        " worth .949 V0." + (" A quick run: inconclusive." if arguments.quick else "")
    )
    show_table(arguments.out, rows, "False certificates", note)
    save_figure(arguments.out, draw(hits, runs))


def draw(hits: dict[str, npt.NDArray[np.int64]], runs: int) -> Figure:
    """False certificates against the number of candidates."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axes = figure.subplots()
    for rule, style in zip(RULES, ("o--", "s:", "^-.", "D-"), strict=True):
        axes.plot(COUNTS, 100 * hits[rule] / runs, style, label=rule)
    axes.axhline(100 * DELTA, color="0.4", linewidth=0.8)
    axes.text(50, 100 * DELTA + 0.6, "delta", fontsize=8, color="0.3", ha="right")
    axes.set(xlabel="unsafe candidates", ylabel="false certificates, % of runs", ylim=(0, None))
    axes.legend(frameon=False, fontsize=9)
    return figure


if __name__ == "__main__":
    command(main)
