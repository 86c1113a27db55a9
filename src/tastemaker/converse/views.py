"""What each role may see: one frozen type a role, made by a projection that names its fields. Prompts render
views only.

No view holds an item id, a path, a date or another role's secret: items are named, or carry a handle (T1, T2,
...) that means the same item throughout a conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tastemaker.chat import Media
from tastemaker.converse.candidates import Tools
from tastemaker.converse.catalogue import Catalogue, Value
from tastemaker.converse.constraints import Change, Clause, Constraint, granted
from tastemaker.converse.goals import Draft
from tastemaker.converse.record import Profile, ToolCall, Turn
from tastemaker.converse.state import State

ATTACHED = "attached"


@dataclass(frozen=True)
class Named:
    """An item by name, with its sound and picture where the model takes them."""

    title: str
    creator: str | None
    media: tuple[Media, ...] = ()


@dataclass(frozen=True)
class Offered:
    """A candidate as the recommender sees it."""

    handle: str
    title: str
    creator: str | None
    facts: tuple[tuple[str, Value], ...]
    media: tuple[Media, ...] = ()


@dataclass(frozen=True)
class Exchange:
    """An earlier turn: the message, the item's name (None when nothing fitted) and the reply."""

    message: str
    played: Named | None
    reply: str


@dataclass(frozen=True)
class ProfileView:
    """For the profile agent: demographics and some items the listener had, by name."""

    demographics: tuple[tuple[str, str], ...]
    tracks: tuple[Named, ...]


@dataclass(frozen=True)
class GoalView:
    """For the goal agent: a filled template to reword, its letters, and the words that must survive."""

    category: str
    specificity: str
    text: str
    keep: tuple[str, ...]


@dataclass(frozen=True)
class ListenerView:
    """For the listener: itself, its goal, the dialogue, and what to ask for now.

    changes: this turn's delta; items in it are handles, and `names` says what to call them, in the order they
    were played. active: the constraints before it. verdict: what the last item did for the goal (None when
    there is none); has, lacks: fields of the goal's demands that it grants and does not. asked: the field
    that the last reply asked about.
    """

    turn: int
    profile: tuple[tuple[str, str], ...]
    tracks: tuple[Named, ...]
    goal: str
    expertise: str
    dialogue: tuple[Exchange, ...]
    changes: tuple[Change, ...]
    active: tuple[Constraint, ...]
    names: tuple[tuple[str, str], ...]
    verdict: str | None
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    asked: str | None
    attachments: tuple[Media, ...] = ()


@dataclass(frozen=True)
class RecommenderView:
    """For the recommender: the listener's profile, the messages, candidates, and what its search brought.

    matches: handles that match what was understood, count: how many items of the catalogue do, relaxations:
    (what would have to be dropped, how many would then match); played: handles that may not be offered again;
    must_choose: candidates are all there is.
    """

    turn: int
    profile: tuple[tuple[str, str], ...]
    dialogue: tuple[Exchange, ...]
    message: str
    candidates: tuple[Offered, ...]
    played: tuple[str, ...]
    matches: tuple[str, ...]
    count: int
    relaxations: tuple[tuple[str, int], ...]
    must_choose: bool
    attachments: tuple[Media, ...] = ()


@dataclass(frozen=True)
class SearchView:
    """For a recommender with tools: messages, items played by handle, fields with some values."""

    turn: int
    dialogue: tuple[Exchange, ...]
    message: str
    played: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]


View = ProfileView | GoalView | ListenerView | RecommenderView | SearchView


def named(catalogue: Catalogue, row: int, media: tuple[Media, ...] = ()) -> Named:
    """Title and creator of an item: no id, no tags, no text."""
    return Named(catalogue.titles[row], catalogue.creators[row], media)


def offered(catalogue: Catalogue, row: int, handle: str, media: tuple[Media, ...] = ()) -> Offered:
    """Handle, title, creator and facts of a candidate: no id, no family, no source."""
    return Offered(handle, catalogue.titles[row], catalogue.creators[row], catalogue.facts(row), media)


def profile_lines(profile: Profile) -> tuple[tuple[str, str], ...]:
    """What is known of the listener, field by field; what is not known is left out."""
    shown = (
        "age_group",
        "country_name",
        "gender",
        "preferred_language",
        "culture",
        "top_creator",
        "top_genre",
    )
    return tuple((name, str(getattr(profile, name))) for name in shown if getattr(profile, name) is not None)


def exchanges(turns: Sequence[Turn], catalogue: Catalogue) -> tuple[Exchange, ...]:
    """The dialogue so far: messages, names, replies; no thoughts, no labels."""
    played = [
        None if turn.item_id is None else named(catalogue, catalogue.row[turn.item_id]) for turn in turns
    ]
    return tuple(Exchange(turn.message, item, turn.reply) for turn, item in zip(turns, played, strict=True))


def hide_items(change: Change, handles: Mapping[str, str]) -> Change:
    """A change with items named by handle, and what an attachment stands for left unsaid."""
    clause = change.clause
    if clause.cmp not in ("same_group", "similar_to"):
        return change
    shown = handles.get(str(clause.value)) if change.reference else None
    return replace(change, clause=Clause(clause.field, clause.cmp, shown or ATTACHED))


def hide_constraint(constraint: Constraint, handles: Mapping[str, str]) -> Constraint:
    """As `hide_items`, for an active constraint."""
    return hide_items(constraint.added, handles).constraint


def for_search(state: State, catalogue: Catalogue) -> SearchView:
    """Messages and handles; never the goal or the constraints."""
    fields = tuple(
        (name, f"{about.low:g} to {about.high:g}" if about.kind == "number" else ", ".join(about.values[:40]))
        for name, about in catalogue.fields.items()
    )
    played = tuple(turn.handle for turn in state.turns if turn.handle is not None)
    return SearchView(
        len(state.turns) + 1, exchanges(state.turns, catalogue), state.messages[-1], played, fields
    )


def for_profile(profile: Profile, tracks: Sequence[Named]) -> ProfileView:
    """Demographics and named tracks."""
    return ProfileView(profile_lines(profile), tuple(tracks))


def for_goal(draft: Draft, keep: Sequence[str]) -> GoalView:
    """The filled template; never the profile or the tracks."""
    return GoalView(draft.template.title, draft.template.specificity, draft.text, tuple(keep))


@dataclass(frozen=True)
class Task:
    """What a listener is to do in a turn: changes, words for items played (by id), attachments."""

    changes: tuple[Change, ...]
    names: Mapping[str, str]
    attachments: tuple[Media, ...] = ()


def for_listener(
    state: State, catalogue: Catalogue, tracks: Sequence[Named], task: Task, tools: Tools
) -> ListenerView:
    """Profile, goal, dialogue by name with the last item's sound and picture, its verdict, and the request;
    never candidates, facts of items, or the recommender's thoughts.
    """
    handles, dialogue = state.handles, exchanges(state.turns, catalogue)
    verdict: str | None = None
    has: list[str] = []
    lacks: list[str] = []
    if state.played_last:
        row, last = state.rows[-1], dialogue[-1]
        verdict = state.progress[-1].label
        for demand in state.goal.demands:
            (has if granted(demand, tools.match)[row] == 1 else lacks).append(demand.clause.field)
        last_item = named(catalogue, row, tools.show(row))
        dialogue = (*dialogue[:-1], replace(last, played=last_item))
    return ListenerView(
        turn=len(state.turns) + 1,
        profile=profile_lines(state.profile),
        tracks=tuple(tracks),
        goal=state.goal.text,
        expertise=state.goal.expertise,
        dialogue=dialogue,
        changes=tuple(hide_items(change, handles) for change in task.changes),
        active=tuple(hide_constraint(constraint, handles) for constraint in state.active),
        names=tuple((handles[item], words) for item, words in task.names.items()),
        verdict=verdict,
        has=tuple(dict.fromkeys(has)),
        lacks=tuple(dict.fromkeys(lacks)),
        asked=state.turns[-1].asks if state.turns else None,
        attachments=task.attachments,
    )


@dataclass(frozen=True)
class SearchResult:
    """What the search brings the recommender: (handle, row, media) of each candidate, the call, what letting
    go of a constraint would leave, the message's attachments, and whether candidates are all there is.
    """

    offers: Sequence[tuple[str, int, tuple[Media, ...]]]
    call: ToolCall
    relaxations: tuple[tuple[str, int], ...]
    attachments: tuple[Media, ...]
    must_choose: bool


def for_recommender(
    state: State, catalogue: Catalogue, message: str, result: SearchResult
) -> RecommenderView:
    """Profile, dialogue, candidates, search result; never goal, constraints, tracks, listener's thoughts."""
    return RecommenderView(
        turn=len(state.turns) + 1,
        profile=profile_lines(state.profile),
        dialogue=exchanges(state.turns, catalogue),
        message=message,
        candidates=tuple(offered(catalogue, row, handle, media) for handle, row, media in result.offers),
        played=tuple(turn.handle for turn in state.turns if turn.handle is not None),
        matches=result.call.handles,
        count=result.call.count,
        relaxations=result.relaxations,
        must_choose=result.must_choose,
        attachments=result.attachments,
    )
