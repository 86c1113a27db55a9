"""The one place where anything leaves: items that are allowed, words that hold, text that is only text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tastemaker.assist.parts import Explanation, Item, NothingFits, Notice, Part, Question, Text
from tastemaker.assist.shelf import Shelf
from tastemaker.assist.state import State
from tastemaker.converse.claims import Claim, Spoken, safe

MOST_MOVED = 3  # places that a model may move a candidate up


class Gate:
    """One turn's gate. allowed: rows that may be shown. closest: rows that may be shown with what they miss.

    spoken: what the words may speak of. refused: what was held back, for the log and for tests.
    """

    def __init__(self, shelf: Shelf, state: State) -> None:
        self.shelf, self.state = shelf, state
        self.allowed: frozenset[int] = frozenset()
        self.closest: frozenset[int] = frozenset()
        self.refused: list[Claim] = []
        self._emitted: set[int] = set()

    def allow(self, rows: Iterable[int], closest: bool = False) -> None:
        """This turn's candidates."""
        if closest:
            self.closest |= frozenset(rows)
        else:
            self.allowed |= frozenset(rows)

    def holds(self, row: int) -> bool:
        """Whether an item may be shown: a candidate that meets every demand now, or one of the closest."""
        if row in self.closest:
            return True
        if row not in self.allowed or row in self.state.disliked:
            return False
        return bool(self.shelf.adherence(self.state.active).holds[row])

    def spoken(self, about: Sequence[int] = ()) -> Spoken:
        """What words may speak of now: what is shown here and what was asked for."""
        clauses = [constraint.clause for constraint in self.state.active]
        values = [
            (c.field, v) for c in clauses for v in (c.value if isinstance(c.value, tuple) else (c.value,))
        ]
        wished = frozenset((name, str(value)) for name, value in values)
        numbers = frozenset(float(value) for _, value in values if isinstance(value, int | float))
        named = frozenset(
            (*self.state.seen, *self.state.liked, *self._emitted, *about, *self.allowed, *self.closest)
        )
        return Spoken(tuple(about), named, wished, numbers)

    def pass_on(self, part: Part) -> Part | None:
        """The part as it may be sent; None where nothing of it may."""
        if isinstance(part, Item):
            row = self.shelf.catalogue.row.get(part.item_id)
            if row is None or not self.holds(row):
                self.refused.append(
                    Claim("item", part.item_id, "is no candidate of this turn or misses a demand")
                )
                return None
            self._emitted.add(row)
            return replace(part, title=self.shelf.title(row), creator=safe(part.creator or "") or None)
        if isinstance(part, Explanation):
            if part.item_id not in {
                self.shelf.catalogue.item_ids[row] for row in self._emitted | set(self.state.seen)
            }:
                self.refused.append(Claim("explanation", part.text, "explains what was not shown"))
                return None
            return replace(part, text=safe(part.text))
        if isinstance(part, Text | Question | Notice | NothingFits):
            return replace(part, text=safe(part.text)) if safe(part.text) else None
        return part

    def words(self, text: str, about: Sequence[int]) -> str:
        """What of a model's words may be said: sentences without a claim that does not hold."""
        sentences, claims = self.shelf.claims.sentences(text, self.spoken(about))
        self.refused += claims
        return safe(" ".join(sentences))


def held_in_place(ranked: Sequence[int], chosen: Sequence[int]) -> list[int]:
    """A model's order of candidates, none more than `MOST_MOVED` places above the ranking's."""
    rank = {row: place for place, row in enumerate(ranked)}
    left = [row for row in dict.fromkeys(chosen) if row in rank]
    held: list[int] = []
    for place in range(len(left)):
        row = next((row for row in left if rank[row] <= place + MOST_MOVED), None)
        if row is None:  # nothing that was chosen may stand so high
            row = next(row for row in ranked if row not in held)
        held.append(row)
        if row in left:
            left.remove(row)
    return held
