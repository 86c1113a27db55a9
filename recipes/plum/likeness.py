"""How much likeness to the history is to count in a new item's score: by the held-out part of one data set.

A workspace is trained as always. Draws of a twentieth of its distinct validation targets are then treated as
new, one draw after another: their learnt vectors are replaced by those that their words would have, and their
transitions are left out. Whoever has one of them last is tested: how often it is the first of the new items,
among the first three, among the first ten, for each weight of likeness; and for likeness alone, the control.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from recipes.common import command, parser, read_arguments, show_table
from recipes.plum.arms import Study
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.encoders.text import word_rows
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Pipeline
from tastemaker.flows.search import Searcher
from tastemaker.flows.stages.trained import trained_parts
from tastemaker.retrieve.new_items import Fusion, NewItems, composed, likeness
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.stats.random import generator
from tastemaker.stats.ranking import ndcg_at, recall_at

if TYPE_CHECKING:
    from tastemaker.retrieve.items import Averaged

SHARE = 0.05
DEFAULT, CONTROL = f"{Fusion.content:g}", "likeness alone"
WEIGHTS = (0.0, 1.0, 2.0, 4.0, Fusion.content, 10.0, 15.0, 25.0, 40.0, 65.0, 100.0)
DEPTHS = {"first": 1, "among three": 3, "among ten": 10}
Ints = npt.NDArray[np.int64]


def draws(pipeline: Pipeline, count: int) -> list[Ints]:
    """Rows of items for each draw, no item in two: validation targets of which training has events."""
    split = pipeline.data.split
    known = np.unique(split.validation.target[np.isin(split.validation.target, split.train.items)])
    shuffled = generator(pipeline.workspace.settings.seed, "new items").permutation(known)
    size = max(1, round(SHARE * len(known)))
    starts = range(0, min(count * size, len(known)), size)
    return [np.sort(shuffled[start : start + size]) for start in starts]


def ranks_of(pipeline: Pipeline, words: Any, rows: Ints) -> dict[str, Ints]:
    """Ranks among the items `rows` (M,), treated as new, of each target that is one of them, by weight.

    words: (N, T) sparse rows of words of all items.
    """
    split, searcher = pipeline.data.split, Searcher(trained_parts(pipeline))
    events = np.bincount(split.train.items, minlength=len(pipeline.data.item_ids))
    new = np.isin(np.arange(len(events)), rows)
    scorer, memory = cast("Averaged", searcher.score), searcher.memory
    vectors = composed(words, np.asarray(scorer.vectors.numpy()), events, new)
    scorer.place(rows, vectors)
    targets = split.validation.keep(np.isin(split.validation.target, rows))
    scores = scorer(targets.context)[:, rows]
    if memory is not None and memory.ratio:  # of the memory's evidence nothing but likeness is theirs
        similar = memory.likeness(targets.context)[:, rows]
        scores = scores + searcher.weight * memory.ratio * similar
    content = NewItems(rows, vectors, likeness([words], new)).content(targets.context)
    tables = {f"{weight:g}": scores + weight * content for weight in WEIGHTS} | {CONTROL: content}
    place = np.searchsorted(rows, targets.target)[:, None]
    return {name: ranks_in(table, place) for name, table in tables.items()}


def ranks_in(table: npt.NDArray[Any], place: Ints) -> Ints:
    """(U,) rank of the column `place` (U, 1) in each row of (U, M); half of the equal ones come before it."""
    target = np.take_along_axis(table, place, 1)
    above, equal = (table > target).sum(1), (table == target).sum(1)
    return np.asarray(1 + above + (equal - 1) // 2, np.int64)


def tabled(ranks: Mapping[str, Ints]) -> tuple[list[dict[str, Any]], str]:
    """A row for each weight, N@10 also as a paired difference to the default's; and what they say."""
    gains, rows = {name: ndcg_at(places, 10) for name, places in ranks.items()}, []
    gaps = {name: paired_bootstrap(gain, gains[DEFAULT], 0) for name, gain in gains.items()}
    for name, gain in gains.items():
        row = {"weight of likeness": f"{name} (the default)" if name == DEFAULT else name}
        row |= {depth: f"{recall_at(ranks[name], k).mean():.4f}" for depth, k in DEPTHS.items()}
        interval, gap = bootstrap(gain, 0), gaps[name]
        row["N@10 among new items"] = f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
        row["minus the default, paired"] = f"{gap.value:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        rows.append(row)
    best = max(gains, key=lambda name: float(gains[name].mean()))
    better = ", ".join(name for name, gap in gaps.items() if gap.low > 0) or "none"
    words = f"{len(gains[DEFAULT]):,} people. Best: {best}. Above {DEFAULT} beyond its interval: {better}."
    return rows, words


def main() -> None:
    """Parse, train, draw, measure."""
    options = parser(main, "one pass of training: inconclusive")
    options.add_argument("--data", default="office", choices=tuple(SETS))
    options.add_argument("--draws", type=int, default=20, help="of a twentieth each, at the most")
    arguments = read_arguments(options, "likeness")
    out = arguments.out / arguments.data
    out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {"seed": arguments.seed} | ({"sft_epochs": 1} if arguments.quick else {})
    with progress() as report:
        pipeline = Study(out, arguments.data, settings).trained("everybody", {}, report, until="memory")
    items = pipeline.data.items
    words = word_rows(item_texts(items), [values or [] for values in items["attributes"].to_pylist()])
    parts = [ranks_of(pipeline, words, rows) for rows in draws(pipeline, arguments.draws)]
    rows, note = tabled({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    title = f"Likeness in a new item's score, {SETS[arguments.data][0]}, validation, seed {arguments.seed}"
    show_table(out, rows, title + (" (quick: inconclusive)" if arguments.quick else ""), note)


if __name__ == "__main__":
    command(main)
