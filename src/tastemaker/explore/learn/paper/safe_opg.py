"""Safe OPG as published (arXiv 2510.07635): policy and multiplier take turns until a clipped Student lower
bound passes.

What the paper leaves open is filled here and printed in every report (`GAPS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy import stats

from tastemaker.errors import InputError
from tastemaker.explore.learn.fit import imitate
from tastemaker.explore.learn.objectives import regularised, value
from tastemaker.explore.learn.rows import Floats, Rows
from tastemaker.explore.learn.softmax import Batch, Settings, Weights, ascend

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

    def objective(batch: Batch):  # type: ignore[no-untyped-def]
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
        self.multiplier, self.best, self.passing = (
            settings.multiplier,
            None,
            0,
        )  # type: float, Weights | None, int
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
            out[here] = weights.table(rows.contexts[first:last], rows.vectors)[
                rows.context[here] - first, rows.action[here]
            ]
    return out
