"""Users kept apart: some to fit on, some to calibrate on, some to choose thresholds and to report on."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema.columns import somebody
from tastemaker.stats.random import hashed_place

Part = Literal["fit", "calibrate", "test"]
PARTS: tuple[Part, ...] = ("fit", "calibrate", "test")
SHARES = (0.5, 0.25, 0.25)


def user_parts(
    users: list[str], seed: int | str, shares: tuple[float, float, float] = SHARES
) -> npt.NDArray[np.int64]:
    """(n,) 0, 1 or 2: the part of PARTS that each user belongs to, by a keyed hash: the same in every run and
    table.

    Raises InputError when the three shares are not above 0 with sum 1.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InputError(f"shares are {shares}; give three above 0 that sum to 1")
    key = str(seed).encode()[:64]
    place = {user: hashed_place(user, key, "blake2b") for user in dict.fromkeys(users)}
    return np.searchsorted(np.cumsum(shares)[:-1], [place[user] for user in users], side="right")


def rows_of(
    table: pa.Table, part: Part, seed: int | str, user: str = "user_id", name: str = "rows"
) -> pa.Table:
    """The rows of the users of a part. Raises InputError without a user column, or when no row is left."""
    if user not in table.column_names:
        raise InputError(
            f"{name}: column '{user}' is missing; users must be known, so that those calibrated on are not"
            " trained on"
        )
    somebody(table[user].cast(pa.string()), user, name)
    own = user_parts([str(value) for value in table[user].to_pylist()], seed) == PARTS.index(part)
    result = table.filter(pa.array(own))
    if not result.num_rows:
        raise InputError(f"{name}: none of its users falls into the part to {part} on; give more users")
    return result
