"""From a product's logs to the table of an experiment: one row a unit that was exposed."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.experiment.assign import first_exposures


def unit_table(
    exposures: pa.Table,
    events: pa.Table,
    slates: pa.Table,
    salt: str,
    shares: Mapping[str, float],
    days: int = 14,
) -> pa.Table:
    """What each exposed unit did in the `days` days from its first exposure on.

    exposures: as `first_exposures` takes it. events: user_id, kind, timestamp. slates: user_id, request_id,
    timestamp.

    Returns user_id, arm, exposed_at, lists (slates shown), plays, likes, skips ("not interested" among them),
    returned (0 or 1: seen again on the UTC day after the first exposure), days_active (later days with a list
    or event), and before: events before the exposure, a covariate for CUPED.

    Raises InputError as `first_exposures`, or when `days` is below 1 or nobody was exposed.
    """
    if days < 1:
        raise InputError(f"days is {days}; give 1 or more")
    units = pl.DataFrame(first_exposures(exposures, salt, shares)).rename(
        {"unit": "user_id", "timestamp": "exposed_at"}
    )
    if units.is_empty():
        raise InputError(
            f"nobody was exposed to '{salt}' yet; serve lists with that experiment set, then export"
        )
    acts = pl.DataFrame(events.select(["user_id", "kind", "timestamp"])).join(units, on="user_id")
    shown = (
        pl.DataFrame(slates.select(["user_id", "request_id", "timestamp"]))
        .unique("request_id")
        .join(units, on="user_id")
    )
    since = pl.col("timestamp").dt.date() - pl.col("exposed_at").dt.date()
    seen = pl.concat(
        [acts.select("user_id", since.alias("day")), shown.select("user_id", since.alias("day"))]
    )
    within = (pl.col("timestamp") >= pl.col("exposed_at")) & (since < pl.duration(days=days))
    during = (
        acts.filter(within)
        .group_by("user_id")
        .agg(
            plays=(pl.col("kind") == "play").sum(),
            likes=(pl.col("kind") == "like").sum(),
            skips=pl.col("kind").is_in(["skip", "not_interested"]).sum(),
        )
    )
    later = seen.filter((pl.col("day") > pl.duration(days=0)) & (pl.col("day") < pl.duration(days=days)))
    back = later.group_by("user_id").agg(
        returned=(pl.col("day") == pl.duration(days=1)).any().cast(pl.Int64),
        days_active=pl.col("day").n_unique(),
    )
    lists = shown.filter(within).group_by("user_id").agg(lists=pl.len())
    before = acts.filter(pl.col("timestamp") < pl.col("exposed_at")).group_by("user_id").agg(before=pl.len())
    for part in (lists, during, back, before):
        units = units.join(part, on="user_id", how="left")
    counts = ("lists", "plays", "likes", "skips", "returned", "days_active", "before")
    return units.with_columns(pl.col(*counts).fill_null(0).cast(pl.Int64)).sort("user_id").to_arrow()


def occasions(events: pa.Table, slates: pa.Table, heard: float, anonymous: str) -> pl.DataFrame:
    """Events that a survey question can follow: unit, timestamp.

    A like, or a play of at least `heard` (or of unknown length), of an item that a slate showed to this
    person or to `anonymous`.
    """
    seen = pl.DataFrame(slates.select(["request_id", "item_id", "user_id"])).rename({"user_id": "shown_to"})
    long = (pl.col("kind") == "play") & (pl.col("value").fill_null(1.0) >= heard)
    found = (
        pl.DataFrame(events)
        .filter((pl.col("kind") == "like") | long)
        .join(seen, on=["request_id", "item_id"])
    )
    theirs = (pl.col("shown_to") == pl.col("user_id")) | (pl.col("shown_to") == anonymous)
    return found.filter(theirs).select(pl.col("user_id").alias("unit"), "timestamp")
