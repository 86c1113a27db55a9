"""Putting questions to judges: turns to be graded, and pairs of items in both orders; what is paid for is
kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tastemaker import plugins
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
from tastemaker.flows.converse.env import ConversationEnv, family, open_chat
from tastemaker.flows.converse.generate import Session
from tastemaker.flows.converse.settings import RunFolder
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
    judges: Sequence[str], env: ConversationEnv, folder: RunFolder, session: Session
) -> dict[str, Engine]:
    """One engine a judge, all on one budget; what is paid for is kept under judging/, rules are free and kept
    nowhere.
    """
    lexicon = env.world.lexicon
    journals = {}
    for judge in dict.fromkeys(name for name in judges if name not in OFFLINE):
        path = folder.judging / f"journal-{family(judge)}.jsonl"
        lines = read_lines(path) if path.exists() else []
        about = {"judge": judge, "data": env.settings_hash}
        journals[judge] = Journal(partial(append_line, path), lines, about, "same")
    spent = [journal.spent() for journal in journals.values()]
    usage, calls = sum((usage for usage, _ in spent), Usage()), sum(calls for _, calls in spent)
    budget = Budget(session.limits, session.price, usage, calls)
    engines = {}
    for judge in judges:
        if judge in OFFLINE:
            rules: Chat = OFFLINE[judge](lexicon)
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
    engine: Engine, asked: Sequence[Question], known: Known, warm: bool, report: Report
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
        for question in asked
    ]
    rated: list[Rated] = []
    outcomes = map_units(engine, work, units, retry=FAILURES, unit_label="judgement")
    for done, (outcome, question) in enumerate(zip(outcomes, asked, strict=True), start=1):
        rated += [_rated(model, question, aspect, outcome) for aspect in ASPECTS]
        report(f"judge {model}", done, len(asked), "")
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
    for done, outcome in enumerate(outcomes, start=1):
        choices.append((outcome.value or {}).get("choice"))
        report(f"pairs {model}", done, len(units), "")
    return [
        Chosen(model, pair.conversation.conversation_id, pair.name, straight, swapped)
        for pair, straight, swapped in zip(pairs, choices[::2], choices[1::2], strict=True)
    ]


def _rated(judge: str, question: Question, aspect: str, outcome: Outcome) -> Rated:
    name = question.conversation.conversation_id
    if not outcome.value or "invalid" in outcome.value:  # version 0.1 kept what could not be used
        reason = f"{outcome.failure or 'invalid'}: {outcome.detail or 'no answer'}"
        return Rated(judge, name, question.item, aspect, None, reason)
    grade = outcome.value[aspect]
    return Rated(judge, name, question.item, aspect, grade["score"], grade["reason"])
