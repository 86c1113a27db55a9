"""What an answer must satisfy before it counts: one sentence for the model about what is wrong, or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tastemaker.converse.agents.answers import ClosingAnswer, GoalAnswer, ListenerAnswer, RecommenderAnswer
from tastemaker.converse.audits.leaks import message_faults
from tastemaker.converse.constraints import Clause, Constraint, Strength, demands
from tastemaker.converse.goals import Draft
from tastemaker.converse.language.lexicon import Lexicon, plain, spoken
from tastemaker.converse.language.parse import Utterance, read
from tastemaker.converse.language.phrases import fact_words
from tastemaker.converse.record import MOVES, STAYS
from tastemaker.converse.views import ListenerView, RecommenderView

_FAULTS = {
    "handle": "do not write handles such as T3; call items by what they are, or “the last one”",
    "id": "do not write ids",
    "goal": "do not copy your goal; say it in other words",
    "upload": "do not pretend to attach something in brackets",
    "file": "do not write file names",
}
Wanted = set[tuple[Strength, Clause]]


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


def wanted(active: Sequence[Constraint]) -> Wanted:
    """The demands as pairs of strength and clause."""
    return {(demand.kind, demand.clause) for demand in demands(active)}


def wording(
    utterances: Sequence[Utterance], active: Sequence[Constraint], lexicon: Lexicon
) -> tuple[Wanted, Wanted]:
    """(demands that the messages do not say, demands that they say and that are not active)."""
    understood, meant = wanted(read(utterances, lexicon)), wanted(active)
    return meant - understood, understood - meant


def _in_words(pairs: Wanted, lexicon: Lexicon) -> str:
    lines = []
    for kind, clause in pairs:
        about_item = clause.cmp in ("same_group", "similar_to")
        words = clause.field if about_item else fact_words(clause, lexicon)
        lines.append(("not " if kind == "must_not" else "") + words)
    return "; ".join(sorted(lines))


def listener(
    view: ListenerView,
    active: Sequence[Constraint],
    utter: Callable[[str], Sequence[Utterance]],
    lexicon: Lexicon,
    item_ids: Sequence[str],
) -> Callable[[ListenerAnswer], str | None]:
    """A label when there is something to judge, the active constraints recoverable from the words, nothing
    given away. utter: everything said, with this message.
    """

    def check(answer: ListenerAnswer) -> str | None:
        if (answer.progress is not None) != view.judge:
            return (
                "progress must judge the last item"
                if view.judge
                else "there is no item to judge: progress must be null"
            )
        faults = message_faults(answer.message, view.goal, item_ids)
        if faults:
            return _FAULTS[faults[0]]
        missing, extra = wording(utter(answer.message), active, lexicon)
        if missing:
            return f"the message does not say, in the words of the catalogue: {_in_words(missing, lexicon)}"
        return f"the message asks for what is not wanted: {_in_words(extra, lexicon)}" if extra else None

    return check


def recommender(view: RecommenderView) -> Callable[[RecommenderAnswer], str | None]:
    """One candidate by its handle and not played before, or nothing_fits when the search counts none."""
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
        return f"{answer.handle} was played already" if answer.handle in view.played else None

    return check


def choices(view: Any) -> dict[str, tuple[str | bool | None, ...]]:
    """What the fields of an answer to this view may hold, where that is known beforehand; the checks say the
    same afterwards.
    """
    if isinstance(view, ListenerView):
        return {"progress": (MOVES, STAYS) if view.judge else (None,)}
    if not isinstance(view, RecommenderView):
        return {}
    offered = (candidate.handle for candidate in view.candidates)
    handles = tuple(dict.fromkeys(handle for handle in offered if handle not in view.played))
    must = bool(handles and (view.count or view.must_choose))
    return {
        "handle": handles if must else (*handles, None),
        "nothing_fits": (False,) if must else (True, False),
    }


def closing(view: ListenerView) -> Callable[[ClosingAnswer], str | None]:
    """A label when there is something to judge."""
    return lambda answer: (
        None if (answer.progress is not None) == view.judge else "progress must judge the last item"
    )
