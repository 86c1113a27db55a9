"""Each conversation against the catalogue: constraints, labels, wording, leaks, handles; every fault under
its own name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tastemaker.converse.audits.leaks import message_faults, named_rows
from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Constraint, Match, adhere, demands, fit_set, merge
from tastemaker.converse.language.lexicon import Lexicon
from tastemaker.converse.language.parse import Mention, Utterance, read
from tastemaker.converse.record import MOVES, Check, Conversation, Turn, set_hash

FAULTS = {
    "violation": "an item was played that does not satisfy the request",
    "contradiction": "an item was called helpful that does not satisfy the request",
    "false_nothing": "“nothing fits” was said though something did",
    "missed_nothing": "nothing fitted, and something was played all the same",
    "count": "the recorded number of fitting items is wrong",
    "repeat": "an item, or another version of it, was played twice",
    "wording": "an active constraint cannot be read out of the messages",
    "label": "labels do not belong one to one to the items played",
    "title": "a message names an item before it was played",
    "goal": "a message copies the goal",
    "handle": "a message holds a handle",
    "id": "a message holds an item id",
    "upload": "a message pretends to attach something",
    "file": "a message holds a file name",
    "media": "a constraint was made by sound or picture, and nothing is attached",
    "candidates": "handles, candidates and their hash do not agree",
}
"""Every kind of fault and what it means."""
LEAKS = ("title", "goal", "handle", "id", "upload", "file")


@dataclass(frozen=True, eq=False)
class Known:
    """What an audit compares with: the catalogue, matching over it, and its lexicon."""

    catalogue: Catalogue
    match: Match
    lexicon: Lexicon


@dataclass(frozen=True)
class Facts:
    """A turn beside what is true of it: the constraints that stand, the fits, and whether the played item
    satisfies them.
    """

    turn: Turn
    constraints: tuple[Constraint, ...]
    n_fit: int
    adheres: bool | None
    unknown: bool
    played: tuple[Mention, ...]


def replay(conversation: Conversation, known: Known) -> Iterator[Facts]:
    """The conversation's turns with constraints and fits computed anew from deltas and items."""
    constraints: tuple[Constraint, ...] = ()
    heard: list[Mention] = []
    families: set[int] = set()
    catalogue = known.catalogue
    for turn in conversation.turns:
        constraints = merge(constraints, turn.delta)
        adherence = adhere(constraints, known.match, len(catalogue))
        n_fit = len(fit_set(adherence.holds, catalogue.family_codes, families))
        row = catalogue.row.get(turn.item_id) if turn.item_id is not None else None
        adheres = None if row is None else bool(adherence.holds[row])
        yield Facts(
            turn, constraints, n_fit, adheres, row is not None and bool(adherence.unknown[row]), tuple(heard)
        )
        if row is not None:
            families.add(int(catalogue.family_codes[row]))
            heard.append(Mention(turn.handle or "", catalogue.item_ids[row], catalogue.names(row)))


def check(conversation: Conversation, known: Known) -> tuple[Check, ...]:
    """Every fault of `FAULTS`, counted; all are to be 0. Works on any conversation, whoever made it."""
    counts: Counter[str] = Counter()
    said: list[Utterance] = []
    facts = list(replay(conversation, known))
    for line in facts:
        counts.update(_constraint_faults(line, conversation, known))
        counts.update(_message_faults(line, conversation, known))
        recognised = _attached(line.turn)
        said.append(Utterance(line.turn.message, line.played, recognised))
        meant = {(constraint.kind, constraint.clause) for constraint in demands(line.constraints)}
        got = {(constraint.kind, constraint.clause) for constraint in demands(read(said, known.lexicon))}
        counts["wording"] += len(meant - got)
    counts["label"] += _label_faults(conversation)
    counts["candidates"] += _handle_faults(conversation)
    return tuple(Check(name, float(counts[name]), counts[name] == 0) for name in FAULTS)


def attached_items(turn: Turn) -> tuple[tuple[str, str], ...]:
    """(medium, item id) of what this turn asks for by sound or picture."""
    return tuple(
        (change.medium, str(change.clause.value))
        for change in turn.delta
        if change.medium != "text" and change.reference is None and change.op != "drop"
    )


def _attached(turn: Turn) -> tuple[tuple[str, str], ...]:
    """What this turn's attachments stand for; nothing stands for a constraint that came without one."""
    kinds = {media.kind for media in turn.media}
    return tuple(item for item in attached_items(turn) if item[0] in kinds)


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
    before = {catalogue.row[heard.item_id] for heard in facts.played}
    ahead = {catalogue.row[item] for item in later if item is not None} - before
    if ahead and ahead & named_rows(turn.message, catalogue, known.lexicon):
        yield "title"
    if {medium for medium, _ in attached_items(turn)} - {attached.kind for attached in turn.media}:
        yield "media"


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
        faults += sum(
            meaning.setdefault(shown.handle, shown.item_id) != shown.item_id for shown in turn.candidates
        )
        faults += turn.item_id is not None and (
            turn.handle is None or meaning.get(turn.handle) != turn.item_id
        )
    return faults


@dataclass(frozen=True)
class Summary:
    """A data set's audit. faults: name -> (conversations with it, times); nothing: (said rightly, said,
    due).
    """

    conversations: int
    turns: int
    faults: dict[str, tuple[int, int]]
    nothing: tuple[int, int, int]
    demands: int
    unread: int
    labels: dict[str, int]
    overruled: int
    unknown: int

    @property
    def ok(self) -> bool:
        """No fault of any kind."""
        return not any(times for _, times in self.faults.values())

    @property
    def precision(self) -> float | None:
        """Share of "nothing fits" that were right; None when it was never said."""
        return self.nothing[0] / self.nothing[1] if self.nothing[1] else None

    @property
    def recall(self) -> float | None:
        """Share of turns that nothing fitted where it was said; None when there were none."""
        return self.nothing[0] / self.nothing[2] if self.nothing[2] else None

    @property
    def wording(self) -> float | None:
        """Share of demands that could be read out of the messages."""
        return 1.0 - self.unread / self.demands if self.demands else None


def audit(
    conversations: Iterable[Conversation], known: Known, report: Callable[[int], None] = lambda done: None
) -> Summary:
    """Every conversation checked anew, one at a time."""
    faulty: Counter[str] = Counter()
    times: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    for conversation in conversations:
        for line in check(conversation, known):
            faulty[line.name] += not line.ok
            times[line.name] += int(line.value)
        for facts in replay(conversation, known):
            totals["turns"] += 1
            totals["demands"] += len(demands(facts.constraints))
            totals["unknown"] += facts.unknown
            totals["said"] += facts.turn.nothing_fits
            totals["due"] += not facts.n_fit
            totals["right"] += facts.turn.nothing_fits and not facts.n_fit
        labels.update(str(line.label) for line in conversation.progress)
        totals["overruled"] += sum(line.overruled for line in conversation.progress)
        totals["conversations"] += 1
        report(totals["conversations"])
    return Summary(
        conversations=totals["conversations"],
        turns=totals["turns"],
        faults={name: (faulty[name], times[name]) for name in FAULTS},
        nothing=(totals["right"], totals["said"], totals["due"]),
        demands=totals["demands"],
        unread=times["wording"],
        labels=dict(sorted(labels.items())),
        overruled=totals["overruled"],
        unknown=totals["unknown"],
    )
