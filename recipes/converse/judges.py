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


def draw(detections: list[dict[str, Any]]) -> Figure:
    """Hits above false alarms by defect, one colour a judge."""
    figure = Figure(figsize=(7.5, 3.6), layout="constrained")
    axes = figure.subplots()
    defects = list(dict.fromkeys(detection["defect"] for detection in detections))
    judges = list(dict.fromkeys(detection["judge"] for detection in detections))
    for number, judge in enumerate(judges):
        colour = ("#0072b2", "#d55e00", "#009e73")[number % 3]
        for detection in (row for row in detections if row["judge"] == judge):
            place = defects.index(detection["defect"]) + 0.18 * (number - (len(judges) - 1) / 2)
            axes.plot([place, place], [detection["low"], detection["high"]], color=colour, linewidth=2)
            label = judge if detection["defect"] == defects[0] else None
            axes.plot([place], [detection["hit"] - detection["false_alarm"]], "o", color=colour, label=label)
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
            "judge": row["judge"],
            "defect": row["defect"],
            "noticed": f"{row['hit']:.0%}",
            "false alarms": f"{row['false_alarm']:.0%}",
            "difference": f"[{row['low']:+.2f}, {row['high']:+.2f}]",
            "n": row["n"],
            "aspect reported": "yes" if row["reported"] else "no",
        }
        for row in result["detection"]
    ]
    show_table(given.out, rows, f"Planted defects: {result['turns']} turns")
    agreement = [
        {
            "aspect": row["aspect"],
            "kappa": row["reason"] or f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]",
            "n": row["n"],
        }
        for row in result["agreement"]
    ]
    show_table(given.out, agreement, f"Agreement of {' and '.join(JUDGES)}", name="agreement")
    pairs = [
        {
            "judge": row["judge"],
            "pairs": row["valid"],
            "same choice in both orders": f"{row['consistent']:.0%} [{row['low']:.0%}, {row['high']:.0%}]",
            "first place chosen": f"{row['first']:.0%}",
            "right of the decided": "none decided" if row["right"] is None else f"{row['right']:.0%}",
        }
        for row in result["pairs"]
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
