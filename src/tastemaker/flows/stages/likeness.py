"""How much likeness to the history counts in a new item's score: fitted on known items treated as new."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.splits import Targets
from tastemaker.encoders.text import word_rows
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Parts, Searcher, with_model
from tastemaker.flows.stages.vectors import load_views, unit_rows
from tastemaker.retrieve.new_items import Fusion, NewItems
from tastemaker.stats.random import generator

if TYPE_CHECKING:
    from tastemaker.retrieve.items import Averaged, ItemScorer

SHARE = 0.2  # of the distinct targets are treated as new
GRID = (Fusion.content, 0.0, 1.0, 2.0, 4.0, 10.0, 15.0, 25.0, 40.0, 65.0, 100.0)  # of equals the first
PEOPLE = 100  # with fewer the default stays
Ints = npt.NDArray[np.int64]


def new_item_ranks(pipeline: Pipeline, parts: Parts, targets: Targets) -> Ints:
    """(W + 1, T) ranks among the new items, for each weight of `GRID` and for likeness alone, of those
    targets that are treated as if training had not known them: a fifth of the distinct ones.

    parts: what scores items, with the memory and its weight. (W + 1, 0) where a pretrained base searches, and
    where nothing tells what items are like.
    """
    data, folder = pipeline.data, pipeline.path("vectors")
    events = np.bincount(data.split.train.items, minlength=len(data.item_ids))
    known = np.unique(targets.target[events[targets.target] > 0])
    shuffled = generator(pipeline.workspace.settings.seed, "new items").permutation(known)
    rows = np.sort(shuffled[: round(SHARE * len(known))])
    words = word_rows(item_texts(data.items), [row or [] for row in data.items["attributes"].to_pylist()])
    told_by_words = words is not None and (folder / "text_encoder.json").exists()
    hidden = {"behaviour"} | ({"text"} if told_by_words else set())
    views = [unit_rows(view) for name, view in load_views(folder).items() if name not in hidden]
    if parts.score is None or not len(rows) or (words is None and not views):
        return np.empty((len(GRID) + 1, 0), np.int64)
    parts = with_model(replace(parts, score=None), pipeline.path("sft") / "model")  # which is changed here
    scorer = cast("ItemScorer | Averaged", parts.score)
    new = np.isin(np.arange(len(events)), rows)
    items = NewItems.fitted(new, words, views, np.asarray(scorer.vectors.cpu().numpy()), events)
    if items.vectors.size:
        scorer.place(rows, items.vectors)
    return _ranks(Searcher(replace(parts, new=items)), targets.keep(np.isin(targets.target, rows)))


def _ranks(searcher: Searcher, targets: Targets) -> Ints:
    """(W + 1, U) `new_item_ranks` of these targets, block by block of people."""
    new, memory = searcher.new, searcher.memory
    assert new is not None and searcher.score is not None
    ranks, done = [], 0
    for part in searcher.blocks(targets.context):
        place = np.searchsorted(new.rows, targets.target[done : done + len(part)])[:, None]
        done += len(part)
        scores, content = searcher.score(part)[:, new.rows], new.content(part)
        if memory is not None and memory.ratio:  # of the memory's evidence nothing but likeness is theirs
            scores = scores + searcher.weight * memory.ratio * memory.likeness(part)[:, new.rows]
        tables = [scores + weight * content for weight in GRID] + [content]
        ranks.append(np.stack([_rank(table, place) for table in tables]))
    return np.concatenate(ranks, axis=1)


def _rank(table: npt.NDArray[np.float32], place: Ints) -> Ints:
    """(U,) rank of the column `place` (U, 1) in each row of (U, M); half of the equal ones come before it."""
    target = np.take_along_axis(table, place, 1)
    above, equal = (table > target).sum(1), (table == target).sum(1)
    return np.asarray(1 + above + (equal - 1) // 2, np.int64)
