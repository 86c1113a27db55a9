"""Banked margins: what DEPSUE's accounting and the ledger let through, in closed form, a toy and a full loop.

    python -m recipes.explore.banking
    python -m recipes.explore.banking --quick

Toy: gate and banking errors standard normal, every inequality tight; slack_k = z - e_k - sum_{j<k} u_j. Loop:
the paired world with new items worth nothing; every round deploys the largest share nu of new items that the
rule lets pass, 100,000 rows a round. A violation is a round after which the true sum of V(pi_j) - .95 V0 is
negative.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy import stats

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.explore.draws import padded, rate, rewarded_actions, student
from recipes.explore.population import Floats
from recipes.explore.published import paper_thresholds, paper_violation
from recipes.explore.worlds import paired_world
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.gate.certify import GateSettings, certify
from tastemaker.explore.ledger.ledger import Ledger, admit, margin, record, settle
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, Split
from tastemaker.stats.random import generator

C, DELTA, ROUNDS, BATCH = 0.95, 0.05, 100_000, 20
SHARES = np.linspace(0, 0.9, 37)
RULES = ("paper", "bank by lower bounds, all at delta", "ledger: bank and gates at delta/(2K)")


def toy(rounds: int, seed: int, runs: int) -> dict[str, list[float]]:
    """For each rule, the share of runs violated in the final round, and in any."""
    draws = generator(seed, "banking", rounds)
    gate, banked = draws.standard_normal((2, runs, rounds))
    noise = gate + np.c_[np.zeros(runs), np.cumsum(banked, axis=1)[:, :-1]]
    z, split = stats.norm.ppf(1 - DELTA), stats.norm.ppf(1 - DELTA / (2 * rounds))
    steps = np.sqrt(np.arange(rounds))
    slacks = (z - noise, z + z * steps - noise, split + split * steps - noise)
    return {
        rule: [float((slack[:, -1] < 0).mean()), float((slack < 0).any(axis=1).mean())]
        for rule, slack in zip(RULES, slacks, strict=True)
    }


def closed(rule: str, rounds: int) -> float:
    """Violation of the final round."""
    if rule == RULES[0]:
        return paper_violation(rounds, DELTA)
    z = stats.norm.ppf(1 - (DELTA if rule == RULES[1] else DELTA / (2 * rounds)))
    return float(stats.norm.sf(z * (1 + np.sqrt(rounds - 1)) / np.sqrt(rounds)))


class Loop:
    """The paired world, a policy pi_A worth 1.117 V0 on existing items, and a new item worth nothing mixed in
    with the shares `SHARES`: the candidates, in the order of the gate.
    """

    def __init__(self, rounds_each: int = ROUNDS) -> None:
        self.rounds_each = rounds_each
        self.small = paired_world()
        self.base = self.small.value(self.small.logger)
        self.good = self.small.worth(1.117)
        self.candidates = [TablePolicy(np.r_[(1 - nu) * self.good, nu][None, :]) for nu in SHARES]

    def rewarded(self, played: Floats, n: int, draws: np.random.Generator) -> npt.NDArray[np.int64]:
        """Items of the rewarded rows; `played` sums to the share of existing items."""
        return rewarded_actions(self.small.q, played, n, draws)

    def rows(self, played: Floats, n: int, draws: np.random.Generator) -> Log:
        """A log of n rows. Which item an unrewarded row showed decides nothing: all of them show the
        first.
        """
        items = self.rewarded(played, n, draws)
        action = np.zeros(n, dtype=np.int64)
        action[: len(items)] = items
        reward = (np.arange(n) < len(items)).astype(np.float64)
        names = [str(item) for item in range(len(self.small.q) + 1)]
        log = Log(np.zeros((n, 1)), action, reward, played[action], names)
        return log if played is self.small.logger else replace(log, reference=self.small.logger[action])

    def paper(self, rounds: int, draws: np.random.Generator) -> list[float]:
        """True values of K deployments by the published rule: t bound above C_k, live means banked as they
        are.
        """
        played, live, values = self.small.logger, list[float](), list[float]()
        for _ in range(rounds):
            threshold = paper_thresholds(C * self.base, live)[-1]
            rows = self.rewarded(played, self.rounds_each, draws)
            weight = self.good[rows] / played[rows]
            low = student(np.array(weight.sum()), np.array((weight**2).sum()), self.rounds_each, DELTA)
            passing = np.flatnonzero((1 - SHARES) * low > threshold)
            # Nothing passes: the logger serves.
            mixed = (1 - SHARES[passing[-1]]) * self.good if len(passing) else self.small.logger
            values.append(float(mixed @ self.small.q))
            live.append(len(self.rewarded(mixed, self.rounds_each, draws)) / self.rounds_each)
            played = mixed
        return values

    def ledger(self, rounds: int, draws: np.random.Generator) -> list[float]:
        """The same by the shipped gate and ledger: certified on S3 (30 %), started where S2 (20 %) says,
        margins from the bank (70 %).
        """
        book, played, values = Ledger(C, 0.9, DELTA, rounds), self.small.logger, list[float]()
        for _ in range(rounds):
            certificates = self.certified(book, played, draws)
            book = record(book, certificates)
            passed = [place for place, certificate in enumerate(certificates) if certificate.passed]
            if not passed:
                values.append(self.base)
                continue
            policy = (1 - SHARES[passed[-1]]) * self.good
            book = admit(book, certificates[passed[-1]], self.rounds_each)
            played = self.served(policy, book)
            # New items take the rest of the mixture; pi0 never plays them, so their rows carry no reward and
            # no weight of pi0.
            banked = int(0.7 * self.rounds_each)
            rows = self.rewarded(played, banked, draws)
            gains = (policy[rows] - C * self.small.logger[rows]) / played[rows]
            name = certificates[passed[-1]].policy_hash
            book = settle(book, name, padded(gains, banked), self.rounds_each)
            values.append(float(policy @ self.small.q))
        return values

    def served(self, policy: Floats, book: Ledger) -> Floats:
        """The mixture with pi0: its holdout, or more where pi0/mixture would exceed U."""
        least = float((policy / self.small.logger).min())
        share = max(book.holdout, (1 / book.cap - least) / (1 - least))
        return (1 - share) * policy + share * self.small.logger

    def certified(self, book: Ledger, played: Floats, draws: np.random.Generator) -> list[Certificate]:
        """The gate's certificates of all candidates, on newly drawn rows."""
        choose, judged = (self.rows(played, int(part * self.rounds_each), draws) for part in (0.2, 0.3))
        needed = margin(book, self.rounds_each)
        settings = GateSettings(C, book.gate_delta, needed, book.floor, cap=book.cap)
        parts = Split(choose, choose, judged, f"split {len(book.entries)}")
        return certify(self.candidates, parts, settings)


def loops(rounds: int, seed: int, batch: int) -> dict[str, list[list[float]]]:
    """BATCH runs of both rules: V/V0 of every deployment."""
    loop, draws = Loop(), generator(seed, "loop", rounds, batch)
    return {
        "paper": [[value / loop.base for value in loop.paper(rounds, draws)] for _ in range(BATCH)],
        "ledger": [[value / loop.base for value in loop.ledger(rounds, draws)] for _ in range(BATCH)],
    }


def broken(values: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Runs whose sum is below K C V0 at the end, and after any round."""
    slack = np.cumsum(values - C, axis=1)
    return int((slack[:, -1] < -1e-9).sum()), int((slack < -1e-9).any(axis=1).sum())


def main() -> None:
    """Run, print three tables, draw the violations."""
    arguments = read_arguments(parser(main, "40 runs of each loop: inconclusive"), "explore/banking")
    runs = 40 if arguments.quick else 400
    journal = Journal(
        arguments.out, {"recipe": "banking", "seed": arguments.seed, "batch": BATCH, "rounds": ROUNDS}
    )
    note = "A quick run: inconclusive." if arguments.quick else ""
    toys = {k: toy(k, arguments.seed, 100_000) for k in (2, 3, 4, 5)}
    rows: list[dict[str, Any]] = [
        {"rule": rule, **{f"K={k}": _three(closed(rule, k), *shares[rule]) for k, shares in toys.items()}}
        for rule in RULES
    ]
    show_table(
        arguments.out,
        rows,
        "Violations in the toy, %: final round in closed form / simulated / any round (100,000 runs)",
        name="toy",
    )
    keys = [[k, batch] for k in toys for batch in range(runs // BATCH)]
    batches_of = journal.run(keys, lambda key: loops(key[0], arguments.seed, key[1]), "full loops")
    every: dict[str, dict[int, int]] = {"paper": {}, "ledger": {}}
    rows = []
    for k in toys:
        for rule in every:
            batches = [values[rule] for key, values in zip(keys, batches_of, strict=True) if key[0] == k]
            values = np.array([run for batch in batches for run in batch])
            final, ever = broken(values)
            every[rule][k] = ever
            rows.append(
                {
                    "K": k,
                    "rule": rule,
                    "final round": rate(final, runs),
                    "any round": rate(ever, runs),
                    "mean V/V0": f"{values.mean():.3f}",
                    "lowest V/V0": f"{values.min():.3f}",
                    "mean share of new items": (
                        f"{np.maximum(1 - values / 1.117, 0)[values != 1.0].sum() / values.size:.3f}"
                    ),
                    "rounds with a deployment, %": f"{100 * (values != 1.0).mean():.0f}",
                }
            )
    show_table(
        arguments.out,
        rows,
        f"Violations in the full loop, % of {runs} runs (95 % Clopper-Pearson)",
        note,
        "loop",
    )
    save_figure(
        arguments.out, draw(toys, {rule: {k: hits[k] / runs for k in hits} for rule, hits in every.items()})
    )


def _three(form: float, final: float, ever: float) -> str:
    return f"{100 * form:.2f} / {100 * final:.2f} / {100 * ever:.1f}"


def draw(toys: dict[int, dict[str, list[float]]], loop: dict[str, dict[int, float]]) -> Figure:
    """Violations against K: toy and loop."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    counts = list(toys)
    for rule, style in zip(RULES, ("o--", "s:", "D-"), strict=True):
        left.plot(counts, [100 * toys[k][rule][1] for k in counts], style, label=rule)
    for rule, style in zip(loop, ("C0o--", "C2D-"), strict=True):
        right.plot(counts, [100 * loop[rule][k] for k in counts], style, label=rule)
    for axes, title in (
        (left, "Toy: normal errors, tight inequalities"),
        (right, "Full loop in the paired world"),
    ):
        axes.axhline(100 * DELTA, color="0.4", linewidth=0.8)
        axes.set(title=title, xlabel="deployments K", xticks=counts)
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    left.set(ylabel="runs with a violation in any round, %", ylim=(0, None))
    return figure


if __name__ == "__main__":
    command(main)
