"""What `tastemaker.explore` concludes in Python: the checks of `tastemaker explore` come first, and one that
fails refuses unless it is accepted by name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt

import tastemaker.explore.estimates as estimates
from tastemaker.errors import InputError
from tastemaker.explore.gate import Believed, Certificate, GateSettings, Spent
from tastemaker.explore.gate import certify as open_gate
from tastemaker.explore.gate.certify import unopened
from tastemaker.explore.policy import Policy
from tastemaker.explore.preflight import gate_preflight, preflight
from tastemaker.explore.table import Log, Split, played_by_log

Flags = npt.NDArray[np.bool_]


def estimate_policy(
    log: Log,
    policy: Policy,
    vectors: npt.NDArray[np.float64] | None = None,
    *,
    names: Sequence[str] = (),
    delta: float = 0.05,
    unit: str = "",
    accept: Collection[str] = (),
) -> list[estimates.PolicyEstimate]:
    """`estimates.estimate_policy`, after the checks that `tastemaker explore estimate` makes.

    The policy must not have been learnt from these rows; give `split(log).choose` for one that was learnt
    from the log. accept: names of checks that may fail, which stand among the assumptions of every
    estimate then. Raises InputError with the reason where another check fails.
    """
    checks = preflight(log, played_by_log(log), None, [policy], unit=unit, accept=accept)
    if checks.refusal:
        raise InputError(checks.refusal)
    rows = estimates.estimate_policy(log, policy, vectors, names=names, delta=delta, unit=unit)
    failed = tuple(line for line in checks.lines if "FAILED" in line)
    return [
        replace(row, interval=replace(row.interval, assumptions=(*row.interval.assumptions, *failed)))
        for row in rows
    ]


class SpentBefore(TypedDict, total=False):
    """What was opened before."""

    spent: Collection[str] | Spent


class GateOptions(SpentBefore, total=False):
    """What `gate.certify` takes by name."""

    existing: Flags | None
    believed: Believed | None
    chains: Sequence[int]


def certify(
    candidates: Sequence[Policy],
    parts: Split,
    settings: GateSettings = GateSettings(),
    *,
    accept: Collection[str] = (),
    new: Flags | None = None,
    **options: Unpack[GateOptions],
) -> list[Certificate]:
    """`gate.certify`, after the checks that `tastemaker explore certify` makes: of the log that was split,
    and of the weights of the first candidate of each chain on S2 and S3.

    accept: names of checks that may fail, which stand on the certificates then. Where another one fails no
    row is opened, and every certificate says why. new (A,): what the catalogue says the logger never plays.
    Raises InputError as `gate.certify`.
    """
    if not candidates:
        raise InputError("there is no candidate to certify")
    chains, existing = options.get("chains", ()), options.get("existing")
    first = [candidates[place] for place in np.cumsum([0, *chains[:-1]]) if place < len(candidates)]
    checks = gate_preflight(parts, first, existing, new, unit=settings.unit, accept=accept)
    if checks.refusal:
        certificates = unopened(candidates, parts, settings, existing, checks.refusal)
    else:
        certificates = open_gate(candidates, parts, settings, **options)
    return [replace(item, checks=checks.lines, accepted=checks.accepted) for item in certificates]
