"""Offline tuning: every rule of a grid beside its ablations, and one global weight under a cap on engagement
lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.retention.adjust.apply import adjust
from tastemaker.retention.adjust.effects import RankEffects, rank_effects
from tastemaker.retention.adjust.order import engagement, engagement_range
from tastemaker.retention.adjust.requests import read_requests
from tastemaker.retention.adjust.rules import Rule, Value, ablation


def compare(
    scored: pa.Table,
    rules: Mapping[str, Rule],
    k: int = 10,
    standardise: bool = True,
    report: Callable[[int, int], object] | None = None,
) -> dict[str, RankEffects]:
    """What each rule of `rules` (name -> rule) does to the same candidates. `report(done, total)` is called
    as it goes.
    """
    if not rules:
        raise InputError("there is no rule to compare; give at least one")
    results = {}
    for place, (name, rule) in enumerate(rules.items()):
        results[name] = rank_effects(scored, adjust(scored, rule, standardise), k)
        if report is not None:
            report(place + 1, len(rules))
    return results


def ablations(scored: pa.Table, rule: Rule, k: int = 10, standardise: bool = True) -> dict[str, RankEffects]:
    """The rule, the same rule only raising, and only lowering: which half does the work."""
    parts: dict[str, Rule] = {
        "both": rule,
        "boost only": ablation(rule, "boost"),
        "demote only": ablation(rule, "demote"),
    }
    return compare(scored, parts, k, standardise)


@dataclass(frozen=True)
class Tuned:
    """The global weight found, as a rule; its mean engagement loss and mean retention value; weight and loss
    of every round.
    """

    rule: Value
    loss: float
    value: float
    rounds: tuple[tuple[float, float], ...]


def tune_weight(
    scored: pa.Table,
    cap: float,
    penalty: float = 1.0,
    weight_max: float = 10.0,
    rounds: int = 40,
    step: float = 1.0,
) -> Tuned:
    """One weight for all requests, the largest whose mean engagement loss stays within `cap`, by dual
    updates.

    log weight moves by step x (cap - loss) / cap, clipped to half an octave a round so that the ranking never
    lurches (as arXiv 2302.09178 clips its updates), with a step that shrinks as 1/sqrt(round). The best
    feasible weight of all rounds is kept; 0 when none was. A cap on the mean leaves some requests above it:
    `Constrained` holds it in each. Raises InputError on a cap outside (0, 1], or settings below their range.
    """
    if not 0 < cap <= 1 or rounds < 1 or step <= 0 or not (math.isfinite(weight_max) and weight_max > 0):
        raise InputError(
            f"a cap in (0, 1], rounds >= 1, step > 0 and weight_max > 0 are needed; got {cap}, {rounds},"
            f" {step}, {weight_max}"
        )
    requests = read_requests(scored)
    best, worst = engagement_range(requests)
    spread = np.where(best > worst, best - worst, 1.0)
    worth = Value(1.0, penalty).retention(requests.p_pos, requests.p_neg) * ~requests.flat[requests.request]

    def measure(weight: float) -> tuple[float, float]:
        order = requests.sorted_by(requests.z + weight * worth)
        gained = requests.sums(requests.discount * worth[order]) / requests.sums(requests.discount)
        return float(((best - engagement(requests, order)) / spread).mean()), float(gained.mean())

    weight, selected, seen = min(1.0, weight_max), (0.0, *measure(0.0)), []
    for number in range(rounds):
        loss, gained = measure(weight)
        seen.append((weight, loss))
        if loss <= cap and weight > selected[0]:
            selected = (weight, loss, gained)
        move = float(np.clip(step * (cap - loss) / cap, -0.35, 0.35)) / math.sqrt(
            number + 1 if loss > 0 else 1
        )
        weight = min(weight_max, weight * math.exp(move))
    return Tuned(Value(selected[0], penalty), selected[1], selected[2], tuple(seen))
