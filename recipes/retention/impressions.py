"""Listeners of a simulated catalogue who answer and return by what a real server showed them; the truth is
kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from tastemaker.arrays import Floats, Ints
from tastemaker.errors import InputError
from tastemaker.simulate.retention import ListenerWorld, column, return_logit
from tastemaker.stats.random import generator

TASTE = 0.8  # of the shared value Z that is the listener's liking of the item


def draw_impressions(
    world: ListenerWorld,
    listeners: pa.Table,
    who: Ints,
    items: Sequence[str],
    liking: npt.ArrayLike,
    quality: npt.ArrayLike,
    day: int,
    key: int | str,
) -> pa.Table:
    """One row a listener who met an item, with the columns that `ask` and `returns` read; all of this is
    simulated.

    listeners: of `draw_listeners`. who (n,): their rows. items: n ids. liking (n,): the listener's taste for
    the item, unit variance. quality (n,): the item's own part, unit variance. The shared value is Z = .8
    liking + .6 noise; the affinity in the retention latent Q is the liking, so that a ranking which finds
    what a listener likes also brings them back, as far as `world.share_item` says. A listener's state is one
    draw a day.

    Raises InputError when lengths differ.
    """
    n = len(who)
    likes, own = np.asarray(liking, np.float64), np.asarray(quality, np.float64)
    if not len(items) == len(likes) == len(own) == n:
        raise InputError(
            f"{n} listeners met {len(items)} items with {len(likes)} likings and {len(own)} qualities; give"
            " one each"
        )
    rng = generator(key, "meetings", day)
    state = generator(key, "states", day).normal(size=listeners.num_rows)[who]
    seen = listeners.take(pa.array(who))
    more = {
        "item_id": pa.array(list(items), pa.string()),
        "day": np.full(n, day),
        "practical": rng.random(n) < world.practical_share,
        "sameday": rng.normal(size=n),
        "true_value": TASTE * likes + np.sqrt(1 - TASTE**2) * rng.normal(size=n),
        "true_latent": _latent(world, own, likes, column(seen, "true_trait"), state, rng.normal(size=n)),
        "true_expected": _latent(world, own, likes, column(seen, "true_trait"), state, np.zeros(n)),
    }
    for name, values in more.items():
        seen = seen.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    return seen


def expected_return(world: ListenerWorld, met: pa.Table, asked: npt.ArrayLike = 0.0) -> Floats:
    """(n,) the true probability of returning after a meeting, before its noise: what a ranking can
    influence.
    """
    n = met.num_rows
    base, latent, low = (column(met, name) for name in ("true_base", "true_expected", "low_signal"))
    return np.asarray(
        expit(return_logit(world, base, latent, np.zeros(n), low, np.broadcast_to(np.asarray(asked), n)))
    )


def _latent(
    world: ListenerWorld, own: Floats, liking: Floats, trait: Floats, state: Floats, noise: Floats
) -> Floats:
    quality, affinity, rest = (np.sqrt(part) for part in world.item_parts)
    item = quality * own + affinity * liking + rest * noise
    parts = ((world.share_item, item), (world.share_user, trait), (world.share_state, state))
    return np.asarray(sum(np.sqrt(share) * part for share, part in parts), dtype=np.float64)
