"""Which judges may speak: planted defects noticed above false alarms, and how far judges agree.

A defect of each kind is planted in turns that are sound: a swapped item, a false fact, a leaked title, a
flipped label. A judge's aspect is reported only if it notices the defect more often than it raises an alarm
on the sound turn (95 % interval of the difference above 0). Agreement: quadratically weighted kappa,
conversations resampled. Pairs of items are shown in both orders.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from recipes.common import command, save_figure, show_table
from recipes.converse.world import arguments, build, conversations
from tastemaker.cli.progress import progress
from tastemaker.flows.converse.generate import Session
from tastemaker.flows.converse.judge import judge_run

NAME = "asymmetry"
JUDGES = ["facts", "overlap"]


def draw(found: list[dict[str, Any]]) -> Figure:
    """Hits above false alarms by defect, one colour a judge."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    defects = list(dict.fromkeys(one["defect"] for one in found))
    judges = list(dict.fromkeys(one["judge"] for one in found))
    for number, judge in enumerate(judges):
        colour = ("#0072b2", "#d55e00", "#009e73")[number % 3]
        for one in (row for row in found if row["judge"] == judge):
            place = defects.index(one["defect"]) + 0.18 * (number - (len(judges) - 1) / 2)
            axes.plot([place, place], [one["low"], one["high"]], color=colour, linewidth=2)
            label = judge if one["defect"] == defects[0] else None
            axes.plot([place], [one["hit"] - one["false_alarm"]], "o", color=colour, label=label)
    axes.axhline(0, color="black", linewidth=1)
    axes.set_xticks(range(len(defects)), [name.replace("_", " ") for name in defects])
    axes.set(ylabel="share noticed minus false alarms", xlabel="planted defect")
    axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.grid(axis="y", alpha=0.3)
    return figure


def main() -> None:
    """Judge the same turns sound and spoiled."""
    given = arguments(main, "judges", 200, 30)
    folder = build(given, until="vectors")
    conversations(folder, NAME, given.conversations, given.seed)
    with progress(False) as report:
        result = judge_run(folder, NAME, JUDGES, Session(), report, (20 if given.quick else 100, 1))
    rows = [
        {
            "judge": one["judge"],
            "defect": one["defect"],
            "noticed": f"{one['hit']:.0%}",
            "false alarms": f"{one['false_alarm']:.0%}",
            "difference": f"[{one['low']:+.2f}, {one['high']:+.2f}]",
            "n": one["n"],
            "aspect reported": "yes" if one["reported"] else "no",
        }
        for one in result["detection"]
    ]
    show_table(given.out, rows, f"Planted defects: {result['turns']} turns")
    agreement = [
        {
            "aspect": one["aspect"],
            "kappa": one["reason"] or f"{one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]",
            "n": one["n"],
        }
        for one in result["agreement"]
    ]
    show_table(given.out, agreement, f"Agreement of {' and '.join(JUDGES)}", name="agreement")
    pairs = [
        {
            "judge": one["judge"],
            "pairs": one["valid"],
            "same choice in both orders": f"{one['consistent']:.0%} [{one['low']:.0%}, {one['high']:.0%}]",
            "first place chosen": f"{one['first']:.0%}",
            "right of the decided": "none decided" if one["right"] is None else f"{one['right']:.0%}",
        }
        for one in result["pairs"]
    ]
    show_table(
        given.out,
        pairs,
        "An accepted item beside one that violates a constraint, in both orders",
        name="pairs",
    )
    save_figure(given.out, draw(result["detection"]))


if __name__ == "__main__":
    command(main)
