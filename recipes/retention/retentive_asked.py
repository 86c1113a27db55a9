"""What the question itself does to people, and how large a never-asked group has to be to see it.

Simulated listeners whose chance of returning is known both ways, asked and not (`ListenerWorld.asked_effect`
is the switch). In each run people are split, the others asked with chance one half, and
`experiment.readout.asked` reads the table as anybody would. Rows: share never asked, people, and the true
effect. Shown: how often the 95 % interval misses the truth, how often asking is called harmless (at most 2 %
of returns lost) and how often it is called harmful, and how wide the interval is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from tastemaker.experiment.moments import Metric
from tastemaker.experiment.readout.logs import AskingSettings, read_asking
from tastemaker.simulate.retention import ListenerWorld, column, draw_listeners, draw_pairs, returns
from tastemaker.stats.random import generator

NAME = "retentive_asked"
HOLDOUTS, PEOPLE, EFFECTS = (0.05, 0.1, 0.2), (5_000, 40_000), (0.0, -0.4)
POPULATION, SHARE = 100_000, 0.5


def main() -> None:
    """Run every cell, show."""
    arguments = read_arguments(parser(main, "100 instead of 2,000 runs a cell"), NAME)
    runs = 100 if arguments.quick else 2_000
    journal = Journal(arguments.out, {"seed": arguments.seed, "runs": runs})
    keys = [[effect, people, holdout] for effect in EFFECTS for people in PEOPLE for holdout in HOLDOUTS]
    cells = journal.run(keys, lambda key: cell(arguments.seed, runs, *key), "never-asked groups")
    show(arguments, keys, cells, runs)
    save_figure(arguments.out, picture(keys, cells))


@cache
def chances(effect: float) -> tuple[Any, Any]:
    """True chances of returning (n,), never asked and asked."""
    world = ListenerWorld.of("item", listeners=POPULATION, days=1, asked_effect=effect)
    pairs = draw_pairs(world, draw_listeners(world, 0), 0)
    both = (returns(world, pairs.append_column("asked", pa.array(np.full(POPULATION, n))), 0) for n in (0, 1))
    never, when = (column(item, "true_return") for item in both)
    return never, when


def cell(seed: int, runs: int, effect: float, people: int, holdout: float) -> dict[str, float]:
    """Rates over runs of one setting."""
    never, when = chances(effect)
    settings = AskingSettings((Metric("returned"),), holdout, shown="shown")
    lift, each = SHARE * (when - never).mean() / never.mean(), (when - never).mean()
    missed = missed_each = harmless = harmful = read_out = 0
    width = 0.0
    for run in range(runs):
        rng = generator(seed, "asked", str(effect), people, str(holdout), run)
        who = rng.integers(0, POPULATION, people)
        selected = rng.random(people) < holdout
        shown = ~selected & (rng.random(people) < SHARE)
        back = rng.random(people) < np.where(shown, when[who], never[who])
        arm = pa.DictionaryArray.from_arrays(
            pa.array(selected.astype(np.int8)), pa.array(["asked", "unasked"])
        ).cast(pa.string())
        table = {
            "user_id": np.arange(people),
            "arm": arm,
            "shown": shown.astype(np.int8),
            "returned": back.astype(np.int8),
        }
        read = read_asking(pa.table(table), settings)
        if not read.effects or read.each is None:
            continue  # the sample-ratio check stops one run in a thousand by chance
        first, item, read_out = read.effects[0], read.each, read_out + 1
        missed += not first.low <= lift <= first.high
        missed_each += not item.low <= each <= item.high
        harmless, harmful = (
            harmless + (read.verdict == "supported"),
            harmful + (read.verdict == "not supported"),
        )
        width += (first.high - first.low) / 2
    sums = {
        "missed": missed,
        "missed each": missed_each,
        "harmless": harmless,
        "harmful": harmful,
        "width": width,
    }
    return {name: value / read_out for name, value in sums.items()} | {"lift": float(lift), "read": read_out}


def show(arguments: Any, keys: list[Any], cells: list[dict[str, float]], runs: int) -> None:
    """One row a setting."""
    rows = [
        {
            "true effect on returns": f"{100 * item['lift']:+.1f} %",
            "people": f"{people:,}",
            "never asked": f"{holdout:.0%}",
            "interval": f"± {100 * item['width']:.1f} %",
            "misses the truth": f"{item['missed']:.1%}",
            "misses, for each person shown a question": f"{item['missed each']:.1%}",
            "called harmless": f"{item['harmless']:.1%}",
            "called harmful": f"{item['harmful']:.1%}",
        }
        for (_, people, holdout), item in zip(keys, cells, strict=True)
    ]
    note = (
        f"{runs:,} runs a row; limit for a miss: {5 + 300 * (0.05 * 0.95 / runs) ** 0.5:.1f} %. Harmless: at"
        " most 2 % lost."
    )
    show_table(
        arguments.out, rows, "What asking does, against a never-asked group (simulated listeners)", note
    )


def picture(keys: list[Any], cells: list[dict[str, float]]) -> Figure:
    """How often the right verdict is reached, by share never asked."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for panel, effect, name in zip(panels, EFFECTS, ("harmless", "harmful"), strict=True):
        for people, marker, colour in zip(PEOPLE, "os", ("#d08a2e", "#1f5f8b"), strict=True):
            rates = [
                item[name]
                for key, item in zip(keys, cells, strict=True)
                if key[0] == effect and key[1] == people
            ]
            lift = next(item["lift"] for key, item in zip(keys, cells, strict=True) if key[0] == effect)
            panel.plot(
                [100 * holdout for holdout in HOLDOUTS],
                [100 * rate for rate in rates],
                marker=marker,
                color=colour,
                label=f"{people:,} people",
            )
        panel.set(
            title=f"True effect {100 * lift:+.1f} %: called {name}",
            xlabel="share never asked, percent",
            ylim=(0, 103),
        )
        panel.set_xticks([100 * holdout for holdout in HOLDOUTS])
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("percent of runs")
    panels[1].legend(frameon=False)
    return figure


if __name__ == "__main__":
    command(main)
