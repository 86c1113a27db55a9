"""Safe OPG and DEPSUE with what the papers lack: one look at held-out rows, the ratio as the claim, and a
ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError
from tastemaker.explore.estimate import served_by
from tastemaker.explore.gate import Certificate, GateSettings, certify, collect, log_growth
from tastemaker.explore.learn.fit import LAMBDAS, learn_path
from tastemaker.explore.learn.paper import balanced
from tastemaker.explore.learn.rows import Floats, Rows
from tastemaker.explore.learn.softmax import Settings, Weights
from tastemaker.explore.learn.space import Flags, Space
from tastemaker.explore.ledger import Ledger, admit, margin, record, settle
from tastemaker.explore.policy import Policy
from tastemaker.explore.table import Log, split

Serve = Callable[[Policy, int, int], Log]


@dataclass(frozen=True)
class PathSettings:
    """lambdas: of the path from imitation to value; shares: nu of the ladder towards new items, ascending
    from 0; learner and
    objective: as in `fit`; parts: of the rows to learn, choose and certify on.
    """

    lambdas: tuple[float, ...] = LAMBDAS
    shares: tuple[float, ...] = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    objective: Literal["ips", "clipped_ips", "dr", "cql", "log_likelihood"] = "clipped_ips"
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
class Found:
    """policies and their certificates, in the order of the test; weights: of the path point that the ladder
    starts from.
    """

    policies: tuple[Policy, ...]
    certificates: tuple[Certificate, ...]
    weights: Weights

    @property
    def passed(self) -> int | None:
        """The last candidate that passed: the most novel policy that may go live."""
        places = [place for place, one in enumerate(self.certificates) if one.passed]
        return places[-1] if places else None


def safe_opg(
    parts: tuple[Log, Log, Log, str],
    space: Space,
    existing: Flags,
    gate: GateSettings = GateSettings(),
    settings: PathSettings = PathSettings(),
    *,
    key: str | int = 0,
    spent: Collection[str] = (),
    learn_on: Rows | None = None,
    start: Weights | None = None,
) -> Found:
    """Learn a path on S1, let S2 choose its best point, certify on S3 a ladder from that point towards new
    items.

    parts: what `split` gave. existing (A,): actions that pi0 plays. The point is the one whose wealth grows
    fastest on S2; the ladder mixes it, on existing actions, with itself on new ones, (1 - nu) pi_A + nu pi_N,
    nu ascending, so that novelty is exact and the sequence fixed. learn_on: rows to learn on instead of S1
    (pooled rounds); they must not hold rows of S2 or S3. Raises InputError as `certify`.
    """
    rows = space.rows(parts[0]) if learn_on is None else learn_on
    trained = learn_path(rows, settings.lambdas, settings.objective, settings.learner, key, start)
    return judge_path(trained, parts, space, existing, gate, settings, spent=spent)


def judge_path(
    trained: Sequence[Weights],
    parts: tuple[Log, Log, Log, str],
    space: Space,
    existing: Flags,
    gate: GateSettings,
    settings: PathSettings,
    *,
    spent: Collection[str] = (),
) -> Found:
    """The second half of `safe_opg`, for a path that is trained already."""
    _, s2, s3, split_hash = parts
    best = choose(trained, s2, space, existing, gate)
    ladder = climb(space, best, existing, settings.shares)
    certificates = certify(ladder, s2, s3, gate, split_hash=split_hash, spent=spent, existing=existing)
    return Found(tuple(ladder), tuple(certificates), best)


def choose(trained: Sequence[Weights], s2: Log, space: Space, existing: Flags, gate: GateSettings) -> Weights:
    """The point of a path whose wealth against the claim's opposite grows fastest on S2, on existing actions
    alone.
    """
    growths = []
    for one in trained:
        found = collect(space.policy(one, existing), s2, "logged", cap=gate.cap)
        growths.append(log_growth(found.paired(gate.c), gate.margin, found.low(gate.c)))
    return trained[int(np.argmax(growths))]


def climb(space: Space, weights: Weights, existing: Flags, shares: Sequence[float]) -> list[Policy]:
    """(1 - nu) pi_A + nu pi_N for every nu: the policy on existing actions, and on new ones."""
    old = space.policy(weights, existing)
    if existing.all():
        return [old]
    new = space.policy(weights, ~existing)
    return [old if share == 0 else space.mixed(old, new, share) for share in shares]


@dataclass(frozen=True)
class Round:
    """found: candidates and certificates of this round's gate; admitted: whether it let a new one pass;
    serving: the policy in force beside the holdout (None: pi0); margin: what a candidate had to earn a round.
    """

    found: Found
    admitted: bool
    serving: Policy | None
    margin: float


def depsue(
    log: Log,
    logger: Policy,
    serve: Serve,
    rounds: int,
    space: Space,
    existing: Flags,
    ledger: Ledger,
    settings: PathSettings = PathSettings(),
    *,
    key: str | int = 0,
    first: Callable[[GateSettings], Found] | None = None,
) -> tuple[list[Round], Ledger]:
    """K rounds: certify on the newest rows against what the ledger has banked, serve with a holdout, bank,
    and learn on all.

    log: by `logger` (pi0). serve(policy, rounds, k): the log of that many requests served by the policy, its
    propensities those of the policy given (the mixture with the holdout). rounds: live requests of all K =
    `ledger.K` rounds. A policy is deployed for all rounds that are left; where the gate refuses, the one
    before stays, pi0 at first. first: the first gate, for whoever has its path trained already.
    """
    newest, by, pooled, players = split(log, settings.parts, key), logger, list[Rows](), list[Policy]()
    each, out, start, serving = (
        rounds // ledger.K,
        list[Round](),
        None,
        None,
    )  # type: int, list[Round], Weights | None, Policy | None
    for k in range(1, ledger.K + 1):
        pooled.append(space.rows(newest[0]))
        players.append(by)
        planned = rounds - (k - 1) * each
        needed = margin(ledger, planned)
        gate = GateSettings(ledger.c, ledger.gate_delta, needed, ledger.floor, "logged", ledger.cap)
        if k == 1 and first is not None:
            found = first(gate)
        else:
            rows = balanced(pooled, [_asked(one) for one in players])
            found = safe_opg(
                newest,
                space,
                existing,
                gate,
                settings,
                key=f"{key}/{k}",
                spent=ledger.spent,
                learn_on=rows,
                start=start,
            )
        ledger, start, place = record(ledger, found.certificates), found.weights, found.passed
        if place is not None:
            ledger, serving = admit(ledger, found.certificates[place], planned), found.policies[place]
        by = logger if serving is None else space.mixed(serving, logger, ledger.holdout, ledger.cap)
        served = serve(by, each, k)
        newest = split(served if by is logger else served_by(served, logger), settings.parts, f"{key}/{k}")
        if serving is not None:
            ledger = settle(ledger, serving.fingerprint(), gains(newest[:2], serving, ledger), each)
        out.append(Round(found, place is not None, serving, needed))
    return out, ledger


def gains(logs: Sequence[Log], policy: Policy, ledger: Ledger) -> Floats:
    """(n,) g = (pi/logged - c pi0/logged) r of rows outside S3: what the ledger banks."""
    return np.concatenate([collect(policy, one, cap=ledger.cap).paired(ledger.c) for one in logs])


def _asked(policy: Policy) -> Callable[[Rows], npt.NDArray[np.float64]]:
    """The probability a policy gives to the action of rows, whoever drew them."""
    return lambda rows: np.exp(policy.log_prob(rows.asked, rows.action))
