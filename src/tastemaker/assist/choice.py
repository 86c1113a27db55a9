"""Which items of a ranking are shown, how likely each was, and the slate under which they are logged."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tastemaker.explore import IN_TALK, Draw, Pool, draw_pool, logger_name

POOL = 12  # places of the ranking that a list is drawn from


@dataclass(frozen=True, eq=False)
class Choice:
    """What is shown. rows: in order; pool: rows that could have been; draw: policy and propensities of each
    place.
    """

    request_id: str
    rows: tuple[int, ...]
    pool: tuple[int, ...]
    draw: Draw


@dataclass(frozen=True, eq=False)
class Drawing:
    """How lists of conversations are drawn. key: the workspace's secret. prefixes (N,): of Semantic IDs."""

    temperature: float = 0.0
    model: str = ""
    key: str = ""
    prefixes: npt.NDArray[np.int64] | None = None

    def choose(self, ranked: Sequence[int], k: int, first: Sequence[int] = ()) -> Choice:
        """The k best of a ranking at temperature 0, else drawn in proportion to exp(-place / temperature).

        first: rows that come before whatever is drawn, with certainty (the person named them).
        """
        request_id = f"s-{secrets.token_hex(12)}"
        certain = tuple(dict.fromkeys(first))[:k]
        rest = np.array([row for row in ranked if row not in certain], np.int64)
        pool = Pool(rest, -np.arange(len(rest), dtype=np.float64), self.temperature, "")
        prefixes = None if self.prefixes is None else self.prefixes[rest]
        draw = draw_pool(pool, k - len(certain), (self.key, request_id), prefixes)
        rows = (*certain, *rest[draw.order].tolist())
        ones = np.ones(len(certain))
        propensity = np.concatenate([ones, draw.propensity])
        prefix = None if draw.prefix is None else np.concatenate([ones, draw.prefix])
        name = IN_TALK + logger_name(self.temperature, self.model)
        drawn = replace(draw, policy_id=name, propensity=propensity, prefix=prefix)
        return Choice(request_id, rows, (*certain, *rest.tolist()), drawn)


def as_told(rows: Sequence[int]) -> Choice:
    """A list that a language model put together: certain, given what the model said."""
    ones = np.ones(len(rows))
    draw = Draw(f"{IN_TALK}model", np.arange(len(rows)), ones, ones)
    return Choice(f"s-{secrets.token_hex(12)}", tuple(rows), tuple(rows), draw)
