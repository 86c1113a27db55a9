"""What a ranker knows of a pair before anybody is asked: the features a proxy is made of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.special import expit

from tastemaker.simulate.retention.draws import column, item_quality
from tastemaker.simulate.retention.world import ListenerWorld
from tastemaker.stats.random import generator

RANKER_FEATURES = ("base_score", "p_like", "p_skip", "item_rate", "user_rate", "practical", "low_signal")


def ranker_features(world: ListenerWorld, pairs: pa.Table, key: int | str) -> pa.Table:
    """`pairs` with base_score (.8 Z + .6 noise), p_like and p_skip (predicted probabilities, from Z seen with
    noise of its own), item_rate and user_rate (standing of the item's own quality and of the listener's
    trait, as their past shows it, with noise).

    `key` is that of `draw_pairs`. In a world where retention is not the item's (or the user's) the rate is
    noise.
    """
    rng = generator(key, "ranker")
    n = pairs.num_rows
    value = column(pairs, "true_value")
    seen = 0.85 * value + 0.5 * rng.normal(size=n)
    items = np.char.rpartition(np.asarray(pairs["item_id"].to_pylist(), dtype=np.str_), "-")[:, 2].astype(
        np.int64
    )
    quality = item_quality(world, key) + 0.5 * generator(key, "item rates").normal(size=world.items)
    users = np.unique(np.asarray(pairs["user_id"].to_pylist(), dtype=np.str_), return_inverse=True)[1]
    past = rng.normal(size=int(users.max()) + 1)
    more = {
        "base_score": 0.8 * value + 0.6 * rng.normal(size=n),
        "p_like": expit(world.like[0] + world.like[1] * seen),
        "p_skip": expit(-0.5 - 1.2 * seen),
        "item_rate": np.sqrt(world.share_item) * quality[items],
        "user_rate": np.sqrt(world.share_user) * column(pairs, "true_trait") + 0.7 * past[users],
    }
    for name, values in more.items():
        pairs = pairs.append_column(name, pa.array(values))
    return pairs
