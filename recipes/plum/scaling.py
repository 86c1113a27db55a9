"""How loss and recall follow compute: four sizes of the small model, each trained for several budgets of
passes with a schedule of its own.

Loss is minus the log-probability of the last event of each person among all items (test part, items that
training saw, codes and dense read-out mixed as the validation part chose). Compute counts six operations a
weight and event: those of the trunk and of both softmaxes; the learning rate falls with the root of the
width. The exponent is that of a power law through the runs that no other one beats at less compute, its
interval over resampled people. A run that was stopped goes on where it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table, whole_numbers
from recipes.plum.arms import Study, mean_interval, measures, surprise, tested
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.errors import many
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.lm.training.item_lesson import NEGATIVES

SIZES = ((1, 32), (2, 64), (2, 128), (4, 256))
BUDGETS = (2, 4, 8, 16)
RESAMPLES = 1000
Floats = npt.NDArray[np.float64]


def one_run(study: Study, layers: int, width: int, passes: int) -> dict[str, Any]:
    """Operations, losses and ranks of one size trained for so many passes."""
    settings = {"layers": layers, "width": width, "sft_epochs": passes}
    settings |= {"learning_rate": 0.002 * (128 / width) ** 0.5}
    with progress() as report:
        pipeline = study.trained(f"layers-{layers}-width-{width}-passes-{passes}", settings, report)
    events, n = len(pipeline.data.split.train.items), len(pipeline.data.item_ids)
    first = load_codes(pipeline)[1][0]
    weights = (10 * layers + 3) * width**2 + width * (first + min(n, NEGATIVES))
    targets = study.targets
    known = targets.keep(pipeline.data.training_counts[targets.target] > 0)
    return {
        "operations": 6.0 * weights * events * passes,
        "loss": [round(value, 4) for value in surprise(pipeline, known)],
        "ranks": tested(pipeline, targets),
    }


def frontier(operations: Floats, losses: Floats) -> list[int]:
    """Runs that no run of less compute beats."""
    order = np.argsort(operations)
    best, runs = np.inf, []
    for place in order:
        if losses[place] < best:
            best = losses[place]
            runs.append(int(place))
    return runs


def exponent(
    operations: Floats, losses: npt.NDArray[np.float64], runs: list[int]
) -> tuple[float, float, float]:
    """The exponent of the power law through `runs` and its 95 % interval; losses (runs, people)."""
    rng = np.random.default_rng(0)
    x = np.log(operations[runs])

    def slope(means: Floats) -> float:
        return float(np.polyfit(x, np.log(means), 1)[0])

    draws = [
        slope(losses[runs][:, rng.integers(losses.shape[1], size=losses.shape[1])].mean(axis=1))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    return slope(losses[runs].mean(axis=1)), float(low), float(high)


def main() -> None:
    """Parse, train every run, print, draw."""
    options = parser(main, "two sizes, one and two passes: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(SETS))
    options.add_argument("--budgets", type=whole_numbers, default=list(BUDGETS), help="passes, such as 2,4,8")
    arguments = read_arguments(options, "scaling")
    out = arguments.out / arguments.data
    out.mkdir(parents=True, exist_ok=True)
    sizes, budgets = (SIZES[:2], [1, 2]) if arguments.quick else (SIZES, arguments.budgets)
    settings = {"seed": arguments.seed, "ensemble": 1}
    study, keys = (
        Study(out, arguments.data, settings),
        [[*size, passes] for size in sizes for passes in budgets],
    )
    runs = Journal(out, settings).run(keys, lambda key: one_run(study, *key), "runs")
    operations = np.array([run["operations"] for run in runs])
    losses = np.array([run["loss"] for run in runs])
    on_frontier = frontier(operations, losses.mean(axis=1))
    rows = []
    for place, ((layers, width, passes), run) in enumerate(zip(keys, runs, strict=True)):
        row = {"layers": layers, "width": width, "passes": passes, "operations": f"{run['operations']:.2e}"}
        row |= {"loss, nats": mean_interval(losses[place])}
        row |= {name: mean_interval(values) for name, values in measures(np.array(run["ranks"])).items()}
        rows.append(row | {"on the frontier": "yes" if place in on_frontier else ""})
    best = {
        passes: min(
            (float(loss), key)
            for key, loss in zip(keys, losses.mean(axis=1), strict=True)
            if key[2] == passes
        )
        for passes in budgets
    }
    sentences = [
        f"Best size at {passes} passes: {many(key[0], 'layer')} of {key[1]} (loss {loss:.3f})."
        for passes, (loss, key) in best.items()
    ]
    if len(on_frontier) > 1:
        value, low, high = exponent(operations, losses, on_frontier)
        sentences.append(
            f"On the frontier the loss falls with compute to the power {value:.4f} [{low:.4f}, {high:.4f}]."
        )
    else:
        sentences.append("No run has a lower loss than that of least compute: it does not scale here.")
    title = f"Scaling of the small model, {SETS[arguments.data][0]}, seed {arguments.seed}"
    show_table(out, rows, title + (" (quick: inconclusive)" if arguments.quick else ""), " ".join(sentences))
    save_figure(out, draw(keys, operations, losses.mean(axis=1)))


def draw(keys: list[list[int]], operations: Floats, losses: Floats) -> Figure:
    """Loss against compute, a line a size."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    for layers, width in dict.fromkeys((key[0], key[1]) for key in keys):
        own = [place for place, key in enumerate(keys) if key[:2] == [layers, width]]
        axes.plot(operations[own], losses[own], "o-", label=f"{many(layers, 'layer')} of {width}")
    axes.set_xscale("log")
    axes.set_xlabel("operations in training")
    axes.set_ylabel("loss of the last event, nats, test part")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    command(main)
