"""What a log says about a candidate, row by row: its own part, the logger's part, and the paired difference g
of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate.weights import (
    PREFIX,
    SUPPORT,
    assumptions,
    prefix_weights,
    reference_weights,
    weights,
)
from tastemaker.explore.gate.features import Believed
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
Support = Literal["logged", "prefix", "features"]
SUPPORTS: tuple[Support, ...] = ("logged", "prefix", "features")

_ROWS = "rows of different users (or requests) are independent, and rewards lie between 0 and r_max"
_FEATURES = (
    "rewards of new items follow the same linear model of the item vectors as those of shown items, in any"
    " context"
)


@dataclass(frozen=True)
class Evidence:
    """own (n,): contributions to V(pi); logger (n,): to V0; weight (n,): of the policy; cap: U, a bound on
    pi0/logger.
    """

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
    cap: float = 1.0,
    believed: Believed | None = None,
) -> Evidence:
    """Evidence about `policy` on the rows of `log`; both c of a gate are read from it, so weights are
    computed once.

    cap: U, what pi0/propensity never exceeds where a mixture logged the rows (`Log.reference`); 1 where pi0
    did. believed: lower bounds of the rewards of new items, for support "features". Raises InputError on a
    missing denominator or model, a log-probability above 0, and a row whose pi0 weight exceeds `cap`. Source:
    the specification, 3.1, 3.2, 3.4.
    """
    if support not in SUPPORTS:
        raise InputError(f"support '{support}' is unknown; choose one of {', '.join(SUPPORTS)}")
    weight = prefix_weights(log, policy) if support == "prefix" else weights(log, policy)
    own, notes = weight * log.reward, [_ROWS, *assumptions(log), PREFIX if support == "prefix" else SUPPORT]
    if support == "features":
        if believed is None:
            raise InputError(
                'support "features" needs bounds on the rewards of new items; fit them on other rows first'
            )
        own = own + policy.expect(log.context, believed.block)
        notes[-1:] = [_FEATURES, believed.note]
    largest = 1.0 if log.reference is None else cap
    return Evidence(own, reference_weights(log, cap) * log.reward, weight, log.r_max, largest, tuple(notes))
