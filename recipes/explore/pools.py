"""Requests that can show a few items of many: what a policy is judged on when each request has a pool of its
own.

    python -m recipes.explore.pools
    python -m recipes.explore.pools --quick

Pools of 16 of 64 items and of 50 of 12,101, the best by a noisy score; the logger draws from the pool. Judged
on the
pool: how far the mean weights of a uniform policy and of the candidate lie from what they must be, how often
a policy worth .949 V0 is certified (the promise is .95), and how often better ones are. Judged on the whole
catalogue, as
without pools: the same candidate's mean weight, of which most lies where the request could not go.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

from recipes.common import Journal, parser, read_arguments, show_table
from recipes.explore.draws import rate
from tastemaker.explore.estimate.weights import on_support, weights
from tastemaker.explore.gate import GateSettings, collect
from tastemaker.explore.policy import Policy, Pooled, SoftmaxPolicy, uniform_policy
from tastemaker.explore.policy.pools import Pools
from tastemaker.explore.support import weight_gap
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WIDTH, ROWS, TEMPLATES, C, DELTA = 6, 6_000, 1_500, 0.95, 0.05
SIZES = ((16, 64), (50, 12_101))
VALUES = (0.949, 1.1, 1.2, 1.3)


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


def judged(shop: Shop, policy: SoftmaxPolicy, run: int) -> dict[str, Any]:
    """One log: distances of mean weights, and whether the policy is certified on its pools, and without."""
    log = shop.log(np.random.default_rng([run, 11]))
    settings, goal = GateSettings(), -np.log(DELTA)
    certified = {}
    for name, judge in (("pool", Pooled(policy)), ("catalogue", policy)):
        evidence = collect(judge, log)
        both = ((evidence.sums(c), evidence.low(c)) for c in (settings.c, settings.floor))
        certified[name] = all(sums.log_wealth(0.0, low) >= goal for sums, low in both)
    uniform, own = gap(log, Pooled(uniform_policy(log.n_actions))), gap(log, Pooled(policy))
    return {"certified": certified, "uniform": uniform, "own": own, "catalogue": weights(log, policy).mean()}


def main() -> None:
    """Run both sizes and print a table."""
    arguments = read_arguments(parser(main, "40 runs a cell: inconclusive"), "explore/pools")
    runs = 40 if arguments.quick else 400
    journal = Journal(arguments.out, {"recipe": "pools", "seed": arguments.seed, "runs": runs, "rows": ROWS})

    def cell(key: list[Any]) -> dict[str, str]:
        beam, items, value = key
        shop = Shop.opened(beam, items)
        policy = shop.policy(value)
        found = [judged(shop, policy, arguments.seed * runs + run) for run in range(runs)]
        beyond = {name: sum(abs(one[name][2]) > 3 for one in found) for name in ("uniform", "own")}
        return {
            "pool": f"{beam} of {items:,}",
            "V/V0": f"{value:g}",
            "uniform: mean weight": f"{np.mean([one['uniform'][0] for one in found]):.3f}",
            "z beyond 3, %": rate(beyond["uniform"], runs),
            "policy: mean weight": f"{np.mean([one['own'][0] for one in found]):.3f}",
            "policy: z beyond 3, %": rate(beyond["own"], runs),
            "certified on pools, %": rate(sum(one["certified"]["pool"] for one in found), runs),
            "mean weight on the catalogue": f"{np.mean([one['catalogue'] for one in found]):.3f}",
            "certified on the catalogue, %": rate(sum(one["certified"]["catalogue"] for one in found), runs),
        }

    keys = [[*size, value] for size in SIZES for value in VALUES]
    rows = journal.run(keys, cell, "cells")
    note = "A quick run: inconclusive." if arguments.quick else ""
    show_table(arguments.out, rows, f"Judged on the pool: {runs} logs of {ROWS:,} rows, delta .05", note)


if __name__ == "__main__":
    main()
