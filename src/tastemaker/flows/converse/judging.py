"""Putting questions to judges: turns to be graded, and pairs of items in both orders; what is paid for is
kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tastemaker.chat import (
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
    Usage,
    map_units,
)
from tastemaker.converse.audits.turns import Known
from tastemaker.converse.judges.agreement import Rated
from tastemaker.converse.judges.pairs import Chosen, Pair, PairAnswer, for_pair, render_pair
from tastemaker.converse.judges.rubric import ASPECTS, JudgeAnswer, for_judge, render
from tastemaker.converse.record import Conversation
from tastemaker.converse.rules import FactJudge, WordJudge
from tastemaker.flows.converse.generate import Paying
from tastemaker.flows.converse.settings import RunFolder
from tastemaker.flows.converse.world.models import family, open_chat
from tastemaker.flows.converse.world.setting import Setting
from tastemaker.flows.pipeline import Report
from tastemaker.store import append_line, read_lines, write_bytes

OFFLINE = {"facts": FactJudge, "overlap": WordJudge}
WARM = 0.7  # repeats at temperature 0 would say nothing


@dataclass(frozen=True)
class Question:
    """One turn to be judged, as it is or with a planted defect; sample: 0, 1, ... asks the same judge
    again.
    """

    conversation: Conversation
    turn: int
    defect: str = ""
    sample: int = 0

    @property
    def item(self) -> str:
        """Names the turn, whatever was planted."""
        return f"{self.conversation.conversation_id}/{self.turn}" + (f"#{self.sample}" if self.sample else "")


def open_judges(
    judges: Sequence[str], setting: Setting, place: RunFolder, paying: Paying
) -> dict[str, Engine]:
    """One engine a judge, all on one budget; what is paid for is kept under judging/, rules are free and kept
    nowhere.
    """
    lexicon, folder = setting.world.lexicon, place.judging
    journals = {}
    for judge in dict.fromkeys(one for one in judges if one not in OFFLINE):
        path = folder / f"journal-{family(judge)}.jsonl"
        lines = read_lines(path) if path.exists() else []
        journals[judge] = Journal(
            partial(append_line, path), lines, {"judge": judge, "data": setting.settings_hash}, "same"
        )
    spent = [journal.spent() for journal in journals.values()]
    budget = Budget(
        paying.limits,
        paying.price,
        sum((usage for usage, _ in spent), Usage()),
        sum(calls for _, calls in spent),
    )
    engines = {}
    for judge in judges:
        if judge in OFFLINE:
            rules: Chat = OFFLINE[judge](lexicon)
            free = EngineSettings(pace=PaceSettings(start=1, most=1), keep_calls=False, open_units=1)
            engines[judge] = Engine(rules, settings=free)
            continue
        engines[judge] = Engine(
            open_chat(judge, lexicon, setting.settings.seed),
            cache=Cache(folder / "cache", write_bytes),
            journal=journals[judge],
            budget=budget,
            settings=EngineSettings(pace=PaceSettings(start=min(4, paying.at_once), most=paying.at_once)),
        )
    return engines


def ask_turns(
    engine: Engine, asked: Sequence[Question], known: Known, warm: bool, report: Report
) -> list[Rated]:
    """One judge's grades; an answer that stays unusable counts as asked and not valid."""
    sampling = Sampling(temperature=WARM if warm else 0.0, max_tokens=1024)

    def work(unit: Unit[Question]) -> Any:
        view = for_judge(unit.value.conversation, unit.value.turn, known)
        return _answered(
            engine,
            Request(
                render(view),
                JudgeAnswer,
                sampling,
                unit.value.sample,
                subject=unit.subject,
                unit=unit.id,
                kind="judge",
                view=view,
            ),
        )

    units = [
        Unit(f"{engine.chat.model}/{one.item}/{one.defect}", one.conversation.user_id, one) for one in asked
    ]
    rated: list[Rated] = []
    for at, (outcome, one) in enumerate(zip(map_units(engine, work, units), asked, strict=True), start=1):
        rated += [_rated(engine.chat.model, one, aspect, outcome.value) for aspect in ASPECTS]
        report(f"judge {engine.chat.model}", at, len(asked), "")
    return rated


def ask_pairs(engine: Engine, pairs: Sequence[Pair], known: Known, report: Report) -> list[Chosen]:
    """One judge's choices, each pair in both orders."""
    sampling = Sampling(temperature=0.0, max_tokens=256)

    def work(unit: Unit[tuple[Pair, bool]]) -> Any:
        pair, swapped = unit.value
        view = for_pair(pair, known, swapped)
        return _answered(
            engine,
            Request(
                render_pair(view),
                PairAnswer,
                sampling,
                subject=unit.subject,
                unit=unit.id,
                kind="pair",
                view=view,
            ),
        )

    model = engine.chat.model
    units = [
        Unit(
            f"{model}/{one.name}/{'swapped' if swapped else 'straight'}",
            one.conversation.user_id,
            (one, swapped),
        )
        for one in pairs
        for swapped in (False, True)
    ]
    said: list[str | None] = []
    for at, outcome in enumerate(map_units(engine, work, units), start=1):
        said.append((outcome.value or {}).get("choice"))
        report(f"pairs {model}", at, len(units), "")
    return [
        Chosen(model, one.conversation.conversation_id, one.name, straight, swapped)
        for one, straight, swapped in zip(pairs, said[::2], said[1::2], strict=True)
    ]


def _answered(engine: Engine, request: Request[Any]) -> Any:
    try:
        return engine.call(request).model_dump()
    except CallError as error:
        return {"invalid": str(error)}


def _rated(judge: str, one: Question, aspect: str, answer: Any) -> Rated:
    grade = None if not answer or "invalid" in answer else answer[aspect]
    name = one.conversation.conversation_id
    if grade is None:
        return Rated(judge, name, one.item, aspect, None, (answer or {}).get("invalid", "no answer"))
    return Rated(judge, name, one.item, aspect, grade["score"], grade["reason"])
