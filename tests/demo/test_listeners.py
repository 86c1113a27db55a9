"""Simulated listeners: their plays follow from the truth that is kept, in the amounts that were set."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.demo import listeners
from tastemaker.demo.listeners import ListenerSettings, Simulation, simulate
from tastemaker.demo.tunes import catalogue
from tastemaker.errors import InputError
from tastemaker.schema import INTERACTIONS

N_ITEMS, N_USERS = 250, 300


@pytest.fixture(scope="module")
def facts() -> pa.Table:
    return catalogue(N_ITEMS, seed=1, books=("procedural",))[1]


@pytest.fixture(scope="module")
def simulation(facts: pa.Table) -> Simulation:
    return simulate(facts, N_USERS, seed=2)


def arrays(simulation: Simulation, facts: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """User and item index of every play."""
    place = {item: index for index, item in enumerate(facts["item_id"].to_pylist())}
    people = {person: index for index, person in enumerate(simulation.profiles["user_id"].to_pylist())}
    table = simulation.interactions
    users = np.array([people[person] for person in table["user_id"].to_pylist()])
    return users, np.array([place[item] for item in table["item_id"].to_pylist()])


def test_the_table_is_well_formed(simulation: Simulation) -> None:
    table = simulation.interactions
    assert table.schema.equals(INTERACTIONS)
    assert set(table["kind"].to_pylist()) == {"play", "like", "skip"}
    frame = list(
        zip(
            *(table[name].to_pylist() for name in ("user_id", "item_id", "position", "timestamp", "value")),
            strict=True,
        )
    )
    assert len({(user, item) for user, item, *_ in frame}) == len(frame)  # nobody plays a tune twice
    counts: dict[str, int] = {}
    last = None
    for user, _, position, timestamp, value in frame:
        assert position == counts.get(user, 0)
        counts[user] = position + 1
        assert last is None or last[0] != user or last[1] < timestamp
        last = (user, timestamp)
        assert 0.0 <= value <= 1.0
    assert len(counts) == N_USERS
    assert min(counts.values()) >= 20
    assert max(counts.values()) <= 60
    assert simulation.profiles["plays"].to_pylist() == [
        counts[person] for person in simulation.profiles["user_id"].to_pylist()
    ]


def test_nobody_can_take_them_for_people(simulation: Simulation) -> None:
    profiles = simulation.profiles
    assert all("(simulated)" in name for name in profiles["name"].to_pylist())
    assert all(person.startswith("simulated-") for person in profiles["user_id"].to_pylist())
    assert all(text.startswith("Simulated") for text in profiles["text"].to_pylist())
    assert set(profiles["simulated"].to_pylist()) == {True}


def test_the_same_seed_gives_the_same_world(facts: pa.Table, simulation: Simulation) -> None:
    again = simulate(facts, N_USERS, seed=2)
    assert again.interactions.equals(simulation.interactions)
    assert np.array_equal(again.world.utility, simulation.world.utility)
    assert not simulate(facts, N_USERS, seed=3).interactions.equals(simulation.interactions)


def test_likes_and_shares_follow_the_true_utility(simulation: Simulation, facts: pa.Table) -> None:
    users, items = arrays(simulation, facts)
    utility = simulation.world.utility[users, items]
    kinds = np.array(simulation.interactions["kind"].to_pylist())
    means = [utility[kinds == kind].mean() for kind in ("skip", "play", "like")]
    assert means[0] + 0.4 < means[1] < means[2] - 0.4
    assert np.corrcoef(utility, simulation.interactions["value"].to_numpy())[0, 1] > 0.5
    assert utility.mean() > simulation.world.utility.mean() + 0.5  # what is played is liked above average
    shares = [np.mean(kinds == kind) for kind in ("skip", "play", "like")]
    assert all(0.02 < share < 0.8 for share in shares)


def test_utility_follows_attributes_and_a_stated_hidden_share(facts: pa.Table) -> None:
    """With no hidden part and no quality, items alike in every attribute are liked alike."""
    world, _ = listeners.make_world(facts, 50, 1, ListenerSettings(latent=0.0, quality=0.0))
    rows = [tuple(row[field] for field in listeners.FIELDS) for row in facts.to_pylist()]
    same: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        same.setdefault(row, []).append(place)
    groups = [group for group in same.values() if len(group) > 1]
    assert groups
    for group in groups:
        assert np.ptp(world.utility[:, group], axis=1).max() < 1e-5
    blind, _ = listeners.make_world(facts, 50, 1, ListenerSettings(latent=1.0, quality=0.0))
    cross = [np.corrcoef(a, b)[0, 1] for a, b in zip(world.utility, blind.utility, strict=True)]
    assert abs(np.mean(cross)) < 3 / np.sqrt(N_ITEMS * 50) + 0.03


def test_plays_are_drawn_with_the_stated_logit_chances() -> None:
    """First plays of 20,000 identical listeners against the closed form, averaged over the type of the
    sitting.
    """
    n, users = 6, 20_000
    rng = np.random.default_rng(0)
    utility = np.repeat(rng.standard_normal((1, n)), users, axis=0).astype(np.float32)
    kinds = np.array([0, 0, 0, 1, 1, 1])
    chances = np.repeat([[0.3, 0.7]], users, axis=0)
    world = listeners.World(
        settings=ListenerSettings(),
        utility=utility,
        exposure=rng.standard_normal(n).astype(np.float32),
        kinds=kinds,
        kind_tastes=chances,
        dark=np.zeros(n, dtype=bool),
        keys=np.zeros(n, dtype=np.int64),
        companions=np.full((n, 1), -1),
    )
    log = listeners._play(world, np.ones(users, dtype=np.int64), seed=0)
    expected = np.zeros(n)
    for kind, share in enumerate((0.3, 0.7)):
        weights = np.exp(1.8 * utility[0] + world.exposure + 2.2 * (kinds == kind))
        expected += share * weights / weights.sum()
    shares = np.bincount(log.item[0], minlength=n) / users
    assert np.abs(shares - expected).max() < 4 * 0.5 / np.sqrt(users)


def hit_rate(scores: np.ndarray, target: np.ndarray, k: int = 10) -> float:
    return float(np.mean((scores > scores[np.arange(len(target)), target][:, None]).sum(axis=1) < k))


def test_a_sequence_aware_oracle_beats_taste_which_beats_popularity(
    simulation: Simulation, facts: pa.Table
) -> None:
    users, items = arrays(simulation, facts)
    final = np.flatnonzero(np.diff(users, append=N_USERS))
    train = np.setdiff1d(np.arange(len(items)), final)
    popularity = np.bincount(items[train], minlength=N_ITEMS).astype(float)
    world, before = simulation.world, items[final - 1]
    ranked = {
        "popularity": np.tile(popularity, (N_USERS, 1)),
        "taste": 1.8 * world.utility + world.exposure,
        "sequence": world.scores(np.arange(N_USERS), world.kinds[before], before),
    }
    for scores in ranked.values():
        scores[users[train], items[train]] = -np.inf
    rates = {name: hit_rate(scores, items[final]) for name, scores in ranked.items()}
    assert rates["popularity"] + 0.08 < rates["taste"] < rates["sequence"] - 0.08
    assert rates["popularity"] > 1.2 * 10 / N_ITEMS  # exposure leaves a popularity signal


def test_sets_keep_to_a_type_and_follow_companions(simulation: Simulation, facts: pa.Table) -> None:
    users, items = arrays(simulation, facts)
    world = simulation.world
    within = (users[1:] == users[:-1]) & (
        np.diff(simulation.interactions["timestamp"].to_numpy()) < np.timedelta64(1, "h")
    )
    before, after = items[:-1][within], items[1:][within]
    assert np.mean(world.kinds[before] == world.kinds[after]) > 0.5
    followed = np.mean((world.companions[before] == after[:, None]).any(axis=1))
    assert followed > 10 * world.companions.shape[1] / N_ITEMS
    alone = ~(world.companions[before] == after[:, None]).any(axis=1)
    apart = np.abs((world.keys[before] - world.keys[after] + 6) % 12 - 6)[alone]
    shuffled = np.random.default_rng(0).permutation(world.keys[after])
    unordered = np.abs((world.keys[before] - shuffled + 6) % 12 - 6)[alone]
    assert np.mean(apart <= 1) > np.mean(unordered <= 1) + 0.1  # the next tune is in a near key
    for item in range(N_ITEMS):
        mates = world.companions[item][world.companions[item] >= 0]
        assert item not in mates
        assert (world.kinds[mates] == world.kinds[item]).all()


def test_worlds_that_cannot_be_are_refused(facts: pa.Table) -> None:
    with pytest.raises(InputError, match="at least one listener and 4 tunes"):
        simulate(facts.slice(0, 3), 5)


def test_of_a_small_catalogue_a_listener_plays_half_at_most(facts: pa.Table) -> None:
    for items, low, high in ((50, 20, 25), (30, 15, 15), (4, 2, 2)):
        counts = simulate(facts.slice(0, items), 40).profiles["plays"].to_numpy()
        assert low <= counts.min() <= counts.max() <= high
