"""A simulated A/B trial of a ranking rule, with both potential outcomes of every listener and day kept as the
truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.special import expit
from scipy.stats import norm

import tastemaker.retention.adjust.rules as rules
from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.retention.adjust.apply import grid_requests, rank
from tastemaker.simulate.retention import ListenerWorld, by_cohort, column, cuts, draw_listeners, return_logit
from tastemaker.stats.random import generator

# Base scores, p_pos and p_neg, each (requests, slate) -> the scores to rank by, of the same shape.
Rule = Callable[[Floats, Floats, Floats], Floats]


@dataclass(frozen=True)
class TrialPlan:
    """days: length. slate: candidates a request, the top one is shown. proxy_explains: share of the variance
    of RR* that the proxy knows; its p_pos and p_neg are calibrated by construction. treated: share of
    listeners in arm 'treatment'.
    """

    days: int = 14
    slate: int = 20
    proxy_explains: float = 0.2
    treated: float = 0.5

    def __post_init__(self) -> None:
        if self.days < 1 or self.slate < 2 or not 0 <= self.proxy_explains < 1 or not 0 < self.treated < 1:
            raise InputError(
                f"TrialPlan({self.days}, {self.slate}, {self.proxy_explains}, {self.treated}): needs days >="
                " 1, slate >= 2, proxy_explains in [0, 1) and treated in (0, 1)"
            )


def run_trial(world: ListenerWorld, rule: Rule, key: int | str, plan: TrialPlan | None = None) -> pa.Table:
    """One row a listener and day: user_id, arm, day, low_signal, events_28d, returns_before (0 to 14: days of
    return in the fortnight before, for CUPED), impressions, likes, skips, reports, sessions, returned,
    changed (whether the rule showed another item than the base score), true_return_control,
    true_return_treatment (probabilities under both arms).

    Base score of a candidate: .8 Z + .6 noise. Both arms share all draws, so a rule that moves nothing has
    effect exactly 0.

    Raises
    ------
    InputError
        when the rule returns another shape or a number that is not finite.
    """
    plan = plan or TrialPlan()
    listeners = draw_listeners(world, key)
    rng = generator(key, "trial")
    treated = rng.random(listeners.num_rows) < plan.treated
    before = rng.binomial(14, expit(column(listeners, "true_base")))
    days = []
    for day in range(plan.days):
        shown = _one_day(world, rule, plan, listeners, treated, generator(key, "trial", day))
        days.append(
            pa.table(
                {
                    "user_id": listeners["user_id"],
                    "arm": pa.array(np.where(treated, "treatment", "control")),
                    "day": np.full(listeners.num_rows, day),
                    "low_signal": listeners["low_signal"],
                    "events_28d": listeners["events_28d"],
                    "returns_before": before,
                    "impressions": np.ones(listeners.num_rows, dtype=np.int64),
                    **shown,
                }
            )
        )
    return pa.concat_tables(days)


def _candidates(
    world: ListenerWorld, plan: TrialPlan, trait: Floats, rng: np.random.Generator
) -> tuple[Floats, ...]:
    """Z, Q, base score, p_pos and p_neg of every candidate, each (listeners, slate); trait and state are
    shared in a slate.
    """
    shape = (len(trait), plan.slate)
    value, item = rng.normal(size=shape), rng.normal(size=shape)
    state = rng.normal(size=len(trait))
    person = np.sqrt(world.share_user) * trait + np.sqrt(world.share_state) * state
    latent = np.sqrt(world.share_item) * item + person[:, None]
    rest = np.sqrt(1 - world.return_value**2 - world.return_quality**2)
    feeling = world.return_value * value + world.return_quality * latent + rest * rng.normal(size=shape)
    known, unknown = np.sqrt(plan.proxy_explains), np.sqrt(1 - plan.proxy_explains)
    signal = known * feeling + unknown * rng.normal(size=shape)
    at = cuts(world)
    p_pos = norm.sf((at[2] - known * signal) / unknown)
    p_neg = norm.cdf((at[1] - known * signal) / unknown)
    score = 0.8 * value + 0.6 * rng.normal(size=shape)
    return value, latent, score, p_pos, p_neg


def _one_day(
    world: ListenerWorld,
    rule: Rule,
    plan: TrialPlan,
    listeners: pa.Table,
    treated: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    base, low = column(listeners, "true_base"), column(listeners, "low_signal")
    value, latent, score, p_pos, p_neg = _candidates(world, plan, column(listeners, "true_trait"), rng)
    adjusted = np.asarray(rule(score, p_pos, p_neg), dtype=np.float64)
    if adjusted.shape != score.shape or not np.all(np.isfinite(adjusted)):
        raise InputError(
            f"the rule must return finite scores of shape {score.shape}; it returned shape {adjusted.shape}"
        )
    rows = np.arange(len(base))
    picks = score.argmax(axis=1), adjusted.argmax(axis=1)
    sameday, asked = rng.normal(size=len(base)), np.zeros(len(base))
    truth = [expit(return_logit(world, base, latent[rows, pick], sameday, low, asked)) for pick in picks]
    pick = np.where(treated, picks[1], picks[0])
    met, uniform = value[rows, pick], rng.random((4, len(base)))
    returned = uniform[0] < np.where(treated, truth[1], truth[0])
    return {
        "likes": (uniform[1] < expit(world.like[0] + world.like[1] * met)).astype(np.int64),
        "skips": (uniform[2] < expit(-0.5 - 1.2 * met)).astype(np.int64),
        "reports": (uniform[3] < expit(-5.0 - 1.0 * met)).astype(np.int64),
        "sessions": np.where(returned, 1 + rng.poisson(by_cohort((0.9, 0.4), low > 0)), 0),
        "returned": returned.astype(np.int64),
        "changed": picks[0] != picks[1],
        "true_return_control": truth[0],
        "true_return_treatment": truth[1],
    }


def grid_ranks(score: Floats, p_pos: Floats, p_neg: Floats, rule: rules.Rule) -> Ints:
    """New ranks (Q, n), from 1, of Q requests with n candidates each, given as arrays (Q, n): `adjust`
    without the table.
    """
    requests = grid_requests(score, p_pos, p_neg)
    ranked = rank(requests, rule)
    out = np.empty(score.size, dtype=np.int64)
    out[requests.rows] = ranked.position - requests.offsets[requests.request] + 1
    return out.reshape(score.shape)
