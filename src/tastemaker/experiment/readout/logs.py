"""From a product's logs to the table of an experiment: one row a unit that was exposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.experiment.assign import first_exposures
from tastemaker.schema import EventRules


def unit_table(
    exposures: pa.Table,
    events: pa.Table,
    slates: pa.Table,
    salt: str,
    shares: Mapping[str, float],
    days: int = 14,
    rules: EventRules | None = None,
) -> pa.Table:
    """What each exposed unit did in the `days` days from its first exposure on.

    exposures: as `first_exposures` takes it. events: user_id, kind, timestamp, and value where there is one.
    slates: user_id, request_id, timestamp. rules: how events are read.

    Returns user_id, arm, exposed_at, lists (slates shown), plays (clicks and plays that are more than a
    glance), likes (whatever else says that the item is wanted), skips (whatever says that it is not),
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
    acts = _signed(events, rules or EventRules()).join(units, on="user_id")
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
            plays=((pl.col("sign") > 0) & ~pl.col("liked")).sum(),
            likes=pl.col("liked").sum(),
            skips=(pl.col("sign") < 0).sum(),
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


def _signed(events: pa.Table, rules: EventRules) -> pl.DataFrame:
    """user_id, timestamp, and what each event says: sign, and whether it is a like."""
    kinds = events["kind"].to_pylist()
    values = events["value"].to_pylist() if "value" in events.column_names else [None] * len(kinds)
    frame = pl.DataFrame(events.select(["user_id", "timestamp"]))
    return frame.with_columns(
        sign=pl.Series(rules.signs(kinds, values)), liked=pl.Series(rules.liked(kinds, values))
    )


@dataclass(frozen=True)
class AskedAfter:
    """Which events a survey question can follow: those with a reward of at least `heard` (a like, a play of
    that share or of unknown length) for an item that a slate showed to this person or to `anonymous`.
    """

    heard: float
    anonymous: str
    rules: EventRules = field(default_factory=EventRules)


def occasions(events: pa.Table, slates: pa.Table, after: AskedAfter) -> pl.DataFrame:
    """Events that a survey question can follow: unit, timestamp."""
    seen = pl.DataFrame(slates.select(["request_id", "item_id", "user_id"])).rename({"user_id": "shown_to"})
    rewards = after.rules.rewards(events["kind"].to_pylist(), events["value"].to_pylist())
    rows = pl.DataFrame(events).filter(pl.Series(rewards >= after.heard))
    rows = rows.join(seen, on=["request_id", "item_id"])
    theirs = (pl.col("shown_to") == pl.col("user_id")) | (pl.col("shown_to") == after.anonymous)
    return rows.filter(theirs).select(pl.col("user_id").alias("unit"), "timestamp")
