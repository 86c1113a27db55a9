"""One conversation from its plan: roles asked in turn through their views, every answer checked before it
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel

from tastemaker.chat import Media
from tastemaker.converse.agents import checks
from tastemaker.converse.agents.answers import (
    ClosingAnswer,
    GoalAnswer,
    ListenerAnswer,
    ProfileAnswer,
    RecommenderAnswer,
)
from tastemaker.converse.agents.plan import Plan, PlanSettings
from tastemaker.converse.agents.state import State
from tastemaker.converse.agents.steering import Situation, next_changes
from tastemaker.converse.audits.leaks import named_rows
from tastemaker.converse.candidates import Candidate, Query, Tools, compose, near_misses
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Adherence, Change, adhere, fit_set, merge, relaxations
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.parse import Heard, Said, read
from tastemaker.converse.language.phrases import LAST
from tastemaker.converse.record import (
    MOVES,
    STAYS,
    Attachment,
    Conversation,
    Goal,
    Progress,
    Shown,
    ToolCall,
    Turn,
    set_hash,
)
from tastemaker.converse.views import (
    Offered,
    View,
    for_goal,
    for_listener,
    for_profile,
    for_recommender,
    named,
    offered,
)

A = TypeVar("A", bound=BaseModel)


class Ask(Protocol):
    """Asks a role: its view, the shape of the answer, and a check that says in a sentence what is wrong with
    one.
    """

    def __call__(self, role: str, view: View, answer: type[A], check: Callable[[A], str | None]) -> A: ...


@dataclass(frozen=True, eq=False)
class World:
    """What all conversations of a data set share."""

    catalogue: Catalogue
    lexicon: Lexicon
    tools: Tools
    settings: PlanSettings


def converse(plan: Plan, world: World, ask: Ask) -> Conversation:
    """Play the plan to its end.

    Raises
    ------
    CallError
        when a role gives no answer that passes its checks.
    """
    state = _open(plan, world, ask)
    while len(state.turns) < plan.turns:
        changes = _changes(plan, world, state)
        if changes is None:
            break
        _turn(plan, world, state, changes, ask)
        liked = sum(one.label == MOVES for one in state.progress)
        if (
            len(state.turns) >= world.settings.turns[0]
            and liked >= plan.patience
            and state.turns[-1].item_id is not None
        ):
            break
    _close(plan, world, state, ask)
    return Conversation(
        conversation_id=plan.conversation_id,
        user_id=plan.user_id,
        profile=state.profile,
        goal=state.goal,
        turns=tuple(state.turns),
        progress=tuple(state.progress),
        checks=(),
        settings_hash=plan.settings_hash,
    )


def _open(plan: Plan, world: World, ask: Ask) -> State:
    """Profile and goal."""
    catalogue = world.catalogue
    tracks = tuple(named(catalogue, row, world.tools.show(row)) for row in plan.tracks)
    taste = ask("profile", for_profile(plan.profile, tracks), ProfileAnswer, lambda answer: None)
    profile = replace(
        plan.profile, culture=taste.culture, top_creator=taste.top_creator, top_genre=taste.top_genre
    )
    keep = checks.goal_words(plan.draft)
    reworded = ask("goal", for_goal(plan.draft, keep), GoalAnswer, checks.goal(keep))
    template = plan.draft.template
    goal = Goal(template.category, template.specificity, reworded.goal, plan.draft.expertise, plan.draft.seed)
    return State(profile, tracks, goal)


def _changes(plan: Plan, world: World, state: State) -> tuple[Change, ...] | None:
    """This turn's delta; None when nothing is left to play."""
    turn = len(state.turns) + 1
    if turn == 1:
        return plan.draft.delta
    last, before = None, state.turns[-1]
    if before.item_id is not None:
        last = (str(before.handle), world.catalogue.row[before.item_id])
    now = Situation(
        catalogue=world.catalogue,
        match=world.tools.match,
        wishes=state.wishes,
        played=_families(world, state),
        last=last,
        liked=before.item_id is not None and state.adhered[-1] and _liked(plan, world, last),
        likes=plan.likes,
        failed=tuple(dict.fromkeys(one.clause.field for one in before.delta)) if before.nothing_fits else (),
    )
    if before.item_id is not None and not state.adhered[-1] and now.fits(()):
        return ()  # that was not what was asked for: ask again
    changes = next_changes(now, plan.rng("steer", turn), turn in plan.nothing)
    return None if not changes and not now.fits(()) else changes


def _liked(plan: Plan, world: World, last: tuple[str, int] | None) -> bool:
    """Whether the item has every taste that can be known of it."""
    if last is None:
        return False
    known = dict(world.catalogue.facts(last[1]))
    return all(known.get(clause.field, clause.value) == clause.value for clause in plan.likes)


def _families(world: World, state: State) -> frozenset[int]:
    return frozenset(int(world.catalogue.family_codes[row]) for row in state.rows)


def _turn(plan: Plan, world: World, state: State, changes: tuple[Change, ...], ask: Ask) -> None:
    """Listener, search, recommender; then the turn is written down."""
    turn = len(state.turns) + 1
    wishes = merge(state.wishes, changes)
    attached = _attach(plan, world, changes)
    names = _names(plan, state, turn)
    view = for_listener(
        state.turns,
        world.catalogue,
        state.profile,
        state.tracks,
        state.goal,
        changes,
        state.wishes,
        state.handles,
        names,
        plan.likes,
        attachments=attached,
    )
    heard, recognised = tuple(state.heard), _recognised(world, attached)
    check = checks.listener(view, wishes, state.said, heard, recognised, world.lexicon, world.catalogue)
    answer = ask("listener", view, ListenerAnswer, check)
    _judge(state, answer.progress)
    state.wishes = wishes
    state.said.append(Said(answer.message, heard, recognised))
    found = adhere(wishes, world.tools.match, len(world.catalogue))
    shown, call, relaxed = _search(plan, world, state, found)
    reply = _recommend(world, state, answer.message, shown, call, relaxed, attached, ask)
    state.turns.append(_written(world, state, changes, answer, reply, attached, shown, call, relaxed, found))
    if reply.handle is not None:
        row = next(
            one.row for one in shown if state.handles[world.catalogue.item_ids[one.row]] == reply.handle
        )
        state.rows.append(row)
        state.adhered.append(bool(found.holds[row]))
        state.heard.append(Heard(reply.handle, world.catalogue.item_ids[row], world.catalogue.names(row)))


def _attach(plan: Plan, world: World, changes: Sequence[Change]) -> tuple[Media, ...]:
    """The artefact of a media goal: the item in another rendering."""
    wanted = [one for one in changes if one.medium != "text" and one.reference is None and one.op != "drop"]
    made = [world.tools.attach(one.medium, world.catalogue.row[str(one.clause.value)]) for one in wanted]
    return tuple(one for one in made if one is not None)


def _recognised(world: World, attached: Sequence[Media]) -> tuple[tuple[str, str], ...]:
    rows = [(one.medium, world.tools.recognise(one)) for one in attached]
    return tuple((medium, world.catalogue.item_ids[row]) for medium, row in rows if row is not None)


def _names(plan: Plan, state: State, turn: int) -> dict[str, str]:
    """What to call items already played: the last one, or a title in quotes."""
    names = {one.item_id: f"“{one.names[0]}”" for one in state.heard}
    if state.heard and plan.rng("name", turn).random() < 0.7:
        names[state.heard[-1].item_id] = LAST
    return names


def _search(
    plan: Plan, world: World, state: State, found: Adherence
) -> tuple[tuple[Candidate, ...], ToolCall, tuple[tuple[str, int], ...]]:
    """Read the wishes out of the words, search by them, compose candidates; the constraints only mark near
    misses.
    """
    catalogue, tools, turn = world.catalogue, world.tools, len(state.turns) + 1
    understood = read(state.said, world.lexicon)
    played = _families(world, state)
    rows = fit_set(adhere(understood, tools.match, len(catalogue)).holds, catalogue.family_codes, played)
    state.barred |= named_rows(state.said[-1].text, catalogue, world.lexicon)
    barred = state.barred | set(np.flatnonzero(np.isin(catalogue.family_codes, list(played))).tolist())
    text = " ".join(one.text for one in state.said)
    query = Query(text, state.said[-1].text, tuple(state.rows))
    misses = near_misses(state.wishes, tools.match, found)
    shown = compose(
        query,
        rows,
        misses,
        barred,
        tools,
        world.settings.candidates,
        plan.rng("candidates", turn),
        len(catalogue),
        plan.pool,
    )
    handles = {one.row: state.handle(catalogue.item_ids[one.row]) for one in shown}
    # Only the uniform draw counts as found: fits that came by company or fame would make targets guessable
    # without words.
    fitting = (
        {one.row for one in shown if "match" in one.sources} if plan.pool is None else set(rows.tolist())
    )
    relaxed: tuple[tuple[str, int], ...] = ()
    if not len(rows):
        relaxed = tuple(
            (wish.clause.field, n)
            for wish, n in relaxations(understood, tools.match, catalogue.family_codes, played)
        )
    call = ToolCall(
        text, understood, tuple(handles[one.row] for one in shown if one.row in fitting), len(rows)
    )
    return shown, call, relaxed


def _recommend(
    world: World,
    state: State,
    message: str,
    shown: Sequence[Candidate],
    call: ToolCall,
    relaxed: tuple[tuple[str, int], ...],
    attached: Sequence[Media],
    ask: Ask,
) -> RecommenderAnswer:
    catalogue = world.catalogue
    offers: list[Offered] = [
        offered(catalogue, one.row, state.handles[catalogue.item_ids[one.row]], world.tools.show(one.row))
        for one in shown
    ]
    only_pool = world.settings.candidates.pool == "session"
    view = for_recommender(
        state.turns, catalogue, state.profile, message, offers, call, relaxed, only_pool, attached
    )
    return ask("recommender", view, RecommenderAnswer, checks.recommender(view))


def _written(
    world: World,
    state: State,
    changes: tuple[Change, ...],
    said: ListenerAnswer,
    reply: RecommenderAnswer,
    attached: Sequence[Media],
    shown: Sequence[Candidate],
    call: ToolCall,
    relaxed: tuple[tuple[str, int], ...],
    found: Adherence,
) -> Turn:
    catalogue = world.catalogue
    ids = [catalogue.item_ids[one.row] for one in shown]
    candidates = [
        Shown(state.handles[item], item, one.sources, one.violates)
        for item, one in zip(ids, shown, strict=True)
    ]
    by_handle: dict[Any, str] = {one.handle: one.item_id for one in candidates}
    return Turn(
        turn=len(state.turns) + 1,
        message=said.message,
        delta=changes,
        media=tuple(Attachment(one.medium, one.sha256) for one in attached),
        handle=reply.handle,
        item_id=by_handle.get(reply.handle),
        nothing_fits=reply.nothing_fits,
        relaxations=relaxed,
        candidates=tuple(candidates),
        candidates_hash=set_hash(ids),
        n_fit=len(fit_set(found.holds, catalogue.family_codes, _families(world, state))),
        reply=reply.message,
        listener_thought=said.thought,
        recommender_thought=reply.thought,
        tool=call,
    )


def _judge(state: State, label: str | None) -> None:
    """Keep the label of the item just played; a positive one on an item that does not satisfy the request is
    overruled.
    """
    if not state.turns or state.turns[-1].item_id is None:
        return
    overruled = label == MOVES and not state.adhered[-1]
    state.progress.append(Progress(state.turns[-1].turn, STAYS if overruled else label, overruled))


def _close(plan: Plan, world: World, state: State, ask: Ask) -> None:
    """A last step of the listener judges the last item."""
    if not state.turns or state.turns[-1].item_id is None:
        return
    view = for_listener(
        state.turns,
        world.catalogue,
        state.profile,
        state.tracks,
        state.goal,
        (),
        state.wishes,
        state.handles,
        {},
        plan.likes,
        closing=True,
    )
    _judge(state, ask("closing", view, ClosingAnswer, checks.closing(view)).progress)
