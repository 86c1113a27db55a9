"""From a product's logs to the table of an experiment: one row a unit that was exposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.experiment.assign import first_exposures
from tastemaker.schema import EventRules

RETURN = (12, 36)  # hours after the first exposure in which somebody seen again has returned


@dataclass(frozen=True)
class Window:
    """How long is counted from the first exposure on: `days` of 24 hours. complete: whether all of them must
    be in the log; else the hours that tell who returned are enough. Raises InputError below one day.
    """

    days: int = 14
    complete: bool = True

    def __post_init__(self) -> None:
        if self.days < 1:
            raise InputError(f"days is {self.days}; give 1 or more")

    @property
    def hours(self) -> int:
        """The hours that must be in the log."""
        return max(24 * self.days, RETURN[1]) if self.complete else RETURN[1]


def unit_table(
    exposures: pa.Table,
    events: pa.Table,
    slates: pa.Table,
    salt: str,
    shares: Mapping[str, float],
    window: Window = Window(),
    rules: EventRules | None = None,
) -> pa.Table:
    """What each exposed unit did in the days of `window` from its first exposure on.

    exposures: as `first_exposures` takes it. events: user_id, kind, timestamp, and value where there is one.
    slates: user_id, request_id, timestamp. rules: how events are read. Units of
    whom the log does not hold as long as `window` asks are cut; `cut_of` the table says how many.

    Returns user_id, arm, exposed_at, lists (slates shown), plays (clicks and plays that are more than a
    glance), likes (whatever else says that the item is wanted), skips (whatever says that it is not),
    returned (0 or 1: seen again `RETURN` hours after the first exposure, so around the same hour of the next
    day and not merely after midnight), days_active (further days, each 24 hours around that hour, with a list
    or event), and before: events before the exposure, a covariate for CUPED.

    Raises InputError as `first_exposures`, or when nobody was exposed, or nobody's days are in the log.
    """
    units = pl.DataFrame(first_exposures(exposures, salt, shares)).rename(
        {"unit": "user_id", "timestamp": "exposed_at"}
    )
    if units.is_empty():
        raise InputError(
            f"nobody was exposed to '{salt}' yet; serve lists with that experiment set, then export"
        )
    units, cut = _mature(units, (exposures, events, slates), window)
    acts = _signed(events, rules or EventRules()).join(units, on="user_id")
    shown = (
        pl.DataFrame(slates.select(["user_id", "request_id", "timestamp"]))
        .unique("request_id")
        .join(units, on="user_id")
    )
    hours = (pl.col("timestamp") - pl.col("exposed_at")).dt.total_microseconds() / 3.6e9
    seen = pl.concat([part.select("user_id", hours.alias("hours")) for part in (acts, shown)])
    within = (hours >= 0) & (hours < 24 * window.days)
    during = (
        acts.filter(within)
        .group_by("user_id")
        .agg(
            plays=((pl.col("sign") > 0) & ~pl.col("liked")).sum(),
            likes=pl.col("liked").sum(),
            skips=(pl.col("sign") < 0).sum(),
        )
    )
    seen = seen.with_columns(day=((pl.col("hours") + 12) // 24).cast(pl.Int64)).filter(pl.col("day") > 0)
    back = seen.group_by("user_id").agg(
        returned=(pl.col("day") == 1).any().cast(pl.Int64),
        days_active=pl.col("day").filter(pl.col("day") < window.days).n_unique(),
    )
    lists = shown.filter(within).group_by("user_id").agg(lists=pl.len())
    before = acts.filter(hours < 0).group_by("user_id").agg(before=pl.len())
    for part in (lists, during, back, before):
        units = units.join(part, on="user_id", how="left")
    counts = ("lists", "plays", "likes", "skips", "returned", "days_active", "before")
    table = units.with_columns(pl.col(*counts).fill_null(0).cast(pl.Int64)).sort("user_id").to_arrow()
    return table.replace_schema_metadata({"cut": str(cut)})


def cut_of(table: pa.Table) -> int:
    """How many exposed units `unit_table` left out because their days are not in the log in full."""
    return int((table.schema.metadata or {}).get(b"cut", 0))


def _mature(units: pl.DataFrame, logs: Sequence[pa.Table], window: Window) -> tuple[pl.DataFrame, int]:
    """The units whose window ends before the log does, and how many do not."""
    ends = [pl.Series(log["timestamp"]).max() for log in logs if log.num_rows]
    end = max(moment for moment in ends if isinstance(moment, datetime))
    logged = (pl.lit(end) - pl.col("exposed_at")).dt.total_microseconds() / 3.6e9
    whole = units.filter(logged >= window.hours)
    if whole.is_empty():
        longest = float(units.select(logged.max()).item())
        remedy = "export later"
        if longest >= RETURN[1]:
            remedy = f"give --days {max(1, int(longest // 24))}, or export later"
        raise InputError(
            f"nobody's {window.days} days are in the log in full: it ends at {end:%Y-%m-%d %H:%M}, the"
            f" longest-known person has {longest:.0f} hours of it, and returning takes {RETURN[1]}; {remedy}"
        )
    return whole, len(units) - len(whole)


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
