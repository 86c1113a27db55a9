"""Estimators that weigh rewards without a model: IPS and relatives, and the paired test's contributions."""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Bools, Floats, Ints
from tastemaker.errors import InputError
from tastemaker.explore.bounds import INFLUENCE, MODEL, Contributions
from tastemaker.explore.estimate.reward import RewardModel
from tastemaker.explore.policy.base import Policy, Pooled
from tastemaker.explore.policy.softmax import Mixture, SoftmaxPolicy
from tastemaker.explore.table import ESTIMATED, Log

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
FITTED_FOLDS = 3  # of a fitted logger
REMEMBERED = 8  # answers that a log keeps: of three points of a path, the known part and the new one


class OwnPolicy(Policy):
    """A caller's own policy, known by what it gives shown actions: the column `target_propensity`."""

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


def on_support(log: Log, policy: Policy, existing: Bools) -> Floats:
    """(n,) probability of what the logger could have shown: its pool, or actions `existing` (A,)."""
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


FIXED = "the reward model is taken as the truth: its own error is in no interval around these values"
CROSS_FITTED = "the reward model was fitted on other rows than those it predicts"
NOVEL = "actions the logger never shows count what the reward model predicts for them"
WITHIN = (
    "the logger covers every prefix the policy plays, and the reward model gets differences within a prefix"
    " right"
)


def dm(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """Sum_a pi(a|x_i) qhat(x_i, a): no weights, all bias; kind "model"."""
    value = bound(log, policy).expect(log.context, model.block)
    return Contributions(value, np.ones(len(log)), 0.0, MODEL, (FIXED, NOVEL), "dm", log.units())


def dr(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """E_pi qhat + w_i (r_i - qhat(x_i, a_i)): right if propensities or model are (1503.02834, eq. 7)."""
    weight = weights(log, policy)
    value = corrected(log, policy, model, weight)
    return _weighted("dr", log, weight, value, (CROSS_FITTED, NOVEL), low=-np.inf)


def offcem(log: Log, policy: Policy, model: RewardModel) -> Contributions:
    """w(x, e)(r - f(x, a)) + E_pi f: the prefix by weights, the item within it by a model (2305.08062, eq.
    6). Raises InputError on a log without `prefix_propensity`.
    """
    weight = prefix_weights(log, policy)
    return _weighted("offcem", log, weight, corrected(log, policy, model, weight), (WITHIN,), low=-np.inf)


def _weighted(
    name: str,
    log: Log,
    weight: Floats,
    value: Floats,
    notes: tuple[str, ...],
    low: float = 0.0,
) -> Contributions:
    """The contributions of an estimator, which rest on `notes` beside what every weighted estimate does."""
    assumed = (*assumptions(log), *notes)
    return Contributions(value, weight, low, assumptions=assumed, estimator=name, units=log.units())


def corrected(log: Log, policy: Policy, model: RewardModel, weight: Floats) -> Floats:
    """(n,) E_pi qhat + weight_i (r_i - qhat(x_i, a_i)), the form of every doubly robust estimate."""
    own = model.at(log.action)
    return bound(log, policy).expect(log.context, model.block) + weight * (log.reward - own)


def ips(log: Log, policy: Policy | Floats) -> Contributions:
    """w_i r_i: unbiased for the part of the policy's value on actions the logger shows (Horvitz and Thompson
    1952). policy: a policy, or its log-probabilities (n,) of the logged actions.
    """
    weight = weights(log, policy)
    return _weighted("ips", log, weight, weight * log.reward, (SUPPORT,))


def clipped_ips(log: Log, policy: Policy | Floats, tau: float = 100.0) -> Contributions:
    """min(w_i, tau) r_i: never too high in mean, so bounds hold; tau is fixed before (Ionides 2008)."""
    if not tau > 0:
        raise InputError(f"tau is {tau}; weights are clipped at a number above 0")
    weight = np.minimum(weights(log, policy), tau)
    clipped = f"weights are clipped at {tau:g}: the estimate is too low, never too high, in expectation"
    value = weight * log.reward
    return _weighted("clipped_ips", log, weight, value, (SUPPORT, clipped))


def snips(log: Log, policy: Policy | Floats) -> Contributions:
    """V + w_i (r_i - V) / mean(w), V = sum(w r) / sum(w): influence values of self-normalised IPS, mean V.

    A ratio: only asymptotic bounds apply. Raises InputError when every weight is 0. Source: Swaminathan and
    Joachims 2015.
    """
    weight = weights(log, policy)
    if not weight.any():
        raise InputError("every weight is 0: the policy never plays what was logged, and snips is 0/0")
    value = float(weight @ log.reward / weight.sum())
    notes = (
        *assumptions(log),
        "self-normalised: biased by about 1/n, and read as the value given that a logged action is played",
    )
    influence = value + weight * (log.reward - value) / weight.mean()
    return Contributions(influence, weight, -np.inf, INFLUENCE, notes, "snips", log.units())


def mips(log: Log, policy: Policy, *, logger: Policy | None = None) -> Contributions:
    """w(x, e) r: weights of prefixes, so that a novel item counts what its prefix earned (2202.06317, eq. 8).

    logger: the policy that wrote the log, where it has no column `prefix_propensity`; raises InputError
    without either.
    """
    weight = prefix_weights(log, policy, logger)
    return _weighted("mips", log, weight, weight * log.reward, (PREFIX,))


def paired(log: Log, policy: Policy | Floats, c: float = 0.95, *, cap: float = 1.0) -> Contributions:
    """g_i = (w_i - c u_i) r_i >= -c r_max U: of mean V(pi) - c V0, so a policy within share c of pi0 has a
    mean above 0.

    c: share of the reference's value to be kept, in (0, 1]. cap: U, a bound on u_i = pi0(a_i|x_i) / p_i known
    before the data (`Mixture(cap=U)` enforces it); 1 where pi0 wrote the rows.

    Raises InputError on c outside (0, 1], and on u above U. Source: the specification, section 3.2.
    """
    if not 0 < c <= 1:
        raise InputError(f"c is {c}; the share of the logger's value to keep is above 0 and at most 1")
    weight = weights(log, policy)
    value = (weight - c * reference_weights(log, cap)) * log.reward
    return _weighted("paired", log, weight, value, (SUPPORT,), low=-c * log.r_max * cap)


MOST_ACTIONS = 1_000


def fitted_propensities(log: Log) -> Floats:
    """(n,) probability of each row's action given its context, by multinomial regression on other rows.

    Cross-fitting (every third row, in turn, is left out) keeps a row from raising its own propensity. An
    action that the other folds do not know gets the smallest probability they give to any. Raises InputError
    where more than 1,000 actions were logged: a fit of that size would be noise.
    """
    logged, label = np.unique(log.action, return_inverse=True)
    if len(logged) > MOST_ACTIONS:
        raise InputError(
            f"{len(logged)} logged actions are too many for a fitted logger (at most {MOST_ACTIONS}); log"
            " propensities"
        )
    fold = np.arange(len(log)) % FITTED_FOLDS
    propensity = np.empty(len(log))
    for left_out in range(min(FITTED_FOLDS, len(log))):
        inside = fold == left_out
        propensity[inside] = _predict(log.context, label, ~inside, inside)
    return propensity


def _predict(
    context: npt.NDArray[np.floating],
    label: Ints,
    rest: Bools,
    inside: Bools,
) -> Floats:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    counts = np.bincount(label[rest], minlength=label.max() + 1)
    share = counts / max(1, counts.sum())
    varies = context.shape[1] and np.ptp(context, axis=0).any()
    if not varies or np.count_nonzero(counts) < 2:
        return np.asarray(np.maximum(share[label[inside]], share[share > 0].min(initial=1.0)))
    scale = StandardScaler().fit(context[rest])
    model = LogisticRegression(max_iter=1_000).fit(scale.transform(context[rest]), label[rest])
    probability = model.predict_proba(scale.transform(context[inside]))
    column = np.full(len(counts), -1)
    column[model.classes_] = np.arange(len(model.classes_))
    at = column[label[inside]]
    own = probability[np.arange(len(at)), np.maximum(at, 0)]
    return np.asarray(np.where(at >= 0, own, probability.min(axis=1)))
