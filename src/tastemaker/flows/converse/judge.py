"""`tastemaker converse judge`: at least two judges on the same turns and pairs, with planted defects;
deterministic checks come first, and what is paid for is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import tastemaker.plugins as plugins
from tastemaker.chat import (
    FAILURES,
    Budget,
    Cache,
    Chat,
    Engine,
    EngineSettings,
    Journal,
    Outcome,
    PaceSettings,
    Request,
    Sampling,
    StoppedEarly,
    Unit,
    Usage,
    map_units,
)
from tastemaker.converse.audits.turns import Known, check
from tastemaker.converse.judges.agreement import Rated, agreement, means
from tastemaker.converse.judges.pairs import (
    Chosen,
    Pair,
    PairAnswer,
    consistency,
    for_pair,
    pairs_of,
    render_pair,
)
from tastemaker.converse.judges.planted import ASPECT_OF, detection, plant
from tastemaker.converse.judges.rubric import ASPECTS, JudgeAnswer, for_judge, render
from tastemaker.converse.record import Conversation
from tastemaker.converse.rules import FactJudge, WordJudge
from tastemaker.errors import InputError
from tastemaker.flows.converse.dataset import open_data_set, read_conversations
from tastemaker.flows.converse.env import ConversationEnv, families, family, open_chat
from tastemaker.flows.converse.generate import Session
from tastemaker.flows.converse.settings import RULES, RunFolder
from tastemaker.flows.pipeline import Report
from tastemaker.stats.random import generator
from tastemaker.store import append_line, read_lines, write_bytes, write_json
from tastemaker.store.files import plain

OFFLINE = {"facts": FactJudge, "overlap": WordJudge}
WARM = 0.7  # repeats at temperature 0 would say nothing


@dataclass(frozen=True)
class Question:
    """One turn to be judged, as is or with a planted defect; sample: 0, 1, ... asks the same judge again."""

    conversation: Conversation
    turn: int
    defect: str = ""
    sample: int = 0

    @property
    def item(self) -> str:
        """Names the turn, whatever was planted."""
        return f"{self.conversation.conversation_id}/{self.turn}" + (f"#{self.sample}" if self.sample else "")


def open_judges(
    judges: Sequence[str], env: ConversationEnv, folder: RunFolder, session: Session
) -> dict[str, Engine]:
    """One engine a judge on one budget; what is paid for is kept under judging/, rules nowhere."""
    lexicon = env.world.lexicon
    journals = {}
    for judge in dict.fromkeys(name for name in judges if name not in OFFLINE):
        path = folder.judging / f"journal-{family(judge)}.jsonl"
        lines = read_lines(path) if path.exists() else []
        about = {"judge": judge, "data": env.settings_hash}
        journals[judge] = Journal(partial(append_line, path), lines, about, "same")
    billed = [journal.billed() for journal in journals.values()]
    usage, calls = sum((usage for usage, _ in billed), Usage()), sum(calls for _, calls in billed)
    budget = Budget(session.limits, session.price, usage, calls)
    engines = {}
    for judge in judges:
        if judge in OFFLINE:
            rules: Chat = OFFLINE[judge](env.known)
            engines[judge] = Engine(rules, settings=EngineSettings(PaceSettings(most=1), keep_calls=False))
            continue
        plugin = judge in plugins.names("judges")
        engines[judge] = Engine(
            plugins.call("judges", judge) if plugin else open_chat(judge, lexicon, env.settings.seed),
            cache=Cache(folder.judging / "cache", write_bytes),
            journal=journals[judge],
            budget=budget,
            settings=EngineSettings(PaceSettings(most=session.at_once)),
        )
    return engines


def ask_turns(
    engine: Engine, questions: Sequence[Question], known: Known, warm: bool, report: Report
) -> list[Rated]:
    """One judge's grades; an answer that stays unusable counts as asked and not valid."""
    sampling = Sampling(temperature=WARM if warm else 0.0, max_tokens=1024)

    def work(unit: Unit[Question]) -> Any:
        view = for_judge(unit.value.conversation, unit.value.turn, known)
        request = Request(
            render(view), JudgeAnswer, sampling, unit.value.sample, unit.subject, unit.id, "judge", view
        )
        return engine.call(request).model_dump()

    model = engine.chat.model
    units = [
        Unit(f"{model}/{question.item}/{question.defect}", question.conversation.user_id, question)
        for question in questions
    ]
    rated: list[Rated] = []
    outcomes = map_units(engine, work, units, retry=FAILURES, unit_label="judgement")
    for number, (outcome, question) in enumerate(zip(outcomes, questions, strict=True), start=1):
        grades = (_rated(model, question, aspect, outcome) for aspect in ASPECTS)
        rated += [grade for grade in grades if grade is not None]
        report(f"judge {model}", number, len(questions), "")
    return rated


def ask_pairs(engine: Engine, pairs: Sequence[Pair], known: Known, report: Report) -> list[Chosen]:
    """One judge's choices, each pair in both orders."""
    sampling = Sampling(temperature=0.0, max_tokens=256)

    def work(unit: Unit[tuple[Pair, bool]]) -> Any:
        pair, swapped = unit.value
        view = for_pair(pair, known, swapped)
        request = Request(render_pair(view), PairAnswer, sampling, 0, unit.subject, unit.id, "pair", view)
        return engine.call(request).model_dump()

    model = engine.chat.model
    units = [
        Unit(f"{model}/{pair.name}/{order}", pair.conversation.user_id, (pair, order == "swapped"))
        for pair in pairs
        for order in ("straight", "swapped")
    ]
    choices: list[str | None] = []
    outcomes = map_units(engine, work, units, retry=FAILURES, unit_label="judgement")
    for number, outcome in enumerate(outcomes, start=1):
        choices.append((outcome.value or {}).get("choice"))
        report(f"pairs {model}", number, len(units), "")
    return [
        Chosen(model, pair.conversation.conversation_id, pair.name, straight, swapped)
        for pair, straight, swapped in zip(pairs, choices[::2], choices[1::2], strict=True)
    ]


def _rated(judge: str, question: Question, aspect: str, outcome: Outcome) -> Rated | None:
    """A grade; None for an aspect on which the judge has nothing to say."""
    name = question.conversation.conversation_id
    if not outcome.value or "invalid" in outcome.value:  # version 0.1 kept what could not be used
        reason = f"{outcome.failure or 'invalid'}: {outcome.detail or 'no answer'}"
        return Rated(judge, name, question.item, aspect, None, reason)
    grade = outcome.value[aspect]
    if grade["score"] is None:
        return None
    return Rated(judge, name, question.item, aspect, grade["score"], grade["reason"])


def judge_run(
    workspace: Path,
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

    Raises InputError for fewer than two judges, or a judge of the generator's family; StoppedEarly when no
    judge gave one usable answer.
    """
    sample, repeats = size
    env, folder = open_data_set(workspace, name, report)
    _check_independent(judges, env.settings.model)
    known = env.known if set(judges) - set(OFFLINE) else replace(env.known, media=lambda turn: ())
    clean, planted, pairs = questions(folder, known, sample, env.settings.seed)
    again = [replace(question, sample=number) for number in range(repeats) for question in clean]
    rated: list[Rated] = []
    chosen: list[Chosen] = []
    spoiled: dict[str, list[Rated]] = {defect: [] for defect in ASPECT_OF}
    for engine in open_judges(judges, env, folder, session).values():
        rated += ask_turns(engine, again, known, repeats > 1, report)
        for defect, flawed in planted.items():
            spoiled[defect] += ask_turns(engine, flawed, known, repeats > 1, report)
        chosen += ask_pairs(engine, pairs, known, report)
    if rated and all(rating.score is None for rating in rated):
        raise StoppedEarly(f"no judge gave a usable answer: {rated[0].reason}; nothing is reported")
    faults = sum(not line.ok for question in clean for line in check(question.conversation, known))
    result = summarise(judges, rated, spoiled, chosen, env.settings.seed)
    result |= {"turns": len(clean), "repeats": repeats, "faults_by_check": faults}
    result["rules_judge_rules"] = env.settings.model == RULES and set(judges) <= set(OFFLINE)
    answers = {"ratings": [asdict(rating) for rating in rated], "choices": [asdict(pair) for pair in chosen]}
    write_json(folder.judgements, result | answers)
    return dict(plain(result)) | {"text": judge_text(result)}


def _check_independent(judges: Sequence[str], model: str) -> None:
    if len(set(judges)) < 2:
        raise InputError(
            "judging needs at least two judges; give --judge twice, as --judge facts --judge overlap"
        )
    for judge in judges:
        if judge not in (*OFFLINE, *plugins.names("judges")) and family(judge) in families(model):
            raise InputError(
                f"judge '{judge}' is of the same family as the generator '{model}'; choose a model of another"
                " family"
            )


def questions(
    folder: RunFolder, known: Known, sample: int, seed: int
) -> tuple[list[Question], dict[str, list[Question]], list[Pair]]:
    """A keyed turn of each of the first `sample` conversations, plain and with each defect, and a pair."""
    clean: list[Question] = []
    planted: dict[str, list[Question]] = {defect: [] for defect in ASPECT_OF}
    pairs: list[Pair] = []
    for conversation in islice(read_conversations(folder), sample):
        rng = generator(seed, "judged turn", conversation.conversation_id)
        played = [
            turn.turn
            for turn in conversation.turns
            if turn.item_id is not None and conversation.label(turn.turn) is not None
        ]
        if not played:
            continue
        turn = played[int(rng.integers(len(played)))]
        clean.append(Question(conversation, turn))
        for defect in ASPECT_OF:
            if (changed := plant(conversation, turn, defect, known)) is not None:
                planted[defect].append(Question(changed, turn, defect))
        if options := pairs_of(conversation):
            pairs.append(options[int(rng.integers(len(options)))])
    return clean, planted, pairs


def _agreements(rated: list[Rated], seed: int) -> list[dict[str, Any]]:
    """Every two judges, and every judge with its own first repeat."""
    models = sorted({rating.judge for rating in rated})
    rows = [(a, b, rated) for a, b in combinations(models, 2)]
    for model in models:
        ratings = [rating for rating in rated if rating.judge == model]
        again = [
            replace(rating, item=rating.item.removesuffix("#1"), judge=f"{model} again")
            for rating in ratings
            if rating.item.endswith("#1")
        ]
        if again:
            first = [rating for rating in ratings if "#" not in rating.item]
            rows.append((model, f"{model} again", first + again))
    return [
        {"first": a, "second": b, "aspect": aspect} | asdict(agreement(ratings, a, b, aspect, seed))
        for a, b, ratings in rows
        for aspect in ASPECTS
    ]


def summarise(
    judges: Sequence[str],
    rated: list[Rated],
    spoiled: dict[str, list[Rated]],
    chosen: list[Chosen],
    seed: int,
) -> dict[str, Any]:
    """Means, agreement, detection, consistency; an aspect whose defect a judge misses is not reported."""
    models = sorted({rating.judge for rating in rated})
    detections = [
        detection(rated, spoiled[defect], judge, defect, seed) for judge in models for defect in ASPECT_OF
    ]
    blind = {(line.judge, line.aspect) for line in detections if not line.reported}
    pairs = [consistency(chosen, judge, seed) for judge in models]
    return {
        "judges": list(judges),
        "means": [
            asdict(mean) | {"reported": (mean.judge, mean.aspect) not in blind} for mean in means(rated)
        ],
        "agreement": _agreements(rated, seed),
        "detection": [asdict(line) | {"reported": line.reported} for line in detections],
        "pairs": [asdict(line) | {"reported": line.reported} for line in pairs],
    }


def judge_text(result: dict[str, Any]) -> str:
    """The judging for people."""
    judged = f"{result['turns']} turns judged by {', '.join(result['judges'])}"
    if result["rules_judge_rules"]:
        judged += " (rules judge what rules generated: that they agree says nothing about quality)"
    return "\n".join(
        [
            f"{judged}; faults by deterministic checks: {result['faults_by_check']}",
            *map(_mean_text, result["means"]),
            "agreement (weighted kappa):",
            *map(_agreement_text, result["agreement"]),
            "planted defects, share noticed (false alarms):",
            *map(_detection_text, result["detection"]),
            "pairs of items in both orders:",
            *map(_pairs_text, result["pairs"]),
        ]
    )


def _mean_text(row: dict[str, Any]) -> str:
    mean = "no mean" if row["mean"] is None else f"{row['mean']:.2f}"
    note = "" if row["reported"] else "not reported: planted defects go unnoticed"
    if row["mean"] is None:
        note = row["reason"]
    return f"  {row['judge']:<12} {row['aspect']:<20} {mean:>7}  {row['valid']}/{row['asked']} valid  {note}"


def _agreement_text(row: dict[str, Any]) -> str:
    value = row["reason"] or f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] on {row['n']}"
    return f"  {row['aspect']:<20} {value}  ({row['first']} and {row['second']})"


def _detection_text(row: dict[str, Any]) -> str:
    head = f"  {row['judge']:<12} {row['defect']:<14}"
    if not row["n"]:
        return f"{head} could be planted nowhere"
    difference = f"difference [{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{head} {row['hit']:.0%} ({row['false_alarm']:.0%}), {difference}, n {row['n']}"


def _pairs_text(row: dict[str, Any]) -> str:
    head = f"  {row['judge']:<12}"
    if not row["valid"]:
        return f"{head} no pair with two valid answers of {row['asked']}"
    right = "none decided" if row["right"] is None else f"{row['right']:.0%} of the decided right"
    note = "" if row["reported"] else "; not reported: it goes by the place"
    return (
        f"{head} consistent {row['consistent']:.0%} [{row['low']:.0%}, {row['high']:.0%}] of {row['valid']},"
        f" first place {row['first']:.0%}, {right}{note}"
    )
