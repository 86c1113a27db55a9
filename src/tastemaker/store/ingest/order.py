"""The order of a person's events: by position, by time, and what is done where neither says it."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

import tastemaker.store.ingest.guesses as guesses
from tastemaker.schema import moments, values
from tastemaker.store.ingest.rows import Rows

MANY_TIES = 0.05  # share of events that tie in time beyond which the order of the file decides nothing
# neighbours of one moment, and the share of them in order of their ids, that look sorted
_PAIRS, _SORTED = 20, 0.95


def ordered(rows: Rows, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with a column `position` that sorts a user's events; rows whose place is unknown or taken are
    refused. What was done about ties is written into `rows.understood` and its notes.
    """
    _no_place(rows, frame["user_id"])
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
        rows.refuse(
            mask,
            "position",
            "the position of another event of this user; give each event its own, or --column position= to go"
            " by time",
        )
        _describe(rows, placed, "position")
        return placed
    timed = "timestamp" in rows.names
    if timed:
        rows.refuse(
            frame["timestamp"].is_null(), "timestamp", "empty; without positions every row needs a time"
        )
    placed = frame.with_columns(position=pl.int_range(pl.len()))
    tied, alike = _describe(rows, placed, "time" if timed else "file")
    if timed and tied > MANY_TIES:
        rows.understood["times"]["order"] = "time, then hash"
        rows.notes.append(
            f"{tied:.1%} of events have the same time as another event of their person: inside such a moment"
            " the order of the file was not used, but a keyed hash; give finer times or a position"
        )
        placed = placed.with_columns(position=pl.Series(_pair_keys(frame)))
    elif not timed and rows.n:
        rows.notes.append(
            "neither positions nor timestamps: the order of the file was taken for the order of events"
        )
        if alike:
            rows.understood["times"]["order"] = "hash"
            rows.notes[-1] = (
                "neither positions nor timestamps, and the file is sorted by item: a keyed hash was taken for"
                " the order of events; give times or positions"
            )
            placed = placed.with_columns(position=pl.Series(_pair_keys(frame)))
    return placed


def _no_place(rows: Rows, users: pl.Series) -> None:
    """Go by time where what is only called a position repeats for a person, as places on a page do."""
    chosen = rows.settings.column(rows.table, "position")
    if not {"position", "timestamp"} <= rows.names.keys() or chosen is not None:
        return
    column = rows.names["position"]
    places = pl.DataFrame({"user": users, "place": values.as_whole(rows.source.table[column], column)[0]})
    again = guesses.share(~places.drop_nulls().is_unique())
    if again > 0.5:
        rows.notes.append(
            f"column '{column}' says {again:.0%} of what it says of a person twice: no order of events, but"
            f" perhaps places on a page; times were taken; --column position={column} takes it"
        )
        del rows.names["position"]


def _describe(rows: Rows, placed: pl.DataFrame, order: str) -> tuple[float, bool]:
    """Write down how many events tie in time; their share, and whether ties follow the ids of the items."""
    events = placed.filter(pl.Series(rows.good))
    timed = "timestamp" in rows.names
    micros = (
        events["timestamp"].to_physical().fill_null(-(2**62)).to_numpy() if timed else np.zeros(len(events))
    )
    users = codes(events["user_id"])
    finer = (events["position"].to_numpy(),) if order == "position" else ()  # else that of the rows
    sort = np.lexsort((*finer, micros, users))
    next_to = (np.diff(users[sort]) == 0) & (np.diff(micros[sort]) == 0)
    inside = np.concatenate([next_to, [False]]) | np.concatenate([[False], next_to])
    tied = float((inside & (micros[sort] > -(2**62))).sum()) / len(events) if timed and len(events) else 0.0
    times = moments.span(events["timestamp"])
    rows.understood["times"] = {
        "order": order,
        "tied": round(tied, 4),
        "first": None if times is None else times[0].isoformat(),
        "last": None if times is None else times[1].isoformat(),
    }
    alike = None if order == "time" else _by_id(events["item_id"], sort, next_to)
    if alike is not None and order == "position":
        rows.notes.append(
            f"inside equal times the positions follow the ids of the items ({alike:.0%} of neighbours): they"
            " look like a sorted file, not like an order of events; --column position= goes by time alone"
        )
    return tied, alike is not None


def _by_id(items: pl.Series, sort: npt.NDArray[np.int64], next_to: npt.NDArray[np.bool_]) -> float | None:
    """The share of neighbours inside a moment that are in order of their ids, where that is nearly all or
    nearly none of them; else None. sort: (n,) the events by person, moment, position; next_to: (n - 1,).
    """
    numbers = items.str.extract(r"(\d{1,15})$").cast(pl.Int64, strict=False)
    rank = (numbers if numbers.null_count() == 0 else items.rank("dense")).to_numpy().astype(np.int64)
    step = np.diff(rank[sort])[next_to]
    step = step[step != 0]
    if len(step) < _PAIRS:
        return None
    rising = float(np.mean(step > 0))
    return max(rising, 1 - rising) if max(rising, 1 - rising) >= _SORTED else None


def codes(text: pl.Series) -> npt.NDArray[np.int64]:
    """(n,) the distinct values of a column without nulls, numbered."""
    encoded = text.to_arrow().dictionary_encode()
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def ranks(text: pl.Series) -> npt.NDArray[np.int64]:
    """(n,) the place of each value of a column without nulls among the distinct ones in order."""
    encoded = text.to_arrow().dictionary_encode()
    order = encoded.dictionary.to_numpy(zero_copy_only=False).argsort()
    return np.asarray(order.argsort()[encoded.indices.to_numpy()], dtype=np.int64)


def _pair_keys(frame: pl.DataFrame) -> npt.NDArray[np.int64]:
    """(n,) a keyed hash of each row's person and item: an order that no file decides."""
    keys = np.zeros(len(frame), np.uint64)
    for column, factor in (("user_id", 0x9E3779B97F4A7C15), ("item_id", 0xC2B2AE3D27D4EB4F)):
        encoded = frame[column].fill_null("").to_arrow().dictionary_encode()
        names = encoded.dictionary.to_pylist()
        digests = (hashlib.blake2b(f"ties\x1f{name}".encode(), digest_size=8).digest() for name in names)
        hashes = np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64, len(names))
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        keys ^= hashes[codes] * np.uint64(factor)
        keys ^= keys >> np.uint64(31)
        keys *= np.uint64(0xBF58476D1CE4E5B9)
    keys ^= keys >> np.uint64(27)
    return (keys >> np.uint64(2)).astype(np.int64)


def describe_times(rows: Rows, frame: pl.DataFrame) -> None:
    """Write down repeats, doubled rows, and the unit of the times."""
    understood, n = rows.understood, len(frame)
    users, items = codes(frame["user_id"]), codes(frame["item_id"])
    pairs = users * (int(items.max(initial=0)) + 1) + items
    understood["repeats"] = round(1 - pl.Series(pairs).n_unique() / n, 4) if n else 0.0
    understood["doubled"] = 0
    if "timestamp" not in rows.names:
        return
    again = pl.Series(pairs).is_duplicated()
    twice = frame.filter(again)
    about = [
        codes(twice["kind"].fill_null("")),
        twice["value"].fill_null(-1e300).to_numpy(),
        twice["timestamp"].to_physical().fill_null(-1).to_numpy(),
        pairs[again.to_numpy()],
    ]
    sort = np.lexsort(about)
    understood["doubled"] = doubled = int(np.all([np.diff(key[sort]) == 0 for key in about], axis=0).sum())
    if doubled:
        rows.notes.append(
            f"{doubled:,} rows say what another says (person, item, time, kind, value); they were kept"
        )
    times = rows.times
    assert times is not None
    understood["times"]["unit"] = rows.settings.time_unit or times.spelling
    note = times.note(rows.names["timestamp"])
    rows.notes += [note] if note else []
