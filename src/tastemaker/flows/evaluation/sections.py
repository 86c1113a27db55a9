"""What an evaluation found, in the shapes that `reports.render` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import (
    Targets,
    ends_tied,
    had_before,
    leave_one_out,
    moments_of,
    shuffle_ties,
    time_split,
)
from tastemaker.errors import InputError
from tastemaker.flows.data import Data
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.retrieve import baselines as simple
from tastemaker.retrieve import evaluation
from tastemaker.retrieve.evaluation import item_counts
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.ranking import coverage_curve, effective_vocabulary, ndcg_at, recall_at
from tastemaker.store import read_lines

Ints = npt.NDArray[np.integer[Any]]
COUNTING = ("item co-occurrence", "memory of transitions alone")
HABIT = "what people had, oftener and later first"
LATE = "popularity in the last tenth of the events"
SIMPLE = ("popularity", LATE, HABIT, "content neighbours", *COUNTING)
METRICS = {"R@5": (recall_at, 5), "N@5": (ndcg_at, 5), "R@10": (recall_at, 10), "N@10": (ndcg_at, 10)}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one system did: `ranks` (U,) of targets (0: not found), top-10 `lists` and the swap check's."""

    name: str
    ranks: Ints
    lists: Sequence[Ints]
    swapped: Sequence[Ints]
    seconds: float


def headline(outcomes: Sequence[Outcome], baseline: str | None) -> dict[str, Any]:
    """Metrics with user-bootstrap intervals, and paired differences against `baseline`."""
    reference = next((outcome for outcome in outcomes if outcome.name == baseline), None)
    methods = []
    for place, outcome in enumerate(outcomes):
        values, differences = {}, {}
        for metric, (measure, k) in METRICS.items():
            values[metric] = asdict(bootstrap(measure(outcome.ranks, k), seed=0))
            if reference is not None and outcome is not reference:
                differences[metric] = asdict(
                    paired_bootstrap(measure(outcome.ranks, k), measure(reference.ranks, k), seed=0)
                )
        methods.append(
            {"name": outcome.name, "highlight": place == 0, "values": values, "differences": differences}
        )
    section: dict[str, Any] = {"names": list(METRICS), "primary": "N@10", "methods": methods}
    return section | ({"baseline": baseline} if reference is not None else {})


def comparisons(ours: Outcome, others: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Paired differences of our system to each other one, on the same users: counting first."""
    counting = sorted(others, key=lambda outcome: outcome.name not in COUNTING)
    return [
        {
            "against": other.name,
            "differences": {
                metric: asdict(paired_bootstrap(measure(ours.ranks, k), measure(other.ranks, k), seed=0))
                for metric, (measure, k) in METRICS.items()
            },
        }
        for other in counting
    ]


def sliced(outcomes: Sequence[Outcome], masks: Mapping[str, npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """R@10 by how often the target was seen in training, and by the length of the history."""
    families = {"target count": "training events of the target", "history": "events in the history"}
    slices = []
    for prefix, words in families.items():
        groups = []
        for name, mask in masks.items():
            if name.startswith(prefix) and mask.any():
                values = {
                    outcome.name: asdict(bootstrap(recall_at(outcome.ranks, 10)[mask], seed=0))
                    for outcome in outcomes
                }
                groups.append(
                    {"label": name.removeprefix(prefix).strip(), "n": int(mask.sum()), "values": values}
                )
        slices.append({"name": words, "metric": "R@10", "groups": groups})
    return slices


def reach(outcomes: Sequence[Outcome], n_items: int) -> dict[str, Any]:
    """Effective vocabulary, distinct items and coverage curve of each system."""
    methods = []
    for outcome in outcomes:
        counts = item_counts(outcome.lists, n_items)
        curve = coverage_curve(counts)
        distinct = int(np.count_nonzero(counts))
        methods.append(
            {
                "name": outcome.name,
                "effective": effective_vocabulary(counts),
                "distinct": distinct,
                "curve": curve[:distinct].tolist(),
            }
        )
    return {"items": n_items, "methods": methods}


def semantic_ids(pipeline: Pipeline) -> dict[str, Any]:
    """How the codes are used."""
    codes, sizes = load_codes(pipeline)
    facts = json.loads((pipeline.path("tokens") / "summary.json").read_text())["report"]
    levels = [np.bincount(codes[:, level], minlength=size).tolist() for level, size in enumerate(sizes)]
    shown = {
        "codes a level": " / ".join(map(str, sizes)),
        "distinct Semantic IDs": f"{facts['distinct_share']:.1%}",
        "items alone on theirs": f"{facts['alone_share']:.1%}",
        "codes in use, by level": ", ".join(f"{share:.0%}" for share in facts["use"]),
    }
    if facts.get("first_agreement") is not None:
        shown["first code kept without the behaviour view"] = f"{facts['first_agreement']:.1%}"
    return {"facts": shown, "levels": levels, "group_sizes": facts["group_sizes"]}


def curves(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Loss curves of both training stages."""
    charts = []
    for stage, words in (("cpt", "Continued pre-training"), ("sft", "Fine-tuning")):
        if stage not in pipeline.stages:
            continue
        rows = [row for row in read_lines(pipeline.path(stage) / "curve.jsonl") if row["loss"] is not None]
        steps = [row["step"] for row in rows]
        series = [{"name": "all codes", "x": steps, "y": [row["loss"] for row in rows]}]
        first = [row["level_losses"][0] for row in rows]
        if all(value is not None for value in first):
            series.append({"name": "first code", "x": steps, "y": first})
        caption = (
            "Loss in nats per predicted token. The first code is the one to watch: later codes follow"
            " from it."
        )
        if rows:
            charts.append({"name": words, "x": "step", "y": "loss", "caption": caption, "series": series})
    return charts


def table_text(document: Mapping[str, Any]) -> str:
    """The headline table for a terminal."""
    metrics = document["metrics"]
    width = max(len(method["name"]) for method in metrics["methods"]) + 2
    lines = [document["subtitle"], "", f"{'':{width}}" + "".join(f"{name:>28}" for name in metrics["names"])]
    for method in metrics["methods"]:
        cells = [
            f"{v['value']:.4f} [{v['low']:.4f}, {v['high']:.4f}]"
            for v in (method["values"][m] for m in metrics["names"])
        ]
        lines.append(f"{method['name']:{width}}" + "".join(f"{cell:>28}" for cell in cells))
    if metrics["comparisons"]:
        lines += ["", f"{metrics['methods'][0]['name']} minus the other, the same users:"]
    for comparison in metrics["comparisons"]:
        cells = [
            f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
            for d in (comparison["differences"][m] for m in metrics["names"])
        ]
        lines.append(f"  {comparison['against']:{width - 2}}" + "".join(f"{cell:>28}" for cell in cells))
    lines += [f"ALARM {check['name']}: {check['text']}" for check in document["alarms"] if not check["ok"]]
    return "\n".join(lines)


NOTHING = "every metric is 0: not one person's item is in their list; these numbers measure nothing"
MANY = 0.01  # of people: as many must be touched before an alarm is raised
_SURE = 0.999  # level of the intervals that alarms are raised on


def alarm(outcome: Outcome, n_items: int) -> dict[str, Any]:
    """Whether a system collapsed or ignores the user."""
    if not outcome.ranks.any():
        return {"name": outcome.name, "ok": False, "text": NOTHING}
    half = len(outcome.swapped) // 2
    breadth = evaluation.breadth(outcome.swapped[:half], n_items, outcome.swapped[half:])
    fine = (
        f"{breadth.distinct:,} distinct items for {half:,} users; {breadth.unchanged:.1%} of lists stay when"
        " histories are swapped"
    )
    return {"name": outcome.name, "ok": not breadth.alarms, "text": "; ".join(breadth.alarms) or fine}


def repeats(targets: Targets, removed: bool) -> dict[str, Any]:
    """Whether targets were had before, so that nothing can find them where seen items are removed."""
    share = had_before(targets)
    text = f"{share:.1%} of targets were had before"
    if share and removed:
        text += " and cannot be found: people repeat items here; set remove_seen = false in tastemaker.toml"
    return {"name": "repeated items", "ok": not (removed and share >= MANY), "text": text}


def order_words(h: Histories) -> str:
    """The order that was assumed, and how much of it is known."""
    if h.times is None:
        return "events in the order of `position`, which no time confirms"
    moments = moments_of(h)
    tied = float((np.bincount(moments)[moments] > 1).mean()) if len(moments) else 0.0
    return (
        f"events in order of time, {tied:.1%} of them tied and kept in the order of `position` (see `ingest`)"
    )


def order_check(data: Data, part: str, removed: bool) -> dict[str, Any]:
    """Whether the order of events at one time decides a number: counting under that order and another."""
    name, h = "order of events", data.histories
    tied = float(ends_tied(h).mean()) if h.times is not None else 0.0
    text = f"{tied:.1%} of people end with events at one time"
    if h.times is None:
        text = "no event has a time: the order of `position` is believed and cannot be tried"
    if tied < MANY:
        return {"name": name, "ok": True, "text": text}
    again = shuffle_ties(h, "evaluation")
    try:
        other = time_split(again) if data.split_by == "time" else leave_one_out(again)
    except InputError as error:
        return {"name": name, "ok": True, "text": f"{text}; another order could not be tried: {error}"}
    findings, ok, seen = [], True, "remove" if removed else "keep"
    for label, fit in (("popularity", simple.popularity), ("item co-occurrence", simple.cooccurrence)):
        hits = []
        for split in (data.split, other):
            targets = getattr(split, part).sample(4000, 0)
            score = fit(split.train, len(data.item_ids))
            ranks = evaluation.ranks_of_targets(score, targets.context, targets.target, seen)  # type: ignore[arg-type]
            hits.append(recall_at(ranks, 10))
        gap = paired_bootstrap(hits[0], hits[1], seed=0, level=_SURE)
        findings.append(f"{label} R@10 {hits[0].mean():.4f} as kept, {hits[1].mean():.4f} in another order")
        ok = ok and not (gap.excludes() and abs(gap.value) > MANY)
    text += "; ".join(["", *findings])
    if not ok:
        text += (
            "; the order at equal times decides these numbers: unless `position` is the true order they"
            " measure the file, so give finer times"
        )
    return {"name": name, "ok": ok, "text": text}


def simple_beaten(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Whether the first system beats the best of the simple ones by N@10, on the same people."""
    name, ours = "best simple baseline", outcomes[0]
    rivals = [outcome for outcome in outcomes[1:] if outcome.name in SIMPLE]
    if not rivals:
        return {
            "name": name,
            "ok": True,
            "text": "no simple baseline was run, so nothing says that it is beaten",
        }
    best = max(rivals, key=lambda outcome: float(ndcg_at(outcome.ranks, 10).mean()))
    gap = paired_bootstrap(ndcg_at(ours.ranks, 10), ndcg_at(best.ranks, 10), seed=0)
    text = f"'{best.name}' is beaten by {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] N@10"
    if gap.low > 0:
        return {"name": name, "ok": True, "text": text}
    text = text.replace("is beaten by", f"is not beaten by '{ours.name}':")
    return {"name": name, "ok": False, "text": f"{text}; counting is enough here"}
