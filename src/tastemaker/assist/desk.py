"""What the assistant can do for a person in a conversation; planners and tools go through it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tastemaker.assist.absent import words_of
from tastemaker.assist.gate import Gate
from tastemaker.assist.parts import Explanation, Item, NothingFits, Understood
from tastemaker.assist.ranking import Evidence, Ranker, free, nearest
from tastemaker.assist.shelf import Floats, Shelf
from tastemaker.assist.state import ABOUT, REMEMBERED, WITHOUT, State, chip_name, label, worded_label
from tastemaker.converse.catalogue import Day
from tastemaker.converse.claims import safe
from tastemaker.converse.constraints import Change, Constraint, demands, granted
from tastemaker.converse.reading.plain import in_words
from tastemaker.converse.reading.together import KINDS, distinct, without
from tastemaker.explore.slate import IN_TALK, Draw, Pool, draw_pool, logger_name
from tastemaker.retention.reasons import FEWEST
from tastemaker.serving.query import Evidence as Reason

POOL = 12  # places of the ranking that a list is drawn from
SHOWN, MOST_SHOWN = 3, 10  # items of an answer, and of one where more are asked for
CLOSEST = 3
FIRST = 10  # soft wishes that a first choice outweighs
LIKE, END = "like:", "first:"  # before the names of chips that are no constraints
Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Choice:
    """What is shown. rows: in order; pool: what could have been; draw: policy and propensities."""

    request_id: str
    rows: tuple[int, ...]
    pool: tuple[int, ...]
    draw: Draw


@dataclass(frozen=True, eq=False)
class Drawing:
    """How lists of conversations are drawn. key: the workspace's secret. prefixes (N,): of Semantic IDs."""

    temperature: float = 0.0
    model: str = ""
    key: str = ""
    prefixes: npt.NDArray[np.int64] | None = None

    def choose(self, ranked: Sequence[int], k: int, first: Sequence[int] = ()) -> Choice:
        """The k best of a ranking at temperature 0, else drawn in proportion to exp(-place / temperature).

        first: rows that come before whatever is drawn, with certainty (the person named them).
        """
        request_id = f"s-{secrets.token_hex(12)}"
        certain = tuple(dict.fromkeys(first))[:k]
        rest = np.array([row for row in ranked if row not in certain], np.int64)
        pool = Pool(rest, -np.arange(len(rest), dtype=np.float64), self.temperature, "")
        prefixes = None if self.prefixes is None else self.prefixes[rest]
        draw = draw_pool(pool, k - len(certain), (self.key, request_id), prefixes)
        rows = (*certain, *rest[draw.order].tolist())
        ones = np.ones(len(certain))
        propensity = np.concatenate([ones, draw.propensity])
        prefix = None if draw.prefix is None else np.concatenate([ones, draw.prefix])
        name = IN_TALK + logger_name(self.temperature, self.model)
        logits = None if certain else draw.logits  # of a pool that nothing stands above
        drawn = replace(draw, policy_id=name, propensity=propensity, prefix=prefix, logits=logits)
        return Choice(request_id, rows, (*certain, *rest.tolist()), drawn)


def as_told(rows: Sequence[int]) -> Choice:
    """A list that a language model put together: certain, given what the model said."""
    ones = np.ones(len(rows))
    draw = Draw(f"{IN_TALK}model", np.arange(len(rows)), ones, ones)
    return Choice(f"s-{secrets.token_hex(12)}", tuple(rows), tuple(rows), draw)


class People(Protocol):
    """What is known of people, and where what they do is kept; see `assist.assistant`."""

    def history(self, user_id: str | None) -> tuple[tuple[int, ...], frozenset[int]]:
        """Rows they want, oldest first, and rows they do not."""

    def past(self, rows: Sequence[int], keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats | None:
        """(N,) how well each kept item follows these, by the model; None where nobody can say."""

    def reasons(self, row: int, history: Sequence[int]) -> Sequence[Reason]:
        """Evidence for an item in a history."""

    def chosen(self, row: int) -> int:
        """How many people wanted an item."""

    def happened(self, user_id: str, row: int, kind: str, request_id: str | None) -> None:
        """Keep what they did, and which list it answers."""

    def take_back(self, user_id: str, row: int, sign: int = 1) -> bool:
        """Undo what they did for an item (against it: sign -1); False where imported data still say so."""

    def choose(self, ranked: Sequence[int], k: int, first: Sequence[int] = ()) -> Choice:
        """What is shown of a ranking."""

    def offered(self, user_id: str | None, choices: Sequence[Choice]) -> None:
        """Log lists before they are sent."""

    def item(self, row: int) -> Mapping[str, Any]:
        """What there is to show of an item."""

    def known(self, user_id: str) -> list[dict[str, Any]]:
        """Everything kept about them."""

    def forget(self, user_id: str) -> None:
        """Erase them."""


@dataclass
class Desk:
    """One turn's workplace. `state` is replaced as the turn goes on; `gate` knows what may leave.

    keeps: whether lists and feedback are logged. offered: the lists of this turn; `log` has logged so many.
    """

    shelf: Shelf
    ranker: Ranker
    people: People
    state: State
    gate: Gate
    changed: bool = False  # what is kept about the person, by words of this turn
    keeps: bool = True
    offered: list[Choice] = field(default_factory=list)
    logged: int = 0
    _past: tuple[str | None, tuple[int, ...], frozenset[int]] | None = None

    def change(self, **changes: Any) -> None:
        """Another state from here on."""
        self.state = replace(self.state, **changes)
        self.gate.state = self.state

    def history(self) -> tuple[tuple[int, ...], frozenset[int]]:
        """Rows this person wants, oldest first, and rows they do not; read once a turn or change."""
        user = self.state.user_id
        if self._past is None or self._past[0] != user:
            self._past = user, *self.people.history(user)
        return self._past[1:]

    @property
    def holds(self) -> npt.NDArray[np.bool_]:
        """(N,) which items meet every demand, say what they should be about and nothing turned down."""
        return np.asarray(self.shelf.adherence(self.state.active).holds & ~self.worded)

    @property
    def worded(self) -> npt.NDArray[np.bool_]:
        """(N,) which items have a word that was turned down, or are not about what they should be."""
        has = np.zeros(len(self.shelf), bool)
        for name in self.state.words:
            how, _, words = name.partition(":")
            has |= self._saying(words) == (f"{how}:" == WITHOUT)
        return has

    def _saying(self, words: str) -> npt.NDArray[np.bool_]:
        """(N,) which items say one of some words: "dogs or cats"."""
        every = [self.shelf.saying(words_of(part)) for part in words.split(" or ")]
        return np.asarray(np.any(every, axis=0))

    def let_go(self, before: Sequence[Constraint], changes: Sequence[Change]) -> str:
        """The fewest wishes, older than `changes`, that leave nothing beside a new subject ("a western" after
        "a horror film") stop counting, first those of its field; the sentence that says so, or nothing.
        """
        active, clauses = self.state.active, {change.clause for change in changes}
        instead = any(change.op == "replace" for change in changes)
        newer = {c.clause.field for c in active if c.kind == "must" and c not in before}
        standing = [c for c in before if c in active and c.kind == "must" and c.clause not in clauses]
        older = tuple(c for c in standing if c.clause.field in newer)
        if self.shelf.fits(active) or not (older or (instead and newer)):
            return ""
        others = [c for c in standing if c not in older and not KINDS.search(c.clause.field)]
        groups = [(*older, *more) for n in range(min(4, len(others) + 1)) for more in combinations(others, n)]
        gone = next((group for group in groups if self.shelf.fits(without(active, group))), ())
        if not gone:
            return ""
        self.change(active=without(active, gone))
        named = " and ".join(f"“{label(c, self.shelf.vocabulary)}”" for c in distinct(gone))
        counts = "counts" if len(distinct(gone)) == 1 else "count"
        return f"Nothing here is that and {named} too, so {named} no longer {counts}."

    def heed(self, without: Sequence[str], about: Sequence[str]) -> list[str]:
        """Leave out what has words that are turned down, and what says nothing of a subject, from here on;
        what is said of each: where nothing has the words, that nobody can tell.
        """
        sentences = []
        for phrase in map(safe, without):
            if count := int(self._saying(phrase).sum()):
                self.change(words=tuple(dict.fromkeys((*self.state.words, WITHOUT + phrase))))
                sentences.append(f"Left out: {count:,} whose words say ‘{phrase}’.")
            else:
                sentences.append(f"No words here say ‘{phrase}’, so I cannot tell what to leave out.")
        for phrase in map(safe, about):
            if (self._saying(phrase) & self.holds).any():
                self.change(words=tuple(dict.fromkeys((*self.state.words, ABOUT + phrase))))
            else:
                of = "No words here say" if not self._saying(phrase).any() else "Nothing that fits says"
                sentences.append(f"{of} ‘{phrase}’, so it counts for nothing.")
        return sentences

    def fitting(self, again: bool = False) -> Rows:
        """Rows that meet every demand and were not shown yet, or `again` all that meet them."""
        holds = self.holds
        _, unwanted = self.history()
        barred = frozenset(self.state.disliked) | unwanted | (frozenset() if again else self.state.barred)
        keep = np.zeros(len(self.shelf), bool)
        keep[free(len(self.shelf), barred)] = True
        return np.flatnonzero(holds & keep)

    def evidence(self, rows: Rows, like: Sequence[int] = ()) -> Evidence:
        """What was said, liked, done before; `like`: rows to resemble; rows: those of the past."""
        state, match = self.state, self.shelf.match
        history, _ = self.history()
        keep = np.zeros(len(self.shelf), bool)
        keep[rows] = True
        past = self.people.past((*history, *state.liked), keep) if history or state.liked else None
        soft = [replace(c, kind="must") for c in state.active if c.kind == "prefer"]
        asked = {c.clause.field for c in demands(state.active)}  # beside a demand it is a first choice
        granting = np.asarray(
            [(granted(c, match) == 1) * (FIRST if c.clause.field in asked else 1) for c in soft], np.float32
        )
        liked = tuple(dict.fromkeys((*state.liked, *like)))
        return Evidence(
            state.messages[-REMEMBERED:], liked, state.disliked, past, granting.sum(axis=0) if soft else None
        )

    def ranked(self, rows: Rows, k: int, like: Sequence[int] = ()) -> list[int]:
        """The k best of the rows for what was said, liked and done before; `like`: rows to be similar to."""
        evidence = self.evidence(rows, like)
        if not like:
            return self.ranker.rank(evidence, rows, k)
        near = self.shelf.vectors @ self.shelf.vectors[list(like)].mean(axis=0)
        shared = np.array([self._shared(row, like) for row in rows], np.float32)
        scores = 0.3 * self.ranker.scores(replace(evidence, messages=()))[rows] + 4 * near[rows] + 2 * shared
        keepers = [int(row) for row in rows[np.argsort(-scores, kind="stable")] if int(row) not in like]
        return keepers[:k]

    def pick(self, rows: Rows, k: int, like: Sequence[int] = (), first: Sequence[int] = ()) -> Choice:
        """What is shown of the rows: `first`, then of the best of the others."""
        return self.people.choose(self.ranked(rows, max(POOL, k), like), k, first)

    def _shared(self, row: int, others: Sequence[int]) -> float:
        """The mean share of facts that an item has in common with others."""
        names = [name for name, known in self.shelf.catalogue.fields.items() if known.kind != "number"]
        columns = self.shelf.catalogue.columns
        pairs = [(columns[name][row], columns[name][other]) for other in others for name in names]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        same = sum(
            bool(set(a) & set(b)) if isinstance(a, tuple) and isinstance(b, tuple) else a == b
            for a, b in both
        )
        return same / max(len(both), 1)

    def understood(self) -> Understood:
        """Chips of what stands (constraints, likenesses, end of a scale), and how many items meet it."""
        state, shelf = self.state, self.shelf
        entries = [
            (chip_name(c), label(c, shelf.vocabulary), c.kind, c.clause.field) for c in distinct(state.active)
        ]
        softly = {
            f"{LIKE}{shelf.catalogue.item_ids[row]}": f"like “{shelf.title(row)}”" for row in state.near
        }
        softly |= {f"{END}{state.extreme}": f"{state.extreme} first"} if state.extreme else {}
        entries += [(name, words, "prefer", "") for name, words in softly.items()]
        entries += [
            (n, worded_label(n), "must_not" if n.startswith(WITHOUT) else "must", "") for n in state.words
        ]
        chips = tuple(dict(zip(("name", "label", "kind", "field"), chip, strict=True)) for chip in entries)
        asked = demands(state.active) or state.words
        return Understood(chips, int(self.holds.sum()) if asked else None)

    def items(self, choice: Choice, closest: bool = False) -> list[tuple[Item, list[Explanation]]]:
        """A list as parts, each with why, logged as offered; from here on they are what was shown."""
        rows = choice.rows
        self.gate.allow(rows, closest)
        self.offer(choice)
        self.change(
            shown=rows,
            seen=tuple(dict.fromkeys((*self.state.seen, *rows))),
            focus=rows[0] if rows else self.state.focus,
        )
        parts = []
        for place, row in enumerate(rows):
            item = replace(
                self.item(row, str(place + 1), self.unmet(row)), request_id=self.state.slates.get(row, "")
            )
            parts.append((item, self.explain(row)))
        return parts

    def unmet(self, row: int) -> tuple[str, ...]:
        """The demands that an item misses, as they are called."""
        asked = demands(self.state.active)
        return tuple(label(c, self.shelf.vocabulary) for c in asked if granted(c, self.shelf.match)[row] != 1)

    def offer(self, choice: Choice) -> None:
        """A list that `log` logs before it leaves; what answers its items names it."""
        if not self.keeps:
            self.change(slates={})
        elif choice.rows:
            self.offered.append(choice)
            self.change(slates={**self.state.slates, **dict.fromkeys(choice.rows, choice.request_id)})

    def log(self) -> None:
        """Log the lists that are offered and were not yet."""
        choices, self.logged = self.offered[self.logged :], len(self.offered)
        if choices:
            self.people.offered(self.state.user_id, choices)

    def item(self, row: int, handle: str, unmet: tuple[str, ...] = ()) -> Item:
        """An item as it is shown."""
        catalogue = self.shelf.catalogue
        facts = {name: str(v) if isinstance(v, Day) else v for name, v in catalogue.facts(row)}
        return Item(
            catalogue.item_ids[row],
            handle,
            self.shelf.title(row),
            catalogue.creators[row],
            facts,
            self.people.item(row),
            unmet,
        )

    def explain(self, row: int) -> list[Explanation]:
        """Why this item: each claim with the evidence it rests on; none where nothing says so."""
        shelf, state = self.shelf, self.state
        item = shelf.catalogue.item_ids[row]
        reasons: list[Explanation] = []
        granted_here = distinct([c for c in state.active if granted(c, shelf.match)[row] == 1])
        if granted_here:
            wishes = ", ".join(
                label(replace(c, kind="must" if c.kind == "prefer" else c.kind), shelf.vocabulary)
                for c in granted_here
            )
            names = tuple(map(chip_name, granted_here))
            reasons.append(Explanation(item, f"as you asked: {wishes}", "attribute", names))
        newest = state.messages[-1:] and self.ranker.named(state.messages[-1])
        for named in newest or ():
            if row in named.rows and named.sure >= 0.4:
                word = "its title" if named.role == "title" else f"by {shelf.catalogue.creators[row]}"
                reasons.append(Explanation(item, f"you named {word}", "words", (named.name,)))
                break
        history, _ = self.history()
        for rows, kind in ((state.liked, "similarity"), (history, "history")):
            for reason in self.people.reasons(row, rows)[:1] if rows else ():
                if all(reason.text != other.text for other in reasons):
                    reasons.append(Explanation(item, reason.text, kind, (reason.item_id,)))
        if not reasons and shelf.popular[row]:
            people = self.people.chosen(row)
            if people >= FEWEST:
                words = f"among the most chosen here: {people} people wanted it"
                reasons.append(Explanation(item, words, "popularity"))
        return reasons

    def nothing(self) -> NothingFits | None:
        """The counted ways out, where no item meets the demands; None where one does."""
        asked = demands(self.state.active)
        if not asked or self.shelf.adherence(asked).holds.any():
            return None
        vocabulary = self.shelf.vocabulary
        counts = self._relaxed(asked, 1) or self._relaxed(asked[:8], 2)
        ways = tuple(
            {
                "label": " and ".join(label(c, vocabulary) for c in group),
                "name": "\n".join(chip_name(c) for c in group),
                "count": count,
            }
            for group, count in counts[:6]
        )
        wishes = ", ".join(label(c, vocabulary) for c in distinct(asked))
        every = "all of this: " if len(distinct(asked)) > 1 else ""
        return NothingFits(
            f"Nothing here is {every}{wishes}." if len(wishes) < 300 else "Nothing here is all of that.", ways
        )

    def _relaxed(self, asked: Sequence[Constraint], n: int) -> list[tuple[tuple[Constraint, ...], int]]:
        """Each n demands without which something fits, and how many; most first."""
        counts = [
            (group, self.shelf.fits(without(self.state.active, group))) for group in combinations(asked, n)
        ]
        return sorted((entry for entry in counts if entry[1]), key=lambda entry: -entry[1])

    def closest(self) -> Choice:
        """The items that miss fewest demands, best first; of those that miss the same the nearest first."""
        barred = frozenset((*self.state.disliked, *self.history()[1], *np.flatnonzero(self.worded).tolist()))
        rows = free(len(self.shelf), barred)
        failures = self.shelf.adherence(self.state.active).failures[rows]
        fewest = rows[failures == failures.min(initial=len(self.state.active))]
        ranked = self.ranked(fewest, len(fewest))
        return self.people.choose(nearest(self.shelf, ranked, demands(self.state.active))[:POOL], CLOSEST)

    def feedback(self, rows: Sequence[int], kind: str) -> None:
        """A like, a skip or a play of this person: counts here, and is kept where they have a name."""
        sides = {"like": ("liked", "disliked"), "skip": ("disliked", "liked")}.get(kind)
        if sides:
            now, before = (getattr(self.state, side) for side in sides)
            left = tuple(row for row in before if row not in rows)
            self.change(**dict(zip(sides, (tuple(dict.fromkeys((*now, *rows))), left), strict=True)))
        for row in rows if self.keeps and self.state.user_id is not None else ():
            slate = self.state.slates.get(row)
            self.people.happened(str(self.state.user_id), row, kind, slate)
            self.changed, self._past = True, None

    def take_back(self, rows: Sequence[int]) -> tuple[int, ...]:
        """Undo the likes of items; those that imported data still say are turned down, and returned."""
        self.change(liked=tuple(row for row in self.state.liked if row not in rows))
        user = self.state.user_id
        if user is None or not self.keeps:
            return ()
        standing = tuple(row for row in rows if not self.people.take_back(user, row))
        self.changed, self._past = True, None
        if standing:
            self.feedback(standing, "skip")
        return standing

    def unsay(self, rows: Sequence[int]) -> None:
        """Take the newest opinions back, which are of these rows."""
        now, before = self.state, self.state.before or self.state
        self.change(liked=before.liked, disliked=before.disliked, before=before.before)
        for row in rows if self.keeps and now.user_id is not None else ():
            self.people.take_back(str(now.user_id), row, 1 if row in now.liked else -1)
            self.changed, self._past = True, None

    def facts(self, row: int, names: Sequence[str]) -> str:
        """What is known of an item, in one clause a field; says so where it is not known."""
        parts, spans = [], self.shelf.vocabulary.spans
        for name in names:
            if name in spans.values() and any(spans.get(other) == name for other in names):
                continue
            value = (
                self.shelf.fact(row, name)
                if name in self.shelf.catalogue.columns
                else self.shelf.catalogue.creators[row]
            )
            if value is not None and spans.get(name) in names:
                value = f"{in_words(value)} to {in_words(self.shelf.fact(row, spans[name]) or value)}"
            noun = self.shelf.vocabulary.called(name)
            parts.append(f"{noun} {'not known' if value is None else in_words(value)}")
        return "; ".join(parts)
