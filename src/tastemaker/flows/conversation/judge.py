"""`tastemaker converse judge`: at least two judges on the same turns, with planted defects; deterministic checks come first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from tastemaker.converse.audits.turns import Known, check
from tastemaker.converse.judges.agreement import Rated, agreement, means
from tastemaker.converse.judges.planted import ASPECT_OF, detection, plant
from tastemaker.converse.judges.rubric import ASPECTS, JudgeAnswer, for_judge, render
from tastemaker.converse.record import Conversation
from tastemaker.converse.rules import FactJudge, WordJudge
from tastemaker.errors import InputError
from tastemaker.flows.chain import Report
from tastemaker.flows.conversation.audit import open_data_set, read_conversations
from tastemaker.flows.conversation.generate import Paying
from tastemaker.flows.conversation.settings import RunFolder
from tastemaker.flows.conversation.world.models import family, open_chat
from tastemaker.flows.conversation.world.setting import Setting
from tastemaker.lm.calls import (
    Budget,
    Cache,
    CallError,
    Chat,
    Engine,
    EngineSettings,
    Journal,
    PaceSettings,
    Request,
    Sampling,
    Unit,
    map_units,
)
from tastemaker.stats.random import generator
from tastemaker.store import append_line, read_lines, write_bytes, write_json
from tastemaker.store.files import plain

Ask = Callable[[Sequence["Question"]], list[Rated]]
OFFLINE = {"facts": FactJudge, "overlap": WordJudge}


@dataclass(frozen=True)
class Question:
    """One turn to be judged, as it is or with a planted defect."""

    conversation: Conversation
    turn: int
    defect: str = ""

    @property
    def item(self) -> str:
        """Names the turn, whatever was planted."""
        return f"{self.conversation.conversation_id}/{self.turn}"


def judge_run(folder: Path, name: str, judges: Sequence[str], sample: int, paying: Paying, report: Report) -> dict[str, Any]:
    """Judge one turn of each of `sample` conversations, clean and with each defect; the result is kept beside the data set.

    Raises
    ------
    InputError
        for fewer than two judges, or a judge of the generator's family.
    """
    setting, place = open_data_set(folder, name, report)
    _independent(judges, setting.settings.model)
    known = Known(setting.world.catalogue, setting.world.tools.match, setting.world.lexicon)
    clean, planted = questions(place, known, sample, setting.settings.seed)
    rated: list[Rated] = []
    spoiled: dict[str, list[Rated]] = {defect: [] for defect in ASPECT_OF}
    for judge in judges:
        ask = asker(judge, setting, place, paying, report)
        rated += ask(clean)
        for defect, asked in planted.items():
            spoiled[defect] += ask(asked)
    faults = sum(not line.ok for one in clean for line in check(one.conversation, known))
    result = summarise(judges, rated, spoiled, setting.settings.seed) | {"turns": len(clean), "faults_by_check": faults}
    write_json(place.judgements, result | {"ratings": [asdict(one) for one in rated]})
    return dict(plain(result)) | {"text": judge_text(result)}


def _independent(judges: Sequence[str], model: str) -> None:
    if len(set(judges)) < 2:
        raise InputError("judging needs at least two judges; give --judge twice, as --judge facts --judge overlap")
    for judge in judges:
        if judge not in OFFLINE and family(judge) == family(model):
            raise InputError(
                f"judge '{judge}' is of the same family as the generator '{model}'; choose a model of another family"
            )


def questions(place: RunFolder, known: Known, sample: int, seed: int) -> tuple[list[Question], dict[str, list[Question]]]:
    """One keyed turn of each of the first `sample` conversations, and the same turns with each defect planted."""
    clean, planted = [], {defect: [] for defect in ASPECT_OF}  # type: ignore[var-annotated]
    for one in islice(read_conversations(place), sample):
        played = [turn.turn for turn in one.turns if turn.item_id is not None and one.label(turn.turn) is not None]
        if not played:
            continue
        turn = played[int(generator(seed, "judged turn", one.conversation_id).integers(len(played)))]
        clean.append(Question(one, turn))
        for defect in ASPECT_OF:
            if (made := plant(one, turn, defect, known)) is not None:
                planted[defect].append(Question(made, turn, defect))
    return clean, planted


def _judge_engine(judge: str, setting: Setting, place: RunFolder, paying: Paying) -> Engine:
    """The engine of one judge; what is paid for is kept under judging/, rules are free and kept nowhere."""
    lexicon = setting.world.lexicon
    if judge in OFFLINE:
        rules: Chat = OFFLINE[judge](lexicon)
        return Engine(rules, settings=EngineSettings(pace=PaceSettings(start=1, most=1), keep_calls=False))
    folder = place.root / "judging"
    journal = folder / f"journal-{family(judge)}.jsonl"
    lines = read_lines(journal) if journal.exists() else []
    kept = Journal(partial(append_line, journal), lines, {"judge": judge, "data": setting.settings_hash}, "same")
    return Engine(
        open_chat(judge, lexicon, setting.settings.seed),
        cache=Cache(folder / "cache", write_bytes),
        journal=kept,
        budget=Budget(paying.limits, paying.price, *kept.spent()),
        settings=EngineSettings(pace=PaceSettings(start=min(4, paying.at_once), most=paying.at_once)),
    )


def asker(judge: str, setting: Setting, place: RunFolder, paying: Paying, report: Report) -> Ask:
    """What puts questions to one judge and brings its ratings; an answer that stays unusable counts as asked and not valid."""
    engine = _judge_engine(judge, setting, place, paying)
    known = Known(setting.world.catalogue, setting.world.tools.match, setting.world.lexicon)
    sampling = Sampling(temperature=0.0, max_tokens=1024)

    def work(unit: Unit[Question]) -> Any:
        view = for_judge(unit.value.conversation, unit.value.turn, known)
        request = Request(render(view), JudgeAnswer, sampling, subject=unit.subject, unit=unit.id, kind="judge", view=view)
        try:
            return engine.call(request).model_dump()
        except CallError as error:
            return {"invalid": str(error)}

    def ask(asked: Sequence[Question]) -> list[Rated]:
        units = [Unit(f"{engine.chat.model}/{one.item}/{one.defect}", one.conversation.user_id, one) for one in asked]
        rated: list[Rated] = []
        for at, (outcome, one) in enumerate(zip(map_units(engine, work, units), asked, strict=True), start=1):
            rated += [_rated(engine.chat.model, one, aspect, outcome.value) for aspect in ASPECTS]
            report(f"judge {judge}", at, len(asked), "")
        return rated

    return ask


def _rated(judge: str, one: Question, aspect: str, answer: Any) -> Rated:
    grade = None if not answer or "invalid" in answer else answer[aspect]
    name = one.conversation.conversation_id
    if grade is None:
        return Rated(judge, name, one.item, aspect, None, (answer or {}).get("invalid", "no answer"))
    return Rated(judge, name, one.item, aspect, grade["score"], grade["reason"])


def summarise(judges: Sequence[str], rated: list[Rated], spoiled: dict[str, list[Rated]], seed: int) -> dict[str, Any]:
    """Means, agreement and detection; an aspect whose defect a judge does not notice is marked as not to be reported."""
    models = sorted({one.judge for one in rated})
    kappas = [
        {"first": a, "second": b, "aspect": aspect} | asdict(agreement(rated, a, b, aspect, seed))
        for a, b in combinations(models, 2)
        for aspect in ASPECTS
    ]
    found = [detection(rated, spoiled[defect], judge, defect, seed) for judge in models for defect in ASPECT_OF]
    blind = {(one.judge, one.aspect) for one in found if not one.reported}
    rows = [asdict(one) | {"reported": (one.judge, one.aspect) not in blind} for one in means(rated)]
    return {
        "judges": list(judges),
        "means": rows,
        "agreement": kappas,
        "detection": [asdict(one) | {"reported": one.reported} for one in found],
    }


def judge_text(result: dict[str, Any]) -> str:
    """The judging for people."""
    judged = f"{result['turns']} turns judged by {', '.join(result['judges'])}"
    lines = [f"{judged}; faults by deterministic checks: {result['faults_by_check']}"]
    for row in result["means"]:
        mean = "no mean" if row["mean"] is None else f"{row['mean']:.2f}"
        note = row["reason"] if row["mean"] is None else "" if row["reported"] else "not reported: planted defects go unnoticed"
        lines.append(f"  {row['judge']:<12} {row['aspect']:<20} {mean:>7}  {row['valid']}/{row['asked']} valid  {note}")
    lines.append("agreement (weighted kappa):")
    for row in result["agreement"]:
        value = row["reason"] or f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}] on {row['n']}"
        lines.append(f"  {row['aspect']:<20} {value}")
    lines.append("planted defects, share noticed (false alarms):")
    for row in result["detection"]:
        difference = f"difference [{row['low']:+.2f}, {row['high']:+.2f}]"
        lines.append(
            f"  {row['judge']:<12} {row['defect']:<14} {row['hit']:.0%} ({row['false_alarm']:.0%}), {difference}, n {row['n']}"
        )
    return "\n".join(lines)
