"""One question a turn: the item that was played, what may be answered, and everything that fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tastemaker.converse.catalogue import Catalogue
from tastemaker.converse.constraints import Constraint, Match, adhere, fit_set, merge
from tastemaker.converse.record import MOVES, Conversation


@dataclass(frozen=True, eq=False)
class Ask:
    """A turn to answer. conversation: its number; target: row played, None where nothing fitted; played: rows
    before it.

    excluded: rows of families played before; fits: F_t, rows that satisfy all that was asked and are not
    excluded.
    """

    conversation: int
    turn: int
    target: int | None
    accepted: bool
    played: tuple[int, ...]
    excluded: npt.NDArray[np.int64]
    fits: npt.NDArray[np.int64]


def asks(number: int, one: Conversation, catalogue: Catalogue, match: Match) -> list[Ask]:
    """The questions of a conversation, turn by turn; the constraints are used for `fits` alone, no ranker
    sees them.
    """
    active: Sequence[Constraint] = ()
    played: list[int] = []
    found = []
    for turn in one.turns:
        active = merge(active, turn.delta)
        families = catalogue.family_codes[np.array(played, np.int64)]
        holds = adhere(active, match, len(catalogue)).holds
        fits = fit_set(holds, catalogue.family_codes, {int(family) for family in families})
        excluded = np.flatnonzero(np.isin(catalogue.family_codes, families))
        target = None if turn.item_id is None else catalogue.row[turn.item_id]
        found.append(
            Ask(
                number,
                turn.turn,
                target,
                one.label(turn.turn) == MOVES,
                tuple(played),
                excluded,
                np.asarray(fits, np.int64),
            )
        )
        if target is not None:
            played.append(target)
    return found
