"""Which arm a unit is in: a salted hash anybody can recompute, and the log of who was really exposed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from tastemaker.arrays import Floats
from tastemaker.errors import InputError
from tastemaker.schema import check
from tastemaker.stats.random import hashed_place

ASSIGNMENTS = pa.schema(
    [
        pa.field("unit", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("position", pa.float64(), nullable=False),
    ]
)

# One row each time a unit met what the experiment changes; only exposed units belong in a read-out.
EXPOSURES = pa.schema(
    [
        pa.field("experiment", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


def position(unit: str, salt: str) -> float:
    """Where `unit` falls in [0, 1) under `salt`: the top 53 bits of SHA-256("salt/unit"), read big-endian.

    Other salts give independent positions, so experiments in other layers do not share their splits.
    """
    return hashed_place(unit, f"{salt}/".encode())


def check_shares(shares: Mapping[str, float]) -> Floats:
    """The shares (arms,) in their order. Raises InputError unless >= 2 positive shares sum to 1."""
    values = np.array(list(shares.values()), dtype=np.float64)
    if len(values) < 2 or not np.all(values > 0) or not abs(values.sum() - 1) <= 1e-9:
        message = ", ".join(f"{arm} {share:g}" for arm, share in shares.items()) or "none"
        raise InputError(f"shares need at least two arms, each above 0, that sum to 1; got {message}")
    return values


def arm_at(place: float, shares: Mapping[str, float]) -> str:
    """The arm that holds `place` in [0, 1): the first whose cumulative share lies above it."""
    edges = np.cumsum(check_shares(shares))[:-1]
    return list(shares)[int(np.searchsorted(edges, place, side="right"))]


def assign(
    units: Sequence[str] | pa.Array | pa.ChunkedArray, salt: str, shares: Mapping[str, float]
) -> pa.Table:
    """The arm of each unit: table (unit, arm, position) in the order given.

    units: ids, unique. salt: the experiment's id. shares: arm -> share, in a fixed order (growing the last
    arm moves nobody out of the first). Raises InputError on an empty salt, bad shares, an empty id, or a unit
    that comes twice.
    """
    names = units.to_pylist() if isinstance(units, pa.Array | pa.ChunkedArray) else list(units)
    edges, arms = np.cumsum(check_shares(shares))[:-1], np.array(list(shares), dtype=object)
    if not salt:
        raise InputError(
            "the salt is empty; give the experiment's id, so that two experiments split differently"
        )
    for row, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise InputError(f"row {row + 1}, column 'unit': {name!r} is no unit id; give a non-empty text")
    if len(set(names)) < len(names):
        twice = pl.Series(names).to_frame("unit").filter(pl.col("unit").is_duplicated())["unit"][0]
        raise InputError(f"unit '{twice}' comes twice; assign each unit once")
    places = np.fromiter((position(name, salt) for name in names), dtype=np.float64, count=len(names))
    chosen = arms[np.searchsorted(edges, places, side="right")]
    return pa.table(
        [pa.array(names, pa.string()), pa.array(chosen, pa.string()), pa.array(places)], schema=ASSIGNMENTS
    )


def first_exposures(log: pa.Table, salt: str, shares: Mapping[str, float]) -> pa.Table:
    """The first exposure of each unit in a log of exposures: table (unit, arm, timestamp), by unit.

    Raises InputError when a unit was logged in two arms, or in another arm than its hash says (with the row):
    either means that serving and assignment disagree, and no later correction can mend that.
    """
    log = check(log, EXPOSURES, "exposures")
    rows = pl.DataFrame(log).with_row_index("row", offset=1)
    _one_experiment(rows["experiment"].unique().to_list(), salt)
    mixed = (
        rows.group_by("unit").agg(pl.col("arm").n_unique().alias("arms")).filter(pl.col("arms") > 1)["unit"]
    )
    if len(mixed):
        unit = mixed.sort()[0]
        seen = rows.filter(pl.col("unit") == unit).unique("arm", keep="first", maintain_order=True)
        places = " and ".join(
            f"'{arm}' (row {row})" for row, arm in zip(seen["row"], seen["arm"], strict=True)
        )
        raise InputError(
            f"exposures: unit '{unit}' is in two arms, {places}; a unit belongs to one arm for the whole test"
        )
    first = rows.sort("timestamp", "row").unique("unit", keep="first", maintain_order=True).sort("unit")
    expected = assign(first["unit"].to_list(), salt, shares)["arm"].to_pylist()
    for row, unit, arm, due in zip(first["row"], first["unit"], first["arm"], expected, strict=True):
        if arm != due:
            raise InputError(
                f"exposures: row {row}, column 'arm': unit '{unit}' was shown '{arm}' but the hash of"
                f" '{salt}' says '{due}'; check salt and shares of the serving side"
            )
    return first.select("unit", "arm", "timestamp").to_arrow()


def _one_experiment(names: Iterable[str], salt: str) -> None:
    others = sorted(set(names) - {salt})
    if others:
        raise InputError(
            f"exposures: the log holds experiment '{others[0]}' beside '{salt}'; keep one experiment a"
            " read-out"
        )
