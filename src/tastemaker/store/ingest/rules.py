"""What makes an items table and an interactions table: which rows are taken, which are refused, and in which
order.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from tastemaker import schema
from tastemaker.stats.random import hashed_order
from tastemaker.store.ingest import columns as cols
from tastemaker.store.ingest.rows import IngestSettings, Report, Rows
from tastemaker.store.tables import Source, as_source

ORDER_KEY = "items"


def ingest_items(
    table: pa.Table | Source, source: str = "items", settings: IngestSettings | None = None
) -> tuple[pa.Table, Report]:
    """The rows of `table` that make an `items` table (schema.ITEMS), in keyed hash order of item_id, and the
    report.

    Raises
    ------
    InputError
        when there is no column of item ids, a column has an unreadable type, or, in strict mode, for the
        first refused row.
    """
    settings = settings or IngestSettings()
    rows = Rows(
        table if isinstance(table, Source) else as_source(table, source), cols.ITEM_NAMES, ("item_id",)
    )
    ids = rows.identity("item_id", settings)
    title, text, description = (rows.text(name, settings) for name in ("title", "text", "description"))
    frame = pl.DataFrame(
        {
            "item_id": ids,
            "title": title,
            "text": _merged(text, description),
            "creator": rows.text("creator", settings),
        }
    )
    frame = frame.with_columns(
        attributes=_attributes(rows, settings), created_at=rows.time("created_at", years=True)
    )
    frame = frame.with_columns(_media(rows, "audio"), _media(rows, "image"))
    seen = ids.set(pl.Series(~rows.good), None)
    repeated = seen.is_not_null() & ~seen.is_first_distinct()
    rows.refuse(repeated, "item_id", "the id of an earlier row again; keep one row an item")
    bare = (
        frame.select(pl.all_horizontal(pl.col("title", "text", "attributes").is_null()))
        .to_series()
        .to_numpy()
        & rows.good
    )
    if bare.any():
        rows.notes.append(
            f"{bare.sum()} items have no title, text or attributes: nothing but their listeners tells them"
            " apart"
        )
    report = rows.report(settings)
    kept = frame.filter(pl.Series(rows.good))
    kept = kept[hashed_order(kept["item_id"].to_list(), ORDER_KEY)]
    return schema.check(kept.to_arrow(), schema.ITEMS, report.source), report


def ingest_interactions(
    table: pa.Table | Source,
    items: pa.Table | None = None,
    source: str = "interactions",
    settings: IngestSettings | None = None,
) -> tuple[pa.Table, Report]:
    """The rows that make an `interactions` table (schema.INTERACTIONS), sorted by user and position, and the
    report.

    Without a position column, a user's events are put in order of time, those of one moment in order of the
    file. `items` is an ingested table; events with others are refused.

    Raises
    ------
    InputError
        when user or item ids have no column, a column has an unreadable type, or, in strict mode, for the
        first refused row.
    """
    settings = settings or IngestSettings()
    rows = Rows(
        table if isinstance(table, Source) else as_source(table, source),
        cols.INTERACTION_NAMES,
        ("user_id", "item_id"),
    )
    frame = pl.DataFrame(
        {"user_id": rows.identity("user_id", settings), "item_id": rows.identity("item_id", settings)}
    )
    if items is not None:
        known = pl.Series(items["item_id"].to_pylist(), dtype=pl.String)
        rows.refuse(
            ~frame["item_id"].is_in(known.implode()),
            "item_id",
            "not among the items; add it to them or remove the row",
        )
    frame = frame.with_columns(
        timestamp=rows.time("timestamp"),
        kind=rows.text("kind", settings),
        value=rows.number("value"),
        request_id=rows.text("request_id", settings),
    )
    frame = _ordered(rows, frame)
    report = rows.report(settings)
    kept = frame.filter(pl.Series(rows.good)).sort("user_id", "position", "timestamp", maintain_order=True)
    if "position" not in rows.names:
        kept = kept.with_columns(position=pl.int_range(pl.len()).over("user_id"))
    return schema.check(kept.to_arrow(), schema.INTERACTIONS, report.source), report


def _merged(text: pl.Series, description: pl.Series) -> pl.Series:
    """Text and description as one text; once, when they are equal."""
    again = (text == description).fill_null(False)
    parts = pl.DataFrame({"text": text, "description": description.set(again, None)})
    merged = parts.select(pl.concat_str(pl.all(), separator="\n\n", ignore_nulls=True)).to_series()
    return merged.set(merged == "", None)


def _attributes(rows: Rows, settings: IngestSettings) -> pl.Series:
    column = rows.column("attributes")
    if column is None:
        return pl.Series([None] * rows.n, dtype=pl.List(pl.String))
    words = cols.as_words(column, rows.names["attributes"])
    long = words.list.join("").str.len_chars() > settings.longest_text
    rows.refuse(long, "attributes", f"longer than {settings.longest_text} characters together; shorten them")
    return words


def _media(rows: Rows, name: str) -> pl.Series:
    """Paths of sounds or pictures inside the workspace; what points elsewhere is left out, with a note."""
    paths = rows.text(name, IngestSettings())
    outside = paths.str.contains(r"^[/~]|^[A-Za-z][A-Za-z0-9+.-]*:|\\|\p{Cc}|(^|/)\.\.(/|$)").fill_null(False)
    if outside.any():
        rows.notes.append(
            f"{outside.sum()} values of '{rows.names[name]}' are not paths inside the workspace and were"
            " left out"
        )
    return paths.set(outside, None).alias(name)


def _ordered(rows: Rows, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a column `position` that sorts a user's events; rows whose place is unknown or taken are
    refused.
    """
    given = rows.position()
    if given is not None:
        placed = frame.with_columns(position=given)
        taken = (
            placed.filter(pl.Series(rows.good))
            .select(~pl.struct("user_id", "position").is_first_distinct())
            .to_series()
        )
        mask = rows.good.copy()
        mask[mask] = taken.to_numpy()
        rows.refuse(mask, "position", "the position of another event of this user; give each event its own")
        return placed
    if "timestamp" in rows.names:
        rows.refuse(
            frame["timestamp"].is_null(), "timestamp", "empty; without positions every row needs a time"
        )
    elif rows.n:
        rows.notes.append(
            "neither positions nor timestamps: the order of the file was taken for the order of events"
        )
    return frame.with_columns(position=pl.lit(0, pl.Int64))
