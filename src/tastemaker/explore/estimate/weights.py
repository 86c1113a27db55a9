"""Importance weights: how much likelier the new policy shows what the logger showed, by action or by
prefix.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.policy import Mixture, Policy, Pooled, SoftmaxPolicy
from tastemaker.explore.policy.base import Blocked
from tastemaker.explore.table import ESTIMATED, Log

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Question = Literal["log_prob", "prefix_log_prob"]

KNOWN = "the logged propensities are the probabilities with which the logger drew"
FITTED = (
    "the propensities are estimated: a fitted logger stands in for the true one, and its error is in no"
    " interval"
)
SUPPORT = (
    "actions the logger never shows count 0: the estimate is the logged-support part of the policy's value"
)
POOLED = (
    "each request is judged on its own pool: what it could not show counts 0, whatever other requests could"
)
PLACES = "each place is judged given what stood above it in the log, which the policy may fill differently"
PREFIX = (
    "the prefix carries an action's whole effect on the reward, and the logger covers every prefix the policy"
    " plays"
)

# Rounding may lift a log-probability this far above 0; anything more is a mistake.
_SLACK = 1e-9
REMEMBERED = 8  # answers that a log keeps: of three points of a path, the known part and the new one


class OwnPolicy(Blocked):
    """A policy of the caller's own, known by what it gives the shown actions alone: the column
    `target_propensity`.
    """

    def fingerprint(self) -> str:
        """The same for every log; `policy_mark` tells them apart."""
        return "target column"


def policy_mark(log: Log, policy: Policy) -> str:
    """The policy's fingerprint; of the caller's own one a digest of what it gives the rows of the log."""
    if not isinstance(policy, OwnPolicy) or log.target is None:
        return policy.fingerprint()
    return hashlib.blake2b(np.asarray(log.target, "<f8").tobytes(), digest_size=16).hexdigest()


def assumptions(log: Log) -> tuple[str, ...]:
    """What every weighted estimate on this log rests on."""
    notes = [FITTED if log.source == ESTIMATED else KNOWN]
    if log.pool is not None:
        notes.append(POOLED)
    if log.position is not None and log.request is not None and len(np.unique(log.position)) > 1:
        notes.append(PLACES)
    return tuple(notes)


def bound(log: Log, policy: Policy) -> Policy:
    """The policy as it plays in the rows of the log: within their pools, where there are any."""
    return policy if log.pool is None else policy.within(log.pool)


def on_support(log: Log, policy: Policy, existing: npt.NDArray[np.bool_]) -> Floats:
    """(n,) probability of what the logger could have shown in each row: of its pool, or of the actions
    `existing` (A,) that it may play.
    """
    if isinstance(policy, OwnPolicy):
        return np.ones(len(log))
    if log.pool is not None:
        return policy.in_pool(log.context, log.pool)
    return policy.mass(log.context, existing)


def log_probs(log: Log, policy: Policy | Floats) -> Floats:
    """(n,) log pi(a_i|x_i) of the logged actions: a policy's answer, or given as an array.

    Raises InputError naming the row where one is NaN or above 0, or where the policy has another catalogue.
    """
    if isinstance(policy, OwnPolicy):
        if log.target is None:
            raise InputError(
                "the policy 'target' needs the column 'target_propensity', the probability that your policy"
                " gives the shown action; name yours with --column target=NAME"
            )
        with np.errstate(divide="ignore"):
            logs = np.log(log.target)
    elif isinstance(policy, np.ndarray):
        logs = np.asarray(policy, dtype=np.float64)
        if logs.shape != (len(log),):
            raise InputError(
                f"log_prob has shape {logs.shape}; give one log-probability for each of the {len(log)} rows"
            )
    else:
        if policy.n_actions != log.n_actions:
            raise InputError(
                f"the policy knows {policy.n_actions} actions and the log {log.n_actions}; use one catalogue"
            )
        logs = _asked_once(log, policy, "log_prob", log.action)
    wrong = ~(logs <= _SLACK)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: log_prob is {logs[row]:g}; a log-probability is at most 0 (pass logs, not"
            " probabilities)"
        )
    return np.minimum(logs, 0.0)


def _asked_once(log: Log, policy: Policy, question: Question, values: Ints) -> Floats:
    """(n,) log-probabilities of `values` (n,), actions or prefixes. The policies that a ladder mixes in many
    shares are asked once a log, and of a log whose parts were asked (`Split.judged`) once a part.
    """
    if isinstance(policy, Mixture):
        mixture, parts = bound(log, policy), (policy.first, policy.second)
        assert isinstance(mixture, Mixture)
        return mixture.combined(log.context, *(_asked_once(log, part, question, values) for part in parts))
    own = policy.base if type(policy) is Pooled else policy
    if type(own) is not SoftmaxPolicy:  # whose fingerprint says all about it
        return np.asarray(getattr(bound(log, policy), question)(log.context, values))
    known: dict[bytes, Floats] = log.__dict__.setdefault("_answers", {})
    mark = hashlib.blake2b(f"{question} {policy.fingerprint()}".encode() + values.tobytes()).digest()
    if mark not in known:
        logs, parts = np.empty(len(log)), log.__dict__.get("_parts", ())
        for rows, part in parts:
            logs[rows] = _asked_once(part, policy, question, values[rows])
        if not parts:
            logs = getattr(bound(log, policy), question)(log.context, values)
        while len(known) >= REMEMBERED:
            del known[next(iter(known))]
        known[mark] = logs
    return known[mark]


def weights(log: Log, policy: Policy | Floats) -> Floats:
    """(n,) w_i = pi(a_i|x_i) / p_i."""
    return np.asarray(np.exp(log_probs(log, policy)) / log.propensity)


def reference_weights(log: Log, cap: float) -> Floats:
    """(n,) u_i = pi0(a_i|x_i) / p_i <= `cap`, a constant known before the rows; 1 where pi0 logged them.

    Raises InputError naming a row above `cap`: such rows come from another mixture than was agreed.
    """
    if log.reference is None:
        return np.ones(len(log))
    ratio = log.reference / log.propensity
    if np.any(ratio > cap * (1 + 1e-5)):
        row = int(np.argmax(ratio))
        raise InputError(
            f"row {row + 1}: the weight of pi0 is {ratio[row]:g}, above U = {cap:g}; give the cap the"
            " mixture has"
        )
    return np.asarray(np.minimum(ratio, cap))


def prefix_weights(log: Log, policy: Policy, logger: Policy | None = None) -> Floats:
    """(n,) w(x, e) = P_pi(e|x) / P_logger(e|x) of the prefix e of each logged action (2202.06317, eq. 8).

    The row's own propensity does not determine the denominator: it comes from the log's `prefix_propensity`,
    or from `logger`, the policy that wrote the log. Raises InputError when neither is there, or a prefix has
    less probability than its action.
    """
    if policy.prefixes is None:
        raise InputError(
            "the policy knows no prefixes; build it with prefixes, the prefix number of every action"
        )
    prefix = policy.prefixes[log.action]
    if log.prefix_propensity is not None:
        below = log.prefix_propensity
    elif logger is not None:
        below = np.exp(logger.prefix_log_prob(log.context, prefix))
    else:
        raise InputError(
            "support 'prefix' needs the logger's probability of each row's prefix: add a column"
            " 'prefix_propensity', or give the logger's policy; the row's own propensity does not"
            " determine it"
        )
    wrong = below < log.propensity * (1 - 1e-5)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"row {row + 1}: prefix probability {below[row]:g} is below the action's own propensity"
            f" {log.propensity[row]:g}; check that both come from the policy that wrote the log, and that"
            " prefixes match"
        )
    return np.asarray(np.exp(_asked_once(log, policy, "prefix_log_prob", prefix)) / below)
