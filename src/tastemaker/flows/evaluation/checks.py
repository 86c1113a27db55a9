"""What would make an evaluation's numbers say something else than they seem to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import Targets, ends_tied, leave_one_out, moments_of, shuffle_ties, time_split
from tastemaker.errors import InputError
from tastemaker.flows.data import Data
from tastemaker.flows.evaluation.sections import SIMPLE, Ranked
from tastemaker.retrieve import baselines as simple
from tastemaker.retrieve import evaluation
from tastemaker.stats.intervals import paired_bootstrap
from tastemaker.stats.ranking import ndcg_at, recall_at

NOTHING = "every metric is 0: not one person's item is in their list; these numbers measure nothing"
MANY = 0.01  # of people: as many must be touched before an alarm is raised
_SURE = 0.999  # level of the intervals that alarms are raised on


def alarm(one: Any, n_items: int) -> dict[str, Any]:
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


def order(data: Data, part: str, removed: bool) -> dict[str, Any]:
    """Whether the order of events at one time decides a number: counting, under that order and another
    one.
    """
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
    said, ok, seen = [], True, "remove" if removed else "keep"
    for label, fit in (("popularity", simple.popularity), ("item co-occurrence", simple.cooccurrence)):
        hits = []
        for split in (data.split, other):
            targets = getattr(split, part).sample(4000, 0)
            score = fit(split.train, len(data.item_ids))
            ranks = evaluation.ranks_of_targets(score, targets.context, targets.target, seen)  # type: ignore[arg-type]
            hits.append(recall_at(ranks, 10))
        gap = paired_bootstrap(hits[0], hits[1], seed=0, level=_SURE)
        said.append(f"{label} R@10 {hits[0].mean():.4f} as kept, {hits[1].mean():.4f} in another order")
        ok = ok and not (gap.excludes() and abs(gap.value) > MANY)
    text += "; ".join(["", *said])
    if not ok:
        text += (
            "; the order at equal times decides these numbers: unless `position` is the true order they"
            " measure the file, so give finer times"
        )
    return {"name": name, "ok": ok, "text": text}


def simple_beaten(outcomes: Sequence[Ranked]) -> dict[str, Any]:
    """Whether the first system beats the best of the simple ones by N@10, on the same people."""
    name, ours = "best simple baseline", outcomes[0]
    rivals = [one for one in outcomes[1:] if one.name in SIMPLE]
    if not rivals:
        return {
            "name": name,
            "ok": True,
            "text": "no simple baseline was run, so nothing says that it is beaten",
        }
    best = max(rivals, key=lambda one: float(ndcg_at(one.ranks, 10).mean()))
    gap = paired_bootstrap(ndcg_at(ours.ranks, 10), ndcg_at(best.ranks, 10), seed=0)
    text = f"'{best.name}' is beaten by {gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}] N@10"
    if gap.low > 0:
        return {"name": name, "ok": True, "text": text}
    text = text.replace("is beaten by", f"is not beaten by '{ours.name}':")
    return {"name": name, "ok": False, "text": f"{text}; counting is enough here"}
