"""How much likeness to the history counts in a new item's score: fitted on known items treated as new."""

from __future__ import annotations

from collections.abc import Iterator
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

SHARE = 0.05  # of the distinct targets in a draw
GRID = (Fusion.content, 0.0, 1.0, 2.0, 4.0, 10.0, 15.0, 25.0, 40.0, 65.0, 100.0)  # of equals the first
PEOPLE, ENOUGH = 100, 400  # with fewer the default stays; with so many no further draw is made
Ints = npt.NDArray[np.int64]


def new_item_ranks(pipeline: Pipeline, parts: Parts, targets: Targets, enough: int = ENOUGH) -> Ints:
    """(W + 1, T) ranks among the new items, for each weight of `GRID` and for likeness alone, of the targets
    that fall into a draw: a twentieth of the distinct ones, treated as if training had not known them. One
    draw comes after another until `enough` people are tested, or all.

    parts: what scores items, with the memory and its weight. (W + 1, 0) where a pretrained base searches.
    """
    ranks, tested = [np.empty((len(GRID) + 1, 0), np.int64)], 0
    if parts.score is None:
        return ranks[0]
    data, settings = pipeline.data, pipeline.workspace.settings
    folder = pipeline.path("vectors")
    words = word_rows(item_texts(data.items), [row or [] for row in data.items["attributes"].to_pylist()])
    told_by_words = words is not None and (folder / "text_encoder.json").exists()
    hidden = {"behaviour"} | ({"text"} if told_by_words else set())
    views = [unit_rows(view) for name, view in load_views(folder).items() if name not in hidden]
    events = np.bincount(data.split.train.items, minlength=len(data.item_ids))
    for rows in _draws(targets, events, settings.seed):
        if tested >= enough:
            break
        own = with_model(replace(parts, score=None), pipeline.path("sft") / "model")
        scorer = cast("ItemScorer | Averaged", own.score)  # as trained: a draw changes it
        new = np.zeros(len(events), bool)
        new[rows] = True
        items = NewItems.fitted(new, words, views, np.asarray(scorer.vectors.cpu().numpy()), events)
        if items.vectors.size:
            scorer.place(rows, items.vectors)
        few = targets.keep(np.isin(targets.target, rows))
        ranks += _ranks(Searcher(replace(own, new=items)), few)
        tested += len(few)
    return np.concatenate(ranks, axis=1)


def _draws(targets: Targets, events: Ints, seed: int) -> Iterator[Ints]:
    """Rows of the items of each draw, no item in two; of the targets that training has events of."""
    known = np.unique(targets.target[events[targets.target] > 0])
    shuffled, size = generator(seed, "new items").permutation(known), max(1, round(SHARE * len(known)))
    for start in range(0, len(known), size):
        yield np.sort(shuffled[start : start + size])


def _ranks(searcher: Searcher, targets: Targets) -> Iterator[Ints]:
    """(W + 1, U) `new_item_ranks` of one draw, block by block of people."""
    new, memory, done = searcher.new, searcher.memory, 0
    assert new is not None and searcher.score is not None
    for part in searcher.blocks(targets.context):
        place = np.searchsorted(new.rows, targets.target[done : done + len(part)])[:, None]
        done += len(part)
        scores, content = searcher.score(part)[:, new.rows], new.content(part)
        if memory is not None and memory.ratio:  # of the memory's evidence nothing but likeness is theirs
            scores = scores + searcher.weight * memory.ratio * memory.likeness(part)[:, new.rows]
        tables = [scores + weight * content for weight in GRID] + [content]
        of_target = (np.take_along_axis(table, place, 1) for table in tables)
        yield np.stack([
            1 + (table > own).sum(1) + ((table == own).sum(1) - 1) // 2
            for table, own in zip(tables, of_target, strict=True)
        ])  # fmt: skip
