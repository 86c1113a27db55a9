"""What is learnt from and what is asked: no user and no goal on both sides, and families that are never
spoken of in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.dialogue.sequences import Dialogue
from tastemaker.errors import InputError
from tastemaker.stats.random import generator


@dataclass(frozen=True, eq=False)
class DialogueSplit:
    """train: what may be learnt from. test: numbers of the dialogues to ask. cold: (N,) items of families
    held out.

    dropped: dialogues that share a goal with a test but not its user; cut: turns left out of train because of
    a cold item.
    """

    train: tuple[Dialogue, ...]
    test: tuple[int, ...]
    cold: npt.NDArray[np.bool_]
    dropped: int
    cut: int


def split_dialogues(
    dialogues: Sequence[Dialogue],
    families: npt.NDArray[np.integer],
    test: float,
    cold: float,
    seed: int | str,
) -> DialogueSplit:
    """Users drawn by key are asked, and their goals are learnt from nobody; a training dialogue ends before
    its first cold item.

    Parameters
    ----------
    families
        (N,) family of each item; all versions of one thing are held out together.
    test, cold
        shares of the users and of the families, in [0, 1).

    Raises
    ------
    InputError
        for other shares, or when one side is empty.
    """
    if not (0 < test < 1 and 0 <= cold < 1):
        raise InputError(
            f"the split needs a test share in (0, 1) and a cold share in [0, 1); got {test} and {cold}"
        )
    users = sorted({one.user for one in dialogues})
    draw = generator(seed, "test users").random(len(users))
    asked_users = {user for user, value in zip(users, draw, strict=True) if value < test}
    asked = tuple(place for place, one in enumerate(dialogues) if one.user in asked_users)
    seeds = {dialogues[place].seed for place in asked}
    names = np.unique(families)
    held = names[generator(seed, "cold families").random(len(names)) < cold]
    is_cold = np.isin(families, held)
    train, dropped, cut = [], 0, 0
    for one in dialogues:
        if one.user in asked_users:
            continue
        if one.seed in seeds:
            dropped += 1
            continue
        kept = _before_cold(one, is_cold)
        cut += len(one.exchanges) - len(kept.exchanges)
        if kept.exchanges:
            train.append(kept)
    if not asked or not train:
        raise InputError(
            f"{len(dialogues):,} conversations of {len(users):,} users leave {len(train):,} to learn from and"
            f" {len(asked):,} to ask; generate more, or change the shares"
        )
    return DialogueSplit(tuple(train), asked, is_cold, dropped, cut)


def _before_cold(one: Dialogue, cold: npt.NDArray[np.bool_]) -> Dialogue:
    """The exchanges before the first that shows or plays a cold item."""
    for place, exchange in enumerate(one.exchanges):
        rows = [*exchange.media, *([] if exchange.item is None else [exchange.item])]
        if any(cold[row] for row in rows):
            return replace(one, exchanges=one.exchanges[:place])
    return one
