"""From scored candidates to the slate that is shown and logged: the best in order, drawn, or drawn beside a
certified policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.explore.policy import Mixture, Policy, TablePolicy
from tastemaker.explore.slate import GREEDY_POLICY, drawn_slate, greedy_slate, mixed_slate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
BESIDE = "/"  # in a policy id: the deployed policy, then the pi0 it is mixed with


def logger_name(temperature: float, model: str) -> str:
    """The policy id of what is served without a certified policy: pi0. model: the version of what scored the
    candidates.

    Raises InputError on a temperature below 0.
    """
    if not 0 <= temperature < float("inf"):
        raise InputError(
            f"the exploration temperature is {temperature}; give 0 (the best in order) or a number above it"
        )
    return GREEDY_POLICY if temperature == 0 else f"plackett-luce-{temperature:g}-{model}"


def serve_slate(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    scores: npt.ArrayLike,
    k: int,
    timestamp: datetime,
    temperature: float,
    model: str,
    prefixes: npt.ArrayLike | None = None,
) -> pa.Table:
    """A slate of at most k of the candidates, in `schema.SLATES`, with the probabilities it was drawn with.

    item_ids, scores (N,) log-probabilities, prefixes (N,): *all* candidates after every filter, best first.
    temperature 0 shows the first k; above 0, position by position, an item is drawn in proportion to
    exp(score / temperature), keyed by the request id, so that a replay gives the same slate. model: as in
    `logger_name`, which also says what is refused.
    """
    shown, policy = min(k, len(item_ids)), logger_name(temperature, model)
    if temperature == 0:
        return greedy_slate(request_id, user_id, item_ids[:shown], timestamp)
    sharp = np.asarray(scores, dtype=np.float64) / temperature
    return drawn_slate(request_id, user_id, item_ids, sharp, shown, timestamp, policy, prefixes)


@dataclass(frozen=True, eq=False)
class Deployed:
    """A certified policy over the catalogue, to be served with pi0 mixed in. name: the first part of its
    policy ids.

    holdout: share h of requests that pi0 serves; cap: U, the largest pi0/mixture: h rises per request until
    it holds.
    """

    policy: Policy
    name: str
    holdout: float
    cap: float


@dataclass(frozen=True, eq=False)
class Pool:
    """What pi0 draws from: candidates (n,) rows of the catalogue, scores (n,), temperature; name: its policy
    id.
    """

    candidates: Ints
    scores: Floats
    temperature: float
    name: str


def serve_deployed(
    deployed: Deployed,
    context: Floats,
    pool: Pool,
    allowed: npt.NDArray[np.bool_],
    item_ids: Sequence[str],
    request_id: str,
    user_id: str,
    k: int,
    timestamp: datetime,
    prefixes: Ints | None = None,
) -> pa.Table:
    """A slate of at most k, drawn from the deployed policy mixed with pi0, with what each of the three gave
    every shown item.

    context (d,); allowed (A,): what this request may be shown, of which the pool is a part; item_ids,
    prefixes (A,). What the
    policy would show and this request must not goes to pi0: with rewards of 0 and above, that is worth at
    least what a certificate on logged actions counts for it, nothing. pi0 is the softmax of the pool's scores
    / temperature.

    Raises InputError when the policy knows another catalogue, as `mixed_slate` otherwise.
    """
    if deployed.policy.n_actions != len(item_ids):
        raise InputError(
            f"the deployed policy knows {deployed.policy.n_actions} items, not these {len(item_ids)}; learn"
            " again"
        )
    sharp = np.exp((pool.scores - pool.scores.max()) / pool.temperature)
    logger = np.zeros(len(item_ids))
    logger[pool.candidates] = sharp / sharp.sum()
    wanted = np.concatenate(
        [np.exp(block[0], dtype=np.float64) for _, _, block in deployed.policy.blocks(context[None, :])]
    )
    policy = np.where(allowed, wanted / wanted.sum(), 0.0)
    policy += max(1.0 - policy.sum(), 0.0) * logger
    policy /= policy.sum()
    one, beside = TablePolicy(policy[None, :]), TablePolicy(logger[None, :])
    share = float(Mixture(one, beside, deployed.holdout, deployed.cap).shares(np.zeros((1, 0)))[0])
    shown = min(k, int(np.count_nonzero(logger)), int(np.count_nonzero(policy)))
    name = deployed.name + BESIDE + pool.name
    return mixed_slate(request_id, user_id, item_ids, policy, logger, share, shown, timestamp, name, prefixes)
