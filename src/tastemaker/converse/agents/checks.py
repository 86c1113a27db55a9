"""What an answer must satisfy before it counts: one sentence for the model about what is wrong, or None."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from tastemaker.converse.agents.answers import GoalAnswer, ListenerAnswer, RecommenderAnswer
from tastemaker.converse.audits.leaks import message_faults
from tastemaker.converse.constraints import Change, Constraint
from tastemaker.converse.goals import Draft
from tastemaker.converse.language.lexicon import Lexicon, fact_words, plain
from tastemaker.converse.reading.plain import spoken
from tastemaker.converse.views import ListenerView, RecommenderView

Misread = tuple[Sequence[Change], Sequence[Constraint]]
_FAULTS = {
    "handle": "do not write handles such as T3; call items by what they are, or “the last one”",
    "id": "do not write ids",
    "goal": "do not copy your goal; say it in other words",
    "upload": "do not pretend to attach something in brackets",
    "file": "do not write file names",
}


def goal_words(draft: Draft) -> tuple[str, ...]:
    """Words of a goal that rewording must keep: its values."""
    values = [
        change.clause.value
        for change in draft.delta
        if change.medium == "text" and change.clause.cmp in ("eq", "contains")
    ]
    return tuple(spoken(str(value)) for value in values)


def goal(keep: Sequence[str]) -> Callable[[GoalAnswer], str | None]:
    """Every value kept."""

    def check(answer: GoalAnswer) -> str | None:
        lost = [word for word in keep if word.casefold() not in plain(answer.goal).casefold()]
        return f"the goal must keep {', '.join(lost)}" if lost else None

    return check


def listener(
    view: ListenerView, misread: Callable[[str], Misread], lexicon: Lexicon, item_ids: Sequence[str]
) -> Callable[[ListenerAnswer], str | None]:
    """The changes that were meant are found in the words, nothing else is asked for, nothing given away.

    misread: a message -> (changes that no reader finds in it, demands that it makes and that were not meant).
    """

    def check(answer: ListenerAnswer) -> str | None:
        faults = message_faults(answer.message, view.goal, item_ids)
        if faults:
            return _FAULTS[faults[0]]
        missing, extra = misread(answer.message)
        if missing:
            return f"the message does not say, in the words of the catalogue: {_in_words(missing, lexicon)}"
        return f"the message asks for what is not wanted: {_in_words(extra, lexicon)}" if extra else None

    return check


def _in_words(lines: Sequence[Change | Constraint], lexicon: Lexicon) -> str:
    phrases = []
    for line in lines:
        about_item = line.clause.cmp in ("same_group", "similar_to")
        words = line.clause.field if about_item else fact_words(line.clause, lexicon)
        if isinstance(line, Change) and line.op == "drop":
            words = f"any {lexicon.fields[line.clause.field].nouns[0]}" if words.strip() else "any"
        phrases.append(("not " if line.kind == "must_not" else "") + words)
    return "; ".join(sorted(phrases))


def recommender(
    view: RecommenderView, right: Collection[str] | None = None
) -> Callable[[RecommenderAnswer], str | None]:
    """One candidate by its handle and not played before, or nothing_fits when the search counts none.

    right: for a model that searched by itself, the handles that satisfy what was asked.
    """
    handles = {candidate.handle for candidate in view.candidates}

    def check(answer: RecommenderAnswer) -> str | None:
        if answer.nothing_fits:
            if answer.handle is not None:
                return "nothing_fits goes without a handle"
            return (
                "nothing_fits is wrong: the catalogue has matching items"
                if view.count or view.must_choose
                else None
            )
        if answer.handle not in handles:
            return (
                f"{answer.handle!r} is no handle of a candidate; choose one of {', '.join(sorted(handles))}"
            )
        if right and answer.handle not in right:
            return f"{answer.handle} is not what was asked for; read the messages again and choose another"
        return f"{answer.handle} was played already" if answer.handle in view.played else None

    return check


def choices(view: Any) -> dict[str, tuple[str | bool | None, ...]]:
    """What the fields of an answer to this view may hold, where known; the checks say the same after."""
    if not isinstance(view, RecommenderView):
        return {}
    offered = (candidate.handle for candidate in view.candidates)
    handles = tuple(dict.fromkeys(handle for handle in offered if handle not in view.played))
    must = bool(handles and (view.count or view.must_choose))
    return {
        "handle": handles if must else (*handles, None),
        "nothing_fits": (False,) if must else (True, False),
    }
