"""Full-ranking evaluation of the pipeline beside its baselines: a run folder of metrics, figures, report."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.corpus.splits import Targets, had_before
from tastemaker.engine import mapped
from tastemaker.errors import InputError
from tastemaker.flows.data import last_snapshot
from tastemaker.flows.deploy import active
from tastemaker.flows.evaluation.sections import (
    HABIT,
    LATE,
    NOTHING,
    Outcome,
    alarm,
    comparisons,
    curves,
    headline,
    order_check,
    order_words,
    reach,
    repeats,
    semantic_ids,
    simple_beaten,
    sliced,
    table_text,
)
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.search import BLOCK, Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve import baselines as simple
from tastemaker.retrieve import evaluation
from tastemaker.retrieve.memory import GRID, Memory, Weighing, choose_weight, fit_memory, habits_for
from tastemaker.store import Workspace, read_arrays, write_arrays, write_bytes, write_json, write_text

Ints = npt.NDArray[np.integer[Any]]
OURS, ALONE, SASREC = "Tastemaker", "Tastemaker, model alone", "SASRec (full cross-entropy)"
BASELINES = ("popularity", "content", "cooccurrence", "sasrec")


def evaluate_workspace(
    workspace: Path, baselines: Sequence[str], part: str, users: int, report: Report
) -> dict[str, Any]:
    """`tastemaker evaluate`: each system on the same targets; metrics.json, report.html in a new run."""
    unknown = sorted(set(baselines) - set(BASELINES))
    if unknown or part not in ("test", "validation"):
        what = f"--baselines {unknown[0]}" if unknown else f"--part {part}"
        raise InputError(
            f"{what} is unknown; baselines are {', '.join(BASELINES)} or none, parts are test and validation"
        )
    opened = Workspace.open(workspace)
    with opened.lock("evaluation"):
        pipeline = Pipeline(opened, report, last_snapshot(opened))
        current = active(opened)
        if current is not None and current.base.why and not pipeline.finished("sft"):
            raise InputError(f"{workspace}: nothing to evaluate: no model was trained, {current.base.why}")
        work = Searched(str(opened.root.resolve()), part, users)
        _searching.cache_clear()
        searcher, targets = _searching(work)
        outcomes = ours(searcher, targets, partial(work.lists, pipeline, len(targets)))
        for name in baselines:
            outcomes += _baseline(pipeline, name, targets, report)
        document = _document(pipeline, outcomes, targets, part)
        folder = opened.new_run(f"evaluate-{part}")
        write_json(folder / "metrics.json", document)
        write_arrays(folder / "ranks.safetensors", {outcome.name: outcome.ranks for outcome in outcomes})
        _draw(document, folder)
    text = table_text(document) + f"\n\nreport: {folder / 'report.html'}"
    nothing = not outcomes[0].ranks.any()
    if nothing:
        text += (
            f"\n{NOTHING}; look at the tables (`tastemaker admin doctor`) and at the report's training curve"
        )
    return {"run": str(folder), **document, "text": text, "exit_code": int(nothing)}


def _draw(document: dict[str, Any], folder: Path) -> None:
    """The report page and its figures, for reading and for slides."""
    from tastemaker.reports.evaluation import render
    from tastemaker.reports.plots import drawings

    write_text(folder / "report.html", render(document))
    for name, figure in drawings(document).items():
        write_bytes(folder / "figures" / f"{name}.svg", figure.svg)
        write_bytes(folder / "figures" / f"{name}.png", figure.png)


@dataclass(frozen=True)
class Searched:
    """The batch function: rows of the targets -> the lists of these people, for each weight of the memory."""

    root: str
    part: str
    users: int

    def __call__(self, rows: tuple[int, int]) -> pa.Table:
        """A column a weight; `from_lists` reads it."""
        searcher, targets = _searching(self)
        keep = np.zeros(len(targets), bool)
        keep[slice(*rows)] = True
        by_weight = searcher.search_all(targets.context.keep_users(keep), weights=_weights(searcher))
        return pa.table(
            [pa.array([answer.items for answer in answers], pa.list_(pa.int64())) for answers in by_weight],
            names=[str(place) for place in range(len(by_weight))],
        )

    def lists(self, pipeline: Pipeline, people: int) -> list[list[Ints]]:
        """Of everybody, by the workspace's engine."""
        marks = [pipeline.tables, *(pipeline.fingerprint(name) for name in ("tokens", "sft", "memory"))]
        key = repr((*marks, self.part, self.users, asdict(pipeline.workspace.settings)))
        rows = [(start, min(start + BLOCK, people)) for start in range(0, people, BLOCK)]
        label = f"evaluate {OURS}"
        tables = pa.concat_tables(mapped(self, rows, pipeline.workspace, label, key, pipeline.report))
        return [[np.asarray(row.values) for row in column] for column in tables.columns]


@lru_cache(maxsize=1)
def _searching(work: Searched) -> tuple[Searcher, Targets]:
    """What a worker searches with, loaded once."""
    workspace = Workspace.open(work.root)
    pipeline = Pipeline(workspace, lambda *_: None, last_snapshot(workspace))
    targets = getattr(pipeline.data.split, work.part).sample(work.users, workspace.settings.seed)
    return Searcher(trained_parts(pipeline)), targets


def _weights(searcher: Searcher) -> list[float]:
    return [searcher.weight] if searcher.memory is None else [searcher.weight, 0.0]


def ours(searcher: Searcher, targets: Targets, lists: Callable[[], list[list[Ints]]]) -> list[Outcome]:
    """The pipeline's own answers, and the model's without the memory. lists: of all people, by weight."""
    started = time.monotonic()
    weights = _weights(searcher)
    names, by_weight = [OURS, ALONE][: len(weights)], lists()
    sample = targets.sample(1000, 0)
    other = evaluation.swapped(sample.context, 0)
    moved = replace(sample.context, offsets=other.offsets, items=other.items, times=None, worth=None)
    before, after = (searcher.search_all(contexts, weights=weights) for contexts in (sample.context, moved))
    seconds = time.monotonic() - started
    outcomes = []
    for place, name in enumerate(names):
        checked = [answer.items[:10] for answer in before[place] + after[place]]
        ranks = evaluation.rank_in_lists(by_weight[place], targets.target)
        outcomes.append(Outcome(name, ranks, [items[:10] for items in by_weight[place]], checked, seconds))
    return outcomes


def _scored(pipeline: Pipeline, label: str, score: evaluation.Score, targets: Targets) -> Outcome:
    """A recommender that scores every item."""
    started = time.monotonic()
    seen: Any = "remove" if pipeline.workspace.settings.remove_seen else "keep"
    ranks = evaluation.ranks_of_targets(score, targets.context, targets.target, seen)
    sample = targets.sample(1000, 0)
    before = evaluation.top_items(score, sample.context, seen=seen)
    after = evaluation.top_items(score, evaluation.swapped(sample.context, 0), seen=seen)
    lists = evaluation.top_items(score, targets.context, seen=seen)
    return Outcome(label, ranks, lists, before + after, time.monotonic() - started)


def _baseline(pipeline: Pipeline, name: str, targets: Targets, report: Report) -> list[Outcome]:
    """A baseline, and for SASRec also the control that is given the same memory."""
    data = pipeline.data
    n, train = len(data.item_ids), data.split.train
    report(f"evaluate {name}", 0, 1, "")
    if name == "sasrec":
        model = sasrec(pipeline, report)
        outcomes = [_scored(pipeline, SASREC, model.score, targets)]
        memory = fit_memory(train, n)
        outcomes.append(_control(pipeline, model.score, memory, targets))
        outcomes.append(_scored(pipeline, "memory of transitions alone", memory.score, targets))
    elif name == "popularity":
        outcomes = [_scored(pipeline, name, simple.popularity(train, n), targets)]
        if train.times is not None:
            late = simple.late_popularity(train.items, train.times, n)
            outcomes.append(_scored(pipeline, LATE, late, targets))
        if not pipeline.workspace.settings.remove_seen:
            outcomes.append(_scored(pipeline, HABIT, lambda contexts: simple.habit(contexts, n), targets))
    elif name == "content":
        views = load_views(pipeline.path("vectors"))
        vectors = next((views[name] for name in ("text", "audio", "image") if name in views), None)
        if vectors is None:
            report("evaluate content", 1, 1, "left out: no text, sound or cover tells the items apart")
            return []
        outcomes = [_scored(pipeline, "content neighbours", simple.content_knn(vectors), targets)]
    else:
        outcomes = [_scored(pipeline, "item co-occurrence", simple.cooccurrence(train, n), targets)]
    report(f"evaluate {name}", 1, 1, "")
    return outcomes


def _control(pipeline: Pipeline, score: evaluation.Score, memory: Memory, targets: Targets) -> Outcome:
    """Another recommender with the same memory added to all items, at the weight validation chooses."""
    settings = pipeline.workspace.settings
    seen: Any = "remove" if settings.remove_seen else "keep"
    validation = pipeline.data.split.validation.sample(4000, settings.seed)
    habits = habits_for(had_before(validation), settings.remove_seen)
    grid = [Weighing(weight, habit=habit) for weight, habit in product(GRID, habits)]

    def remembering(weighing: Weighing) -> evaluation.Score:
        return replace(memory, habit=weighing.habit).added_to(score, weighing.weight)

    ranks = [
        evaluation.ranks_of_targets(remembering(weighing), validation.context, validation.target, seen)
        for weighing in grid
    ]
    best, _ = choose_weight(np.stack(ranks), grid)
    name = f"SASRec with the same memory, weight {best.weight:g}" + (
        f" and habit {best.habit:g}" if best.habit else ""
    )
    return _scored(pipeline, name, remembering(best), targets)


def sasrec(pipeline: Pipeline, report: Report) -> Any:
    """The SASRec baseline as a stage of its own: trained once, resumed when killed."""
    from tastemaker.retrieve.sasrec import SASRec, SASRecSettings, fit_sasrec

    chosen = pipeline.workspace.settings
    settings = SASRecSettings(seed=chosen.seed, epochs=chosen.sasrec_epochs)

    def build(pipeline: Pipeline, folder: Path) -> None:
        def note(metrics: dict[str, float]) -> None:
            words = f"validation R@10 {metrics['recall@10']:.4f} N@10 {metrics['ndcg@10']:.4f}"
            report("SASRec", metrics["epoch"], settings.epochs, words + ", stops by itself")

        split = pipeline.data.split
        model = fit_sasrec(
            split.train, split.validation, len(pipeline.data.item_ids), settings, folder / "state", note
        )
        write_arrays(folder / "sasrec.safetensors", model.arrays())
        write_json(folder / "summary.json", {"says": "SASRec", "settings": asdict(settings)})

    folder, _ = pipeline.run("sasrec", build)
    return SASRec(len(pipeline.data.item_ids), settings).load(read_arrays(folder / "sasrec.safetensors"))


def _document(pipeline: Pipeline, outcomes: Sequence[Outcome], targets: Targets, part: str) -> dict[str, Any]:
    """Everything the run folder keeps, as `reports.render` takes it."""
    data, settings = pipeline.data, pipeline.workspace.settings
    simulated = any(str(user).startswith("simulated-") for user in data.histories.users[:1])
    order = order_words(data.histories)
    rules = (
        f"{part} targets of {len(targets):,} users, full ranking of {len(data.item_ids):,} items, seen items "
    )
    rules += "removed" if settings.remove_seen else "kept"
    others = [outcome for outcome in outcomes[1:] if not outcome.name.startswith(OURS)]
    metrics = headline(outcomes, SASREC) | {"comparisons": comparisons(outcomes[0], others)}
    return {
        "title": f"Evaluation of {settings.title}",
        "subtitle": f"{rules}; {settings.split.replace('_', ' ')}; {order}.",
        "notices": (
            ["Every listener in this data set is simulated; no real person's listening is shown."]
            if simulated
            else []
        ),
        "metrics": metrics,
        "alarms": [
            repeats(targets, settings.remove_seen),
            order_check(data, part, settings.remove_seen),
            simple_beaten(outcomes),
            *(alarm(outcome, len(data.item_ids)) for outcome in outcomes),
        ],
        "unreachable": had_before(targets) if settings.remove_seen else 0.0,
        "slices": sliced(
            outcomes, evaluation.slices(targets.target, data.training_counts, targets.context.lengths)
        ),
        "coverage": reach(outcomes, len(data.item_ids)),
        "sids": semantic_ids(pipeline),
        "training": curves(pipeline),
        "settings": {name: str(value) for name, value in asdict(settings).items()},
        "provenance": (
            {"tastemaker": version("tastemaker"), "tables": pipeline.tables}
            | {name: pipeline.fingerprint(name) for name in ("tokens", "sft")}
        ),
        "commands": [shlex.join(["tastemaker", *sys.argv[1:]])],
    }
