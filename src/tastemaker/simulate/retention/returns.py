"""Whether a listener comes back the next day, and how much they then watch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from scipy.special import expit

from tastemaker.simulate.retention.draws import column
from tastemaker.simulate.retention.world import Floats, ListenerWorld, by_cohort
from tastemaker.stats.random import generator


def return_logit(
    world: ListenerWorld, base: Floats, latent: Floats, sameday: Floats, low: Floats, asked: Floats
) -> Floats:
    """(n,) logit of returning: base + effect Q + sameday S + asked_effect asked; `low` and `asked` are 0 or
    1.
    """
    cohort = low > 0
    moved = by_cohort(world.effect, cohort) * latent + by_cohort(world.sameday, cohort) * sameday
    return base + moved + world.asked_effect * asked


def returns(world: ListenerWorld, pairs: pa.Table, key: int | str) -> pa.Table:
    """`pairs` with returned (0 or 1), next_day_views (0 unless returned) and true_return (the probability).

    Where `pairs` says who was `asked`, being asked moves the logit by `world.asked_effect`.
    """
    rng = generator(key, "returns")
    asked = column(pairs, "asked") if "asked" in pairs.column_names else np.zeros(pairs.num_rows)
    base, latent, sameday, low = (
        column(pairs, name) for name in ("true_base", "true_latent", "sameday", "low_signal")
    )
    probability = expit(return_logit(world, base, latent, sameday, low, asked))
    returned = rng.random(pairs.num_rows) < probability
    views = np.where(returned, 1 + rng.poisson(np.exp(2.5 + 0.4 * column(pairs, "sameday"))), 0)
    for name, values in (
        ("returned", returned.astype(np.int8)),
        ("next_day_views", views),
        ("true_return", probability),
    ):
        pairs = pairs.append_column(name, pa.array(values))
    return pairs
