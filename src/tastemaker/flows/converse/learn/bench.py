"""`tastemaker converse bench`: six rankers and the ceiling, turn by turn, on conversations that no ranker
learnt from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastemaker.converse.benchmark import Ask, asks, compare, score, summary
from tastemaker.converse.benchmark.scores import by_turn, nothing_fits
from tastemaker.converse.exports.crs import catalogue_diversity, distinct_two
from tastemaker.flows.converse.learn import rankers
from tastemaker.flows.converse.learn.dialogues import Talk, open_talk
from tastemaker.flows.converse.learn.model import Talker, load_talker, train_dialogue
from tastemaker.flows.converse.learn.settings import LearnSettings
from tastemaker.flows.data import item_texts
from tastemaker.flows.pipeline import Report
from tastemaker.retrieve.dialogue import Answer
from tastemaker.stats.random import generator
from tastemaker.store import write_bytes, write_json, write_text

SHOWN = ("nDCG@1", "nDCG@10", "nDCG@20", "Hit@1", "Hit@10", "Hit@20", "MRR@20", "fit-nDCG@20")
REPLIES = 120  # replies written by the model, for Distinct-2
PARTS = {"accepted": "turns whose item was accepted", "all": "all turns that played something"}


@dataclass(frozen=True, eq=False)
class Played:
    """The benchmark's raw outcome: questions with a target, each ranker's lists, and the model's answers to
    every question.
    """

    talk: Talk
    some: Sequence[Ask]
    lists: Mapping[str, Sequence[Sequence[int]]]
    every: Sequence[Ask]
    answers: Sequence[Answer]
    talker: Talker


def bench_turns(
    folder: Path, name: str, settings: LearnSettings, report: Report, most: int = 0
) -> dict[str, Any]:
    """Train the data set's model unless that is done, rank every test turn, and write table, figures and JSON
    to a run folder.

    most: test conversations at most (0: all).
    """
    talk = open_talk(folder, name, settings, report)
    where, _, trained = train_dialogue(talk, settings, report)
    talker = load_talker(talk.setting.chain, where / "model")
    played = play(talk, talker, settings, report, most)
    document = results(played, settings)
    document["model"] = trained["says"]
    run = talk.setting.workspace.new_run("bench-turns")
    write_json(run / "turns.json", document)
    text = table_text(document)
    write_text(run / "turns.md", text + "\n")
    draw(document, run)
    return {"run": str(run), **document, "text": f"{text}\n\nfigures and JSON: {run}"}


def play(talk: Talk, talker: Talker, settings: LearnSettings, report: Report, most: int = 0) -> Played:
    """Every ranker on every test turn."""
    every = questions(talk, most)
    some = [one for one in every if one.target is not None]
    texts = [text or "?" for text in item_texts(talk.setting.chain.data.items)]
    lists = rankers.simple_lists(talk, some, texts, report)
    answers = rankers.model_answers(talk, every, talker, settings, report)
    lists[rankers.MODEL] = [
        a.items.items.tolist() for one, a in zip(every, answers, strict=True) if one.target is not None
    ]
    return Played(talk, some, lists, every, answers, talker)


def questions(talk: Talk, most: int = 0) -> list[Ask]:
    """Every turn of the test conversations, or of the first `most` of them."""
    world = talk.setting.world
    chosen = talk.split.test[:most] if most else talk.split.test
    return [
        one
        for number in chosen
        for one in asks(number, talk.conversations[number], world.catalogue, world.tools.match)
    ]


def results(played: Played, settings: LearnSettings) -> dict[str, Any]:
    """Everything measured, as values that JSON can hold."""
    some, seed = played.some, settings.seed
    scores = {name: score(some, played.lists[name]) for name in rankers.RANKERS}
    cold = played.talk.split.cold
    parts: dict[str, Any] = {}
    for part in ("accepted", "all", "accepted warm", "accepted cold"):
        rows = [
            place
            for place, one in enumerate(some)
            if (part == "all" or one.accepted)
            and (part.split()[-1] not in ("warm", "cold") or cold[one.target] == (part[-4:] == "cold"))
        ]
        if rows:
            parts[part] = _part(some, scores, rows, seed)
    n = len(played.talk.setting.world.catalogue)
    coverage = {
        name: catalogue_diversity([list(map(str, one)) for one in lists], n)
        for name, lists in played.lists.items()
    }
    due = [one.target is None for one in played.every]
    return {
        "conversations": len({one.conversation for one in some}),
        "turns": len(some),
        "items": n,
        "settings": asdict(settings),
        "parts": parts,
        "coverage": coverage,
        "distinct_2": _distinct(played, settings),
        "nothing_fits": nothing_fits(due, [one.nothing_fits for one in played.answers]),
        "fits": {"median": float(np.median([len(one.fits) for one in some]))},
    }


def _part(some: Sequence[Ask], scores: Mapping[str, Any], rows: Sequence[int], seed: int) -> dict[str, Any]:
    """Macro values, values by turn, and the model against every other ranker, on some of the turns."""
    chosen = [some[row] for row in rows]
    mine = {
        name: {metric: values[rows] for metric, values in found.items()} for name, found in scores.items()
    }
    ours = mine[rankers.MODEL]
    return {
        "turns": len(chosen),
        "macro": {
            name: {m: asdict(v) for m, v in summary(chosen, found, seed).items()}
            for name, found in mine.items()
        },
        "by_turn": {name: by_turn(chosen, found["nDCG@20"]) for name, found in mine.items()},
        "ceiling_by_turn": by_turn(chosen, ours["ceiling@20"]),
        "model_minus": {
            name: {m: asdict(v) for m, v in compare(chosen, ours, found, seed).items()}
            for name, found in mine.items()
            if name != rankers.MODEL
        },
    }


def _distinct(played: Played, settings: LearnSettings) -> dict[str, float]:
    """Distinct-2 of the data's replies and of the model's own, on the same keyed sample of turns."""
    from tastemaker.corpus.dialogue import prompts
    from tastemaker.lm.dialogue import reply

    talk, talker = played.talk, played.talker
    rows = generator(settings.seed, "replies").permutation(len(played.some))[:REPLIES]
    written, given = [], []
    for row in rows:
        one, items = played.some[row], played.lists[rankers.MODEL][row]
        dialogue = talk.dialogues[one.conversation]
        prompt = prompts(dialogue, talker.codes, talker.vocabulary, talker.encode, settings.sequences)[
            one.turn - 1
        ]
        codes = talker.vocabulary.sid_tokens(talker.codes[items[0]]).tolist()
        prompt = [*prompt, talker.vocabulary.special("item"), *codes, talker.vocabulary.special("text")]
        written.append(talker.decode(reply(talker.model, talker.vocabulary, prompt)))
        given.append(dialogue.exchanges[one.turn - 1].reply)
    return {"language model": distinct_two(written), "as generated": distinct_two(given)}


def table_text(document: Mapping[str, Any]) -> str:
    """The results for people, as Markdown."""
    lines = [
        f"{document['conversations']:,} test conversations, {document['turns']:,} turns,"
        f" {document['items']:,} items"
    ]
    for part, about in PARTS.items():
        found = document["parts"].get(part)
        if found is None:
            continue
        lines += [
            "",
            f"### {about.capitalize()} ({found['turns']:,})",
            "",
            _row(["ranker", *SHOWN, "coverage"]),
        ]
        lines.append(_row(["---", *["---:"] * (len(SHOWN) + 1)]))
        for name, values in found["macro"].items():
            cells = [f"{values[metric]['value']:.4f}" for metric in SHOWN]
            lines.append(_row([name, *cells, f"{document['coverage'][name]:.1%}"]))
        best = found["macro"][rankers.MODEL]["ceiling@20"]["value"]
        lines.append(_row(["ceiling", "", "", f"{best:.4f}", *[""] * (len(SHOWN) - 2)]))
        lines += [
            "",
            "Language model minus, nDCG@20 with paired 95 % intervals over conversations: " + _against(found),
        ]
    for part in ("accepted warm", "accepted cold"):
        found = document["parts"].get(part)
        if found is not None:
            told = ", ".join(
                f"{name} {values['nDCG@20']['value']:.4f}" for name, values in found["macro"].items()
            )
            lines += ["", f"{part} items ({found['turns']:,} turns), nDCG@20: {told}"]
    none = document["nothing_fits"]
    shares = ", ".join(
        f"{name} {'–' if none[name] is None else format(none[name], '.3f')}"
        for name in ("precision", "recall")
    )
    told = ", ".join(f"{name} {value:.3f}" for name, value in document["distinct_2"].items())
    return "\n".join(
        [
            *lines,
            "",
            f"nothing fits: said {none['said']}, due {none['due']}; {shares}. Distinct-2 of replies: {told}",
        ]
    )


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _against(found: Mapping[str, Any]) -> str:
    parts = []
    for name, values in found["model_minus"].items():
        one = values["nDCG@20"]
        parts.append(f"{name} {one['value']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]")
    return "; ".join(parts)


def draw(document: Mapping[str, Any], run: Path) -> None:
    """nDCG@20 by turn with the ceiling, one figure a part."""
    from tastemaker.reports.figures import Series, curves

    for part, about in PARTS.items():
        found = document["parts"].get(part)
        if found is None or len(found["ceiling_by_turn"]) < 2:
            continue
        shown = [rankers.MODEL, rankers.BM25, rankers.LAST, rankers.FUSED, rankers.DENSE]
        lines = {"ceiling": found["ceiling_by_turn"], **{name: found["by_turn"][name] for name in shown}}
        series = [
            Series(name, [int(turn) for turn in values], list(values.values()))
            for name, values in lines.items()
        ]
        made = curves(series, f"nDCG@20 by turn: {about}", "turn", "nDCG@20")
        write_bytes(run / f"turns-{part}.png", made.png)
        write_bytes(run / f"turns-{part}.svg", made.svg)
