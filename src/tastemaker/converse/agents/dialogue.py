"""One conversation from its plan: roles asked in turn through their views, every answer checked before it
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel

import tastemaker.converse.agents.checks as checks
from tastemaker.chat import Media
from tastemaker.converse.agents.answers import (
    ClosingAnswer,
    GoalAnswer,
    ListenerAnswer,
    ProfileAnswer,
    RecommenderAnswer,
)
from tastemaker.converse.agents.plan import Plan, PlanSettings
from tastemaker.converse.agents.steering import Situation, next_changes
from tastemaker.converse.audits.leaks import named_rows
from tastemaker.converse.candidates import Candidate, Query, Sources, Tools, compose, near_misses
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Adherence, Change, adhere, fit_set, merge, relaxations
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.parse import Mention, Utterance, read
from tastemaker.converse.language.phrases import LAST
from tastemaker.converse.record import Attachment, Conversation, Goal, Shown, ToolCall, Turn, set_hash
from tastemaker.converse.state import State
from tastemaker.converse.views import (
    Named,
    SearchResult,
    Task,
    View,
    for_goal,
    for_listener,
    for_profile,
    for_recommender,
    named,
)

A = TypeVar("A", bound=BaseModel)
NAMES_LAST = 0.7  # how often the item just played is called "the last one"


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


@dataclass(frozen=True, eq=False)
class Scene:
    """What one conversation does not change: its plan, the world, and how roles are asked."""

    plan: Plan
    world: World
    ask: Ask

    @cached_property
    def tracks(self) -> tuple[Named, ...]:
        """The items that the listener is known by."""
        world = self.world
        return tuple(named(world.catalogue, row, world.tools.show(row)) for row in self.plan.tracks)


def converse(plan: Plan, world: World, ask: Ask) -> Conversation:
    """Play the plan to its end.

    Raises
    ------
    CallError
        when a role gives no answer that passes its checks.
    """
    scene = Scene(plan, world, ask)
    state = open_conversation(scene)
    while len(state.turns) < plan.turns:
        changes = request_of(scene, state)
        if changes is None:
            break
        state = play_turn(scene, state, changes)
        enough = len(state.turns) >= world.settings.turns[0] and state.liked >= plan.patience
        if enough and state.played_last:
            break
    if state.played_last:  # a last step of the listener judges the last item
        view = for_listener(state, world.catalogue, scene.tracks, plan.likes, None)
        state = replace(
            state, progress=state.judged(ask("closing", view, ClosingAnswer, checks.closing(view)).progress)
        )
    return Conversation(
        conversation_id=plan.conversation_id,
        user_id=plan.user_id,
        profile=state.profile,
        goal=state.goal,
        turns=state.turns,
        progress=state.progress,
        checks=(),
        settings_hash=plan.settings_hash,
    )


def open_conversation(scene: Scene) -> State:
    """The state before the first turn: a profile from the tracks, and the goal in the listener's words."""
    plan, ask = scene.plan, scene.ask
    view = for_profile(plan.profile, scene.tracks)
    taste = ask("profile", view, ProfileAnswer, lambda answer: None)
    profile = replace(
        plan.profile, culture=taste.culture, top_creator=taste.top_creator, top_genre=taste.top_genre
    )
    draft, keep = plan.draft, checks.goal_words(plan.draft)
    words = ask("goal", for_goal(draft, keep), GoalAnswer, checks.goal(keep)).goal
    template = draft.template
    return State(profile, Goal(template.category, template.specificity, words, draft.expertise, draft.seed))


def request_of(scene: Scene, state: State) -> tuple[Change, ...] | None:
    """What the listener asks for next; None when nothing is left to play."""
    plan, world, number = scene.plan, scene.world, len(state.turns) + 1
    if number == 1:
        return plan.draft.delta
    before = state.turns[-1]
    last = None if before.item_id is None else (str(before.handle), world.catalogue.row[before.item_id])
    adhered = last is not None and state.adhered[-1]
    now = Situation(
        catalogue=world.catalogue,
        match=world.tools.match,
        active=state.active,
        played=_families(world, state),
        last=last,
        liked=last is not None and adhered and _to_taste(scene, last[1]),
        likes=plan.likes,
        failed=(
            tuple(dict.fromkeys(change.clause.field for change in before.delta))
            if before.nothing_fits
            else ()
        ),
    )
    if last is not None and not adhered and now.fits(()):
        return ()  # that was not what was asked for: ask again
    changes = next_changes(now, plan.rng("steer", number), number in plan.nothing)
    return None if not changes and not now.fits(()) else changes


def play_turn(scene: Scene, state: State, changes: tuple[Change, ...]) -> State:
    """One turn: the listener asks, the search reads and looks, the recommender answers, all is written
    down.
    """
    plan, world, ask = scene.plan, scene.world, scene.ask
    catalogue, tools, number = world.catalogue, world.tools, len(state.turns) + 1
    active = merge(state.active, changes)
    adherence = adhere(active, tools.match, len(catalogue))

    # The listener words the changes and judges the item before.
    attached = _attach(world, changes)
    recognised = _recognise(world, attached)
    task = Task(changes, _names(plan, state, number), attached)
    listener_view = for_listener(state, catalogue, scene.tracks, plan.likes, task)

    def utter(text: str) -> tuple[Utterance, ...]:
        return (*state.utterances, Utterance(text, state.mentions, recognised))

    check = checks.listener(listener_view, active, utter, world.lexicon, catalogue.item_ids)
    answer = ask("listener", listener_view, ListenerAnswer, check)
    state = replace(
        state,
        active=active,
        utterances=utter(answer.message),
        progress=state.judged(answer.progress),
        barred=state.barred | named_rows(answer.message, catalogue, world.lexicon),
    )

    # The search knows the words alone; constraints only mark which candidates are near misses.
    candidates, call, relaxed = search(scene, state, near_misses(active, tools.match, adherence))
    items = [catalogue.item_ids[candidate.row] for candidate in candidates]
    handles = state.with_handles(items)
    call = replace(call, handles=tuple(handles[item] for item in call.handles))

    # The recommender chooses by handle, or says that nothing fits.
    offers = [
        (handles[item], candidate.row, tools.show(candidate.row))
        for item, candidate in zip(items, candidates, strict=True)
    ]
    result = SearchResult(offers, call, relaxed, attached, must_choose=plan.pool is not None)
    recommender_view = for_recommender(state, catalogue, answer.message, result)
    reply = ask("recommender", recommender_view, RecommenderAnswer, checks.recommender(recommender_view))

    # The turn is written down.
    shown = tuple(
        Shown(handles[item], item, candidate.sources, candidate.violates)
        for item, candidate in zip(items, candidates, strict=True)
    )
    chosen = next((item for item in items if handles[item] == reply.handle), None)
    turn = Turn(
        turn=number,
        message=answer.message,
        delta=changes,
        media=tuple(Attachment(media.medium, media.sha256) for media in attached),
        handle=reply.handle,
        item_id=chosen,
        nothing_fits=reply.nothing_fits,
        relaxations=relaxed,
        candidates=shown,
        candidates_hash=set_hash(items),
        n_fit=len(fit_set(adherence.holds, catalogue.family_codes, _families(world, state))),
        reply=reply.message,
        listener_thought=answer.thought,
        recommender_thought=reply.thought,
        tool=call,
    )
    state = replace(state, turns=(*state.turns, turn), handles=handles)
    return state if chosen is None else _played(world, state, chosen, adherence)


def _played(world: World, state: State, item: str, adherence: Adherence) -> State:
    """The state with the item played, and known to both sides by its names."""
    row = world.catalogue.row[item]
    return replace(
        state,
        rows=(*state.rows, row),
        adhered=(*state.adhered, bool(adherence.holds[row])),
        mentions=(*state.mentions, Mention(state.handles[item], item, world.catalogue.names(row))),
    )


def search(
    scene: Scene, state: State, misses: dict[int, str]
) -> tuple[tuple[Candidate, ...], ToolCall, tuple[tuple[str, int], ...]]:
    """Read the constraints out of the words, search by them, compose candidates.

    Returns the candidates, the call with item ids in place of handles, and, when nothing matches, the field
    and count of each constraint whose loss would leave something.
    """
    plan, world = scene.plan, scene.world
    catalogue, tools = world.catalogue, world.tools
    understood = read(state.utterances, world.lexicon)
    played = _families(world, state)
    matching = fit_set(adhere(understood, tools.match, len(catalogue)).holds, catalogue.family_codes, played)
    words = [utterance.text for utterance in state.utterances]
    barred = state.barred | set(np.flatnonzero(np.isin(catalogue.family_codes, list(played))).tolist())
    query = Query(" ".join(words), words[-1], state.rows)
    rng = plan.rng("candidates", len(state.turns) + 1)
    sources = Sources(matching, misses, barred, len(catalogue), plan.pool)
    candidates = compose(query, sources, tools, world.settings.candidates, rng)
    # Only the uniform draw counts as found: fits that came by co-occurrence or popularity would make targets
    # guessable without words.
    found = {candidate.row for candidate in candidates if "match" in candidate.sources}
    if plan.pool is not None:
        found = set(matching.tolist())
    relaxed: tuple[tuple[str, int], ...] = ()
    if not len(matching):
        losses = relaxations(understood, tools.match, catalogue.family_codes, played)
        relaxed = tuple((constraint.clause.field, count) for constraint, count in losses)
    items = tuple(catalogue.item_ids[candidate.row] for candidate in candidates if candidate.row in found)
    return candidates, ToolCall(query.text, understood, items, len(matching)), relaxed


def _to_taste(scene: Scene, row: int) -> bool:
    """Whether the item has every taste that can be known of it."""
    known: dict[str, Any] = dict(scene.world.catalogue.facts(row))
    return all(known.get(clause.field, clause.value) == clause.value for clause in scene.plan.likes)


def _families(world: World, state: State) -> frozenset[int]:
    return frozenset(int(world.catalogue.family_codes[row]) for row in state.rows)


def _attach(world: World, changes: Sequence[Change]) -> tuple[Media, ...]:
    """The artefact of a media goal: the item in another rendering."""
    attach, row = world.tools.attach, world.catalogue.row
    media = [attach(change.medium, row[str(change.clause.value)]) for change in changes if change.attached]
    return tuple(artefact for artefact in media if artefact is not None)


def _recognise(world: World, attached: Sequence[Media]) -> tuple[tuple[str, str], ...]:
    """(medium, item id) of every attachment that is recognised."""
    rows = [(media.medium, world.tools.recognise(media)) for media in attached]
    return tuple((medium, world.catalogue.item_ids[row]) for medium, row in rows if row is not None)


def _names(plan: Plan, state: State, number: int) -> dict[str, str]:
    """What to call items already played: the last one, or a title in quotes."""
    names = {mention.item_id: f"“{mention.names[0]}”" for mention in state.mentions}
    if state.mentions and plan.rng("name", number).random() < NAMES_LAST:
        names[state.mentions[-1].item_id] = LAST
    return names
