"""Each conversation against the catalogue: constraints, labels, wording, leaks, searches; faults by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from tastemaker.chat import Media
from tastemaker.converse.audits.leaks import message_faults, named_rows
from tastemaker.converse.audits.texts import Copies, text_faults
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.claims import Claims, Spoken
from tastemaker.converse.constraints import (
    Constraint,
    Match,
    adhere,
    count_fits,
    demands,
    fit_set,
    merge,
    moves,
    relaxations,
    satisfaction,
)
from tastemaker.converse.language.lexicon import Lexicon, plain
from tastemaker.converse.language.readers import Mention, Readers, Utterance
from tastemaker.converse.reading.names import Names
from tastemaker.converse.record import FACTS, MOVES, STAYS, Check, Conversation, Profile, Turn, set_hash

FAULTS = {
    "violation": "an item was played that does not satisfy the request",
    "contradiction": "an item was called helpful that does not satisfy the request",
    "false_nothing": "“nothing fits” was said though something did",
    "missed_nothing": "nothing fitted, and something was played all the same",
    "count": "the recorded number of fitting items is wrong",
    "repeat": "an item, or another version of it, was played twice",
    "wording": "a message does not say what was wished, or makes a demand that was not",
    "label": "labels do not belong one to one to the items played",
    "verdict": "a label is not what the item did for the goal",
    "aim": "the first request is no part of the goal",
    "title": "a message names an item before it was played",
    "goal": "a text copies the goal",
    "handle": "a text holds a handle",
    "id": "a text holds an item id",
    "upload": "a message pretends to attach something",
    "file": "a message holds a file name",
    "media": "a constraint was made by sound or picture, and nothing is attached",
    "candidates": "handles, candidates and their hash do not agree, or there is no choice among them",
    "reply": (
        "a reply is empty or cut, does not name the item it plays, or says the opposite of what was done"
    ),
    "claim": "a reply names another item, or tells what the item's facts do not",
    "forbidden": "a text holds a link, markup, an order to a model, personal data or hidden characters",
    "garbled": "a text is no English",
    "echo": "a text says the same twice",
    "thought": "a thought knows what its role does not",
    "profile": "the profile is not what the data say of the listener",
    "tool": "a search is not what the messages asked for, or did not come back with that",
    "relaxations": "what dropping a wish would leave is wrong",
    "length": "a conversation is shorter or longer than its settings say",
}
"""Every kind of fault and what it means."""
FEWEST = 4  # candidates below which there was no choice
_NOTHING = re.compile(
    r"\bnothing\b[^.?!]*\b(?:fits?|match(?:es)?|meets?|suits?|is (?:all|every))\b|\bno (?:item|match|such)\b",
    re.IGNORECASE,
)
_NO = re.compile(r"\b(?:no|not|none|nothing|neither|\w+n't|cannot|unable|without)\b", re.IGNORECASE)
_ENDS = re.compile(r"[.!?…)\"”'’*]\s*$")


@dataclass(frozen=True, eq=False)
class Known:
    """What an audit compares with: the catalogue, matching over it, its lexicon, how long conversations are,
    what the data say of each listener, and what judges hear and see of a turn.
    """

    catalogue: Catalogue
    match: Match
    lexicon: Lexicon
    turns: tuple[int, int] = (1, 99)
    profiles: Mapping[str, Profile] = field(default_factory=lambda: MappingProxyType({}))
    media: Callable[[Turn], tuple[tuple[str, tuple[Media, ...]], ...]] = lambda turn: ()

    @cached_property
    def readers(self) -> Readers:
        """Who reads messages back."""
        return Readers(self.lexicon, self.catalogue.value)

    @cached_property
    def claims(self) -> Claims:
        """The scanner of what texts claim, which the assistant uses as well."""
        catalogue = self.catalogue
        words = [
            word for about in catalogue.fields.values() for value in about.values for word in value.split()
        ]
        names = Names(catalogue.titles, catalogue.creators, catalogue.aliases, words)
        return Claims(catalogue, self.lexicon.vocabulary, names)


@dataclass(frozen=True)
class Facts:
    """A turn beside what is true: constraints before and now, the fits, whether the played item fits."""

    turn: Turn
    before: tuple[Constraint, ...]
    constraints: tuple[Constraint, ...]
    n_fit: int
    adheres: bool | None
    unknown: bool
    played: tuple[Mention, ...]


def replay(conversation: Conversation, known: Known) -> Iterator[Facts]:
    """The conversation's turns with constraints and fits computed anew from deltas and items."""
    constraints: tuple[Constraint, ...] = ()
    mentions: list[Mention] = []
    families: set[int] = set()
    catalogue = known.catalogue
    for turn in conversation.turns:
        before, constraints = constraints, merge(constraints, turn.delta)
        adherence = adhere(constraints, known.match, len(catalogue))
        n_fit = len(fit_set(adherence.holds, catalogue.family_codes, families))
        row = catalogue.row.get(turn.item_id) if turn.item_id is not None else None
        adheres = None if row is None else bool(adherence.holds[row])
        yield Facts(
            turn,
            before,
            constraints,
            n_fit,
            adheres,
            row is not None and bool(adherence.unknown[row]),
            tuple(mentions),
        )
        if row is not None:
            families.add(int(catalogue.family_codes[row]))
            mentions.append(Mention(turn.handle or "", catalogue.item_ids[row], catalogue.names(row)))


def check(conversation: Conversation, known: Known) -> tuple[Check, ...]:
    """Every fault of `FAULTS`, counted; all are to be 0. Works on any conversation, whoever made it."""
    counts: Counter[str] = Counter()
    facts = list(replay(conversation, known))
    copies = Copies()
    for line in facts:
        counts.update(_constraint_faults(line, conversation, known))
        counts.update(_message_faults(line, conversation, known))
        counts.update(_reply_faults(line, conversation, known))
        counts.update(_thought_faults(line, conversation, known))
        counts.update(_search_faults(line, known))
        for side, text in (("listener", line.turn.message), ("recommender", line.turn.reply)):
            counts.update(text_faults(text, conversation.profile.preferred_language))
            counts["echo"] += copies.seen(side, text)
    counts["label"] += _label_faults(conversation)
    counts["candidates"] += _handle_faults(conversation)
    counts.update(_goal_faults(conversation, known))
    counts["profile"] += _stranger(conversation, known)
    counts["length"] += not known.turns[0] <= len(conversation.turns) <= known.turns[1]
    return tuple(Check(name, float(counts[name]), counts[name] == 0) for name in FAULTS)


def _constraint_faults(facts: Facts, conversation: Conversation, known: Known) -> Iterator[str]:
    turn, catalogue = facts.turn, known.catalogue
    if facts.adheres is False:
        yield "violation"
        if conversation.label(turn.turn) == MOVES:
            yield "contradiction"
    if turn.item_id is not None and turn.item_id not in catalogue.row:
        yield "candidates"
    if turn.nothing_fits and facts.n_fit:
        yield "false_nothing"
    if not turn.nothing_fits and not facts.n_fit:
        yield "missed_nothing"
    if turn.n_fit != facts.n_fit:
        yield "count"
    row = catalogue.row.get(turn.item_id or "")
    played = {catalogue.families[catalogue.row[before.item_id]] for before in facts.played}
    if row is not None and catalogue.families[row] in played:
        yield "repeat"


def _message_faults(facts: Facts, conversation: Conversation, known: Known) -> Iterator[str]:
    turn = facts.turn
    ids = [shown.item_id for shown in turn.candidates] + [before.item_id for before in facts.played]
    yield from message_faults(turn.message, conversation.goal.text, ids)
    catalogue = known.catalogue
    later = [after.item_id for after in conversation.turns[turn.turn - 1 :] if after.item_id in catalogue.row]
    before = {catalogue.row[mention.item_id] for mention in facts.played}
    ahead = {catalogue.row[item] for item in later if item is not None} - before
    if ahead and ahead & named_rows(turn.message, catalogue, known.lexicon):
        yield "title"
    attached = {media.kind for media in turn.media}
    if {change.medium for change in turn.delta if change.attached} - attached:
        yield "media"
    missing, extra = known.readers.misread(Utterance(turn.message, facts.played), turn.delta, facts.before)
    yield from ["wording"] * (len(missing) + len(extra))


def _spoken(facts: Facts, known: Known) -> Spoken:
    """What a reply may speak of: the item played, those played before, and the wishes that stand."""
    row = known.catalogue.row
    played_rows = {row[mention.item_id] for mention in facts.played}
    about = () if facts.turn.item_id not in row else (row[str(facts.turn.item_id)],)
    wished = {
        (line.clause.field, str(value))
        for line in (*facts.constraints, *(change.constraint for change in facts.turn.delta))
        for value in (line.clause.value if isinstance(line.clause.value, tuple) else (line.clause.value,))
        if line.kind == "must_not" or facts.turn.item_id is None
    }
    numbers = {
        float(end)
        for line in facts.constraints
        if line.clause.cmp in ("le", "ge", "between")
        for end in (line.clause.value if isinstance(line.clause.value, tuple) else (line.clause.value,))
    }
    return Spoken(about, frozenset(played_rows), frozenset(wished), frozenset(numbers))


def _reply_faults(facts: Facts, conversation: Conversation, known: Known) -> Iterator[str]:
    turn, row = facts.turn, known.catalogue.row.get(facts.turn.item_id or "")
    if not _ENDS.search(turn.reply) or len(turn.reply.split()) < 3:
        yield "reply"
    if row is not None:
        reply = plain(turn.reply).casefold()
        if not any(plain(name).casefold() in reply for name in known.catalogue.names(row)):
            yield "reply"
    if bool(_NOTHING.search(turn.reply)) and not turn.nothing_fits:
        yield "reply"
    if turn.nothing_fits and not _NO.search(turn.reply):
        yield "reply"
    ids = [shown.item_id for shown in turn.candidates]
    yield from (
        fault
        for fault in message_faults(turn.reply, conversation.goal.text, ids)
        if fault in ("goal", "handle", "id", "upload")
    )
    for claim in known.claims.scan(turn.reply, _spoken(facts, known)):
        if claim.kind in ("title", "fact"):
            yield "claim"


def _thought_faults(facts: Facts, conversation: Conversation, known: Known) -> Iterator[str]:
    """A listener that knows candidates, a recommender that knows the goal; text that no thought may hold."""
    turn, catalogue = facts.turn, known.catalogue
    ids = {shown.item_id for shown in turn.candidates} - {mention.item_id for mention in facts.played}
    names = [name for item in ids if item in catalogue.row for name in catalogue.names(catalogue.row[item])]
    thought = turn.listener_thought
    leaks = set(message_faults(thought, "", tuple(ids))) & {"handle", "id"}
    if leaks or any(len(name.split()) > 1 and name.casefold() in thought.casefold() for name in names):
        yield "thought"
    if "goal" in message_faults(turn.recommender_thought, conversation.goal.text):
        yield "thought"
    for text in (turn.listener_thought, turn.recommender_thought):
        yield from (fault for fault in text_faults(text, None) if fault == "forbidden")


def _search_faults(facts: Facts, known: Known) -> Iterator[str]:
    """The search against what stands: its clauses, its count, what it found; and the ways out."""
    turn, catalogue, tool = facts.turn, known.catalogue, facts.turn.tool
    families = {int(catalogue.family_codes[catalogue.row[mention.item_id]]) for mention in facts.played}
    searched = {(line.kind, line.clause) for line in demands(tool.constraints)}
    stands = {(line.kind, line.clause) for line in demands(facts.constraints)}
    if searched != stands and (tool.by == "code" or not searched & stands):
        yield "tool"
    if tool.count != count_fits(tool.constraints, known.match, catalogue.family_codes, families):
        yield "tool"
    if not tool.text.endswith(turn.message) and tool.by == "code":
        yield "tool"
    holds = adhere(tool.constraints, known.match, len(catalogue)).holds
    items = {shown.handle: shown.item_id for shown in turn.candidates}
    if not all(
        items.get(handle) in catalogue.row and holds[catalogue.row[items[handle]]] for handle in tool.handles
    ):
        yield "tool"
    ways: tuple[tuple[str, int], ...] = ()
    if turn.nothing_fits or turn.relaxations:
        lost = relaxations(facts.constraints, known.match, catalogue.family_codes, families)
        ways = tuple((line.clause.field, count) for line, count in lost) if not facts.n_fit else ()
    if sorted(turn.relaxations) != sorted(ways):
        yield "relaxations"
    if turn.nothing_fits:
        stated_counts = {int(number) for number in re.findall(r"\bthere (?:is|are) (\d+)", turn.reply)}
        if stated_counts - {count for _, count in ways}:
            yield "relaxations"


def _goal_faults(conversation: Conversation, known: Known) -> Iterator[str]:
    """Labels computed anew from the goal, and a first request that belongs to it; nothing for data sets that
    keep no demands.
    """
    goal, catalogue = conversation.goal, known.catalogue
    yield from ["forbidden"] * ("forbidden" in text_faults(goal.text, None))
    if not goal.demands or not conversation.turns:
        return
    if not {(change.constraint.clause) for change in conversation.turns[0].delta} <= {
        demand.clause for demand in goal.demands
    }:
        yield "aim"
    satisfied = satisfaction(goal.demands, known.match, len(catalogue))
    best = float(satisfied.mean())
    for facts in replay(conversation, known):
        row = catalogue.row.get(facts.turn.item_id or "")
        if row is None:
            continue
        toward = moves(float(satisfied[row]), best) and bool(facts.adheres)
        if conversation.label(facts.turn.turn) != (MOVES if toward else STAYS):
            yield "verdict"
        best = max(best, float(satisfied[row]))


def _stranger(conversation: Conversation, known: Known) -> bool:
    """Whether the profile differs from what the data say of the listener, or holds what no text may hold."""
    profile = conversation.profile
    texts = (profile.culture, profile.top_creator, profile.top_genre)
    if any("forbidden" in text_faults(text, None) for text in texts if text):
        return True
    data = known.profiles.get(conversation.user_id)
    return data is not None and any(getattr(profile, name) != getattr(data, name) for name in FACTS)


def _label_faults(conversation: Conversation) -> int:
    """Labels missing, doubled, or on turns without an item."""
    judged = Counter(line.item_turn for line in conversation.progress)
    played = {turn.turn for turn in conversation.turns if turn.item_id is not None}
    return len(played ^ set(judged)) + sum(count - 1 for count in judged.values())


def _handle_faults(conversation: Conversation) -> int:
    """Handles that mean two items, items that are no candidate, sets that do not fit their hash."""
    faults = 0
    meaning: dict[str, str] = {}
    for turn in conversation.turns:
        ids = [shown.item_id for shown in turn.candidates]
        faults += set_hash(ids) != turn.candidates_hash
        faults += len(set(ids)) < FEWEST
        faults += sum(
            meaning.setdefault(shown.handle, shown.item_id) != shown.item_id for shown in turn.candidates
        )
        faults += turn.item_id is not None and (
            turn.handle is None or meaning.get(turn.handle) != turn.item_id
        )
    return faults
