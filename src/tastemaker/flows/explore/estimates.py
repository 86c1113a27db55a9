"""What a log can support, and what it says about a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.bounds import lower_bound
from tastemaker.explore.estimate import (
    Contributions,
    RewardModel,
    clipped_ips,
    dm,
    dr,
    fit_reward_model,
    ips,
    mips,
    offcem,
    paired,
    snips,
)
from tastemaker.explore.ledger import Ledger
from tastemaker.explore.policy import Policy, uniform_policy
from tastemaker.explore.support import support_report
from tastemaker.explore.table import Log
from tastemaker.flows.explore.runs import learnt_from, open_run
from tastemaker.flows.explore.tables import Loaded, Source, load
from tastemaker.store.files import plain

UNIFORM = "uniform"
C = 0.95
# What a row of the table is an estimate of, where that is not the policy's value.
PAIRED = (
    f"paired is no value: it estimates V - {C:g} V0, how far the policy's value lies above {C:.0%} of the"
    " logger's; a lower bound above 0 is what a certificate asks for"
)


def policy_of(name: str, loaded: Loaded, candidate: int | None) -> Policy:
    """`uniform` over the actions the logger may play, or a candidate of a run (default: its most novel)."""
    if name == UNIFORM:
        return uniform_policy(len(loaded.existing), loaded.existing, loaded.prefixes)
    candidates = open_run(Path(name), loaded).candidates
    if candidate is not None and not 1 <= candidate <= len(candidates):
        raise InputError(f"candidate {candidate} does not exist; the run has 1 to {len(candidates)}")
    return candidates[-1 if candidate is None else candidate - 1]


def _load(source: Source, policy: str | None) -> Loaded:
    """The log; for the policy of a run, the rows that it was learnt from."""
    return load(source if policy in (None, UNIFORM) else learnt_from(Path(str(policy)), source))


def support(
    source: Source, policy: str | None, candidate: int | None, c: float, delta: float
) -> dict[str, Any]:
    """The support report of a log, and of a policy on it."""
    loaded = _load(source, policy)
    chosen = None if policy is None else policy_of(policy, loaded, candidate)
    report = support_report(loaded.log, loaded.existing, chosen, c=c, delta=delta)
    values: dict[str, Any] = plain(report.to_json())
    return values | {"text": report.to_text()}


def estimate(source: Source, policy: str, candidate: int | None, delta: float) -> dict[str, Any]:
    """Every estimator that the log allows, with lower bounds by Student's t and, where a least value is
    known, by betting.
    """
    loaded = _load(source, policy)
    log, chosen = loaded.log, policy_of(policy, loaded, candidate)
    model = fit_reward_model(log, loaded.vectors) if log.rewarded else None
    rows = [_row(contributions, delta) for contributions in built_in(log, chosen, model)]
    logged, constant = float(log.reward.mean()), bool(np.ptp(log.reward) == 0)
    values: dict[str, Any] = plain(
        {"rows": len(log), "logged_mean": logged, "delta": delta, "estimates": rows}
    )
    return values | {"text": _text(rows, logged, delta, constant)}


def built_in(log: Log, policy: Policy, model: RewardModel | None) -> list[Contributions]:
    """What the log allows of the package's own estimators; model: None where no row has a reward."""
    cap = 1.0 if log.reference is None else Ledger.cap
    found = [ips(log, policy), clipped_ips(log, policy), snips(log, policy), paired(log, policy, C, cap=cap)]
    if model is not None:
        found += [dm(log, policy, model), dr(log, policy, model)]
        if policy.prefixes is not None and log.prefix_propensity is not None:
            found += [mips(log, policy), offcem(log, policy, model)]
    return found


def _row(contributions: Contributions, delta: float) -> dict[str, Any]:
    asymptotic = lower_bound(contributions, delta, "t")
    bounded = contributions.kind == "mean" and contributions.low > float("-inf")
    certain = lower_bound(contributions, delta, "betting") if bounded else None
    name = contributions.estimator
    return {
        "estimator": name,
        "estimates": f"V - {C:g} V0" if name == "paired" else "V",
        "value": contributions.mean,
        "standard_error": contributions.standard_error,
        "t": asymptotic.low,
        "betting": None if certain is None else certain.low,
        "effective_rows": contributions.effective_size,
        "assumptions": [*contributions.assumptions, *([PAIRED] if name == "paired" else [])],
        "no_bound": asymptotic.reason,
    }


def _text(rows: Sequence[Mapping[str, Any]], logged: float, delta: float, constant: bool) -> str:
    lines = [
        f"mean logged reward {logged:.6g}; lower bounds at {1 - delta:.0%}",
        f"{'':14} {'of':11} {'value':>11} {'t bound':>11} {'betting':>11} {'rows worth':>11}",
    ]
    for row in rows:
        betting = "-" if row["betting"] is None else f"{row['betting']:.6g}"
        student = "-" if row["no_bound"] else f"{row['t']:.6g}"
        lines.append(
            f"{row['estimator']:14} {row['estimates']:11} {row['value']:11.6g} {student:>11} {betting:>11}"
            f" {row['effective_rows']:11,.0f}"
        )
    if constant:
        lines.append(
            f"every reward is {logged:g}: a log whose rewards never differ says nothing of any policy"
        )
    lines += [f"no t bound for {row['estimator']}: {row['no_bound']}" for row in rows if row["no_bound"]]
    notes = dict.fromkeys(note for row in rows for note in row["assumptions"])
    return "\n".join([*lines, "assumed, each where it applies:", *(f"- {note}" for note in notes)])
