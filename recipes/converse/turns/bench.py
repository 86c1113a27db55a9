"""The benchmark of turns: six rankers and the ceiling, turn by turn, on conversations that no ranker
learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import recipes.converse.turns.rankers as rankers
from recipes.converse.turns.answers import Answer
from recipes.converse.turns.dialogues import DialogueDataset, open_dialogues
from recipes.converse.turns.model import DialogueModel, load_dialogue_model, train_dialogue
from recipes.converse.turns.scores import by_turn, compare, nothing_fits, score, summary
from recipes.converse.turns.sequences import prompts
from recipes.converse.turns.settings import LearnSettings
from tastemaker.converse.audits.pool import TurnQuery, turn_queries
from tastemaker.converse.exports.crs import catalogue_diversity, distinct_two
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator
from tastemaker.store import write_bytes, write_json, write_text

SHOWN = ("nDCG@1", "nDCG@10", "nDCG@20", "Hit@1", "Hit@10", "Hit@20", "MRR@20", "fit-nDCG@20")
DRAWN = (rankers.MODEL, rankers.BM25, rankers.LAST, rankers.FUSED, rankers.DENSE)
REPLIES = 120  # replies written by the model, for Distinct-2
PARTS = {"accepted": "turns whose item was accepted", "all": "all turns that played something"}
WARM_AND_COLD = ("accepted warm", "accepted cold")


@dataclass(frozen=True, eq=False)
class Rankings:
    """The benchmark's raw outcome: queries with a target, each ranker's lists for them, and the model's
    answers to every query.
    """

    data: DialogueDataset
    model: DialogueModel
    queries: Sequence[TurnQuery]
    lists: Mapping[str, Sequence[Sequence[int]]]
    every: Sequence[TurnQuery]
    answers: Sequence[Answer]


def bench_turns(
    workspace: Path, name: str, settings: LearnSettings, report: Report, most: int = 0
) -> dict[str, Any]:
    """Train the data set's model unless that is done, rank every test turn, and write table, figures and JSON
    to a run folder.

    most: test conversations at most (0: all).
    """
    data = open_dialogues(workspace, name, settings, report)
    artifact, _, trained = train_dialogue(data, settings, report)
    model = load_dialogue_model(data.env.pipeline, artifact / "model")
    document = results(rank(data, model, settings, report, most), settings)
    document["model"] = trained["says"]
    run = data.env.workspace.new_run("bench-turns")
    write_json(run / "turns.json", document)
    text = table_text(document)
    write_text(run / "turns.md", text + "\n")
    draw(document, run)
    return {"run": str(run), **document, "text": f"{text}\n\nfigures and JSON: {run}"}


def rank(
    data: DialogueDataset, model: DialogueModel, settings: LearnSettings, report: Report, most: int = 0
) -> Rankings:
    """Every ranker on every test turn."""
    every = queries_of(data, most)
    queries = [query for query in every if query.target is not None]
    texts = [text or "?" for text in item_texts(data.env.pipeline.data.items)]
    lists = rankers.simple_lists(data, queries, texts, report)
    answers = rankers.model_answers(data, every, model, settings, report)
    lists[rankers.MODEL] = [
        answer.items.items.tolist()
        for query, answer in zip(every, answers, strict=True)
        if query.target is not None
    ]
    return Rankings(data, model, queries, lists, every, answers)


def queries_of(data: DialogueDataset, most: int = 0) -> list[TurnQuery]:
    """Every turn of the test conversations, or of the first `most` of them."""
    world = data.env.world
    chosen = data.split.test[:most] if most else data.split.test
    return [
        query
        for number in chosen
        for query in turn_queries(number, data.conversations[number], world.catalogue, world.tools.match)
    ]


def results(rankings: Rankings, settings: LearnSettings) -> dict[str, Any]:
    """Everything measured, as values that JSON can hold."""
    queries, data = rankings.queries, rankings.data
    scores = {name: score(queries, rankings.lists[name]) for name in rankers.RANKERS}
    accepted = np.array([query.accepted for query in queries], bool)
    cold = np.array([data.split.cold[query.target] for query in queries], bool)
    masks = {
        "accepted": accepted,
        "all": np.ones(len(queries), bool),
        "accepted warm": accepted & ~cold,
        "accepted cold": accepted & cold,
    }
    n = len(data.env.world.catalogue)
    due = [query.target is None for query in rankings.every]
    return {
        "conversations": len({query.conversation for query in queries}),
        "turns": len(queries),
        "items": n,
        "settings": asdict(settings),
        "parts": {
            part: _part(queries, scores, np.flatnonzero(mask).tolist(), settings.seed)
            for part, mask in masks.items()
            if mask.any()
        },
        "coverage": {
            name: catalogue_diversity([list(map(str, items)) for items in lists], n)
            for name, lists in rankings.lists.items()
        },
        "distinct_2": _distinct(rankings, settings),
        "nothing_fits": nothing_fits(due, [answer.nothing_fits for answer in rankings.answers]),
        "fits": {"median": float(np.median([len(query.fits) for query in queries]))},
    }


def _part(
    queries: Sequence[TurnQuery], scores: Mapping[str, Any], rows: Sequence[int], seed: int
) -> dict[str, Any]:
    """Macro values, values by turn, and the model against every other ranker, on some of the turns."""
    chosen = [queries[row] for row in rows]
    values = {
        name: {metric: numbers[rows] for metric, numbers in metrics.items()}
        for name, metrics in scores.items()
    }
    ours = values[rankers.MODEL]
    others = {name: metrics for name, metrics in values.items() if name != rankers.MODEL}
    return {
        "turns": len(chosen),
        "macro": {
            name: {metric: asdict(value) for metric, value in summary(chosen, metrics, seed).items()}
            for name, metrics in values.items()
        },
        "by_turn": {name: by_turn(chosen, metrics["nDCG@20"]) for name, metrics in values.items()},
        "ceiling_by_turn": by_turn(chosen, ours["ceiling@20"]),
        "model_minus": {
            name: {metric: asdict(value) for metric, value in compare(chosen, ours, metrics, seed).items()}
            for name, metrics in others.items()
        },
    }


def _distinct(rankings: Rankings, settings: LearnSettings) -> dict[str, float]:
    """Distinct-2 of the data's replies and of the model's own, on the same keyed sample of turns."""
    from recipes.converse.turns.words import reply

    data, model = rankings.data, rankings.model
    vocabulary = model.vocabulary
    written, given = [], []
    for row in generator(settings.seed, "replies").permutation(len(rankings.queries))[:REPLIES]:
        query, items = rankings.queries[row], rankings.lists[rankers.MODEL][row]
        dialogue = data.dialogues[query.conversation]
        before = prompts(dialogue, model.codes, vocabulary, model.encode, settings.sequences)[query.turn - 1]
        codes = vocabulary.sid_tokens(model.codes[items[0]]).tolist()
        prompt = [*before, vocabulary.special("item"), *codes, vocabulary.special("text")]
        written.append(model.decode(reply(model.network, vocabulary, prompt)))
        given.append(dialogue.exchanges[query.turn - 1].reply)
    return {"language model": distinct_two(written), "as generated": distinct_two(given)}


def table_text(document: Mapping[str, Any]) -> str:
    """The results for people, as Markdown."""
    counts = (
        f"{document['conversations']:,} test conversations, {document['turns']:,} turns,"
        f" {document['items']:,} items"
    )
    lines = [counts]
    for name, about in PARTS.items():
        if (part := document["parts"].get(name)) is not None:
            lines += _part_text(about, part, document["coverage"])
    for name in WARM_AND_COLD:
        if (part := document["parts"].get(name)) is not None:
            listed = ", ".join(
                f"{ranker} {values['nDCG@20']['value']:.4f}" for ranker, values in part["macro"].items()
            )
            lines += ["", f"{name} items ({part['turns']:,} turns), nDCG@20: {listed}"]
    none = document["nothing_fits"]
    shares = ", ".join(
        f"{name} {'–' if none[name] is None else format(none[name], '.3f')}"
        for name in ("precision", "recall")
    )
    distinct = ", ".join(f"{name} {value:.3f}" for name, value in document["distinct_2"].items())
    footer = (
        f"nothing fits: said {none['said']}, due {none['due']}; {shares}. Distinct-2 of replies: {distinct}"
    )
    return "\n".join([*lines, "", footer])


def _part_text(about: str, part: Mapping[str, Any], coverage: Mapping[str, float]) -> list[str]:
    rows = [["ranker", *SHOWN, "coverage"], ["---", *["---:"] * (len(SHOWN) + 1)]]
    for name, values in part["macro"].items():
        cells = [f"{values[metric]['value']:.4f}" for metric in SHOWN]
        rows.append([name, *cells, f"{coverage[name]:.1%}"])
    best = part["macro"][rankers.MODEL]["ceiling@20"]["value"]
    rows.append(["ceiling", "", "", f"{best:.4f}", *[""] * (len(SHOWN) - 2)])
    differences = [(name, values["nDCG@20"]) for name, values in part["model_minus"].items()]
    against = "; ".join(
        f"{name} {value['value']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
        for name, value in differences
    )
    return [
        "",
        f"### {about.capitalize()} ({part['turns']:,})",
        "",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
        f"Language model minus, nDCG@20 with paired 95 % intervals over conversations: {against}",
    ]


def draw(document: Mapping[str, Any], run: Path) -> None:
    """nDCG@20 by turn with the ceiling, one figure a part."""
    from tastemaker.reports.figures import Series, curves

    for name, about in PARTS.items():
        part = document["parts"].get(name)
        if part is None or len(part["ceiling_by_turn"]) < 2:
            continue
        lines = {"ceiling": part["ceiling_by_turn"], **{ranker: part["by_turn"][ranker] for ranker in DRAWN}}
        series = [
            Series(line, [int(turn) for turn in values], list(values.values()))
            for line, values in lines.items()
        ]
        figure = curves(series, f"nDCG@20 by turn: {about}", "turn", "nDCG@20")
        write_bytes(run / f"turns-{name}.png", figure.png)
        write_bytes(run / f"turns-{name}.svg", figure.svg)
