"""Requests that can show a few items of many: what a policy is judged on when each request has a pool of its
own.

    python -m recipes.explore.pools
    python -m recipes.explore.pools --quick

Pools of 16 of 64 items and of 50 of 12,101, the best by a noisy score; the logger draws from the pool. Judged
on the pool: how far the mean weights of a uniform policy and of the candidate lie from what they must be, how
often a policy worth .949 V0 is certified (the promise is .95), and how often better ones are; the same of a
candidate that gives a tenth of its plays to what lies outside of each pool, worth .949 V0 again within it in
the first row, and its novelty beside the mass that it truly has outside. Judged on the whole catalogue, as
without pools: the first candidate's mean weight, of which most lies where the request could not go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

from recipes.common import Journal, command, parser, read_arguments, show_table
from recipes.explore.draws import rate
from tastemaker.explore.estimate.weighting import on_support, weights
from tastemaker.explore.gate.certify import GateSettings, collect
from tastemaker.explore.policy.base import Policy, Pooled, Pools
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy, uniform_policy
from tastemaker.explore.support import weight_gap
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WIDTH, ROWS, TEMPLATES, C, DELTA = 6, 6_000, 1_500, 0.95, 0.05
SIZES = ((16, 64), (50, 12_101))
VALUES = (0.949, 1.0, 1.03, 1.06, 1.1)
OUTSIDE = 0.1
CHECKED = 50  # runs a cell that are judged on the whole catalogue as well


@dataclass(frozen=True)
class Shop:
    """Requests (templates): contexts (T, d), pools (T, m); vectors (A, d) of the items; scores (T, m) the
    logger draws by; q (T, m) chances of a reward.
    """

    contexts: Floats
    vectors: Floats
    pools: Pools
    scores: Floats
    q: Floats

    @classmethod
    def opened(cls, beam: int, items: int) -> Shop:
        """The shop of one size, always the same."""
        draws = np.random.default_rng([beam, items])
        contexts, vectors = (
            draws.normal(size=(TEMPLATES, WIDTH)),
            draws.normal(size=(items, WIDTH)) / np.sqrt(WIDTH),
        )
        affinity = contexts @ vectors.T
        noisy = affinity + draws.gumbel(size=affinity.shape)
        pools = np.argsort(-noisy, axis=1)[:, :beam].astype(np.int64)
        inside = np.take_along_axis(affinity, pools, axis=1)
        q = 1 / (1 + np.exp(2.0 - inside))
        return cls(contexts, vectors, Pools(pools), 0.5 * inside + 0.5 * draws.normal(size=inside.shape), q)

    @cached_property
    def pi0(self) -> Floats:
        """(T, m) the logger."""
        return np.asarray(np.exp(self.scores - logsumexp(self.scores, axis=1, keepdims=True)))

    def policy(self, value: float) -> SoftmaxPolicy:
        """A softmax by affinity, as sharp (or as averse) as makes it worth `value` V0 within the pools."""
        v0 = float((self.pi0 * self.q).sum(axis=1).mean())

        def worth(sharpness: float) -> float:
            score = sharpness * np.einsum("td,tmd->tm", self.contexts, self.vectors[self.pools.items])
            pi = np.exp(score - logsumexp(score, axis=1, keepdims=True))
            return float((pi * self.q).sum(axis=1).mean()) / v0

        sharpness = float(brentq(lambda guess: worth(guess) - value, -5, 30))
        return SoftmaxPolicy(self.vectors, sharpness * np.eye(WIDTH), precision="float64")

    def log(self, draws: np.random.Generator, rows: int = ROWS) -> Log:
        """Rows the logger drew, a person each."""
        template = draws.integers(0, TEMPLATES, rows)
        steps = self.pi0[template].cumsum(axis=1)
        place = (steps < draws.random((rows, 1)) * steps[:, -1:]).sum(axis=1)
        reward = (draws.random(rows) < self.q[template, place]) * 1.0
        action, chance = self.pools.items[template, place], self.pi0[template, place]
        names = [f"i{number}" for number in range(len(self.vectors))]
        return Log(self.contexts[template], action, reward, chance, names, pool=self.pools[template])


def gap(log: Log, policy: Policy) -> tuple[float, float, float]:
    """Mean weight, what it should be, and their distance in standard errors."""
    weight, mass = weights(log, policy), on_support(log, policy, np.ones(log.n_actions, dtype=bool))
    return float(weight.mean()), float(mass.mean()), weight_gap(log.units(), weight, mass, log.propensity)[0]


def novel_mass(log: Log, policy: Policy) -> float:
    """The largest distance between the novelty that is said of a row and the mass that lies outside its pool,
    item by item, of 50 rows.
    """
    few = log.take(np.arange(50))
    assert few.pool is not None
    mass = np.zeros(len(few))
    for rows, actions, block in policy.within(few.pool).blocks(few.context):
        mass[rows] += np.where(few.pool.mask(rows, actions), 0.0, np.exp(block)).sum(axis=1)
    novelty = 1 - on_support(few, policy, np.ones(log.n_actions, dtype=bool))
    return float(np.abs(mass - novelty).max())


def judged(
    shop: Shop, policies: tuple[SoftmaxPolicy, SoftmaxPolicy], run: int, whole: bool
) -> dict[str, Any]:
    """One log: distances of mean weights, and what is certified: the policy on its pools, the second with a
    tenth outside, and the policy on the `whole` catalogue.
    """
    log = shop.log(np.random.default_rng([run, 11]))
    settings, goal, policy = GateSettings(), -np.log(DELTA), policies[0]
    inside, outside = Pooled(policies[1]), Pooled(policies[1], inside=False)
    novel = Mixture(inside, outside, OUTSIDE)
    certified, mean = {}, {}
    judges: list[tuple[str, Policy]] = [("pool", Pooled(policy)), ("novel", novel)]
    for name, judge in [*judges, ("catalogue", policy)][: 3 if whole else 2]:
        evidence = collect(judge, log)
        both = ((evidence.sums(c), evidence.low(c)) for c in (settings.c, settings.floor))
        certified[name] = all(sums.log_wealth(0.0, low) >= goal for sums, low in both)
        mean[name] = float(evidence.weight.mean())
    uniform, own = gap(log, Pooled(uniform_policy(log.n_actions))), gap(log, Pooled(policy))
    apart = novel_mass(log, novel) if whole else 0.0
    return {"certified": certified, "uniform": uniform, "own": own, "mean": mean, "apart": apart}


def main() -> None:
    """Run both sizes and print a table."""
    arguments = read_arguments(parser(main, "40 runs a cell: inconclusive"), "explore/pools")
    runs = 40 if arguments.quick else 500
    journal = Journal(arguments.out, {"recipe": "pools", "seed": arguments.seed, "runs": runs, "rows": ROWS})

    def cell(key: list[Any]) -> dict[str, str]:
        beam, items, value = key
        shop = Shop.opened(beam, items)
        policies = shop.policy(value), shop.policy(value / (1 - OUTSIDE))
        logs = [judged(shop, policies, arguments.seed * runs + run, run < CHECKED) for run in range(runs)]
        beyond = {name: sum(abs(log[name][2]) > 3 for log in logs) for name in ("uniform", "own")}
        few = logs[:CHECKED]
        passed = {
            name: rate(sum(log["certified"][name] for log in of), len(of))
            for name, of in (("pool", logs), ("novel", logs), ("catalogue", few))
        }
        return {
            "pool": f"{beam} of {items:,}",
            "V/V0": f"{value:g}",
            "uniform: mean weight": f"{np.mean([log['uniform'][0] for log in logs]):.3f}",
            "z beyond 3, %": rate(beyond["uniform"], runs),
            "policy: mean weight": f"{np.mean([log['own'][0] for log in logs]):.3f}",
            "policy: z beyond 3, %": rate(beyond["own"], runs),
            "certified, %": passed["pool"],
            "a tenth outside: mean weight": f"{np.mean([log['mean']['novel'] for log in logs]):.3f}",
            "its novelty is off by at most": f"{max(log['apart'] for log in logs):.0e}",
            "a tenth outside: certified, %": passed["novel"],
            "on the catalogue: mean weight": f"{np.mean([log['mean']['catalogue'] for log in few]):.3f}",
            f"on the catalogue: certified of {len(few)}, %": passed["catalogue"],
        }

    keys = [[*size, value] for size in SIZES for value in VALUES]
    rows = journal.run(keys, cell, "cells")
    note = "A quick run: inconclusive." if arguments.quick else ""
    show_table(arguments.out, rows, f"Judged on the pool: {runs} logs of {ROWS:,} rows, delta .05", note)


if __name__ == "__main__":
    command(main)
