"""DEPSUE as certified: the shipped learner, gate and ledger over K simulated deployments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recipes.explore.population import Flags, Floats, Population, judge_path, served_by
from recipes.explore.published import Probability, balanced
from tastemaker.explore.gate.certify import GateSettings, collect
from tastemaker.explore.learn.path import Outcome, PathSettings, learn_path
from tastemaker.explore.learn.space import Rows, Weights
from tastemaker.explore.ledger.ledger import Ledger, admit, margin, record, settle
from tastemaker.explore.policy.base import Policy
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log, split

Serve = Callable[[TablePolicy, int, int], Log]


@dataclass(frozen=True)
class Round:
    """outcome: candidates and certificates of this round's gate; admitted: whether it let a new policy pass;
    serving: the policy in force beside the holdout (None: pi0); margin: what a candidate had to earn a round.
    """

    outcome: Outcome
    admitted: bool
    serving: Policy | None
    margin: float


@dataclass(frozen=True)
class Loop:
    """logger: pi0; serve(policy, rounds, k): the log of that many requests served by the policy, its
    propensities those of the policy given (the mixture with the holdout); existing (A,): what pi0 plays.
    """

    logger: TablePolicy
    serve: Serve
    space: Population
    existing: Flags


def depsue(
    log: Log,
    loop: Loop,
    rounds: int,
    ledger: Ledger,
    settings: PathSettings = PathSettings(),
    key: str | int = 0,
    first: Callable[[GateSettings], Outcome] | None = None,
) -> tuple[list[Round], Ledger]:
    """K rounds: certify on the newest rows against what the ledger has banked, serve with a holdout, bank,
    and learn on all.

    log: by pi0. rounds: live requests of all K = `ledger.K` rounds. A policy is deployed for all rounds that
    are left; where the gate refuses, the one before stays, pi0 at first. first: the first gate, for whoever
    has its path trained already.
    """
    space, existing, logger = loop.space, loop.existing, loop.logger
    newest, by, each = split(log, settings.parts, key), logger, rounds // ledger.K
    pooled, players, out = list[Rows](), list[TablePolicy](), list[Round]()
    start: Weights | None = None
    serving: TablePolicy | None = None
    for k in range(1, ledger.K + 1):
        pooled.append(space.rows(newest.learn))
        players.append(by)
        planned = rounds - (k - 1) * each
        needed = margin(ledger, planned)
        gate = GateSettings(ledger.c, ledger.gate_delta, needed, ledger.floor, "logged", ledger.cap)
        if k == 1 and first is not None:
            outcome = first(gate)
        else:
            rows = balanced(pooled, [_probability(player) for player in players])
            path = learn_path(rows, settings, f"{key}/{k}", start)
            outcome = judge_path(path, newest, space, existing, gate, settings.shares, spent=ledger.spent)
        ledger, start, place = record(ledger, outcome.certificates), outcome.weights, outcome.passed
        if place is not None:
            ledger = admit(ledger, outcome.certificates[place], planned)
            chosen = outcome.policies[place]
            assert isinstance(chosen, TablePolicy)
            serving = chosen
        by = logger if serving is None else space.mixed(serving, logger, ledger.holdout, ledger.cap)
        served = loop.serve(by, each, k)
        newest = split(served if by is logger else served_by(served, logger), settings.parts, f"{key}/{k}")
        if serving is not None:
            earned = gains([newest.learn, newest.choose], serving, ledger)
            ledger = settle(ledger, serving.fingerprint(), earned, each)
        out.append(Round(outcome, place is not None, serving, needed))
    return out, ledger


def gains(logs: Sequence[Log], policy: Policy, ledger: Ledger) -> Floats:
    """(n,) g = (pi/logged - c pi0/logged) r of rows outside S3: what the ledger banks."""
    return np.concatenate([collect(policy, log, cap=ledger.cap).paired(ledger.c) for log in logs])


def _probability(policy: TablePolicy) -> Probability:
    """The probability a policy gives to the action of rows, whoever drew them."""
    return lambda rows: policy.probabilities[rows.context, rows.action]
