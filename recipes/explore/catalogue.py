"""The Beauty catalogue as a bandit world: items by their words, users by what they bought; fast logs of
numbered users.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from recipes.common import DATA, benchmark
from recipes.explore.bandit import CatalogueSettings, CatalogueWorld, catalogue_world
from tastemaker.errors import InputError
from tastemaker.explore.policy.softmax import TablePolicy
from tastemaker.explore.table import Log

Floats = npt.NDArray[np.float64]
ITEMS, USERS, WIDTH, PREFIXES, LEAST = 1000, 100, 15, 32, 5


def load_catalogue(
    folder: Path | None, seed: int, settings: CatalogueSettings = CatalogueSettings()
) -> CatalogueWorld:
    """The world of recipe 1 from `folder` (default ../shared/data/amazon-beauty-2014): items.parquet with
    item_id and attributes, interactions.parquet with user_id and item_id. The 1,000 items bought most; 100
    users with 5 of them or more, at random.
    """
    folder = folder or DATA / "amazon-beauty-2014"
    items, bought = (
        pq.read_table(benchmark(folder, name)) for name in ("items.parquet", "interactions.parquet")
    )
    often = [item for item, _ in Counter(bought["item_id"].to_pylist()).most_common(ITEMS)]
    words = dict(zip(items["item_id"].to_pylist(), items["attributes"].to_pylist(), strict=True))
    texts = [" ".join(word.replace(" ", "_") for word in words[item] or ()) for item in often]
    counts = TfidfVectorizer(token_pattern=r"\S+").fit_transform(texts)
    vectors = TruncatedSVD(WIDTH, random_state=seed).fit_transform(counts)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    place, histories = {item: row for row, item in enumerate(often)}, dict[str, list[int]]()
    for user, item in zip(bought["user_id"].to_pylist(), bought["item_id"].to_pylist(), strict=True):
        if item in place:
            histories.setdefault(user, []).append(place[item])
    active = sorted(user for user, had in histories.items() if len(had) >= LEAST)
    if len(active) < USERS:
        raise InputError(
            f"{folder}: {len(active)} users had {LEAST} of the {ITEMS} items; {USERS} are needed"
        )
    chosen = np.random.default_rng(seed).choice(len(active), USERS, replace=False)
    contexts = np.stack([vectors[histories[active[user]]].mean(axis=0) for user in chosen])
    prefixes = KMeans(PREFIXES, n_init=3, random_state=seed).fit_predict(vectors).astype(np.int64)
    return catalogue_world(vectors, contexts, settings, seed, prefixes)


def draw(
    world: CatalogueWorld, policy: TablePolicy, n: int, draws: np.random.Generator, names: list[str]
) -> Log:
    """n rows of a table policy; the one context column is the user's number."""
    users = draws.integers(0, len(world.contexts), n)
    steps = policy.probabilities.cumsum(axis=1)
    steps /= steps[:, -1:]
    # One sorted array for all users: user u's distribution function is shifted by u.
    flat = (steps + np.arange(len(steps))[:, None]).ravel()
    place = np.searchsorted(flat, users + draws.random(n), side="right") - users * steps.shape[1]
    action = np.minimum(place, steps.shape[1] - 1).astype(np.int64)
    rewards = (draws.random(n) < world.q[users, action]).astype(np.float64)
    ctx = users[:, None].astype(np.float64)
    own = np.exp(policy.log_prob(ctx, action))
    group = None if world.prefixes is None else np.exp(policy.prefix_log_prob(ctx, world.prefixes[action]))
    return Log(ctx, action, rewards, own, names, prefix_propensity=group)
