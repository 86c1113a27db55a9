"""What one person may move: the cap on the server's events of each, and who came up against it."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from tastemaker.store import Database, Finding, Workspace

OF_ONE_ITEM = 3  # events of a person about one item that count, the latest
OF_ONE_PERSON = 500  # events of a person that count, the latest
LEAST, SHARE = 20, 0.5  # an item is told when so many of its events, and such a share, lie beyond the cap


def capped(events: pa.Table) -> pa.Table:
    """The server's events (schema.INTERACTIONS, each person's in order) that count in training and in the
    memory: of one person the latest 3 about an item, and the latest 500 in all.

    So whoever sends events adds at most 3 to an item's count, however many they send.
    """
    return events.filter(pa.array(_counted(events), pa.bool_()))


def _counted(events: pa.Table) -> list[bool]:
    frame = pl.DataFrame({name: events[name].to_numpy() for name in ("user_id", "item_id", "position")})
    late = pl.col("position").rank("ordinal", descending=True)
    marked = frame.with_columns(late.over("user_id", "item_id").alias("of_item")).with_columns(
        (pl.col("of_item") <= OF_ONE_ITEM).alias("kept")
    )
    place = late.over("user_id", "kept")
    counted = marked.select(pl.col("kept") & (place <= OF_ONE_PERSON)).to_series()
    return counted.to_list()


def anomalies(workspace: Workspace) -> list[Finding]:
    """Items that few people push on the server, and people who send more than counts; empty for neither."""
    if not workspace.database.exists():
        return []
    with Database(workspace.database) as database:
        events = database.events_table()
    if not len(events):
        return []
    columns = {name: events[name].to_numpy() for name in ("user_id", "item_id")}
    frame = pl.DataFrame(columns | {"counted": _counted(events)})
    beyond = frame.group_by("item_id").agg(
        pl.len().alias("events"),
        (~pl.col("counted")).sum().alias("beyond"),
        pl.col("user_id").filter(~pl.col("counted")).n_unique().alias("people"),
    )
    pushed = beyond.filter((pl.col("beyond") >= LEAST) & (pl.col("beyond") >= SHARE * pl.col("events")))
    findings = [
        Finding(
            "warn",
            "pushed item",
            f"{row['item_id']}: {row['beyond']:,} of its {row['events']:,} events on the server come again"
            f" and again from {row['people']:,} people; of each, {OF_ONE_ITEM} count",
            "see who they are with GET /users, and erase them with `tastemaker admin forget`",
        )
        for row in pushed.sort("beyond", "item_id", descending=True).head(10).to_dicts()
    ]
    busy = frame.group_by("user_id").agg(pl.len().alias("events"), pl.col("counted").sum())
    for row in (
        busy.filter(pl.col("events") > 2 * OF_ONE_PERSON).sort("events", descending=True).head(10).to_dicts()
    ):
        message = f"{row['user_id']} sent {row['events']:,} events; {row['counted']:,} count"
        remedy = "a program? `tastemaker admin keys revoke` its key, or forget it"
        findings.append(Finding("warn", "busy person", message, remedy))
    return findings
