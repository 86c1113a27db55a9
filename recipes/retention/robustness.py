"""What stays of each claim when the part that a world has built in is weakened, turned off, or turned round.

The worlds have it built in that a good answer and a return hang together through the item. Here the share of
the item in that, the strength of the whole, and what a proxy knows of answers are varied one at a time,
beside a world in which answers are a habit of people and one in which liking sends people away. Each row:
what the return question adds to the prediction of a return (AUC), what the path tests say, what ranking by
the proxy does to true returns, and what the read-out of a test of it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from recipes.common import Journal, command, parser, read_arguments, show_table
from recipes.retention.retentive_mediation import CONTROLS, ITEMS
from recipes.retention.trial import TrialPlan, grid_ranks, run_trial
from recipes.retention.tuning import measure
from tastemaker.experiment import Metric, Plan
from tastemaker.experiment.readout.design import Design
from tastemaker.experiment.readout.read import read_out
from tastemaker.retention.adjust.rules import Value
from tastemaker.retention.mediation.verdict import mediation_tests
from tastemaker.retention.mediation.within import MediationSettings
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, draw_pairs, draw_slates, returns

NAME = "robustness"
PLAN = Plan(("returned",), {"skips": 0.05})
METRICS = (Metric("returned", covariate="returns_before"), Metric("skips", better="down"))
BASE = ListenerWorld()


def _shares(item: float, user: float, state: float) -> dict[str, float]:
    return {"share_item": item, "share_user": user, "share_state": state}


def _effect(factor: float) -> dict[str, Any]:
    return {"effect": (factor * BASE.effect[0], factor * BASE.effect[1])}


# What is varied -> settings of the world, and the share of an answer's variance that the proxy knows.
WORLDS: dict[str, tuple[dict[str, Any], float]] = {
    "as built in: all through the item": ({}, 0.2),
    "half through the item, half the person": (_shares(0.5, 0.5, 0.0), 0.2),
    "a quarter through the item": (_shares(0.25, 0.5, 0.25), 0.2),
    "a tenth through the item": (_shares(0.1, 0.6, 0.3), 0.2),
    "nothing through the item: the person": (_shares(0.0, 1.0, 0.0), 0.2),
    "nothing through the item: the day": (_shares(0.0, 0.0, 1.0), 0.2),
    "effect on returning halved": (_effect(0.5), 0.2),
    "effect on returning a tenth": (_effect(0.1), 0.2),
    "no effect on returning": (_effect(0.0), 0.2),
    "turned round: good answers, fewer returns": (_effect(-0.5), 0.2),
    "the proxy knows a twentieth of an answer": ({}, 0.05),
    "the proxy knows nothing": ({}, 0.0),
    "the proxy knows half of an answer": ({}, 0.5),
    "answers are half a habit of people": ({"style_shift": 1.0}, 0.2),
    "cheerful people answer, others do not": (
        {"answer_rate": 0.5, "answer_by_activity": 1.0, "answer_by_base": 1.0},
        0.2,
    ),
}


def main() -> None:
    """Run every world, show."""
    arguments = read_arguments(parser(main, "4,000 instead of 20,000 listeners"), NAME)
    journal = Journal(arguments.out, {"seed": arguments.seed, "quick": arguments.quick})
    listeners = 4_000 if arguments.quick else 20_000
    done = journal.run(list(WORLDS), lambda name: world(name, listeners, arguments.seed), "worlds")
    rows = [_row(name, item) for name, item in zip(WORLDS, done, strict=True)]
    note = (
        f"Every listener is simulated: {listeners:,} a world, slates of 20, one day; 95 % intervals. 'Adds':"
        " AUC of history and events with the return question less that without. Only the first row is the"
        " world that the other recipes call `item`."
    )
    show_table(arguments.out, rows, "What stays when the built-in part is varied", note)


def world(name: str, listeners: int, seed: int) -> dict[str, Any]:
    """One world: AUCs, the path tests, the true gain of ranking by the proxy, and the read-out's decision."""
    settings, explains = WORLDS[name]
    setting = replace(BASE, listeners=listeners, items=ITEMS, **settings)
    auc = measure(setting, seed)
    pairs = ask(setting, draw_pairs(setting, draw_listeners(setting, seed), seed), seed)
    table = returns(setting, pairs, seed)
    answered = table.filter(np.asarray(table["return"].is_valid()))
    path = mediation_tests(
        answered, draw_slates(table, ITEMS), settings=MediationSettings(controls=CONTROLS), key=seed
    )
    rule = Value(2.0)
    trial = run_trial(
        setting,
        lambda score, p_pos, p_neg: -grid_ranks(score, p_pos, p_neg, rule).astype(float),
        f"{seed} robustness",
        TrialPlan(days=1, proxy_explains=explains),
    )
    gain = np.asarray(trial["true_return_treatment"]) - np.asarray(trial["true_return_control"])
    shares = {"control": 0.5, "treatment": 0.5}
    design = Design("robust", PLAN, METRICS, shares, "control", ("treatment",))
    users = pl.DataFrame(trial).with_columns(pl.col("returned", "skips").cast(pl.Float64)).to_arrow()
    reading = read_out(lambda names: users.select(list(dict.fromkeys(names))), design)
    return {
        "adds": auc["auc_return"] - auc["auc_baseline"],
        "path": path.verdict,
        "gain": float(gain.mean()),
        "error": float(gain.std(ddof=1) / len(gain) ** 0.5),
        "decision": reading.decision.verdict,
    }


def _row(name: str, item: Mapping[str, Any]) -> dict[str, str]:
    half = 196 * item["error"]
    gain = f"{100 * item['gain']:+.2f} [{100 * item['gain'] - half:+.2f}, {100 * item['gain'] + half:+.2f}]"
    return {
        "world": name,
        "the question adds (AUC)": f"{item['adds']:+.3f}",
        "path tests": item["path"],
        "true return, points": gain,
        "a test of it": item["decision"],
    }


if __name__ == "__main__":
    command(main)
