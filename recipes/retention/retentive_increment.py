"""What a survey answer adds to a model of next-day return: folds by user beside the published folds of rows.

A world of simulated listeners tuned to the published numbers (`--world` says why people return); baseline, +
return (RR), + worth (WYT), + interest (IM), in all rows and in the low-signal cohort. Table: the published
AUC, the published way of computing it, folds by user, folds by user and day. Figure: paired AUC differences.
The claim report is in `report/`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.published import FoldScore, fold_table
from tastemaker.flows.retention.tables import write_claim
from tastemaker.retention.increment.rows import IncrementSettings
from tastemaker.retention.increment.table import Increment, claim, increment_table
from tastemaker.simulate.retention import ListenerWorld, ask, draw_listeners, draw_pairs, returns

NAME = "retentive_increment"
BASELINE = ("history", "sameday", "like", "save", "reshare", "practical")
MODELS = {
    "baseline": "baseline",
    "return": "+ return (RR)",
    "worth": "+ worth (WYT)",
    "interest": "+ interest (IM)",
}
PUBLISHED = {
    "all": {
        "baseline": ".830 ± .005",
        "return": ".860 ± .005",
        "worth": ".828 ± .006",
        "interest": ".838 ± .005",
    },
    "low-signal": {
        "baseline": ".630 ± .013",
        "return": ".700 ± .025",
        "worth": ".632 ± .015",
        "interest": ".635 ± .014",
    },
}


def main() -> None:
    """Fit, compare, show."""
    options = parser(main, "3,000 listeners instead of 20,000")
    options.add_argument("--world", default="item", choices=("item", "user", "state"))
    arguments = read_arguments(options, NAME)
    listeners = 3_000 if arguments.quick else 20_000
    settings = {
        "world": arguments.world,
        "listeners": listeners,
        "seed": arguments.seed,
    }
    journal = Journal(arguments.out, settings)

    def work(folds: str) -> dict[str, Any]:
        table = world_rows(arguments.world, listeners, arguments.seed)
        chosen = IncrementSettings(BASELINE)
        if folds == "user and day":
            chosen = replace(chosen, time="day")
        increment = increment_table(table, chosen, arguments.seed)
        published: list[FoldScore] = []
        if folds == "user":
            write_claim(claim(increment), arguments.out / "report")
            published = fold_table(table, chosen, arguments.seed)
        return numbers(increment, published)

    by_user, by_day = journal.run(["user", "user and day"], work, "increment")
    show(arguments, by_user, by_day)


def world_rows(world: str, listeners: int, seed: int) -> Any:
    """Pairs with answers and returns of a world."""
    chosen = ListenerWorld.of(world, listeners=listeners)
    return returns(chosen, ask(chosen, draw_pairs(chosen, draw_listeners(chosen, seed), seed), seed), seed)


def numbers(increment: Increment, published: list[FoldScore]) -> dict[str, Any]:
    """What the table and the figure need."""
    out: dict[str, Any] = {"paper": {}, "auc": {}, "gain": {}, "accuracy": {}}
    for item in increment.scores:
        place, auc = f"{item.cohort}|{item.model}", item.metrics["auc"]
        out["auc"][place] = [auc.value, auc.low, auc.high]
        out["accuracy"][place] = item.metrics["accuracy"].value
        if item.gain:
            out["gain"][place] = [item.gain["auc"].value, item.gain["auc"].low, item.gain["auc"].high]
    for score in published:
        out["paper"][f"{score.cohort}|{score.model}"] = [*score.auc, score.d if score.d == score.d else None]
    return out


def show(arguments: Any, by_user: dict[str, Any], by_day: dict[str, Any]) -> None:
    """Table and figure."""
    rows = []
    for cohort, published in PUBLISHED.items():
        for model, label in MODELS.items():
            place = f"{cohort}|{model}"
            mean, sd, d = by_user["paper"][place]
            gain = by_user["gain"].get(place)
            rows.append(
                {
                    "cohort": cohort,
                    "model": label,
                    "published": published[model],
                    "folds of rows": f"{mean:.3f} ± {sd:.3f}" + (f", d {d:.1f}" if d is not None else ""),
                    "folds by user": interval(by_user["auc"][place], 3),
                    "by user and day": interval(by_day["auc"][place], 3),
                    "gain, by user": interval(gain, 4, "+") if gain else "",
                    "accuracy": f"{by_user['accuracy'][place]:.3f}",
                }
            )
    note = (
        f"World '{arguments.world}', logistic regression. Published: secondary sources; ± is an SD over"
        " dependent folds."
    )
    show_table(arguments.out, rows, "What an answer adds to a model of next-day return (AUC)", note)
    save_figure(arguments.out, forest(by_user, by_day, arguments.world))


def interval(values: list[float], digits: int, sign: str = "") -> str:
    """value [low, high]."""
    item, low, high = (f"{v:{sign}.{digits}f}" for v in values)
    return f"{item} [{low}, {high}]"


def forest(by_user: dict[str, Any], by_day: dict[str, Any], world: str) -> Figure:
    """Paired AUC differences with their intervals, both kinds of folds."""
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    labels = list(MODELS.values())[1:]
    for panel, cohort in zip(axes, PUBLISHED, strict=True):
        for offset, (name, source, colour) in enumerate(
            (("user", by_user, "#1f5f8b"), ("user and day", by_day, "#d08a2e"))
        ):
            for row, model in enumerate(list(MODELS)[1:]):
                value, low, high = source["gain"][f"{cohort}|{model}"]
                at = row + 0.22 * (offset - 0.5)
                panel.errorbar(
                    value,
                    at,
                    xerr=[[value - low], [high - value]],
                    fmt="o",
                    color=colour,
                    capsize=3,
                    label=f"folds by {name}" if row == 0 else None,
                )
        panel.axvline(0, color="grey", linewidth=0.8)
        panel.set(
            title=f"{cohort} rows",
            xlabel="AUC gain over the baseline, 95 %",
            yticks=range(3),
            yticklabels=labels,
        )
        panel.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    axes[0].legend(frameon=False, loc="lower right")
    figure.suptitle(f"What each answer adds (world '{world}')")
    return figure


if __name__ == "__main__":
    command(main)
