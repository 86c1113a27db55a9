"""Simulated listeners of the demo catalogue, with the truth about them kept.

A listener has tastes over what a tune is (type, mode, timbre, speed, metre, book), a part that no description
tells, and sessions. In a session the next tune is chosen by a multinomial logit (McFadden, 1974) of the
listener's utility, the tune's
exposure, and the set so far: musicians play sets of one type in related keys, and some tunes have customary
companions. So popularity, content, collaborative and sequential signal are all there, in known amounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from tastemaker.arrays import Bools, Float32, Floats, Ints
from tastemaker.demo.abc_body import DARK_MODES, FIFTHS
from tastemaker.errors import InputError
from tastemaker.schema import INTERACTIONS, check
from tastemaker.stats.random import generator

FIELDS = ("tune_type", "mode", "timbre", "speed", "metre", "book")
FEWEST = 4  # tunes of a catalogue, of which a listener plays two
_START = int(datetime(2025, 1, 6, tzinfo=UTC).timestamp())
_PLAY_SECONDS = 150.0


@dataclass(frozen=True)
class ListenerSettings:
    """The world's dials; strengths are in logits of the choice, shares in [0, 1].

    `events_low`..`events_high` bound a listener's plays (half of the catalogue does, too); `session` is their
    mean number in one sitting; `latent` is the share of taste variance that no attribute tells; `drift` the
    chance that a sitting turns to another type at a play.
    """

    events_low: int = 20
    events_high: int = 60
    session: float = 8.0
    taste: float = 1.8
    latent: float = 0.3
    quality: float = 0.4
    exposure: float = 1.0
    same_type: float = 2.2
    same_mode: float = 0.6
    near_key: float = 0.8
    companion: float = 3.5
    companions: int = 3
    drift: float = 0.1
    noise: float = 0.8


@dataclass(frozen=True)
class World:
    """What is true: U listeners, N items in the order of the facts.

    `utility` (U, N) is the liking that drives choice and response; `exposure` (N,) the log of how often an
    item is put before anybody; `kinds` (N,) the dance type that sets keep to, `kind_tastes` (U, K) the
    chances of each at a sitting's start; `dark` (N,) bool; `keys` (N,) on the circle of fifths; `companions`
    (N, c) item indices, -1 for none.
    """

    settings: ListenerSettings
    utility: Float32
    exposure: Float32
    kinds: Ints
    kind_tastes: Floats
    dark: Bools
    keys: Ints
    companions: Ints

    def scores(self, users: Ints, kind: Ints, last: Ints) -> Float32:
        """Choice logits (users, N) of the next play in a sitting of `kind` after `last` (-1: at first)."""
        dials = self.settings
        scores = dials.taste * self.utility[users] + self.exposure
        scores += dials.same_type * (self.kinds[None, :] == kind[:, None])
        going = np.flatnonzero(last >= 0)
        before = last[going]
        apart = np.abs((self.keys[None, :] - self.keys[before][:, None] + 6) % 12 - 6)
        scores[going] += dials.same_mode * (self.dark[None, :] == self.dark[before][:, None])
        scores[going] += np.float32(dials.near_key) * (apart <= 1)
        for column in range(self.companions.shape[1]):
            follow = self.companions[before, column]
            scores[going[follow >= 0], follow[follow >= 0]] += dials.companion
        return np.asarray(scores, dtype=np.float32)


@dataclass(frozen=True)
class Simulation:
    """`interactions` (`INTERACTIONS`), `profiles` (user_id, name, tastes, simulated = true), truth."""

    interactions: pa.Table
    profiles: pa.Table
    world: World


def _standardised(values: Floats) -> Floats:
    """Rows with mean 0 and deviation 1; constant rows become 0."""
    spread = values.std(axis=-1, keepdims=True)
    return np.asarray((values - values.mean(axis=-1, keepdims=True)) / np.where(spread > 1e-9, spread, 1.0))


def _columns(facts: pa.Table) -> dict[str, list[str]]:
    """The attribute of each item by field; a tune of unknown type counts as a type of its own metre."""
    columns = {field: [str(value) for value in facts.column(field).to_pylist()] for field in FIELDS}
    types = facts.column("tune_type").to_pylist()
    columns["tune_type"] = [
        kind or f"other {metre}" for kind, metre in zip(types, columns["metre"], strict=True)
    ]
    return columns


def _tastes(columns: dict[str, list[str]], n: int, seed: int) -> tuple[Floats, list[dict[str, str]]]:
    """Attribute utility (n, N) before scaling, and favourite values, dearest field first.

    A listener spreads attention over the fields (Dirichlet, type and timbre first) and likes each value of a
    field by a standard normal draw.
    """
    rng = generator(seed, "tastes")
    attention = np.sqrt(rng.dirichlet([3.0, 1.5, 2.0, 1.5, 1.0, 0.7], size=n))
    total = np.zeros((n, len(columns["mode"])))
    favourites: list[list[str]] = []
    for place, field in enumerate(FIELDS):
        values, index = np.unique(columns[field], return_inverse=True)
        liking = rng.standard_normal((n, len(values)))
        total += attention[:, [place]] * liking[:, index]
        common = np.bincount(index) / len(index)
        favourites.append([str(values[best]) for best in np.argmax(liking + 0.5 * np.log(common), axis=1)])
    dearest = np.argsort(-attention, axis=1)
    return total, [{FIELDS[place]: favourites[place][user] for place in dearest[user]} for user in range(n)]


def _companions(kinds: Ints, keys: Ints, count: int, seed: int) -> Ints:
    """(N, count) customary followers of each tune: its own type, a near key if any, drawn by seed."""
    rng = generator(seed, "companions")
    chosen = np.full((len(kinds), count), -1, dtype=np.int64)
    for item in range(len(kinds)):
        same = np.flatnonzero(kinds == kinds[item])
        near = same[np.abs((keys[same] - keys[item] + 6) % 12 - 6) <= 1]
        pool = near if len(near) > count else same
        pool = pool[pool != item]
        picked = rng.permutation(pool)[:count]
        chosen[item, : len(picked)] = picked
    return chosen


def make_world(
    facts: pa.Table, n_listeners: int, seed: int, settings: ListenerSettings
) -> tuple[World, list[dict[str, str]]]:
    """Draw the truth, and each listener's favourites in words."""
    columns = _columns(facts)
    attribute, words = _tastes(columns, n_listeners, seed)
    n_items = facts.num_rows
    rng = generator(seed, "items")
    hidden = generator(seed, "hidden").standard_normal((n_listeners, 8)) @ rng.standard_normal((8, n_items))
    utility = np.sqrt(1 - settings.latent) * _standardised(attribute) + np.sqrt(
        settings.latent
    ) * _standardised(hidden)
    utility += settings.quality * rng.standard_normal(n_items)
    names, kinds = np.unique(columns["tune_type"], return_inverse=True)
    keys = np.array([_fifth(key) for key in facts.column("key").to_pylist()], dtype=np.int64)
    means = np.stack([utility[:, kinds == kind].mean(axis=1) for kind in range(len(names))], axis=1)
    chances = np.bincount(kinds) * np.exp(1.5 * means)
    world = World(
        settings=settings,
        utility=utility.astype(np.float32),
        exposure=(settings.exposure * rng.standard_normal(n_items)).astype(np.float32),
        kinds=kinds.astype(np.int64),
        kind_tastes=chances / chances.sum(axis=1, keepdims=True),
        dark=np.array([mode in DARK_MODES for mode in columns["mode"]]),
        keys=keys,
        companions=_companions(kinds, keys, settings.companions, seed),
    )
    return world, words


def _fifth(key: str) -> int:
    """Place of a tonic on the circle of fifths."""
    return FIFTHS.index(key[0]) + 7 * (key.count("#") - key[1:].count("b"))


@dataclass
class _Log:
    """Columns of the plays so far, one array a step."""

    user: list[Ints]
    item: list[Ints]
    share: list[Floats]
    liked: list[Bools]
    fresh: list[Bools]


def _play(world: World, lengths: Ints, seed: int) -> _Log:
    """Everybody's plays, all listeners one step at a time; nobody plays an item twice."""
    rng, dials = generator(seed, "plays"), world.settings
    n_users, n_items = world.utility.shape
    kind, last = np.zeros(n_users, dtype=np.int64), np.full(n_users, -1, dtype=np.int64)
    played = np.zeros((n_users, n_items), dtype=bool)
    cumulative = world.kind_tastes.cumsum(axis=1)
    log = _Log([], [], [], [], [])
    for step in range(int(lengths.max())):
        users = np.flatnonzero(lengths > step)
        draws = rng.random((len(users), 3))
        fresh = (draws[:, 0] < 1.0 / dials.session) | (last[users] < 0)
        turns = fresh | (draws[:, 1] < dials.drift)
        new = (draws[:, [2]] > cumulative[users]).sum(axis=1)
        kind[users] = np.where(turns, np.minimum(new, cumulative.shape[1] - 1), kind[users])
        scores = world.scores(users, kind[users], np.where(fresh, -1, last[users]))
        scores -= np.log(
            rng.standard_exponential(scores.shape, dtype=np.float32) + np.float32(1e-30)
        )  # Gumbel: a logit choice
        scores[played[users]] = -np.inf
        chosen = scores.argmax(axis=1)
        played[users, chosen] = True
        last[users] = chosen
        felt = world.utility[users, chosen] + dials.noise * rng.standard_normal(len(users))
        log.user.append(users)
        log.item.append(chosen)
        log.share.append(1.0 / (1.0 + np.exp(1.0 - 1.4 * felt)))
        log.liked.append(felt > 2.4)
        log.fresh.append(fresh)
    return log


def _timestamps(user: Ints, fresh: Bools, share: Floats, seed: int) -> Ints:
    """Seconds since 1970 by listener and step: days between sittings, time listened within one."""
    rng = generator(seed, "times")
    gaps = np.where(
        fresh, 7_200.0 + rng.exponential(2.2 * 86_400.0, len(user)), 4.0 + rng.exponential(6.0, len(user))
    )
    gaps[1:] += np.where(fresh[1:], 0.0, _PLAY_SECONDS * share[:-1])
    first = np.flatnonzero(np.diff(user, prepend=-1))
    gaps[first] = rng.uniform(0.0, 60.0 * 86_400.0, len(first))
    total = np.cumsum(gaps)
    runs = np.diff(np.append(first, len(user)))
    start = np.repeat(total[first] - gaps[first], runs)
    return np.asarray(_START + total - start, dtype=np.int64)


def simulate(
    facts: pa.Table, n_listeners: int = 1000, seed: int = 0, settings: ListenerSettings | None = None
) -> Simulation:
    """Listeners, their plays and the truth, for a `FACTS` table (`tunes.catalogue`).

    One interaction a play: `value` is the share listened, `kind` is like, skip (under 30 %) or play. Nobody
    plays an item twice, so a held-out play is always new. Timestamps are simulated too, from January 2025 on.

    Raises InputError when the catalogue has fewer than 4 items, or there is no listener.
    """
    settings = settings or ListenerSettings()
    if n_listeners < 1 or facts.num_rows < FEWEST:
        raise InputError(
            f"{n_listeners} listeners and {facts.num_rows} tunes: give at least one listener and {FEWEST}"
            " tunes"
        )
    high = min(settings.events_high, facts.num_rows // 2)
    low = min(settings.events_low, high)
    world, words = make_world(facts, n_listeners, seed, settings)
    spread = generator(seed, "lengths").beta(1.2, 2.0, n_listeners) * (high - low + 1)
    log = _play(world, low + np.minimum(spread.astype(np.int64), high - low), seed)
    users = np.concatenate(log.user)
    order = np.argsort(users, kind="stable")
    user, item, share = users[order], np.concatenate(log.item)[order], np.concatenate(log.share)[order]
    liked, fresh = np.concatenate(log.liked)[order], np.concatenate(log.fresh)[order]
    counts = np.bincount(user, minlength=n_listeners)
    ids = [f"simulated-{number:0{max(3, len(str(n_listeners)))}d}" for number in range(1, n_listeners + 1)]
    table = pa.table(
        {
            "user_id": pa.array(ids).take(pa.array(user)),
            "item_id": facts.column("item_id").combine_chunks().take(pa.array(item)),
            "position": np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts),
            "timestamp": (
                pa.array(_timestamps(user, fresh, share, seed) * 1_000_000).cast(pa.timestamp("us", tz="UTC"))
            ),
            "kind": np.where(liked, "like", np.where(share < 0.3, "skip", "play")),
            "value": np.round(share, 4),
        }
    )
    return Simulation(check(table, INTERACTIONS, "simulated plays"), _profiles(ids, words, counts), world)


def _profiles(ids: list[str], words: list[dict[str, str]], counts: Ints) -> pa.Table:
    """Who the listeners are, in words; every name says that they are simulated."""
    rows = []
    for user_id, likes, count in zip(ids, words, counts, strict=True):
        kind = likes["tune_type"]
        phrases = {
            "tune_type": f"tunes in {kind[6:]}" if kind.startswith("other ") else f"the {kind}",
            "mode": f"{likes['mode']} keys",
            "timbre": f"the {likes['timbre']} sound",
            "speed": f"{likes['speed']} playing",
            "metre": f"{likes['metre']} time",
            "book": likes["book"],
        }
        first, second, third, *_ = (phrases[field] for field in likes)
        text = f"Simulated: leans first to {first}, then to {second} and {third}."
        who = {"user_id": user_id, "name": f"Listener {user_id.split('-')[1]} (simulated)", "text": text}
        rows.append(
            who | {"plays": int(count), "simulated": True} | {field: likes[field] for field in FIELDS}
        )
    return pa.Table.from_pylist(rows)
