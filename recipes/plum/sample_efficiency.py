"""How much data it takes: our model, with and without counts, beside SASRec and counting, each trained on 5
to 100 % of the people and tested on all of them.

Smaller shares are parts of larger ones. People outside a share are strangers to what was trained on it: only
their histories are read when they are tested. A share that was stopped goes on where it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, shares, show_table
from recipes.plum.arms import Study, difference, mean_interval, measures, tested
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.flows.evaluation.evaluate import ALONE, OURS, SASREC, sasrec
from tastemaker.retrieve.evaluation import ranks_of_targets
from tastemaker.retrieve.memory import fit_memory

COUNTS = "memory of transitions alone"
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)


def one_share(study: Study, share: float, sequential: bool) -> dict[str, list[int]]:
    """Ranks of everybody's last event by system, trained on a share of the people."""
    targets = study.targets
    with progress() as report:
        pipeline = study.trained(f"share-{share:g}", {}, report, share, "memory")
        data = pipeline.data
        ranks = {OURS: tested(pipeline, targets, True), ALONE: tested(pipeline, targets)}
        scores = {COUNTS: fit_memory(data.split.train, len(data.item_ids)).score}
        if sequential:
            scores[SASREC] = sasrec(pipeline, report).score
    seen: Any = "remove" if pipeline.workspace.settings.remove_seen else "keep"
    for name, score in scores.items():
        places = ranks_of_targets(score, targets.context, targets.target, seen)
        ranks[name] = [int(rank) for rank in places]
    return ranks


def main() -> None:
    """Parse, train every share, print, draw."""
    options = parser(main, "two shares, two passes, no SASRec: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(SETS))
    options.add_argument("--shares", type=shares, default=list(SHARES), help="of the people, such as .1,.5,1")
    arguments = read_arguments(options, "sample_efficiency")
    out = arguments.out / arguments.data
    parts = [0.05, 0.1] if arguments.quick else arguments.shares
    settings = {"seed": arguments.seed, "ensemble": 1} | ({"sft_epochs": 2} if arguments.quick else {})
    study = Study(out, arguments.data, settings)
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out, settings)
    runs = journal.run(parts, lambda share: one_share(study, share, not arguments.quick), "shares")
    rows, lines = [], dict[str, list[tuple[float, float]]]()
    for share, run in zip(parts, runs, strict=True):
        people = {name: measures(np.array(ranks)) for name, ranks in run.items()}
        for name, own in people.items():
            row = {"people": f"{share:.0%}", "system": name}
            row |= {label: mean_interval(values) for label, values in own.items()}
            for other in (SASREC, COUNTS):
                row[f"N@10 to {other}"] = (
                    difference(own["N@10"], people[other]["N@10"])
                    if other in people and name in (OURS, ALONE)
                    else ""
                )
            rows.append(row)
            lines.setdefault(name, []).append((share, float(own["N@10"].mean())))
    title = f"Share of the people trained on, {SETS[arguments.data][0]}, seed {arguments.seed}"
    show_table(out, rows, title + (" (quick: inconclusive)" if arguments.quick else ""), words(lines))
    save_figure(out, draw(lines))


def words(lines: dict[str, list[tuple[float, float]]]) -> str:
    """What share of the people the others need all of them for."""
    ours, sentences = lines[OURS], []
    for name in (SASREC, COUNTS):
        if name in lines:
            goal = lines[name][-1][1]
            enough = [share for share, value in ours if value >= goal]
            sentences.append(
                f"{OURS} reaches what {name} has with {lines[name][-1][0]:.0%} of the people with"
                f" {min(enough):.0%}."
                if enough
                else f"{OURS} does not reach what {name} has with {lines[name][-1][0]:.0%} of the people."
            )
    return " ".join(sentences)


def draw(lines: dict[str, list[tuple[float, float]]]) -> Figure:
    """N@10 by share."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.add_subplot()
    for name, points in lines.items():
        shares, values = zip(*points, strict=True)
        axes.plot(shares, values, "o-", label=name, linewidth=2 if name == OURS else 1)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{share:.0%}" for share in shares])
    axes.set_xlabel("share of the people that were trained on")
    axes.set_ylabel("N@10 of all people, test part")
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    command(main)
