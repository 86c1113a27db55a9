"""Full-ranking evaluation of the chain beside its baselines: one run folder with metrics, figures and a report."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker import __version__
from tastemaker.corpus.splits import Targets, leave_one_out, swap_last_two
from tastemaker.errors import InputError
from tastemaker.flows.chain import Chain, Report
from tastemaker.flows.evaluation.sections import curves, headline, reach, semantic_ids, sliced, table_text
from tastemaker.flows.recommend import Recommender
from tastemaker.flows.stages.vectors import load_views
from tastemaker.retrieve import baselines as simple
from tastemaker.retrieve import evaluation
from tastemaker.stats.random import generator
from tastemaker.store import Workspace, read_arrays, write_arrays, write_bytes, write_json, write_text

Ints = npt.NDArray[np.integer[Any]]
OURS, SASREC = "Tastemaker", "SASRec (full cross-entropy)"
BASELINES = ("popularity", "content", "cooccurrence", "sasrec")
DEPTH = 20


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one system did: `ranks` (U,) of the targets (0 = not found), its top-10 `lists`, and those of the swap check."""

    name: str
    ranks: Ints
    lists: list[Ints]
    swapped: list[Ints]
    seconds: float


def evaluate_workspace(workspace: Path, baselines: Sequence[str], part: str, users: int, report: Report) -> dict[str, Any]:
    """`tastemaker evaluate`: every system on the same users and targets; metrics.json and report.html in a new run folder."""
    unknown = sorted(set(baselines) - set(BASELINES))
    if unknown or part not in ("test", "validation"):
        what = f"--baselines {unknown[0]}" if unknown else f"--part {part}"
        raise InputError(f"{what} is unknown; baselines are {', '.join(BASELINES)} or none, parts are test and validation")
    opened = Workspace.open(workspace)
    with opened.lock("evaluation"):
        chain = Chain(opened, report)
        recommender = Recommender(chain)
        targets = sample(getattr(chain.data.split, part), users, opened.settings["seed"])
        outcomes = [ours(recommender, targets, report)]
        outcomes += [_baseline(chain, name, targets, report) for name in baselines]
        document = _document(chain, outcomes, targets, part)
        stress = _stress(recommender, users, report) if part == "test" and opened.settings["split"] != "time" else None
        if stress is not None:
            document["metrics"]["methods"].append(stress)
        folder = opened.new_run(f"evaluate-{part}")
        write_json(folder / "metrics.json", document)
        write_arrays(folder / "ranks.safetensors", {one.name: one.ranks for one in outcomes})
        _draw(document, folder)
    text = table_text(document) + f"\n\nreport: {folder / 'report.html'}"
    return {"run": str(folder), **document, "text": text}


def _draw(document: dict[str, Any], folder: Path) -> None:
    """The report page and its figures, for reading and for slides."""
    from tastemaker.reports.page import render
    from tastemaker.reports.plots import drawings

    write_text(folder / "report.html", render(document))
    for name, figure in drawings(document).items():
        write_bytes(folder / "figures" / f"{name}.svg", figure.svg)
        write_bytes(folder / "figures" / f"{name}.png", figure.png)


def sample(targets: Targets, users: int, seed: int) -> Targets:
    """A keyed sample of `users` users; all of them when 0."""
    if not users or users >= len(targets):
        return targets
    keep = np.zeros(len(targets), bool)
    keep[generator(seed, "evaluated users").choice(len(targets), users, replace=False)] = True
    return targets.keep(keep)


def ours(recommender: Recommender, targets: Targets, report: Report) -> Outcome:
    """The chain's own answers: constrained beam search, seen items treated as the workspace says."""
    started = time.monotonic()
    lists = _answers(recommender, targets.context, report, OURS)
    ranks = evaluation.rank_in_lists(lists, targets.target)
    few = sample(targets, 1000, 0)
    other = evaluation.swapped(few.context, 0)
    moved = replace(few.context, offsets=other.offsets, items=other.items, times=None)
    return Outcome(
        OURS,
        ranks,
        [one[:10] for one in lists],
        _pair(_answers(recommender, few.context, report, ""), _answers(recommender, moved, report, "")),
        time.monotonic() - started,
    )


def _pair(before: list[Ints], after: list[Ints]) -> list[Ints]:
    """Both halves of the swap check in one list: the sampled users' lists, then those made from another's history."""
    return [one[:10] for one in before] + [one[:10] for one in after]


def _answers(recommender: Recommender, contexts: Any, report: Report, task: str) -> list[Ints]:
    """(U,) ranked item indices, `DEPTH` deep, in blocks so that progress shows and memory stays flat."""
    lists: list[Ints] = []
    remove = recommender.dials["remove_seen"]
    for rows in evaluation.batches(len(contexts), 2048):
        keep = np.zeros(len(contexts), bool)
        keep[rows] = True
        part = contexts.keep_users(keep)
        allowed = [recommender.allow_all_but(part.of(row) if remove else ()) for row in range(len(part))]
        lists += [one.items for one in recommender.candidates(part, allowed, DEPTH)]
        if task:
            report(f"evaluate {task}", len(lists), len(contexts), "")
    return lists


def _baseline(chain: Chain, name: str, targets: Targets, report: Report) -> Outcome:
    started = time.monotonic()
    data = chain.data
    n, train = len(data.item_ids), data.split.train
    seen: Any = "remove" if chain.workspace.settings["remove_seen"] else "keep"
    score: Callable[[Any], Any]
    label = {"popularity": "popularity", "content": "content neighbours", "cooccurrence": "item co-occurrence", "sasrec": SASREC}[
        name
    ]
    report(f"evaluate {label}", 0, 1, "")
    if name == "popularity":
        score = simple.popularity(train, n)
    elif name == "content":
        score = simple.content_knn(load_views(chain.path("vectors"))["text"])
    elif name == "cooccurrence":
        score = simple.cooccurrence(train, n)
    else:
        score = sasrec(chain, report).score
    ranks = evaluation.ranks_of_targets(score, targets.context, targets.target, seen)
    few = sample(targets, 1000, 0)
    pair = _pair(
        evaluation.top_items(score, few.context, seen=seen),
        evaluation.top_items(score, evaluation.swapped(few.context, 0), seen=seen),
    )
    lists = evaluation.top_items(score, targets.context, seen=seen)
    report(f"evaluate {label}", 1, 1, "")
    return Outcome(label, ranks, lists, pair, time.monotonic() - started)


def sasrec(chain: Chain, report: Report) -> Any:
    """The SASRec baseline as a stage of its own: trained once, resumed when killed."""
    from tastemaker.retrieve.sasrec import SASRec, SASRecSettings, fit_sasrec

    dials = chain.workspace.settings
    settings = SASRecSettings(seed=dials["seed"], epochs=dials["sasrec_epochs"])

    def build(chain: Chain, folder: Path) -> None:
        def note(metrics: dict[str, float]) -> None:
            words = f"validation R@10 {metrics['recall@10']:.4f} N@10 {metrics['ndcg@10']:.4f}"
            report("SASRec", metrics["epoch"], settings.epochs, words + ", stops by itself")

        split = chain.data.split
        model = fit_sasrec(split.train, split.validation, len(chain.data.item_ids), settings, folder / "state", note)
        write_arrays(folder / "sasrec.safetensors", model.arrays())
        write_json(folder / "summary.json", {"says": "SASRec", "settings": asdict(settings)})

    folder, _ = chain.run("sasrec", build)
    return SASRec(len(chain.data.item_ids), settings).load(read_arrays(folder / "sasrec.safetensors"))


def _stress(recommender: Recommender, users: int, report: Report) -> dict[str, Any]:
    """The same model with the last two events of a keyed 29.3 % of users swapped: what does the order inside a day carry?"""
    swapped = swap_last_two(recommender.data.histories, 0.293, "stress")
    targets = sample(leave_one_out(swapped).test, users, recommender.dials["seed"])
    lists = _answers(recommender, targets.context, report, "with swapped ends")
    ranks = evaluation.rank_in_lists(lists, targets.target)
    outcome = Outcome(f"{OURS}, last two events swapped for 29.3 % of users", ranks, [], [], 0.0)
    return dict(headline([outcome], None)["methods"][0])


def _alarm(one: Outcome, n_items: int) -> dict[str, Any]:
    """Whether a system collapsed or ignores the user."""
    half = len(one.swapped) // 2
    found = evaluation.breadth(one.swapped[:half], n_items, one.swapped[half:])
    fine = f"{found.distinct:,} distinct items for {half:,} users; {found.unchanged:.1%} of lists stay when histories are swapped"
    return {"name": one.name, "ok": not found.alarms, "text": "; ".join(found.alarms) or fine}


def _document(chain: Chain, outcomes: Sequence[Outcome], targets: Targets, part: str) -> dict[str, Any]:
    """Everything the run folder keeps, as `reports.render` takes it."""
    data, dials = chain.data, chain.workspace.settings
    simulated = any(str(user).startswith("simulated-") for user in data.histories.users[:1])
    order = "events in the order of `position` (raw order)" if data.histories.times is None else "events in order of time"
    rules = f"{part} targets of {len(targets):,} users, full ranking of {len(data.item_ids):,} items, seen items "
    rules += "removed" if dials["remove_seen"] else "kept"
    baseline = SASREC if any(one.name == SASREC for one in outcomes) else None
    return {
        "title": f"Evaluation of {dials['title']}",
        "subtitle": f"{rules}; {dials['split'].replace('_', ' ')}; {order}.",
        "notices": ["Every listener in this data set is simulated; no real person's listening is shown."] if simulated else [],
        "metrics": headline(outcomes, baseline),
        "alarms": [_alarm(one, len(data.item_ids)) for one in outcomes],
        "slices": sliced(outcomes, evaluation.slices(targets.target, data.training_counts, targets.context.lengths)),
        "coverage": reach(outcomes, len(data.item_ids)),
        "sids": semantic_ids(chain),
        "training": curves(chain),
        "settings": {name: str(value) for name, value in dials.items()},
        "provenance": {"tastemaker": __version__, "tables": chain.tables}
        | {name: chain.fingerprint(name) for name in ("tokens", "sft")},
        "commands": [shlex.join(["tastemaker", *sys.argv[1:]])],
    }
