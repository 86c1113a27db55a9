"""What a log says about a candidate, row by row: its own part, the logger's part, and the paired difference g of both."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.gate.features import Believed
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import ESTIMATED, Log
from tastemaker.stats import betting

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Support = Literal["logged", "prefix", "features"]
SUPPORTS: tuple[Support, ...] = ("logged", "prefix", "features")

_ROWS = "rows of different users (or requests) are independent, and rewards lie between 0 and r_max"
_ASSUMES: dict[Support, str] = {
    "logged": "the logged propensities are the probabilities that were used; items the logger never shows count as worth nothing",
    "prefix": "the prefix of an item carries its whole effect on the reward: items of one prefix are worth the same in the same "
    "context; the logger plays every prefix that the policy plays, with the logged probability",
    "features": "the logged propensities are the probabilities that were used; the reward of new items follows the same linear "
    "model of the item vectors as that of shown items, up to the error seen on items left out",
}


@dataclass(frozen=True)
class Evidence:
    """own (n,): contributions to V(pi); logger (n,): to V0; weight (n,): of the policy; cap: U, a bound on pi0/logger."""

    own: Floats
    logger: Floats
    weight: Floats
    r_max: float
    cap: float
    assumptions: tuple[str, ...]

    def paired(self, c: float) -> Floats:
        """g (n,) = own - c logger, with mean V(pi) - c V0 as far as the support reaches."""
        return self.own - c * self.logger

    def low(self, c: float) -> float:
        """The smallest value g can take, -c r_max U: a constant known before the rows."""
        return -c * self.r_max * self.cap


def collect(
    policy: Policy,
    log: Log,
    support: Support = "logged",
    *,
    reference: Policy | None = None,
    cap: float = 1.0,
    believed: Believed | None = None,
) -> Evidence:
    """Evidence about `policy` on the rows of `log`.

    reference: pi0, when the rows were logged by another policy; the rows' weight pi0/propensity must not exceed `cap`.
    believed: lower bounds of the rewards of new items, for support "features". Raises InputError on a missing denominator
    or model, a log-probability above 0, and a row whose pi0 weight exceeds `cap`. Source: the specification, 3.1, 3.2, 3.4.
    """
    if support not in SUPPORTS:
        raise InputError(f"support '{support}' is unknown; choose one of {', '.join(SUPPORTS)}")
    notes = [_ROWS, _ASSUMES[support]]
    if log.source == ESTIMATED:
        notes.append("the propensities are estimated by a fitted logger, and the test takes them as true")
    if support == "prefix":
        weight = _prefix_weight(policy, log)
    else:
        weight = _ratio(policy.log_prob(log.context, log.action), log.propensity, "the policy")
    own = weight * log.reward
    if support == "features":
        if believed is None:
            raise InputError('support "features" needs bounds on the rewards of new items; fit them on other rows first')
        own = own + policy.expect(log.context, believed.block)
        notes.append(believed.note)
    return Evidence(own, _logger_part(log, reference, cap), weight, log.r_max, cap, tuple(notes))


def _logger_part(log: Log, reference: Policy | None, cap: float) -> Floats:
    if reference is None:
        return log.reward
    ratio = _ratio(reference.log_prob(log.context, log.action), log.propensity, "the reference policy")
    if ratio.max() > cap * (1 + 1e-6):
        row = int(ratio.argmax())
        raise InputError(
            f"row {row + 1}: the weight of pi0 is {ratio[row]:g}, above U = {cap:g}; give the cap that the mixture was served with"
        )
    return np.minimum(ratio, cap) * log.reward


def _ratio(log_prob: Floats, propensity: Floats, whose: str) -> Floats:
    wrong = ~(log_prob <= 1e-9)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: log_prob of {whose} is {log_prob[row]:g}, above 0; return logarithms of probabilities that sum to 1"
        )
    return np.exp(np.minimum(log_prob, 0.0)) / propensity


def _prefix_weight(policy: Policy, log: Log) -> Floats:
    if log.prefix_propensity is None:
        raise InputError(
            'support "prefix" needs the probability the logger gave each prefix: log a column prefix_propensity, or recompute it '
            "from the logging policy; a row's own propensity does not determine it"
        )
    if policy.prefixes is None:
        raise InputError('support "prefix" needs a policy that knows the prefix of every action; build it with prefixes')
    return _ratio(policy.prefix_log_prob(log.context, policy.prefixes[log.action]), log.prefix_propensity, "the policy")


def rewarded_rows_needed(c: float, delta: float, fractions: tuple[float, ...] = betting.FRACTIONS) -> int:
    """Fully rewarded rows after which pi0 itself would pass: with one bet of f = 1 it would be ln(1/delta)/ln(1/c)."""
    if not 0 < c < 1:
        raise InputError(f"c is {c}; pi0 passes against a share c of itself only for c in (0, 1)")
    low, high = 0, math.ceil(math.log(len(fractions) / delta) / math.log1p(max(fractions) * (1 - c) / c))
    growth = np.log1p(np.asarray(fractions) * (1 - c) / c)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if np.exp(middle * growth).mean() >= 1 / delta else (middle, high)
    return high
