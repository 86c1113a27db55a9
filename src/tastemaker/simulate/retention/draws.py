"""Listeners, the items they meet, and the events that follow. Columns named true_* are what no real log
shows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from tastemaker.simulate.retention.world import Floats, ListenerWorld, by_cohort
from tastemaker.stats.random import generator

Ints = npt.NDArray[np.int64]
# Median 28-day events of (high-signal, low-signal) listeners: far enough apart that the lowest 30 % are the
# low-signal ones.
EVENTS = (60.0, 5.0)


def names(prefix: str, numbers: npt.ArrayLike) -> pa.Array:
    """(n,) strings prefix0, prefix17 ... of whole numbers."""
    return pc.binary_join_element_wise(
        prefix, pa.array(np.asarray(numbers, dtype=np.int64)).cast(pa.string()), ""
    )


def column(table: pa.Table, name: str) -> Floats:
    """A column as float64 (booleans as 0 and 1, null as NaN)."""
    values = table.column(name)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def draw_listeners(world: ListenerWorld, key: int | str) -> pa.Table:
    """One row a listener: what a log knows of them (events_28d, history, tenure_days) and the truth
    (true_base, true_trait).

    `history` is what a model sees of the listener's inclination to return: base + spread D, with noise.
    `number` (int64) is the listener's row. Same world and key, same listeners.
    """
    rng = generator(key, "listeners")
    n = world.listeners
    low = rng.random(n) < world.low_share
    inclination, trait = rng.normal(size=n), rng.normal(size=n)
    base = by_cohort(world.base, low) + by_cohort(world.spread, low) * inclination
    history = base + by_cohort(world.history_noise, low) * rng.normal(size=n)
    events = rng.poisson(by_cohort(EVENTS, low) * np.exp(0.4 * rng.normal(size=n) - 0.08))
    tenure = np.round(400 * np.exp(0.8 * rng.normal(size=n) + 0.3 * inclination)).astype(np.int64)
    return pa.table(
        {
            "user_id": names("simulated-", np.arange(n)),
            "number": np.arange(n),
            "low_signal": low,
            "events_28d": events,
            "history": history,
            "tenure_days": tenure,
            "true_inclination": inclination,
            "true_base": base,
            "true_trait": trait,
        }
    )


def item_quality(world: ListenerWorld, key: int | str) -> Floats:
    """(items,) the item's own part of I, unit variance: what a ranking can know and everybody shares."""
    return generator(key, "items").normal(size=world.items)


def retention_latent(
    world: ListenerWorld, quality: Floats, trait: Floats, state: Floats, rng: np.random.Generator
) -> Floats:
    """(n,) Q of each pair: the item's quality with this listener's affinity and noise, the listener's trait,
    the day's state.
    """
    own, affinity, noise = (np.sqrt(part) for part in world.item_parts)
    item = own * quality + affinity * rng.normal(size=len(quality)) + noise * rng.normal(size=len(quality))
    parts = ((world.share_item, item), (world.share_user, trait), (world.share_state, state))
    return np.asarray(sum(np.sqrt(share) * part for share, part in parts), dtype=np.float64)


def draw_pairs(world: ListenerWorld, listeners: pa.Table, key: int | str) -> pa.Table:
    """One row a listener and day: the item met (uniform among `world.items`), what the log shows, and the
    truth.

    Columns: user_id, item_id, request_id, day, low_signal, events_28d, history, tenure_days, practical,
    sameday, like, save, reshare, true_value (Z), true_latent (Q), true_base, true_inclination, true_trait.
    Rows are sorted by listener, then day.
    """
    rng = generator(key, "pairs")
    who = np.repeat(np.arange(listeners.num_rows), world.days)
    n = len(who)
    item = rng.integers(0, world.items, size=n)
    seen = listeners.take(pa.array(who))
    state, value = rng.normal(size=n), rng.normal(size=n)
    latent = retention_latent(world, item_quality(world, key)[item], column(seen, "true_trait"), state, rng)
    seen = seen.drop_columns(["number"])
    more = {
        "item_id": names("item-", item),
        "request_id": names("request-", np.arange(n)),
        "day": np.tile(np.arange(world.days), listeners.num_rows),
        "practical": rng.random(n) < world.practical_share,
        "sameday": rng.normal(size=n),
        **events(world, value, rng),
        "true_value": value,
        "true_latent": latent,
    }
    for name, values in more.items():
        seen = seen.append_column(name, pa.array(values) if isinstance(values, np.ndarray) else values)
    return seen


def events(world: ListenerWorld, value: Floats, rng: np.random.Generator) -> dict[str, npt.NDArray[np.int8]]:
    """like, save and reshare (n,) 0 or 1, each by its logit in the shared value Z (n,)."""
    settings = {"like": world.like, "save": world.save, "reshare": world.reshare}
    return {
        name: (rng.random(len(value)) < expit(a + b * value)).astype(np.int8)
        for name, (a, b) in settings.items()
    }


def draw_slates(pairs: pa.Table, items: int) -> pa.Table:
    """The explored slates behind `pairs`: one slot, every item with propensity 1/items, as `schema.SLATES`
    has them.
    """
    n = pairs.num_rows
    return pa.table(
        {
            "request_id": pairs["request_id"],
            "user_id": pairs["user_id"],
            "timestamp": pa.array(
                column(pairs, "day").astype(np.int64) * 86_400_000_000, pa.timestamp("us", tz="UTC")
            ),
            "position": np.zeros(n, dtype=np.int32),
            "item_id": pairs["item_id"],
            "propensity": np.full(n, 1.0 / items),
            "policy_id": pa.array(["uniform"] * n),
        }
    )
