"""What a log can support, and what it says about a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.bounds import lower_bound
from tastemaker.explore.estimate import (
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
from tastemaker.flows.explore.study import learnt_from, open_study
from tastemaker.flows.explore.tables import Loaded, Source, load
from tastemaker.store.files import plain

UNIFORM = "uniform"


def policy_of(name: str, loaded: Loaded, candidate: int | None) -> Policy:
    """`uniform` over the actions the logger may play, or a candidate of a study (default: its most novel
    one).
    """
    if name == UNIFORM:
        return uniform_policy(len(loaded.ids), loaded.existing, loaded.prefixes)
    ladder = open_study(Path(name), loaded).ladder
    if candidate is not None and not 1 <= candidate <= len(ladder):
        raise InputError(f"candidate {candidate} does not exist; the study has 1 to {len(ladder)}")
    return ladder[-1 if candidate is None else candidate - 1]


def _load(source: Source, policy: str | None) -> Loaded:
    """The log; for the policy of a study, the rows that it was learnt from."""
    return load(source if policy in (None, UNIFORM) else learnt_from(Path(str(policy)), source))


def support(
    source: Source, policy: str | None, candidate: int | None, c: float, delta: float
) -> dict[str, Any]:
    """The support report of a log, and of a policy on it."""
    loaded = _load(source, policy)
    chosen = None if policy is None else policy_of(policy, loaded, candidate)
    report = support_report(loaded.log, loaded.existing, chosen, c=c, delta=delta)
    told: dict[str, Any] = plain(report.to_json())
    return told | {"text": report.to_text()}


def estimate(source: Source, policy: str, candidate: int | None, delta: float) -> dict[str, Any]:
    """Every estimator that the log allows, with lower bounds by Student's t and, where a least value is
    known, by betting.
    """
    loaded = _load(source, policy)
    log, chosen = loaded.log, policy_of(policy, loaded, candidate)
    cap = 1.0 if log.reference is None else Ledger.cap
    found = [
        ips(log, chosen),
        clipped_ips(log, chosen),
        snips(log, chosen),
        paired(log, chosen, 0.95, cap=cap),
    ]
    if log.rewarded:
        model = fit_reward_model(log, loaded.vectors)
        found += [dm(log, chosen, model), dr(log, chosen, model)]
        if loaded.prefixes is not None and log.prefix_propensity is not None:
            found += [mips(log, chosen), offcem(log, chosen, model)]
    rows = []
    for one in found:
        asymptotic = lower_bound(one, delta, "t")
        sure = lower_bound(one, delta, "betting") if one.kind == "mean" and one.low > float("-inf") else None
        rows.append(
            {
                "estimator": one.estimator,
                "value": one.mean,
                "standard_error": one.standard_error,
                "t": asymptotic.low,
                "betting": None if sure is None else sure.low,
                "effective_rows": one.effective_size,
                "assumptions": list(one.assumptions),
            }
        )
    logged = float(log.reward.mean())
    told: dict[str, Any] = plain({"rows": len(log), "logged_mean": logged, "delta": delta, "estimates": rows})
    return told | {"text": _text(rows, logged, delta)}


def _text(rows: list[dict[str, Any]], logged: float, delta: float) -> str:
    lines = [
        f"mean logged reward {logged:.6g}; lower bounds at {1 - delta:.0%}",
        f"{'':14} {'value':>11} {'t bound':>11} {'betting':>11} {'rows worth':>11}",
    ]
    for row in rows:
        betting = "-" if row["betting"] is None else f"{row['betting']:.6g}"
        lines.append(
            f"{row['estimator']:14} {row['value']:11.6g} {row['t']:11.6g} {betting:>11}"
            f" {row['effective_rows']:11,.0f}"
        )
    notes = dict.fromkeys(note for row in rows for note in row["assumptions"])
    return "\n".join([*lines, "assumed, each where it applies:", *(f"- {note}" for note in notes)])
