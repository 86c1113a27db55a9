"""Safe OPG and DEPSUE as published (arXiv 2510.07635), each gap of the paper filled and named (`GAPS`).

Policy and multiplier take turns until a clipped Student lower bound passes; DEPSUE repeats that over K
deployments and banks the margins measured so far as if they were known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from scipy import stats

from recipes.explore.population import Floats, imitate, joined, probabilities, take
from tastemaker.errors import InputError
from tastemaker.explore.learn.softmax import Batch, Settings, ascend, regularised, value
from tastemaker.explore.learn.space import Rows, Weights
from tastemaker.stats.random import generator

GAPS = (
    "delta = .05 and the lower bound is Student's t of the clipped weighted rewards, tau = 100",
    "R(pi, pi0) is minus the mean log-likelihood of the logged actions",
    (
        "the policy is a linear softmax over action vectors with a small free bias an action, trained by Adam"
        " from imitation"
    ),
    "the gradient is that of clipped IPS over S1, half of the rows; S2 is the other half",
    "the last policy that met the constraint is deployed; when none did, the logger stays",
    (
        "DEPSUE starts from the same log as Safe OPG and shares as many live rounds as that log has rows"
        " among its K deployments"
    ),
    "DEPSUE learns on all rounds pooled with balanced weights and tests on the S2 half of the newest round",
)


@dataclass(frozen=True)
class PaperSettings:
    """tau: clip of the bound; delta: its level; multiplier: first lambda; rate: eta_lambda, the threshold
    counted as 1.
    """

    delta: float = 0.05
    tau: float = 100.0
    multiplier: float = 1.0
    rate: float = 0.3
    learner: Settings = field(default_factory=lambda: Settings(steps=80, entropy=0.0))

    def __post_init__(self) -> None:
        if not 0 < self.delta < 1 or self.tau <= 0 or self.multiplier < 0 or self.rate <= 0:
            raise InputError("paper settings: delta in (0, 1), tau and rate above 0, multiplier 0 or above")


@dataclass(frozen=True)
class PaperPolicy:
    """weights: the policy, None when no iterate passed; bound: its Vlow on S2 (nan then), `mean` - `width`;
    threshold C;
    multiplier: the last lambda; passing: how many iterates met the constraint.
    """

    weights: Weights | None
    bound: float
    mean: float
    width: float
    threshold: float
    multiplier: float
    passing: int


def clipped_bound(weight: Floats, reward: Floats, settings: PaperSettings) -> tuple[float, float]:
    """Mean of min(w, tau) r and the width of its one-sided Student interval at level delta."""
    z = np.minimum(weight, settings.tau) * reward
    return float(z.mean()), float(_quantile(settings.delta, len(z)) * z.std(ddof=1) / np.sqrt(len(z)))


@lru_cache(maxsize=64)
def _quantile(delta: float, n: int) -> float:
    return float(stats.t.ppf(1 - delta, n - 1))


def safe_opg_paper(
    learn: Rows,
    judge: Rows,
    threshold: float,
    settings: PaperSettings = PaperSettings(),
    key: str | int = 0,
    start: Weights | None = None,
) -> PaperPolicy:
    """Maximise Vhat(pi; S1) - lambda R subject to Vlow(pi; S2) > C, alternating

    psi <- psi + eta_psi grad[Vhat - lambda R];  lambda <- max(lambda - eta_lambda (Vlow(pi_psi; S2) - C), 0).

    learn is S1, judge S2, threshold C. start: default an imitation of the logger of S1.
    """
    state = _Turn(judge, threshold, settings, max(float(learn.reward.mean()), 1e-12))
    first = imitate(learn, settings.learner, key) if start is None else start
    main = value("clipped_ips", learn, settings.learner)

    def objective(batch: Batch) -> torch.Tensor:
        return regularised(main, state.multiplier, settings.learner.entropy)(batch)

    state(-1, lambda: first)
    ascend(learn, objective, settings.learner, key, first, state)
    if state.best is None:
        return PaperPolicy(None, float("nan"), float("nan"), float("nan"), threshold, state.multiplier, 0)
    mean, width = state.bound
    return PaperPolicy(state.best, mean - width, mean, width, threshold, state.multiplier, state.passing)


class _Turn:
    """The multiplier's turn after each step of the policy; remembers the last policy that passed."""

    def __init__(self, judge: Rows, threshold: float, settings: PaperSettings, unit: float) -> None:
        self.judge, self.threshold, self.settings, self.unit = judge, threshold, settings, unit
        self.multiplier, self.passing = settings.multiplier, 0
        self.best: Weights | None = None
        self.bound = (float("nan"), float("nan"))

    def __call__(self, step: int, current: Callable[[], Weights]) -> None:
        weights = current()
        weight = own_probability(weights, self.judge) / self.judge.propensity
        mean, width = clipped_bound(weight, self.judge.reward, self.settings)
        if mean - width > self.threshold:
            self.best, self.bound, self.passing = weights, (mean, width), self.passing + 1
        if step >= 0:
            change = self.settings.rate * (mean - width - self.threshold) / self.unit
            self.multiplier = max(self.multiplier - change, 0.0)


def own_probability(weights: Weights, rows: Rows) -> Floats:
    """(n,) pi(a_i|x_i) of a log's rows; contexts in blocks, so that memory stays flat."""
    order, starts = rows.order
    out = np.empty(len(rows))
    for first in range(0, len(rows.contexts), 1024):
        last = min(first + 1024, len(rows.contexts))
        here = order[starts[first] : starts[last]]
        if len(here):
            out[here] = probabilities(weights, rows.contexts[first:last], rows.vectors)[
                rows.context[here] - first, rows.action[here]
            ]
    return out


Probability = Callable[[Rows], Floats]
Deploy = Callable[[Weights | None, int, int], Rows]


@dataclass(frozen=True)
class Deployment:
    """policy: what Safe OPG gave against this round's threshold (its weights None: the logger served); live:
    mean live reward.
    """

    policy: PaperPolicy
    live: float
    rounds: int


@dataclass(frozen=True)
class Plan:
    """deployments K; rounds: live rounds of all of them together; target: C."""

    deployments: int
    rounds: int
    target: float
    settings: PaperSettings = PaperSettings()

    def __post_init__(self) -> None:
        if self.deployments < 1 or self.rounds < self.deployments:
            raise InputError(
                f"{self.deployments} deployments need at least one round each; got {self.rounds} rounds"
            )


def halves(rows: Rows, key: str | int) -> tuple[Rows, Rows]:
    """S1 and S2: two random halves."""
    first = generator(key, "halves").permutation(len(rows)) < len(rows) // 2
    return take(rows, first), take(rows, ~first)


def depsue_paper(
    log: Rows,
    logger: Probability,
    deploy: Deploy,
    plan: Plan,
    key: str | int = 0,
    first: PaperPolicy | None = None,
) -> list[Deployment]:
    """K deployments: pi_k must pass Vlow(pi_k; S2 of D_{k-1}) > C_k = k C - sum of the live means before it.

    log: D_0 by the logger; logger(rows): its probability of each row's action, wherever the row was drawn.
    deploy(weights or None for the logger, rounds, k): serve it and return the rows. first: the policy of k =
    1 where it is known (it is Safe OPG on `log` with the same key). Learning pools the S1 halves with
    balanced weights, pi / sum_j (n_j / N) pi_j (Agarwal et al., 1703.06180).
    """
    learn, judge = halves(log, key)
    learns, players, out = [learn], [logger], list[Deployment]()
    start: Weights | None = None
    for k in range(1, plan.deployments + 1):
        threshold = paper_thresholds(plan.target, [deployment.live for deployment in out])[-1]
        if k == 1 and first is not None:
            policy = first
        else:
            policy = safe_opg_paper(
                balanced(learns, players), judge, threshold, plan.settings, f"{key}/{k}", start
            )
        rows = deploy(policy.weights, plan.rounds // plan.deployments, k)
        out.append(Deployment(policy, float(rows.reward.mean()), len(rows)))
        learn, judge = halves(rows, f"{key}/{k}")
        learns.append(learn)
        players.append(logger if policy.weights is None else player(policy.weights))
        start = policy.weights
    return out


def player(weights: Weights) -> Probability:
    """The probability a trained policy gives to a row's own action."""
    return lambda rows: own_probability(weights, rows)


def balanced(parts: Sequence[Rows], players: Sequence[Probability]) -> Rows:
    """Rows of several loggers as one log, each row's denominator the average of all loggers, by their share
    of the rows.
    """
    rows = joined(parts)
    propensity = np.zeros(len(rows))
    for part, probability in zip(parts, players, strict=True):
        propensity += len(part) / len(rows) * probability(rows)
    return replace(rows, propensity=propensity)


def paper_thresholds(target: float, live_means: Sequence[float]) -> list[float]:
    """Thresholds C_1 .. C_K, C_k = k C - sum of the live means of the deployments before k.

    target: C; live_means: Von(pi_1) .. Von(pi_{K-1}), the newest last. Equal traffic is assumed, as in the
    paper.
    """
    if target < 0:
        raise InputError(f"the target C is {target}; give a value of at least 0, for instance .95 V0")
    thresholds = [target]
    for mean in live_means:
        thresholds.append(thresholds[-1] + target - mean)
    return thresholds


def paper_violation(deployments: int, delta: float = 0.05) -> float:
    """1 - Phi(z/sqrt(K)): how often the last cumulative constraint fails when every inequality is tight.

    Under equal, independent Gaussian errors of the gate and of each banked mean (the specification, 3.4).
    """
    if deployments < 1 or not 0 < delta < 1:
        raise InputError(
            f"{deployments} deployments at delta {delta}: give at least one and a probability in (0, 1)"
        )
    return float(stats.norm.sf(stats.norm.ppf(1 - delta) / deployments**0.5))
