"""The next-item table: our chain and its baselines on a public data set, as means over seeds.

Every seed is a workspace of its own (ingest, train, evaluate; finished stages are reused, killed ones
resume). Ranks of the same
users are averaged over seeds before users are resampled: intervals are about users, the spread of the seeds
stands beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from recipes.common import DATA, command, parser, read_arguments, save_figure, show_table, whole_numbers
from tastemaker.cli.progress import progress
from tastemaker.errors import InputError
from tastemaker.flows.evaluation.evaluate import ALONE, BASELINES, OURS, SASREC, evaluate_workspace
from tastemaker.flows.evaluation.sections import SIMPLE
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.train import run_stages
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.ranking import ndcg_at, recall_at
from tastemaker.store import Workspace, read_arrays, write_arrays
from tastemaker.store.settings import SETTINGS_FILE

SETS: dict[str, tuple[str, dict[str, Any]]] = {
    "beauty": ("amazon-beauty-2014", {"remove_seen": True}),
    "office": ("amazon-office-2018", {"remove_seen": False}),
}
CONTROL = "SASRec with the same memory"
Ranks = dict[str, npt.NDArray[Any]]


def run_seed(folder: Path, data: Path, dials: Mapping[str, Any], baselines: Sequence[str]) -> Ranks:
    """Ranks of the test targets (0 = not found) by system, of one workspace brought up to date; what an
    earlier run measured of the same model is read back.
    """
    if not (folder / SETTINGS_FILE).exists():
        Workspace.create(folder, dials)
    workspace = Workspace.open(folder)
    if not workspace.has_tables():
        ingest_files(folder, *tables(data))
    with progress() as report:
        run_stages(folder, report, until="memory")
        mark = Pipeline(workspace, report).fingerprint("memory")
        done = folder / f"test-{mark[:12]}-{len(baselines)}.safetensors"
        if not done.exists():
            run = Path(evaluate_workspace(folder, baselines, "test", 0, report)["run"])
            metrics = json.loads((run / "metrics.json").read_text())["metrics"]
            names = {method["name"] for method in metrics["methods"]}
            ranks = read_arrays(run / "ranks.safetensors")
            write_arrays(done, {stem(name): own for name, own in ranks.items() if name in names})
    ranks = dict(read_arrays(done))
    return {ALONE: ranks[OURS]} | ranks  # with a memory of weight 0 the model alone is the system


def tables(data: Path) -> tuple[Path, Path]:
    """Items and interactions of a folder: two Parquet files, or RecBole's atomic files. Raises InputError
    where there are neither.
    """
    paths = (data / "items.parquet", data / "interactions.parquet")
    if not paths[0].exists():
        paths = (data / f"{data.name}.item", data / f"{data.name}.inter")
    for path in paths:
        if not path.exists():
            raise InputError(f"{data}: holds neither items.parquet nor {data.name}.item with interactions")
    return paths


def summarise(seeds: Sequence[Ranks]) -> tuple[list[dict[str, Any]], str]:
    """One row a system: mean over seeds of R@10 and N@10 with user-bootstrap intervals and the spread of the
    seeds; then our paired differences; and in words whether counting is enough.
    """
    measures = {"R@10": recall_at, "N@10": ndcg_at}
    means = {
        name: {
            label: np.stack([m(ranks[name], 10) for ranks in seeds if name in ranks])
            for label, m in measures.items()
        }
        for name in seeds[0]
    }
    rows = []
    for name, own in means.items():
        row: dict[str, Any] = {"system": name}
        for label, by_seed in own.items():
            interval = bootstrap(by_seed.mean(axis=0), 0)
            row[label] = f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
            row[f"{label} of seeds"] = " ".join(f"{value:.4f}" for value in by_seed.mean(axis=1))
        rows.append(row)
    simple = {name: means[name]["N@10"].mean(axis=0) for name in SIMPLE if name in means}
    best = max(simple, key=lambda name: float(simple[name].mean()))
    for ours, other in ((ALONE, SASREC), (OURS, SASREC), (OURS, CONTROL), (ALONE, best), (OURS, best)):
        if ours in means and other in means:
            row = {"system": f"{ours} minus {other}, paired"}
            for label in measures:
                gap = paired_bootstrap(means[ours][label].mean(axis=0), means[other][label].mean(axis=0), 0)
                row[label] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
            rows.append(row)
    columns = list(rows[0])
    words = in_words(means[OURS]["N@10"].mean(axis=0), simple, OURS)
    return [{column: row.get(column, "") for column in columns} for row in rows], words


def in_words(ours: npt.NDArray[Any], simple: Mapping[str, npt.NDArray[Any]], name: str) -> str:
    """Whether the best simple baseline would do as well: the paired difference in N@10, in a sentence.

    ours (U,), simple: name -> (U,), N@10 of the same users.
    """
    best = max(simple, key=lambda baseline: float(simple[baseline].mean()))
    gap = paired_bootstrap(ours, simple[best], seed=0)
    shown = f"N@10 {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] to the best simple baseline, {best}"
    if gap.low > 0:
        return f"{name} is better than counting here: {shown}."
    return f"Counting is enough here: {name} {shown}."


def draw(seeds: Sequence[Ranks]) -> Figure:
    """Bars of N@10 with 95 % intervals, a dot for every seed."""
    figure = Figure(figsize=(8, 0.5 * len(seeds[0]) + 1.2))
    axes = figure.add_subplot()
    for place, name in enumerate(reversed(list(seeds[0]))):
        by_seed = np.stack([ndcg_at(ranks[name], 10) for ranks in seeds if name in ranks])
        interval = bootstrap(by_seed.mean(axis=0), 0)
        axes.barh(place, interval.value, color="#b4542b" if name.startswith(OURS) else "#8a93a0", height=0.6)
        axes.errorbar(
            interval.value,
            place,
            xerr=[[interval.value - interval.low], [interval.high - interval.value]],
            color="black",
            capsize=3,
        )
        axes.plot(by_seed.mean(axis=1), [place + 0.38] * len(by_seed), ".", color="black", markersize=4)
    axes.set_yticks(range(len(seeds[0])), list(reversed(list(seeds[0]))))
    axes.set_xlabel("N@10 on the test part; bars: mean over seeds with 95 % interval over users; dots: seeds")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Parse, run every seed, print the table, save the figure."""
    options = parser(main, "one seed, without SASRec: inconclusive")
    options.add_argument(
        "--data",
        default="beauty",
        help=(
            "beauty, office, or a folder with items.parquet and interactions.parquet, or with RecBole's"
            " NAME.item and NAME.inter"
        ),
    )
    options.add_argument("--split", default="leave_one_out", choices=("leave_one_out", "time"))
    options.add_argument("--seeds", type=whole_numbers, default=[0, 1, 2])
    options.add_argument(
        "--controls",
        default="all",
        choices=("all", "first"),
        help="train SASRec and score the baselines for every seed, or for the first alone",
    )
    arguments = read_arguments(options, "next_item")
    arguments.out = arguments.out / Path(arguments.data).name
    if arguments.split != "leave_one_out":
        arguments.out = arguments.out.with_name(f"{arguments.out.name}-{arguments.split}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    name, dials = SETS.get(arguments.data, (arguments.data, {}))
    data = DATA / name if arguments.data in SETS else Path(name)
    baselines = [baseline for baseline in BASELINES if baseline != "sasrec" or not arguments.quick]
    seeds = [arguments.seed] if arguments.quick else arguments.seeds
    title = f"{data.name}, split by {arguments.split}, seeds {', '.join(map(str, seeds))}" + (
        " (quick: inconclusive)" if arguments.quick else ""
    )
    runs = []
    for place, seed in enumerate(seeds):
        own = {"seed": seed, "text_view": "tfidf", "threads": 1, "split": arguments.split} | dials
        asked = baselines if arguments.controls == "all" or not place else []
        runs.append(run_seed(arguments.out / f"seed-{seed}", data, own, asked))
    rows, words = summarise(runs)
    show_table(arguments.out, rows, title, words)
    save_figure(arguments.out, draw(runs))


def stem(name: str) -> str:
    """The chosen weight differs between seeds; the system is the same."""
    return name.split(", weight ")[0]


if __name__ == "__main__":
    command(main)
