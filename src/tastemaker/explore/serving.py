"""From scored candidates to the slate that is shown and logged: the best in order, or a Plackett-Luce draw."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.explore.slate import drawn_slate, greedy_slate


def serve_slate(
    request_id: str,
    user_id: str,
    item_ids: Sequence[str],
    scores: npt.ArrayLike,
    k: int,
    timestamp: datetime,
    temperature: float,
    model: str,
    prefixes: npt.ArrayLike | None = None,
) -> pa.Table:
    """A slate of at most k of the candidates, in `schema.SLATES`, with the probabilities it was drawn with.

    item_ids, scores (N,) log-probabilities, prefixes (N,): *all* candidates after every filter, best first. temperature 0 shows
    the first k; above 0, position by position, an item is drawn in proportion to exp(score / temperature), keyed by the request
    id, so that a replay gives the same slate. model: the version of what scored them; with the temperature it is the policy id.
    Raises InputError on a temperature below 0.
    """
    if not 0 <= temperature < float("inf"):
        raise InputError(f"the exploration temperature is {temperature}; give 0 (the best in order) or a number above it")
    shown = min(k, len(item_ids))
    if temperature == 0:
        return greedy_slate(request_id, user_id, item_ids[:shown], timestamp)
    policy = f"plackett-luce-{temperature:g}-{model}"
    sharp = np.asarray(scores, dtype=np.float64) / temperature
    return drawn_slate(request_id, user_id, item_ids, sharp, shown, timestamp, policy, prefixes)
