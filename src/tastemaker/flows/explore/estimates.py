"""What a log can support, and what it says about a policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.errors import InputError
from tastemaker.explore.estimates import PAIRED, PolicyEstimate, estimate_policy
from tastemaker.explore.policy import Policy, uniform_policy
from tastemaker.explore.support import support_report
from tastemaker.flows.explore.runs import learnt_from, open_run
from tastemaker.flows.explore.tables import Loaded, Source, load
from tastemaker.store.files import plain

UNIFORM = "uniform"


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


def estimate(
    source: Source, policy: str, candidate: int | None, delta: float, names: Sequence[str] = ()
) -> dict[str, Any]:
    """The estimators called `names` (none: every one that the log allows), with lower bounds by Student's t
    and, where a least value is known, by betting.
    """
    loaded = _load(source, policy)
    log, chosen = loaded.log, policy_of(policy, loaded, candidate)
    rows = estimate_policy(log, chosen, loaded.vectors, names=names, delta=delta)
    logged, constant = float(log.reward.mean()), bool(np.ptp(log.reward) == 0)
    values: dict[str, Any] = plain(
        {"rows": len(log), "logged_mean": logged, "delta": delta, "estimates": [_values(row) for row in rows]}
    )
    return values | {"text": _text(rows, logged, delta, constant)}


def _values(row: PolicyEstimate) -> dict[str, Any]:
    return {
        "estimator": row.estimator,
        "estimates": row.of,
        "value": row.interval.value,
        "standard_error": row.standard_error,
        "t": None if row.interval.reason else row.interval.low,
        "betting": row.certain,
        "effective_rows": row.effective_rows,
        "assumptions": [*row.interval.assumptions, *([PAIRED] if row.estimator == "paired" else [])],
        "no_bound": row.interval.reason,
    }


def _text(rows: Sequence[PolicyEstimate], logged: float, delta: float, constant: bool) -> str:
    lines = [
        f"mean logged reward {logged:.6g}; lower bounds at {1 - delta:.0%}",
        f"{'':14} {'of':11} {'value':>11} {'t bound':>11} {'betting':>11} {'rows worth':>11}",
    ]
    for row in rows:
        betting = "-" if row.certain is None else f"{row.certain:.6g}"
        student = "-" if row.interval.reason else f"{row.interval.low:.6g}"
        lines.append(
            f"{row.estimator:14} {row.of:11} {row.interval.value:11.6g} {student:>11} {betting:>11}"
            f" {row.effective_rows:11,.0f}"
        )
    if constant:
        lines.append(
            f"every reward is {logged:g}: a log whose rewards never differ says nothing of any policy"
        )
    lines += [f"no t bound for {row.estimator}: {row.interval.reason}" for row in rows if row.interval.reason]
    notes = dict.fromkeys(note for row in rows for note in _values(row)["assumptions"])
    return "\n".join([*lines, "assumed, each where it applies:", *(f"- {note}" for note in notes)])
