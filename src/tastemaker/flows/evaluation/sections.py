"""What an evaluation found, in the shapes that `reports.render` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.stages.tokens import load_codes
from tastemaker.retrieve.evaluation import item_counts
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.ranking import coverage_curve, effective_vocabulary, ndcg_at, recall_at
from tastemaker.store import read_lines

Ints = npt.NDArray[np.integer[Any]]
COUNTING = ("item co-occurrence", "memory of transitions alone")
SIMPLE = ("popularity", "content neighbours", *COUNTING)
METRICS = {"R@5": (recall_at, 5), "N@5": (ndcg_at, 5), "R@10": (recall_at, 10), "N@10": (ndcg_at, 10)}


class Ranked(Protocol):
    """A system's name, the ranks of its targets, and its top-10 lists."""

    @property
    def name(self) -> str: ...
    @property
    def ranks(self) -> Ints: ...
    @property
    def lists(self) -> Sequence[Ints]: ...


def headline(outcomes: Sequence[Ranked], baseline: str | None) -> dict[str, Any]:
    """Metrics with user-bootstrap intervals, and paired differences against `baseline`."""
    reference = next((one for one in outcomes if one.name == baseline), None)
    methods = []
    for place, one in enumerate(outcomes):
        values, differences = {}, {}
        for metric, (measure, k) in METRICS.items():
            values[metric] = asdict(bootstrap(measure(one.ranks, k), seed=0))
            if reference is not None and one is not reference:
                differences[metric] = asdict(
                    paired_bootstrap(measure(one.ranks, k), measure(reference.ranks, k), seed=0)
                )
        methods.append(
            {"name": one.name, "highlight": place == 0, "values": values, "differences": differences}
        )
    found: dict[str, Any] = {"names": list(METRICS), "primary": "N@10", "methods": methods}
    return found | ({"baseline": baseline} if reference is not None else {})


def comparisons(ours: Ranked, others: Sequence[Ranked]) -> list[dict[str, Any]]:
    """Paired differences of our system to each other one, on the same users: counting first."""
    counting = sorted(others, key=lambda one: one.name not in COUNTING)
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


def sliced(outcomes: Sequence[Ranked], masks: Mapping[str, npt.NDArray[np.bool_]]) -> list[dict[str, Any]]:
    """R@10 by how often the target was seen in training, and by the length of the history."""
    families = {"target count": "training events of the target", "history": "events in the history"}
    found = []
    for prefix, words in families.items():
        groups = []
        for name, mask in masks.items():
            if name.startswith(prefix) and mask.any():
                values = {
                    one.name: asdict(bootstrap(recall_at(one.ranks, 10)[mask], seed=0)) for one in outcomes
                }
                groups.append(
                    {"label": name.removeprefix(prefix).strip(), "n": int(mask.sum()), "values": values}
                )
        found.append({"name": words, "metric": "R@10", "groups": groups})
    return found


def reach(outcomes: Sequence[Ranked], n_items: int) -> dict[str, Any]:
    """Effective vocabulary, distinct items and coverage curve of each system."""
    methods = []
    for one in outcomes:
        counts = item_counts(one.lists, n_items)
        curve = coverage_curve(counts)
        distinct = int(np.count_nonzero(counts))
        methods.append(
            {
                "name": one.name,
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
    found = []
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
            found.append({"name": words, "x": "step", "y": "loss", "caption": caption, "series": series})
    return found


def table_text(document: Mapping[str, Any]) -> str:
    """The headline table for a terminal."""
    metrics = document["metrics"]
    width = max(len(one["name"]) for one in metrics["methods"]) + 2
    lines = [document["subtitle"], "", f"{'':{width}}" + "".join(f"{name:>28}" for name in metrics["names"])]
    for one in metrics["methods"]:
        cells = [
            f"{one['values'][m]['value']:.4f} [{one['values'][m]['low']:.4f}, {one['values'][m]['high']:.4f}]"
            for m in metrics["names"]
        ]
        lines.append(f"{one['name']:{width}}" + "".join(f"{cell:>28}" for cell in cells))
    if metrics["comparisons"]:
        lines += ["", f"{metrics['methods'][0]['name']} minus the other, the same users:"]
    for one in metrics["comparisons"]:
        cells = [
            f"{d['value']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]"
            for d in (one["differences"][m] for m in metrics["names"])
        ]
        lines.append(f"  {one['against']:{width - 2}}" + "".join(f"{cell:>28}" for cell in cells))
    lines += [f"ALARM {one['name']}: {one['text']}" for one in document["alarms"] if not one["ok"]]
    return "\n".join(lines)
