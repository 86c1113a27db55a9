"""Fine-tuning whose targets are sampled by the proxy, beside fine-tuning as it is: accuracy, predicted
answers, returning.

The catalogue, listeners and days of asking of `live_loop` (world `item`, simulated). A proxy is fitted on the
answers; the model is fine-tuned once more with `reward` set to it, from the same base and tables. Both then
recommend to the same listeners from the same histories, without any adjustment of the ranking. Compared on
each listener: whether their last play is found (leave one out), the proxy's expected share of good answers in
the first ten (the scores of the two models are no part of it: they stand at their mean, as when sampling),
and the true chance of returning after the first place. The proxy that judges is the one that sampled, so its
number says whether sampling works, not whether it does good; the truth says that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from recipes.common import Journal, command, parser, read_arguments, save_figure, show_table
from recipes.retention.impressions import draw_impressions, expected_return
from recipes.retention.live_loop import Town, build, live, points, serve, settle
from tastemaker.cli.progress import progress
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.retention.live.context import Context, load_deployed
from tastemaker.flows.retention.live.fit import fit_live
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.flows.train import BUILDERS, order
from tastemaker.rehearse.town import ASKING
from tastemaker.retention.features import SERVED, matrix
from tastemaker.retention.proxy.model import predict_arrays
from tastemaker.retrieve.evaluation import rank_in_lists
from tastemaker.stats.intervals import bootstrap
from tastemaker.stats.ranking import ndcg_at, recall_at
from tastemaker.store import Workspace

NAME = "retentive_reward"
MEASURES = {
    "recall": "last play among the first ten",
    "ndcg": "N@10 of the last play",
    "proxy": "predicted good answers, first ten",
    "true": "true chance of returning, first place",
}


def main() -> None:
    """Build, ask, fit, fine-tune twice, compare, for every seed; show."""
    options = parser(main, "one seed, 300 listeners, 100 tunes and a small model")
    options.add_argument("--seeds", type=int, default=3, help="how many catalogues, from --seed on")
    arguments = read_arguments(options, NAME)
    size, days = ((100, 300), 12) if arguments.quick else ((300, 800), 8)
    journal = Journal(
        arguments.out, {"quick": arguments.quick, "tunes": size[0], "listeners": size[1], "days": days}
    )
    seeds = list(range(arguments.seed, arguments.seed + (1 if arguments.quick else arguments.seeds)))
    compared = journal.run(
        seeds, lambda seed: compare(arguments, seed, size, days), "fine-tuning by the proxy"
    )
    show(arguments, seeds, compared)


def compare(arguments: Any, seed: int, size: tuple[int, int], days: int) -> dict[str, Any]:
    """Every measure of every listener under both models, as differences, with the plain model's mean."""
    folder = arguments.out / f"workspace-{seed}"
    build(folder, size, seed, arguments.quick)
    for old in folder.glob("tastemaker.sqlite*"):
        old.unlink()
    town = settle(folder, size[1], "item", seed)
    service = serve(folder, town, ASKING)
    for day in range(days):
        live(service, town, day, f"ask{day}")
    with progress(True) as report:
        fitted = fit_live(folder, report, least=200, deploy=False)
    opened = Workspace.open(folder)
    plain = measured(opened, town, fitted["proxy"])
    sampled = measured(
        replace(opened, settings=replace(opened.settings, reward=fitted["proxy"])), town, fitted["proxy"]
    )
    out: dict[str, Any] = {"skill": fitted["skill"], "listeners": len(plain["recall"])}
    for name in MEASURES:
        change = bootstrap(sampled[name] - plain[name], f"{seed} {name}")
        out[name] = {"plain": plain[name].mean(), "change": [change.value, change.low, change.high]}
    return out


def measured(workspace: Workspace, town: Town, mark: str) -> dict[str, Any]:
    """Each measure (U,) of the model that a workspace's dials ask for, trained if it is not there."""
    with progress(True) as report:
        pipeline = Pipeline(workspace, report)
        for name in order(pipeline, "memory"):
            pipeline.run(name, BUILDERS[name])
    searcher = Searcher(trained_parts(pipeline))
    targets = pipeline.data.split.test
    (result,) = searcher.search_all(targets.context)
    lists = [entry.items for entry in result]
    ranks = rank_in_lists(lists, targets.target)
    proxy = load_deployed(workspace, mark)
    context = Context(pipeline.data, workspace.table("interactions", full=False), pipeline.data.split.train)
    good = np.empty(len(lists))
    for row, entry in enumerate(result):
        items, scores = entry.items[:10], entry.scores[:10]
        person = context.person(str(targets.context.users[row]), targets.context.of(row).tolist())
        seen = context.features(person, items, scores)
        seen |= {name: np.full(len(items), proxy.about["means"][name]) for name in SERVED}
        good[row] = predict_arrays(proxy, matrix(seen, proxy.settings.features, len(items)))[0].mean()
    first = [pipeline.data.item_ids[each[0]] for each in lists]
    who = np.array([town.users.index(str(user)) for user in targets.context.users], np.int64)
    columns = [town.rows[item] for item in first]
    met = draw_impressions(
        town.world, town.listeners, who, first, town.liking[who, columns], town.quality[columns], 0, town.seed
    )
    return {
        "recall": recall_at(ranks, 10),
        "ndcg": ndcg_at(ranks, 10),
        "proxy": good,
        "true": expected_return(town.world, met),
    }


def show(arguments: Any, seeds: list[int], compared: list[dict[str, Any]]) -> None:
    """One row a seed and measure; a figure of the differences."""
    rows = [
        {
            "measure": label,
            "seed": seed,
            "listeners": f"{item['listeners']:,}",
            "plain": f"{100 * item[name]['plain']:.2f} %",
            "sampled by the proxy, points": points(item[name]["change"]),
        }
        for name, label in MEASURES.items()
        for seed, item in zip(seeds, compared, strict=True)
    ]
    skills = ", ".join(f"{item['skill']:.3f}" for item in compared)
    note = (
        "Paired over listeners, 95 %. Share of the log loss of knowing only the average that the proxies"
        f" take away on unseen people: {skills}."
    )
    show_table(arguments.out, rows, "Fine-tuning sampled by the proxy (simulated listeners)", note)
    save_figure(arguments.out, picture(seeds, compared))


def picture(seeds: list[int], compared: list[dict[str, Any]]) -> Figure:
    """Differences by measure and seed."""
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(seeds) * len(MEASURES)), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(MEASURES):
        for shift, item in enumerate(compared):
            value, low, high = (100 * each for each in item[name]["change"])
            at = place + 0.7 * (shift + 0.5) / len(seeds) - 0.35
            axes.errorbar(
                value,
                at,
                xerr=[[value - low], [high - value]],
                fmt="o",
                color="#1f5f8b",
                capsize=3,
                markersize=4,
            )
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(MEASURES)), list(MEASURES.values()))
    axes.set_ylim(len(MEASURES) - 0.5, -0.5)
    axes.set(xlabel="sampled by the proxy minus plain, percentage points, 95 % (one mark a seed)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    command(main)
