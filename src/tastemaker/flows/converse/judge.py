"""`tastemaker converse judge`: at least two judges on the same turns, with planted defects; deterministic
checks come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from tastemaker.converse.audits.turns import Known, check
from tastemaker.converse.judges.agreement import Rated, agreement, means
from tastemaker.converse.judges.pairs import Chosen, Pair, consistency, pairs_of
from tastemaker.converse.judges.planted import ASPECT_OF, detection, plant
from tastemaker.converse.judges.rubric import ASPECTS
from tastemaker.errors import InputError
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.generate import Session
from tastemaker.flows.converse.judging import OFFLINE, Question, ask_pairs, ask_turns, open_judges
from tastemaker.flows.converse.models import family
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator
from tastemaker.store import write_json
from tastemaker.store.files import plain


def judge_run(
    folder: Path,
    name: str,
    judges: Sequence[str],
    session: Session,
    report: Report,
    size: tuple[int, int] = (50, 1),
) -> dict[str, Any]:
    """Judge one turn of each of some conversations, clean and with each defect, and one pair of items in both
    orders.

    size: how many conversations, and how often a judge is asked for the same grades, by sample index. The
    result is kept beside the data set.

    Raises
    ------
    InputError
        for fewer than two judges, or a judge of the generator's family.
    """
    sample, repeats = size
    setting, place = open_data_set(folder, name, report)
    _independent(judges, setting.settings.model)
    known = setting.known
    clean, planted, pairs = questions(place, known, sample, setting.settings.seed)
    again = [replace(one, sample=number) for number in range(repeats) for one in clean]
    rated: list[Rated] = []
    chosen: list[Chosen] = []
    spoiled: dict[str, list[Rated]] = {defect: [] for defect in ASPECT_OF}
    for engine in open_judges(judges, setting, place, session).values():
        rated += ask_turns(engine, again, known, repeats > 1, report)
        for defect, asked in planted.items():
            spoiled[defect] += ask_turns(engine, asked, known, repeats > 1, report)
        chosen += ask_pairs(engine, pairs, known, report)
    faults = sum(not line.ok for one in clean for line in check(one.conversation, known))
    result = summarise(judges, rated, spoiled, chosen, setting.settings.seed)
    result |= {"turns": len(clean), "repeats": repeats, "faults_by_check": faults}
    kept = {"ratings": [asdict(one) for one in rated], "choices": [asdict(one) for one in chosen]}
    write_json(place.judgements, result | kept)
    return dict(plain(result)) | {"text": judge_text(result)}


def _independent(judges: Sequence[str], model: str) -> None:
    if len(set(judges)) < 2:
        raise InputError(
            "judging needs at least two judges; give --judge twice, as --judge facts --judge overlap"
        )
    for judge in judges:
        if judge not in OFFLINE and family(judge) == family(model):
            raise InputError(
                f"judge '{judge}' is of the same family as the generator '{model}'; choose a model of another"
                " family"
            )


def questions(
    place: RunFolder, known: Known, sample: int, seed: int
) -> tuple[list[Question], dict[str, list[Question]], list[Pair]]:
    """One keyed turn of each of the first `sample` conversations, the same with each defect planted, and a
    keyed pair.
    """
    clean, planted, pairs = [], {defect: [] for defect in ASPECT_OF}, []  # type: ignore[var-annotated]
    for one in islice(read_conversations(place), sample):
        rng = generator(seed, "judged turn", one.conversation_id)
        played = [
            turn.turn for turn in one.turns if turn.item_id is not None and one.label(turn.turn) is not None
        ]
        if not played:
            continue
        turn = played[int(rng.integers(len(played)))]
        clean.append(Question(one, turn))
        for defect in ASPECT_OF:
            if (made := plant(one, turn, defect, known)) is not None:
                planted[defect].append(Question(made, turn, defect))
        if found := pairs_of(one):
            pairs.append(found[int(rng.integers(len(found)))])
    return clean, planted, pairs


def _agreements(rated: list[Rated], seed: int) -> list[dict[str, Any]]:
    """Every two judges, and every judge with its own first repeat."""
    models = sorted({one.judge for one in rated})
    rows = [(a, b, rated) for a, b in combinations(models, 2)]
    for model in models:
        first = [one for one in rated if one.judge == model and "#" not in one.item]
        again = [one for one in rated if one.judge == model and one.item.endswith("#1")]
        if again:
            other = f"{model} again"
            renamed = [replace(one, item=one.item.removesuffix("#1"), judge=other) for one in again]
            rows.append((model, other, first + renamed))
    return [
        {"first": a, "second": b, "aspect": aspect} | asdict(agreement(some, a, b, aspect, seed))
        for a, b, some in rows
        for aspect in ASPECTS
    ]


def summarise(
    judges: Sequence[str],
    rated: list[Rated],
    spoiled: dict[str, list[Rated]],
    chosen: list[Chosen],
    seed: int,
) -> dict[str, Any]:
    """Means, agreement, detection, consistency; an aspect whose defect a judge does not notice is marked as
    not reported.
    """
    models = sorted({one.judge for one in rated})
    found = [
        detection(rated, spoiled[defect], judge, defect, seed) for judge in models for defect in ASPECT_OF
    ]
    blind = {(one.judge, one.aspect) for one in found if not one.reported}
    rows = [asdict(one) | {"reported": (one.judge, one.aspect) not in blind} for one in means(rated)]
    pairs = [consistency(chosen, judge, seed) for judge in models]
    return {
        "judges": list(judges),
        "means": rows,
        "agreement": _agreements(rated, seed),
        "detection": [asdict(one) | {"reported": one.reported} for one in found],
        "pairs": [asdict(one) | {"reported": one.reported} for one in pairs],
    }


def judge_text(result: dict[str, Any]) -> str:
    """The judging for people."""
    judged = f"{result['turns']} turns judged by {', '.join(result['judges'])}"
    lines = [f"{judged}; faults by deterministic checks: {result['faults_by_check']}"]
    for row in result["means"]:
        mean = "no mean" if row["mean"] is None else f"{row['mean']:.2f}"
        note = (
            row["reason"]
            if row["mean"] is None
            else ""
            if row["reported"]
            else "not reported: planted defects go unnoticed"
        )
        lines.append(
            f"  {row['judge']:<12} {row['aspect']:<20} {mean:>7}  {row['valid']}/{row['asked']} valid  {note}"
        )
    lines.append("agreement (weighted kappa):")
    for row in result["agreement"]:
        value = row["reason"] or f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] on {row['n']}"
        lines.append(f"  {row['aspect']:<20} {value}  ({row['first']} and {row['second']})")
    lines.append("planted defects, share noticed (false alarms):")
    for row in result["detection"]:
        if not row["n"]:
            lines.append(f"  {row['judge']:<12} {row['defect']:<14} could be planted nowhere")
            continue
        difference = f"difference [{row['low']:+.2f}, {row['high']:+.2f}]"
        lines.append(
            f"  {row['judge']:<12} {row['defect']:<14} {row['hit']:.0%} ({row['false_alarm']:.0%}),"
            f" {difference}, n {row['n']}"
        )
    lines.append("pairs of items in both orders:")
    for row in result["pairs"]:
        if not row["valid"]:
            lines.append(f"  {row['judge']:<12} no pair with two valid answers of {row['asked']}")
            continue
        right = "none decided" if row["right"] is None else f"{row['right']:.0%} of the decided right"
        note = "" if row["reported"] else "; not reported: it goes by the place"
        lines.append(
            f"  {row['judge']:<12} consistent {row['consistent']:.0%} [{row['low']:.0%}, {row['high']:.0%}]"
            f" of {row['valid']}, first place {row['first']:.0%}, {right}{note}"
        )
    return "\n".join(lines)
