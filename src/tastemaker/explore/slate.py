"""Slates: the best in order, drawn by Plackett-Luce with exact propensities, or beside a certified policy.

Nothing here is logged or looked up: scores and probabilities in, what was drawn and how likely it was out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError, many
from tastemaker.explore.policy.base import Policy, Pools
from tastemaker.explore.policy.softmax import Mixture, TablePolicy
from tastemaker.stats.random import generator

Key = tuple[str | int, ...]

GREEDY_POLICY = "greedy"
IN_TALK = "talk-"  # first in a policy id: a list of a conversation, which words asked for
NEW_MARK = "@new"  # last in a policy id, with a number: so many of the last places are kept for new items
MIX_MARK = "/"  # in a policy id: the deployed policy, then the pi0 it is mixed with


@dataclass(frozen=True, eq=False)
class Draw:
    """What a policy shows: order (k,) numbers of what it drew from, first place first, with exact chances.

    propensity (k,): of each place given those above it. prefix (k,): that the place shows some item of the
    same Semantic-ID prefix; None where prefixes are not known. policy, reference (k,): what a deployed policy
    and the pi0 beside it gave the shown item; None where pi0 serves alone. logits (n,): by which pi0 draws
    from its pool; None where it shows the first in order.
    """

    policy_id: str
    order: Ints
    propensity: Floats
    prefix: Floats | None = None
    policy: Floats | None = None
    reference: Floats | None = None
    logits: Floats | None = None


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


def draw_slate(scores: npt.ArrayLike, k: int, key: str | int | Key) -> tuple[Ints, Floats]:
    """Draw k items without replacement, each in proportion to exp(score) among those not yet drawn.

    scores (N,) of the candidates left after *all* filters (-inf: never drawn); whatever is filtered,
    deduplicated or re-ranked after the draw makes every propensity wrong. key: a secret and the server's own
    id of the slate, never what a client chose; the same key and scores give the same slate, anywhere.

    Returns order (k,) candidate numbers, first shown first, and propensity (k,) of each position given those
    above it: the first is the exact top-1 probability, the product that of the list.

    Raises InputError on a NaN or +inf score, or fewer than k candidates that can be drawn.
    Source: Gumbel top-k, 1903.06059, section 2; Plackett 1975.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or np.any(np.isnan(values) | (values == np.inf)):
        raise InputError(
            "a slate is drawn from one finite score a candidate (-inf: never shown); got NaN, +inf or another"
            " shape"
        )
    _enough(k, int(np.isfinite(values).sum()))
    noisy = values + generator(*_parts(key), "slate").gumbel(size=len(values))
    order = np.argsort(-noisy, kind="stable")[:k]
    return order, np.exp(plackett_luce(values, order))


def _parts(key: str | int | Key) -> Key:
    return key if isinstance(key, tuple) else (key,)


def _enough(k: int, drawable: int) -> None:
    if not 0 <= k <= drawable:
        raise InputError(
            f"a slate of {k} cannot be drawn from {many(drawable, 'candidate')}; ask for"
            " fewer, or loosen the filters"
        )


def plackett_luce(scores: npt.ArrayLike, order: npt.ArrayLike) -> Floats:
    """(k,) log-probability of each item of a list given those above it; scores (N,), order (k,) candidate
    numbers.

    The denominator is summed over the rest, from the items never drawn upwards: 1 minus the drawn mass would
    lose its digits where a few items hold nearly all of it. Raises InputError when an item occurs twice.
    """
    values, listed = np.asarray(scores, dtype=np.float64), np.asarray(order, dtype=np.int64)
    if len(np.unique(listed)) != len(listed):
        raise InputError("a slate shows an item twice; Plackett-Luce draws without replacement")
    rest = np.delete(values, listed)
    upwards = np.concatenate([[np.logaddexp.reduce(rest, initial=-np.inf)], values[listed][::-1]])
    return np.asarray(values[listed] - np.logaddexp.accumulate(upwards)[1:][::-1])


def prefix_propensities(scores: npt.ArrayLike, order: npt.ArrayLike, prefixes: npt.ArrayLike) -> Floats:
    """(k,) chance that each position shows some item of its prefix, given those above; prefixes (N,)."""
    values, groups = np.asarray(scores, dtype=np.float64).copy(), np.asarray(prefixes)
    chances = []
    for item in np.asarray(order, dtype=np.int64):
        same = np.logaddexp.reduce(values[groups == groups[item]])
        chances.append(min(1.0, float(np.exp(same - np.logaddexp.reduce(values)))))
        values[item] = -np.inf
    return np.asarray(chances)


def greedy(k: int) -> Draw:
    """The first k in order, with certainty: propensities of 1 are true ones, and they support no off-policy
    claim about items that were not shown; the support report says so.
    """
    certain = np.ones(k)
    return Draw(GREEDY_POLICY, np.arange(k), certain, certain)


def kept_for_new(policy_id: str) -> int:
    """How many of a slate's last places are kept for new items, and drawn among those alone."""
    _, marker, number = policy_id.rpartition(NEW_MARK)
    return int(number) if marker and number.isdigit() else 0


def with_tail(draw: Draw, end: int, tail: Draw) -> Draw:
    """The first `end` places of `draw`, then those of `tail`: orders number the same things, and whatever
    policy draws the list, the chances of the tail are its own.
    """

    def join(first: Floats | None, then: Floats | None) -> Floats | None:
        return None if first is None or then is None else np.concatenate([first[:end], then])

    return replace(
        draw,
        order=np.concatenate([draw.order[:end], tail.order]),
        propensity=np.concatenate([draw.propensity[:end], tail.propensity]),
        prefix=join(draw.prefix, tail.prefix),
        policy=join(draw.policy, tail.propensity),
        reference=join(draw.reference, tail.propensity),
    )


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates (n,) of pi0, best first, scores (n,) log-probabilities, temperature; name: policy id."""

    candidates: Ints
    scores: Floats
    temperature: float
    name: str


def draw_pool(pool: Pool, k: int, key: Key, prefixes: npt.ArrayLike | None = None) -> Draw:
    """At most k of the pool's candidates, as pi0 shows them: the first k at temperature 0, else drawn in
    proportion to exp(score / temperature). prefixes (n,) of the candidates. InputError as `draw_slate`.
    """
    k = min(k, len(pool.candidates))
    if pool.temperature == 0:
        return greedy(k)
    sharp = np.asarray(pool.scores, dtype=np.float64) / pool.temperature
    order, propensity = draw_slate(sharp, k, key)
    by_prefix = None if prefixes is None else prefix_propensities(sharp, order, prefixes)
    return Draw(pool.name, order, propensity, by_prefix, logits=sharp)


def draw_mixed(
    policy: Floats, logger: Floats, share: float, k: int, key: Key, prefixes: npt.ArrayLike | None = None
) -> Draw:
    """A slate drawn from `logger` with probability `share`, else from `policy`, with what each gave every
    shown item.

    policy, logger (N,): probabilities of being shown first, each of sum 1; places below are Plackett-Luce in
    both. Which of the two draws the list is itself drawn, by the same key. propensity: of the position given
    those above it, under the mixture of lists, so the first is (1 - share) policy + share logger, and the
    products of a column are probabilities of the list.

    Raises InputError as `draw_slate`, when either cannot fill the slate.
    """
    with np.errstate(divide="ignore"):
        parts, shares = np.log(np.stack([policy, logger])), np.log(np.array([[1 - share], [share]]))
    _enough(k, int(np.isfinite(parts).sum(axis=1).min()))
    order, _ = draw_slate(parts[int(generator(*key, "holdout").random() < share)], k, key)
    given = np.stack([plackett_luce(part, order) for part in parts])
    joint = np.concatenate([shares, shares + np.cumsum(given, axis=1)], axis=1)
    mixed = np.concatenate([[0.0], np.logaddexp(joint[0, 1:], joint[1, 1:])])
    by_prefix = None
    if prefixes is not None:
        drawer = np.exp(joint - mixed)[:, :-1]  # which of the two draws the list, given what stands above
        chances = [prefix_propensities(part, order, prefixes) for part in parts]
        by_prefix = np.minimum((drawer * chances).sum(axis=0), 1.0)
    propensity = np.minimum(np.exp(np.diff(mixed)), 1.0)
    return Draw("mixed", order, propensity, by_prefix, *np.exp(given))


@dataclass(frozen=True, eq=False)
class Deployed:
    """A certified policy over the catalogue, served with pi0 mixed in. name: how its policy ids begin.

    holdout: share h of requests that pi0 serves; cap: U, the largest pi0/mixture: h rises until it holds.
    """

    policy: Policy
    name: str
    holdout: float
    cap: float


def draw_deployed(
    deployed: Deployed,
    context: Floats,
    pool: Pool,
    allowed: Bools,
    k: int,
    key: Key,
    prefixes: npt.ArrayLike | None = None,
) -> Draw:
    """At most k of the catalogue (`order` are its rows), drawn from the deployed policy mixed with pi0, with
    what each of the three gave every shown item.

    context (d,); allowed (A,): what this request may be shown, of which the pool is a part; prefixes (A,).
    What the policy would show and this request must not goes to pi0: with rewards of 0 and above, that is
    worth at least what a certificate on logged actions counts for it, nothing. pi0 is the softmax of the
    pool's scores / temperature.

    Raises InputError when the policy knows another catalogue, as `draw_mixed` otherwise.
    """
    if deployed.policy.n_actions != len(allowed):
        raise InputError(
            f"the deployed policy knows {deployed.policy.n_actions} items, not these {len(allowed)}; learn"
            " again"
        )
    logits = (pool.scores - pool.scores.max()) / pool.temperature
    sharp = np.exp(logits)
    logger = np.zeros(len(allowed))
    logger[pool.candidates] = sharp / sharp.sum()
    pools = Pools(np.asarray(pool.candidates, dtype=np.int64)[None, :], logits[None, :])
    played = deployed.policy.within(pools)
    wanted = np.concatenate(
        [np.exp(block[0], dtype=np.float64) for _, _, block in played.blocks(context[None, :])]
    )
    policy = np.where(allowed, wanted / wanted.sum(), 0.0)
    policy += max(1.0 - policy.sum(), 0.0) * logger
    policy /= policy.sum()
    target, baseline = TablePolicy(policy[None, :]), TablePolicy(logger[None, :])
    share = float(Mixture(target, baseline, deployed.holdout, deployed.cap).shares(np.zeros((1, 0)))[0])
    k = min(k, int(np.count_nonzero(logger)), int(np.count_nonzero(policy)))
    draw = draw_mixed(policy, logger, share, k, key, prefixes)
    return replace(draw, policy_id=deployed.name + MIX_MARK + pool.name, logits=logits)
