"""Items that nobody has had yet: how often the right one is found when it is new, and what that costs.

A twentieth of the distinct test targets is taken out of the catalogue, with every event of theirs; a
workspace is trained on the rest. Then the whole catalogue is ingested: the new items get codes by the frozen
codebook, nothing is trained. Lists of ten keep none, one or three places for new items, filled by each
mechanism alone and by all together. Last, the time from the ingest of one more item to a list that shows it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.figure import Figure

from recipes.common import DATA, benchmark, command, parser, read_arguments, save_figure, show_table
from recipes.plum.next_item import SETS
from tastemaker.cli.progress import progress
from tastemaker.corpus.events import Histories
from tastemaker.flows.deploy import deploy, in_service
from tastemaker.flows.deployment import Deployment, trained_base
from tastemaker.flows.ingest import ingest_files
from tastemaker.flows.search import Searcher, with_model
from tastemaker.flows.train import run_stages
from tastemaker.retrieve.allow import allow
from tastemaker.retrieve.candidates import Candidates
from tastemaker.retrieve.new_items import Fusion
from tastemaker.stats.intervals import bootstrap, paired_bootstrap
from tastemaker.store import Workspace, write_table
from tastemaker.store.settings import SETTINGS_FILE

HELD_OUT = 0.05
K, PLACES = 10, (0, 1, 3)
TIMES = (5, 10, 20)  # how much better than by chance a new item fits where a place is kept for it
ALONE = {
    "control: likeness to the history alone (content neighbours)": Fusion(0, 1),
    "the vector that its words would have, alone": Fusion(1, 0),
}
Flags = npt.NDArray[np.bool_]


def held_out(events: pl.DataFrame) -> set[str]:
    """Ids of the test targets that are to be new: of the distinct last items of all people, in order, the
    same ones for every seed of a model.
    """
    last = events.group_by("user_id").last()["item_id"].unique().to_list()
    ordered = sorted(last, key=lambda item: (len(item), item))
    drawn = np.random.default_rng(0).choice(len(ordered), round(HELD_OUT * len(ordered)), replace=False)
    return {ordered[place] for place in drawn}


def trained(out: Path, data: Path, seed: int, settings: dict[str, Any]) -> Path:
    """A workspace trained without the new items; the tables of `grown` lie beside it."""
    folder = out / f"seed-{seed}"
    items = pl.read_parquet(benchmark(data, "items.parquet"))
    events = pl.read_parquet(benchmark(data, "interactions.parquet")).sort("user_id", "position")
    known = ~pl.col("item_id").is_in(held_out(events))
    learnt = pl.int_range(pl.len()).over("user_id") < pl.len().over("user_id") - 2
    tables = {"known": (items.filter(known), events.filter(known)), "all": (items, events.filter(learnt))}
    for name, (own, seen) in tables.items():
        write_table(out / name / "items.parquet", own.to_arrow())
        write_table(out / name / "interactions.parquet", seen.to_arrow())
    if not (folder / SETTINGS_FILE).exists():
        Workspace.create(folder, {"seed": seed, "text_view": "tfidf", "threads": 1} | settings)
    with progress() as report:
        ingest_files(folder, out / "known" / "items.parquet", out / "known" / "interactions.parquet")
        run_stages(folder, report, until="memory")
        opened = Workspace.open(folder)
        base = trained_base(opened)
        assert base is not None
        deploy(opened, base, report, "")  # whatever an earlier run of this recipe left in service
    return folder


def grown(folder: Path, out: Path, data: Path) -> tuple[Deployment, Histories, npt.NDArray[Any]]:
    """What serves once all items are ingested, nothing trained; what came before each person's last event, by
    the item indices that are served, and that event's item.
    """
    ingest_files(folder, out / "all" / "items.parquet", out / "all" / "interactions.parquet")
    served = in_service(Workspace.open(folder))
    index = {item: row for row, item in enumerate(served.catalogue_items()["item_id"].to_pylist())}
    events = pl.read_parquet(data / "interactions.parquet").sort("user_id", "position")
    rows = events.group_by("user_id", maintain_order=True).agg("item_id")["item_id"].to_list()
    before = Histories.of_lists([[index[item] for item in row[:-1]] for row in rows])
    return served, before, np.array([index[row[-1]] for row in rows])


def lists(searcher: Searcher, before: Histories) -> list[Candidates]:
    """Ten of each history, with the new items for the places kept."""
    candidates: list[Candidates] = []
    for start in range(0, len(before), 256):
        part = before.keep_users(np.isin(np.arange(len(before)), np.arange(start, start + 256)))
        seen = [part.of(row) if searcher.settings.remove_seen else () for row in range(len(part))]
        allowed = [allow(searcher.trie, None, items) for items in seen]
        candidates += searcher.candidates(part, allowed, K)
    return candidates


def hits(candidates: Sequence[Candidates], targets: npt.NDArray[Any], places: int) -> Flags:
    """(U,) whether ten places, so many of them kept for new items, show the target."""
    out = []
    for ranking, target in zip(candidates, targets, strict=True):
        shown = ranking.items[: K - places].tolist()
        new = (
            []
            if ranking.reserved is None
            else [item for item in ranking.reserved.items.tolist() if item not in shown]
        )
        out.append(target in shown or target in new[:places])
    return np.array(out)


def fits(candidates: Sequence[Candidates], items: int, times: float) -> Flags:
    """(U,) whether the best new item of each is so many times as likely as one of `items` drawn by chance."""
    best = (ranking.reserved.scores[:1] if ranking.reserved is not None else () for ranking in candidates)
    return np.array([any(score > np.log(times / items) for score in own) for own in best])


def interval(values: npt.NDArray[Any]) -> str:
    """Mean with its interval over people."""
    mean = bootstrap(values.astype(float), 0)
    return f"{mean.value:.4f} [{mean.low:.4f}, {mean.high:.4f}]"


def by_codes(served: Deployment) -> Searcher:
    """The searcher of a deployment as if nothing but Semantic IDs were known of new items."""
    parts = served.parts()
    assert parts.new is not None
    model = served.workspace.artifacts.get(served.base.kind, served.base.model) / "model"
    plain = with_model(replace(parts, new=None), model)
    return Searcher(replace(plain, new=replace(parts.new, fusion=Fusion(1, 0))))


def measure(
    served: Deployment, before: Histories, targets: npt.NDArray[Any]
) -> tuple[list[dict[str, Any]], str]:
    """The rows of the table, and whether the goal is met, in words."""
    searcher = Searcher.of(served)
    new = searcher.new
    assert new is not None
    cold = np.isin(targets, new.rows)
    whole = lists(searcher, before)
    by_places = {places: hits(whole, targets, places) for places in PLACES}
    ways = {
        (places, "both (the default)" if places else "nothing: they compete with all others"): flags
        for places, flags in by_places.items()
    }
    for times in TIMES:
        likely = fits(whole, len(searcher.data.item_ids), times)
        name = f"both, and only where {times} times as likely as by chance: {likely.mean():.0%} of people"
        ways[1, name] = np.where(likely, by_places[1], by_places[0])
    rows = []
    for (places, name), flags in ways.items():
        cost = paired_bootstrap(flags.astype(float), by_places[0].astype(float), 0)
        row = {"places kept": places, "filled by": name}
        row |= {"R@10, new items": interval(flags[cold]), "R@10, all": interval(flags)}
        row |= {"all, to none kept": f"{cost.value:+.4f} [{cost.low:+.4f}, {cost.high:+.4f}]"}
        lost = paired_bootstrap(flags[~cold].astype(float), by_places[0][~cold].astype(float), 0)
        rows.append(
            row | {"people whose item is not new": f"{lost.value:+.4f} [{lost.low:+.4f}, {lost.high:+.4f}]"}
        )
    few = before.keep_users(cold)
    tries: dict[str, Searcher] = {
        "codes alone: what a new item is worth before anything else": by_codes(served)
    }
    for name, fusion in ALONE.items():
        tries[name] = copy(searcher)
        tries[name].new = replace(new, fusion=fusion)
    for name, variant in tries.items():
        own = lists(variant, few)
        for places in (*PLACES, K):
            if places or name.startswith("codes"):
                row = {"places kept": places, "filled by": name}
                rows.append(row | {"R@10, new items": interval(hits(own, targets[cold], places))})
    never = interval(np.zeros(int(cold.sum())))
    rows.append({"places kept": 0, "filled by": "control: popularity", "R@10, new items": never})
    reached, cost = by_places[1][cold].mean(), by_places[0].mean() - by_places[1].mean()
    words = (
        f"{len(new.rows)} new items, {cold.sum():,} of {len(cold):,} people had one last. With one place"
        " of ten"
    )
    words += (
        f" they are found in {reached:.4f} (goal: above .08), and all people lose {cost:.4f} (goal: below"
        " .001)."
    )
    return rows, words


def until_shown(folder: Path, out: Path) -> str:
    """Seconds from the ingest of one more item to a list that shows it, in words; nothing is trained."""
    items = pl.read_parquet(out / "all" / "items.parquet")
    like = items.row(0, named=True)
    new_item = pl.DataFrame([like | {"item_id": "just-in"}], schema=items.schema)
    write_table(out / "one" / "items.parquet", pl.concat([items, new_item]).to_arrow())
    started = time.monotonic()
    ingest_files(folder, out / "one" / "items.parquet", out / "all" / "interactions.parquet")
    searcher = Searcher.of(in_service(Workspace.open(folder)))
    history = Histories.of_lists([searcher.index_of([like["item_id"]])])
    (best,) = searcher.candidates(history, [allow(searcher.trie, None, history.of(0))], K)
    seconds = time.monotonic() - started
    ids = [searcher.data.item_ids[item] for item in (*best.items, *(best.reserved or best).items)]
    return (
        f"From the ingest of one item to a list that {'shows' if 'just-in' in ids else 'does NOT show'} it:"
        f" {seconds:.1f} s."
    )


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """Recall of new items by mechanism, one place kept of ten."""
    own = [row for row in rows if row["places kept"] == 1]
    figure = Figure(figsize=(8, 0.5 * len(own) + 1.2))
    axes = figure.add_subplot()
    for place, row in enumerate(reversed(own)):
        value, low, high = (float(part.strip("[],")) for part in row["R@10, new items"].split())
        axes.barh(place, value, color="#b4542b", height=0.6)
        axes.errorbar(value, place, xerr=[[value - low], [high - value]], color="black", capsize=3)
    axes.axvline(0.08, color="#8a93a0", linestyle="--")
    axes.set_yticks(range(len(own)), [row["filled by"] for row in reversed(own)])
    axes.set_xlabel("R@10 of new items, one place of ten kept; line: the goal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Parse, train without the new items, ingest them, measure."""
    options = parser(main, "two passes of training: inconclusive")
    options.add_argument("--data", default="beauty", choices=tuple(SETS))
    arguments = read_arguments(options, "cold_items")
    out = arguments.out / arguments.data
    name, settings = SETS[arguments.data]
    quick = {"sft_epochs": 2} if arguments.quick else {}
    folder = trained(out, DATA / name, arguments.seed, settings | quick)
    rows, words = measure(*grown(folder, out, DATA / name))
    title = f"New items, {name}, seed {arguments.seed}" + (
        " (quick: inconclusive)" if arguments.quick else ""
    )
    show_table(
        out,
        [{column: row.get(column, "") for column in rows[0]} for row in rows],
        title,
        f"{words}\n{until_shown(folder, out)}",
    )
    save_figure(out, draw(rows))


if __name__ == "__main__":
    command(main)
