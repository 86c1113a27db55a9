"""Safe OPG with what the paper lacks: a path of policies, one look at held-out rows, a claim of the ratio."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Unpack

import numpy as np

import tastemaker.explore.checked as checked
from tastemaker.arrays import Bools
from tastemaker.errors import InputError
from tastemaker.explore.checked import SpentBefore, gate_preflight
from tastemaker.explore.gate.certificate import Certificate
from tastemaker.explore.gate.certify import GateSettings, collect
from tastemaker.explore.learn.softmax import NAMES, Name, Settings, ascend, regularised, value
from tastemaker.explore.learn.space import Features, Rows, Weights, build_candidates
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.table import Log, Split

LAMBDAS = (10.0, 3.0, 1.0, 0.5, 0.25, 0.1, 0.03)


@dataclass(frozen=True)
class PathSettings:
    """lambdas: of the path from imitation to value, falling; shares: nu of the candidate sequence towards new
    items, ascending from 0; objective: one of `objectives.NAMES`; learner: how each point is trained; parts:
    of the rows to learn, choose and certify on.
    """

    lambdas: tuple[float, ...] = LAMBDAS
    shares: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    objective: Name = "clipped_ips"
    learner: Settings = field(default_factory=Settings)
    parts: tuple[float, float, float] = (0.5, 0.2, 0.3)

    def __post_init__(self) -> None:
        if (
            not self.shares
            or list(self.shares) != sorted(set(self.shares))
            or not 0 <= self.shares[0] <= self.shares[-1] < 1
        ):
            raise InputError("shares of new items must rise from 0 or above and stay below 1")


@dataclass(frozen=True)
class Outcome:
    """policies and certificates in the order of the test; weights: of the path point it starts from."""

    policies: tuple[Policy, ...]
    certificates: tuple[Certificate, ...]
    weights: Weights

    @property
    def passed(self) -> int | None:
        """The last candidate that passed: the most novel policy that may go live."""
        places = [place for place, entry in enumerate(self.certificates) if entry.passed]
        return places[-1] if places else None


def safe_opg(
    parts: Split,
    space: Features,
    existing: Bools,
    gate: GateSettings = GateSettings(),
    settings: PathSettings = PathSettings(),
    *,
    key: str | int = 0,
    accept: Collection[str] = (),
    **options: Unpack[SpentBefore],
) -> Outcome:
    """Learn a path on S1, let S2 choose its best point, certify on S3 candidates from it towards new items.

    parts: what `split` gave. existing (A,): actions that pi0 plays. The point is the one whose wealth grows
    fastest on S2; the candidates mix it, on existing actions, with itself on new ones, (1 - nu) pi_A + nu
    pi_N, nu ascending, so that novelty is exact and the sequence fixed.

    accept: names of checks of the log that may fail (`tastemaker explore learn --accept`); where another one
    fails nothing is learnt. options: `spent`, as `certify` takes it. Raises InputError then, and as
    `learn_path` and `certify`.
    """
    checks = gate_preflight(parts, [], existing, unit=gate.unit, accept=accept)
    if checks.refusal:
        raise InputError(checks.refusal)
    trained = learn_path(space.rows(parts.learn), settings, key)
    best = choose(trained, parts.choose, space, existing, gate)
    candidates = build_candidates(space, best, existing, settings.shares)
    certificates = checked.certify(
        candidates, parts, gate, accept=accept, existing=existing, spent=options.get("spent", ())
    )
    return Outcome(tuple(candidates), tuple(certificates), best)


def learn_path(
    rows: Rows, settings: PathSettings, key: str | int, start: Weights | None = None
) -> list[Weights]:
    """A linear softmax that maximises objective - lambda R(pi, pi0) for each lambda, largest first, each
    started from the one before: a road from the logger towards value. R = -mean log pi(a_i|x_i).

    Where the logger's logits are known, a path of two parameters comes first: how much they count, and how
    much likeness to what a person had. Later points are near the ones before and take a third of the steps.
    start: weights to begin with (later rounds). Raises InputError on an unknown objective, and on lambdas
    that do not fall.
    """
    lambdas = settings.lambdas
    if not lambdas or min(lambdas) < 0 or list(lambdas) != sorted(lambdas, reverse=True):
        raise InputError("lambdas must be 0 or above and falling: the path starts at imitation")
    if settings.objective not in NAMES:
        raise InputError(f"objective '{settings.objective}' is unknown; choose one of {', '.join(NAMES)}")
    learner = settings.learner
    main, path = value(settings.objective, rows, learner), list[Weights]()
    shorter = replace(learner, steps=max(learner.steps // 3, 1))
    for free in (False, True) if rows.anchored else (True,):
        for weight in lambdas:
            goal = regularised(main, weight, learner.entropy)
            start = ascend(rows, goal, learner if start is None else shorter, key, start, free=free)
            path.append(start)
    return path


def choose(
    trained: Sequence[Weights], s2: Log, space: Features, existing: Bools, gate: GateSettings
) -> Weights:
    """The point of a path whose wealth against the opposite grows fastest on S2, existing actions alone."""
    return trained[bases(trained, s2, space, existing, gate)[0]]


def bases(
    trained: Sequence[Weights], s2: Log, space: Features, existing: Bools, gate: GateSettings
) -> list[int]:
    """Points of a path that a ladder of candidates starts from, on what S2 says: the one whose wealth against
    the claim's opposite grows fastest; the one nearest to the logger, to fall back on; the one of most value.
    """
    evidence = [
        collect(space.policy(weights, existing), s2, "logged", cap=gate.cap, unit=gate.unit)
        for weights in trained
    ]
    growths = [item.growth(gate.c, gate.margin) for item in evidence]
    most = int(np.argmax([float(item.own.mean()) for item in evidence]))
    return list(dict.fromkeys((int(np.argmax(growths)), 0, most)))
