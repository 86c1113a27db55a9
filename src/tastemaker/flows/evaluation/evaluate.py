"""Full-ranking evaluation of the pipeline beside its baselines: one run folder with metrics, figures and a
report.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import Targets, leave_one_out, swap_last_two
from tastemaker.errors import InputError
from tastemaker.flows.data import last_snapshot
from tastemaker.flows.deploy import active
from tastemaker.flows.evaluation.sections import (
    comparisons,
    curves,
    headline,
    reach,
    semantic_ids,
    sliced,
    table_text,
)
from tastemaker.flows.pipeline import Pipeline, Report
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve import baselines as simple
from tastemaker.retrieve import evaluation
from tastemaker.retrieve.candidates import Candidates
from tastemaker.retrieve.memory import GRID, Memory, fit_memory
from tastemaker.stats.ranking import ndcg_at
from tastemaker.store import Workspace, read_arrays, write_arrays, write_bytes, write_json, write_text

Ints = npt.NDArray[np.integer[Any]]
OURS, SASREC = "Tastemaker", "SASRec (full cross-entropy)"
NOTHING = "every metric is 0: not one person's item is in their list; these numbers measure nothing"
BASELINES = ("popularity", "content", "cooccurrence", "sasrec")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one system did: `ranks` (U,) of the targets (0 = not found), its top-10 `lists`, and those of the
    swap check.
    """

    name: str
    ranks: Ints
    lists: Sequence[Ints]
    swapped: Sequence[Ints]
    seconds: float


def evaluate_workspace(
    workspace: Path, baselines: Sequence[str], part: str, users: int, report: Report
) -> dict[str, Any]:
    """`tastemaker evaluate`: every system on the same users and targets; metrics.json and report.html in a
    new run folder.
    """
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
        searcher = Searcher(trained_parts(pipeline))
        targets = getattr(pipeline.data.split, part).sample(users, opened.settings.seed)
        outcomes = ours(searcher, targets, report)
        for name in baselines:
            outcomes += _baseline(pipeline, name, targets, report)
        document = _document(pipeline, outcomes, targets, part)
        stress = (
            _stress(searcher, users, report) if part == "test" and opened.settings.split != "time" else None
        )
        if stress is not None:
            document["metrics"]["methods"].append(stress)
        folder = opened.new_run(f"evaluate-{part}")
        write_json(folder / "metrics.json", document)
        write_arrays(folder / "ranks.safetensors", {one.name: one.ranks for one in outcomes})
        _draw(document, folder)
    text = table_text(document) + f"\n\nreport: {folder / 'report.html'}"
    nothing = not outcomes[0].ranks.any()
    if nothing:
        text += f"\n{NOTHING}; look at the tables (`tastemaker doctor`) and at the report's training curve"
    return {"run": str(folder), **document, "text": text, "exit_code": int(nothing)}


def _draw(document: dict[str, Any], folder: Path) -> None:
    """The report page and its figures, for reading and for slides."""
    from tastemaker.reports.evaluation import render
    from tastemaker.reports.plots import drawings

    write_text(folder / "report.html", render(document))
    for name, figure in drawings(document).items():
        write_bytes(folder / "figures" / f"{name}.svg", figure.svg)
        write_bytes(folder / "figures" / f"{name}.png", figure.png)


def ours(searcher: Searcher, targets: Targets, report: Report) -> list[Outcome]:
    """The pipeline's own answers, and the language model's without the memory: the same searches, ranked
    twice.
    """
    started = time.monotonic()
    found = searcher.search_all(
        targets.context, lambda done: report(f"evaluate {OURS}", done, len(targets), "")
    )
    few = targets.sample(1000, 0)
    other = evaluation.swapped(few.context, 0)
    moved = replace(few.context, offsets=other.offsets, items=other.items, times=None)
    searched = [(contexts, searcher.search_all(contexts)) for contexts in (few.context, moved)]
    seconds = time.monotonic() - started

    def outcome(
        name: str, remember: Callable[[Histories, Sequence[Candidates]], Sequence[Candidates]]
    ) -> Outcome:
        lists = [one.items for one in remember(targets.context, found)]
        before, after = ([one.items[:10] for one in remember(contexts, some)] for contexts, some in searched)
        ranks = evaluation.rank_in_lists(lists, targets.target)
        return Outcome(name, ranks, [one[:10] for one in lists], before + after, seconds)

    outcomes = [outcome(OURS, searcher.remember)]
    if searcher.memory is not None:
        outcomes.append(outcome(f"{OURS}, language model alone", lambda contexts, some: some))
    return outcomes


def _scored(pipeline: Pipeline, label: str, score: evaluation.Score, targets: Targets) -> Outcome:
    """A recommender that scores every item."""
    started = time.monotonic()
    seen: Any = "remove" if pipeline.workspace.settings.remove_seen else "keep"
    ranks = evaluation.ranks_of_targets(score, targets.context, targets.target, seen)
    few = targets.sample(1000, 0)
    before = evaluation.top_items(score, few.context, seen=seen)
    after = evaluation.top_items(score, evaluation.swapped(few.context, 0), seen=seen)
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
        weight = _control_weight(pipeline, model.score, memory)
        outcomes.append(
            _scored(
                pipeline,
                f"SASRec with the same memory, weight {weight:g}",
                memory.beside(model.score, weight),
                targets,
            )
        )
        outcomes.append(_scored(pipeline, "memory of transitions alone", memory.score, targets))
    elif name == "popularity":
        outcomes = [_scored(pipeline, name, simple.popularity(train, n), targets)]
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


def _control_weight(pipeline: Pipeline, score: evaluation.Score, memory: Memory) -> float:
    """The memory's weight beside another recommender, chosen as ours is: N@10 of a sample of validation
    users.
    """
    targets = pipeline.data.split.validation.sample(4000, pipeline.workspace.settings.seed)
    seen: Any = "remove" if pipeline.workspace.settings.remove_seen else "keep"
    found = {}
    for weight in GRID:
        ranks = evaluation.ranks_of_targets(
            memory.beside(score, weight), targets.context, targets.target, seen
        )
        found[weight] = float(ndcg_at(ranks, 10).mean())
    return max(found, key=lambda weight: (found[weight], -weight))


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


def _stress(searcher: Searcher, users: int, report: Report) -> dict[str, Any]:
    """The same model with the last two events of a keyed 29.3 % of users swapped: what does the order inside
    a day carry?
    """
    swapped = swap_last_two(searcher.data.histories, 0.293, "stress")
    targets = leave_one_out(swapped).test.sample(users, searcher.settings.seed)
    found = searcher.search_all(
        targets.context, lambda done: report("evaluate swapped ends", done, len(targets), "")
    )
    ranks = evaluation.rank_in_lists(
        [one.items for one in searcher.remember(targets.context, found)], targets.target
    )
    outcome = Outcome(f"{OURS}, last two events swapped for 29.3 % of users", ranks, [], [], 0.0)
    return dict(headline([outcome], None)["methods"][0]) | {"highlight": False}


def _alarm(one: Outcome, n_items: int) -> dict[str, Any]:
    """Whether a system collapsed or ignores the user."""
    if not one.ranks.any():
        return {"name": one.name, "ok": False, "text": NOTHING}
    half = len(one.swapped) // 2
    found = evaluation.breadth(one.swapped[:half], n_items, one.swapped[half:])
    fine = (
        f"{found.distinct:,} distinct items for {half:,} users; {found.unchanged:.1%} of lists stay when"
        " histories are swapped"
    )
    return {"name": one.name, "ok": not found.alarms, "text": "; ".join(found.alarms) or fine}


def had_before(targets: Targets) -> float:
    """The share of targets that stand in their own person's context."""
    if not len(targets):
        return 0.0
    own = np.repeat(targets.target, targets.context.lengths) == targets.context.items
    rows = targets.context.user_rows[own]
    return len(np.unique(rows)) / len(targets)


def _repeats(targets: Targets, removed: bool) -> dict[str, Any]:
    """Whether targets were had before, so that nothing can find them where seen items are removed."""
    share = had_before(targets)
    text = f"{share:.1%} of targets were had before"
    if share and removed:
        text += " and cannot be found: people repeat items here; set remove_seen = false in tastemaker.toml"
    return {"name": "repeated items", "ok": not (removed and share >= 0.01), "text": text}


def _document(pipeline: Pipeline, outcomes: Sequence[Outcome], targets: Targets, part: str) -> dict[str, Any]:
    """Everything the run folder keeps, as `reports.render` takes it."""
    data, settings = pipeline.data, pipeline.workspace.settings
    simulated = any(str(user).startswith("simulated-") for user in data.histories.users[:1])
    order = (
        "events in the order of `position` (raw order)"
        if data.histories.times is None
        else "events in order of time"
    )
    rules = (
        f"{part} targets of {len(targets):,} users, full ranking of {len(data.item_ids):,} items, seen items "
    )
    rules += "removed" if settings.remove_seen else "kept"
    others = [one for one in outcomes[1:] if not one.name.startswith(OURS)]
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
            _repeats(targets, settings.remove_seen),
            *(_alarm(one, len(data.item_ids)) for one in outcomes),
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
