"""What is fixed before the first word (who, what, how long), keyed by seed and conversation's number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tastemaker.converse.constraints import Rows
from tastemaker.converse.goals import Draft, Sampler
from tastemaker.converse.record import Profile
from tastemaker.errors import InputError
from tastemaker.stats.random import generator

SHORTEST, LONGEST = 3, 12
TRACKS, SESSION = 5, 24  # items of a listener: known beforehand, and in the pool of a session


@dataclass(frozen=True)
class PlanSettings:
    """Dials of a data set. turns: fewest and most (equal for exports of fixed length); nothing: share of
    turns nothing fits; pool: what candidates are drawn from, "catalogue" or "session"; tools: the recommender
    searches by tool calls of its own.
    """

    seed: int = 0
    turns: tuple[int, int] = (8, 8)
    nothing: float = 0.06
    pool: str = "catalogue"
    tools: bool = False

    def __post_init__(self) -> None:
        """Lengths within 3-12, a share below a half, one of the two pools."""
        if not SHORTEST <= self.turns[0] <= self.turns[1] <= LONGEST:
            raise InputError(
                f"turns {self.turns[0]}-{self.turns[1]}: choose from {SHORTEST} to {LONGEST}, as 8 or 3-12"
            )
        if not 0 <= self.nothing < 0.5:
            raise InputError(f"nothing {self.nothing}: give the share of turns that nothing fits, below .5")
        if self.pool not in ("catalogue", "session"):
            raise InputError(
                f"pool '{self.pool}' is not known; choose catalogue, or session to rebuild the published leak"
            )


@dataclass(frozen=True, eq=False)
class Listeners:
    """Who may talk: ids, what the data say of each, and the rows each had, in time order."""

    user_ids: tuple[str, ...]
    profiles: tuple[Profile, ...]
    histories: tuple[Rows, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """One conversation to be; pool: rows of a session, in the leaky mode only."""

    conversation_id: str
    index: int
    user_id: str
    profile: Profile
    tracks: tuple[int, ...]
    draft: Draft
    turns: int
    patience: int
    nothing: frozenset[int]
    pool: Rows | None
    settings_hash: str

    def rng(self, *purpose: str | int) -> np.random.Generator:
        """Draws of this conversation for one purpose."""
        return generator(self.conversation_id, *purpose)


def conversation_id(settings_hash: str, index: int) -> str:
    """Keyed by settings and number: tells nothing of user, time or order."""
    return "c" + hashlib.sha256(f"{settings_hash}\n{index}".encode()).hexdigest()[:24]


def user_row(seed: int, index: int, n_users: int) -> int:
    """Who talks in conversation `index`."""
    return int(generator(seed, "listener", index).integers(n_users))


def make_plan(
    index: int, sampler: Sampler, listeners: Listeners, settings: PlanSettings, settings_hash: str
) -> Plan:
    """The plan of conversation `index`; it depends on no other conversation."""
    rng = generator(settings.seed, "plan", index)
    user = user_row(settings.seed, index, len(listeners.user_ids))
    history = listeners.histories[user]
    order = rng.permutation(len(history))
    tracks = tuple(int(history[int(place)]) for place in order[:TRACKS])
    pool = None
    if settings.pool == "session":
        candidates = np.unique(history[order[TRACKS:]])
        pool = rng.permutation(candidates)[:SESSION]
    first, last = settings.turns
    turns = int(rng.integers(first, last + 1))
    nothing = frozenset(
        turn for turn in range(2, turns) if rng.random() < settings.nothing * turns / max(turns - 2, 1)
    )
    nothing -= {turn for turn in nothing if turn - 1 in nothing}
    draft = _session_goal(index, sampler, pool) if pool is not None else sampler.draw(index)
    return Plan(
        conversation_id=conversation_id(settings_hash, index),
        index=index,
        user_id=listeners.user_ids[user],
        profile=listeners.profiles[user],
        tracks=tracks,
        draft=draft,
        turns=turns,
        patience=int(rng.integers(first, last + 1)),
        nothing=nothing if pool is None else frozenset(),
        pool=pool,
        settings_hash=settings_hash,
    )


def _session_goal(index: int, sampler: Sampler, pool: Rows) -> Draft:
    """A goal as published data have it: drawn from an item of the session's own pool."""
    if not len(pool):
        raise InputError(
            "pool session: a listener's log is too short for a session; use listeners with at least 16 items"
        )
    return sampler.restricted(pool).draw(index)
