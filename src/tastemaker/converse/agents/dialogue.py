"""One conversation from its plan: roles asked in turn through their views, every answer checked first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

import tastemaker.converse.agents.checks as checks
from tastemaker.chat import Media
from tastemaker.converse.agents.answers import (
    GoalAnswer,
    ListenerAnswer,
    ProfileAnswer,
    RecommenderAnswer,
)
from tastemaker.converse.agents.plan import Plan, PlanSettings
from tastemaker.converse.agents.searching import SearchAnswer, check_search, clauses_of
from tastemaker.converse.agents.steering import Situation, next_changes
from tastemaker.converse.audits.leaks import named_rows
from tastemaker.converse.candidates import Candidate, Query, Sources, Tools, compose, near_misses
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import (
    Adherence,
    Change,
    Constraint,
    adhere,
    demands,
    fit_set,
    merge,
    moves,
    relaxations,
    satisfaction,
)
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.readers import Mention, Readers, Utterance
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
    for_search,
    named,
)

A = TypeVar("A", bound=BaseModel)
LAST = "the last one"
NAMES_LAST = 0.7  # how often the item just played is called "the last one"


class Ask(Protocol):
    """Asks a role: its view, the shape of the answer, and a check that says what is wrong with one."""

    def __call__(self, role: str, view: View, answer: type[A], check: Callable[[A], str | None]) -> A: ...


@dataclass(frozen=True, eq=False)
class World:
    """What all conversations of a data set share."""

    catalogue: Catalogue
    lexicon: Lexicon
    tools: Tools
    settings: PlanSettings

    @cached_property
    def readers(self) -> Readers:
        """Who reads messages back."""
        return Readers(self.lexicon, self.catalogue.value)


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
        return tuple(named(world.catalogue, row) for row in self.plan.tracks)

    @cached_property
    def satisfied(self) -> npt.NDArray[np.float64]:
        """(N,) the share of the goal that each item satisfies."""
        goal = [change.constraint for change in self.plan.draft.delta]
        return satisfaction(goal, self.world.tools.match, len(self.world.catalogue))


def converse(plan: Plan, world: World, ask: Ask) -> Conversation:
    """Play the plan to its end.

    Raises CallError when a role gives no answer that passes its checks.
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
    demands = tuple(change.constraint for change in draft.delta)
    goal = Goal(template.category, template.specificity, words, draft.expertise, draft.seed, demands)
    return State(profile, goal, best=float(scene.satisfied.mean()))


def request_of(scene: Scene, state: State) -> tuple[Change, ...] | None:
    """What the listener asks for next; None when nothing is left to play."""
    plan, world, number = scene.plan, scene.world, len(state.turns) + 1
    if number == 1:
        return plan.draft.opening
    before = state.turns[-1]
    now = Situation(
        catalogue=world.catalogue,
        match=world.tools.match,
        goal=state.goal.demands,
        active=state.active,
        played=_families(world, state),
        turns_left=plan.turns - len(state.turns),
        last=None if before.item_id is None else (str(before.handle), world.catalogue.row[before.item_id]),
        failed=tuple(dict.fromkeys(change.clause.field for change in before.delta if before.nothing_fits)),
        question=before.asks,
    )
    if before.item_id is not None and not _adheres(world, state.active, before.item_id) and now.fits(()):
        return ()  # that was not what was asked for: ask again
    changes = next_changes(now, plan.rng("steer", number), number in plan.nothing)
    return None if not changes and not now.fits(()) else changes


def _adheres(world: World, active: Sequence[Constraint], item: str) -> bool:
    adherent = adhere(active, world.tools.match, len(world.catalogue)).holds
    return bool(adherent[world.catalogue.row[item]])


def play_turn(scene: Scene, state: State, changes: tuple[Change, ...]) -> State:
    """One turn: the listener asks, the search reads and looks, the recommender answers, all is kept."""
    plan, world, ask = scene.plan, scene.world, scene.ask
    catalogue, tools, number = world.catalogue, world.tools, len(state.turns) + 1
    active = merge(state.active, changes)
    adherence = adhere(active, tools.match, len(catalogue))

    # The listener words the changes; what was said is read back.
    attached = _attach(world, changes)
    task = Task(changes, _names(plan, state, number), attached)
    listener_view = for_listener(state, catalogue, scene.tracks, task, world.tools)
    before = state

    def misread(text: str) -> checks.Misread:
        return world.readers.misread(Utterance(text, before.mentions), changes, before.active)

    check = checks.listener(listener_view, misread, world.lexicon, catalogue.item_ids)
    answer = ask("listener", listener_view, ListenerAnswer, check)
    state = replace(
        state,
        active=active,
        messages=(*state.messages, answer.message),
        barred=state.barred | named_rows(answer.message, catalogue, world.lexicon),
    )

    # The search knows the words alone; constraints only mark which candidates are near misses.
    understood = _searched(scene, state)
    candidates, call, relaxed = search(scene, state, near_misses(active, tools.match, adherence), understood)
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
    right = None
    if world.settings.tools:
        right = {handle for handle, row, _ in offers if adherence.holds[row]}
    check_reply = checks.recommender(recommender_view, right)
    reply = ask("recommender", recommender_view, RecommenderAnswer, check_reply)

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
        candidates=_shown(candidates, items, handles),
        candidates_hash=set_hash(items),
        n_fit=len(fit_set(adherence.holds, catalogue.family_codes, _families(world, state))),
        reply=reply.message,
        listener_thought=answer.thought,
        recommender_thought=reply.thought,
        tool=call,
        asks=reply.asks,
    )
    state = replace(state, turns=(*state.turns, turn), handles=handles)
    return state if chosen is None else _played(scene, state, chosen, adherence)


def _shown(
    candidates: Sequence[Candidate], items: Sequence[str], handles: Mapping[str, str]
) -> tuple[Shown, ...]:
    pairs = zip(items, candidates, strict=True)
    return tuple(Shown(handles[item], item, each.sources, each.violates) for item, each in pairs)


def _played(scene: Scene, state: State, item: str, adherence: Adherence) -> State:
    """The state with the item played, known to both sides by its names, and judged by what it does for the
    goal; one that does not satisfy the request moves nobody.
    """
    world, row = scene.world, scene.world.catalogue.row[item]
    satisfied = float(scene.satisfied[row])
    toward = moves(satisfied, state.best)
    overruled = toward and not adherence.holds[row]
    label = MOVES if toward and not overruled else STAYS
    return replace(
        state,
        rows=(*state.rows, row),
        best=max(state.best, satisfied),
        progress=(*state.progress, Progress(state.turns[-1].turn, label, bool(overruled))),
        mentions=(*state.mentions, Mention(state.handles[item], item, world.catalogue.names(row))),
    )


def _searched(scene: Scene, state: State) -> tuple[Constraint, ...]:
    """What to search by: a model's own tool call, else the wishes that two readers found in the words."""
    catalogue = scene.world.catalogue
    if not scene.world.settings.tools:
        return tuple(demands(state.active))  # every message was read back before it counted
    items = {handle: item for item, handle in state.handles.items()}
    for mention in state.mentions:  # an item played may be called by its name, too
        items |= {mention.names[0]: mention.item_id, f"“{mention.names[0]}”": mention.item_id}
        items[LAST] = mention.item_id
    view = for_search(state, catalogue)
    answer = scene.ask("recommender", view, SearchAnswer, check_search(catalogue, items))
    return clauses_of(answer, catalogue, items)


def search(
    scene: Scene, state: State, misses: dict[int, str], understood: tuple[Constraint, ...]
) -> tuple[tuple[Candidate, ...], ToolCall, tuple[tuple[str, int], ...]]:
    """Search by the constraints that were understood, compose candidates.

    Returns the candidates, the call with item ids in place of handles, and, when nothing matches, the field
    and count of each constraint whose loss would leave something.
    """
    plan, world = scene.plan, scene.world
    catalogue, tools = world.catalogue, world.tools
    played = _families(world, state)
    matching = fit_set(adhere(understood, tools.match, len(catalogue)).holds, catalogue.family_codes, played)
    words = state.messages
    barred = state.barred | set(np.flatnonzero(np.isin(catalogue.family_codes, list(played))).tolist())
    query = Query(" ".join(words), words[-1], state.rows)
    rng = plan.rng("candidates", len(state.turns) + 1)
    sources = Sources(matching, misses, barred, len(catalogue), plan.pool)
    candidates = compose(query, sources, tools, rng)
    # Only the uniform draw counts as a result: fits that came by co-occurrence or popularity would make
    # targets guessable without words.
    hits = {candidate.row for candidate in candidates if "match" in candidate.sources}
    if plan.pool is not None:
        hits = set(matching.tolist())
    relaxed: tuple[tuple[str, int], ...] = ()
    if not len(matching):
        losses = relaxations(understood, tools.match, catalogue.family_codes, played)
        relaxed = tuple((constraint.clause.field, count) for constraint, count in losses)
    items = tuple(catalogue.item_ids[candidate.row] for candidate in candidates if candidate.row in hits)
    by = "model" if world.settings.tools else "code"
    return candidates, ToolCall(query.text, understood, items, len(matching), by=by), relaxed


def _families(world: World, state: State) -> frozenset[int]:
    return frozenset(int(world.catalogue.family_codes[row]) for row in state.rows)


def _attach(world: World, changes: Sequence[Change]) -> tuple[Media, ...]:
    """The artefact of a media goal: the item in another rendering."""
    attach, row = world.tools.attach, world.catalogue.row
    media = [attach(change.medium, row[str(change.clause.value)]) for change in changes if change.attached]
    return tuple(artefact for artefact in media if artefact is not None)


def _names(plan: Plan, state: State, number: int) -> dict[str, str]:
    """What to call items already played: the last one, or a title in quotes."""
    names = {mention.item_id: f"“{mention.names[0]}”" for mention in state.mentions}
    if state.mentions and plan.rng("name", number).random() < NAMES_LAST:
        names[state.mentions[-1].item_id] = LAST
    return names
