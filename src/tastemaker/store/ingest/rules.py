"""What makes an items and an interactions table: which rows are taken and refused, and in which order."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

import tastemaker.schema as schema
import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
from tastemaker.errors import InputError
from tastemaker.schema import EventRules, kind_named, moments, values
from tastemaker.stats.random import hashed_order
from tastemaker.store.ingest.facts import attributes_of
from tastemaker.store.ingest.order import describe_times, ordered, ranks
from tastemaker.store.ingest.report import Report
from tastemaker.store.ingest.rows import IngestSettings, Rows
from tastemaker.store.ingest.words import merged
from tastemaker.store.tables import Source, as_source

ORDER_KEY = "items"
MOST_ITEMS = 20_000_000  # what one server has memory for: a table of more is one of something else
# Scales that ratings usually have; the first that holds all of them is taken.
SCALES = ((0, 1), (-1, 1), (1, 5), (0.5, 5), (0, 5), (-5, 5), (1, 7), (1, 10), (0, 10), (-10, 10), (0, 100))
_VAGUE = frozenset(("type", "feedback", "reaction", "interaction"))  # names that other things bear too
_MANY = 5  # zeros among ratings, from which they can mean "not given"
_PROSE = 50  # distinct cells beyond which a column without a known kind is text


def ingest_items(
    table: pa.Table | Source, source: str = "items", settings: IngestSettings | None = None
) -> tuple[pa.Table, Report]:
    """The rows of `table` that make an `items` table (schema.ITEMS), in keyed hash order of item_id, and the
    report.

    Raises InputError when there is no column of item ids, when there are more than `MOST_ITEMS` rows, or, in
    strict mode, for the first refused row.
    """
    rows = Rows(_source(table, source), "items", cols.ITEM_NAMES, ("item_id",), settings or IngestSettings())
    if rows.n > MOST_ITEMS:
        raise InputError(
            f"{rows.source.name}: {rows.n:,} rows, more than the {MOST_ITEMS:,} items of a catalogue; give"
            " the items that can be recommended"
        )
    rows.settle("created_at", _years)
    if len(rows.candidates.get("creator", ())) > 1:
        rows.settle("creator", guesses.as_name)
    ids = rows.identity("item_id")
    words = {
        "title": rows.text("title").str.replace_all(r"\s*[\r\n\t]\s*", " "),
        "text": merged(rows.text("text", "\n"), rows.text("description", "\n")),
        "creator": rows.text("creator", ", "),
    }
    attributes, facts = attributes_of(rows, _unused(rows))
    frame = pl.DataFrame(
        {
            "item_id": ids,
            **words,
            "attributes": attributes,
            "created_at": rows.time("created_at", years=True),
            "audio": rows.media("audio"),
            "image": rows.media("image"),
        }
    )
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
    rows.understood["columns"] = _roles(rows, {})
    rows.understood["facts"] = facts
    rows.understood["unused"] = [column for column in _unused(rows) if column not in facts]
    rows.understood["doubled"] = int((repeated.fill_null(False).to_numpy()).sum())
    report = rows.report()
    frame = frame.filter(pl.Series(rows.good))
    frame = frame[hashed_order(frame["item_id"].to_list(), ORDER_KEY)]
    return schema.check(frame.to_arrow(), schema.ITEMS, report.source), report


def ingest_interactions(
    table: pa.Table | Source,
    items: pa.Table | None = None,
    source: str = "interactions",
    settings: IngestSettings | None = None,
) -> tuple[pa.Table, Report]:
    """The rows that make an `interactions` table (schema.INTERACTIONS), by user and position, and the report.

    Without a position column, a user's events are put in order of time; those of one moment in order of the
    file, or, where many share one, of a keyed hash. `items` is an ingested table; events with others are
    refused. `report.understood` says what was made of columns, times, kinds and ratings; "rules" in it are
    the arguments of `EventRules`.

    Raises InputError when user or item ids have no column, or, in strict mode, for the first refused row.
    """
    settings = settings or IngestSettings()
    known = None if items is None else pl.Series(items["item_id"].to_pylist(), dtype=pl.String)
    rows = Rows(
        _source(table, source),
        "interactions",
        cols.INTERACTION_NAMES,
        ("user_id", "item_id"),
        settings,
        known,
    )
    shares = {} if known is None else _shares(rows, known)
    for part, read in (
        ("position", values.as_whole),
        ("timestamp", partial(moments.as_time, unit=settings.time_unit)),
        ("value", values.as_score),
    ):
        rows.settle(part, read)
    _settle_kind(rows)
    frame = pl.DataFrame({"user_id": rows.identity("user_id"), "item_id": rows.identity("item_id")})
    nobody = frame["user_id"] == schema.ANONYMOUS
    rows.refuse(nobody, "user_id", "stands for whoever gives no id; choose another id")
    if known is not None:
        frame = frame.with_columns(item_id=_as_known(rows, frame["item_id"], known))
        rows.notes += guesses.gone(frame["item_id"].filter(pl.Series(rows.good)), known)
        rows.refuse(
            ~frame["item_id"].is_in(known.implode()),
            "item_id",
            "not among the items; add it to them or remove the row",
        )
    frame = frame.with_columns(
        timestamp=rows.time("timestamp", needed="position" not in rows.names),
        value=rows.number("value"),
        request_id=rows.text("request_id"),
    )
    frame = frame.with_columns(value=_rated(rows, frame["value"], frame["item_id"]))
    rules, kinds = _kinds(rows, frame["value"])
    frame = frame.with_columns(kind=kinds)
    frame = ordered(rows, frame)
    rows.understood["columns"] = _roles(rows, shares)
    rows.understood["unused"] = _unused(rows)
    frame = frame.filter(pl.Series(rows.good))
    _describe_kinds(rows, frame, rules)
    describe_times(rows, frame)
    rows.notes += guesses.crowd(frame["user_id"])
    report = rows.report()
    if "position" in rows.names:
        frame = frame.sort("user_id", "position", maintain_order=True)
    else:
        by = pl.Series(ranks(frame["user_id"]))
        frame = frame.sort(by, "timestamp", "position", maintain_order=True)
        frame = frame.with_columns(position=pl.int_range(pl.len()).over("user_id"))
    return schema.check(frame.to_arrow(), schema.INTERACTIONS, report.source), report


def _source(table: pa.Table | Source, name: str) -> Source:
    return table if isinstance(table, Source) else as_source(table, name)


def _years(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    times = moments.read(column, name, years=True)
    return times.moments, times.wrong


def _shares(rows: Rows, known: pl.Series) -> dict[str, float]:
    """Of each column that could hold item ids, the share of rows that are in the catalogue; the best is
    taken, or, where none holds any, a column of another name that does.
    """
    columns = rows.candidates["item_id"]
    shares = {column: guesses.share_known(guesses.ids_of(rows.source, column), known) for column in columns}
    if not rows.n:
        return shares
    rows.names["item_id"] = best = max(shares, key=lambda column: shares[column])
    rivals = rows.source.rivals.get("item_id", ())
    shares |= {column: guesses.share_known(guesses.ids_of(rows.source, column), known) for column in rivals}
    other = guesses.likely_items(rows.source, known) if shares[best] < 0.5 else None
    if other is None or other[0] in shares or other[1] <= 2 * shares[best]:
        return shares
    message = f"{other[1]:.0%} of column '{other[0]}' are ids of items, {shares[best]:.0%} of '{best}'"
    if shares[best] or rows.settings.column(rows.table, "item_id") is not None:
        rows.notes.append(f"{message}: if it is the item, give --column item_id={other[0]}")
    else:
        rows.notes.append(f"{message}: it was taken as item_id")
        rows.names["item_id"] = other[0]
        shares[other[0]] = other[1]
    return shares


def _as_known(rows: Rows, ids: pl.Series, known: pl.Series) -> pl.Series:
    """Item ids as the catalogue writes them; what was made of others is noted."""
    result = guesses.matched(ids, known)
    changed = (result != ids).fill_null(False)
    if changed.any():
        at = int(changed.arg_max() or 0)
        rows.notes.append(
            f"{int(changed.sum()):,} ids in '{rows.names['item_id']}' are written otherwise among the items:"
            f" '{ids[at]}' was read as '{result[at]}'"
        )
    return result


def _roles(rows: Rows, shares: dict[str, float]) -> dict[str, dict[str, Any]]:
    """For each part the column chosen and the runner-up; of item ids also the shares in the catalogue."""
    roles: dict[str, dict[str, Any]] = {}
    for part, column in rows.names.items():
        fit = (*rows.candidates.get(part, ()), *rows.source.rivals.get(part, ()))
        others = [other for other in fit if other not in rows.names.values()]
        others.sort(key=lambda other: -shares.get(other, 0.0) if part == "item_id" else 0.0)
        roles[part] = {"column": column, "runner_up": others[0] if others else None}
        if part == "item_id" and shares:
            roles[part]["matches"] = round(shares[column], 4)
            roles[part]["runner_up_matches"] = round(shares[others[0]], 4) if others else None
    return roles


def _unused(rows: Rows) -> list[str]:
    """The columns that play no part, in the order of the file."""
    taken = set(rows.names.values())
    return [column for column in rows.source.table.column_names if column not in taken]


def _settle_kind(rows: Rows) -> None:
    """Of several columns that could hold the kinds, take the one with most cells that are known kinds; where
    one of another name holds none at all, it says something else than what people did.
    """
    given = rows.settings.column(rows.table, "kind")
    taken = {column for part, column in rows.names.items() if part != "kind"}
    fit = [column for column in rows.candidates.get("kind", ()) if column not in taken]
    worded = [column for column in rows.candidates.get("value", ()) if column not in taken]  # "thumbs up"
    if given is not None:
        return
    known: dict[str, float] = {}
    for column in (*fit, *worded):
        try:
            cells = values.as_text(rows.source.table.column(column), column).drop_nulls()
        except InputError:
            cells = pl.Series([], dtype=pl.String)
        counts = dict(cells.value_counts().iter_rows())
        known[column] = sum(n for word, n in counts.items() if kind_named(word)) / max(1, len(cells))
        if column in worded and known[column] < 0.5:
            del known[column]
        elif (
            not known[column]
            and column.lower() != "kind"
            and (column.lower() in _VAGUE or len(counts) > _PROSE)
        ):
            words = ", ".join(f"'{word[:30]}'" for word in sorted(counts)[:3])
            rows.notes.append(
                f"column '{column}' was not taken as kind: it holds {words or 'nothing'}, none of which is a"
                f" kind of event; if it is, give --column kind={column}"
            )
            del known[column]
    rows.names.pop("kind", None)
    if known:
        rows.names["kind"] = max(known, key=lambda column: known[column])
    elif not _is_rating(rows) and not cols.is_share(rows.names.get("value", "")):
        _settle_flags(rows)


def _settle_flags(rows: Rows) -> None:
    """Where no column holds kinds, ratings or shares, read those that say yes or no to a kind."""
    free = {column: guesses.ids_of(rows.source, column) for column in _unused(rows)}
    flags = guesses.flags(free)
    for column in flags[2] if flags else ():
        rows.notes.append(f"column '{column}' was not read: it holds other words than yes and no")
    if flags and flags[0]:
        rows.names["kind"], rows.flags = next(iter(flags[0])), flags[1]
        names = ", ".join(f"'{column}' as {kind or 'wanted'}" for column, kind in flags[0].items())
        rows.notes.append(f"columns that say yes or no were read as what people did: {names}; a no as a view")
    elif undone := guesses.taken_back(free):
        rows.names["kind"] = column = undone[0]
        rows.flags = pl.Series([None] * rows.n, dtype=pl.String).set(undone[1], "view")
        words = ", ".join(free[column].filter(undone[1]).unique().sort().head(3))
        rows.notes.append(
            f"'{column}' says of {int(undone[1].sum()):,} events that nothing came of them ({words}): they"
            " were read as views"
        )


def _is_rating(rows: Rows) -> bool:
    """Whether the values are ratings: by the name of their column; by a scale that was given; or, in a column
    of another name that the user chose, by looking like them.
    """
    name = rows.names.get("value")
    if name is None or cols.is_share(name):
        return False
    if cols.is_rating(name) or rows.settings.scale is not None:
        return True
    legal = cols.candidates([name], {"value": cols.INTERACTION_NAMES["value"]})
    if legal or rows.settings.column(rows.table, "value") != name:
        return False
    numbers = values.as_score(rows.source.table.column(name), name)[0].drop_nulls()
    levels = set(numbers)
    halves = 3 <= len(levels) <= 20 and all(level * 2 % 1 == 0 and level <= 10 for level in levels)
    return halves or levels == {-1, 1}  # stars, or votes


def _rated(rows: Rows, numbers: pl.Series, items: pl.Series) -> pl.Series:
    """The values; percents and milliseconds of a play as shares; of ratings beyond 1 without a -1 that is the
    one negative number, without zeros far commoner than ones, and without what lies far from all others or
    outside the scale that was given: they say that nothing was given. items: (n,) ids.
    """
    name = rows.names.get("value", "")
    if cols.squeezed(name) == "msplayed":
        rows.notes.append(
            f"'{name}' was read as the share of the longest play of that item, or of 30 seconds"
        )
        longest = pl.DataFrame({"item": items, "ms": numbers}).select(pl.col("ms").max().over("item"))
        return numbers.clip(0) / longest["ms"].clip(30_000)
    if cols.is_share(name) and "ratio" not in name.lower() and (numbers > 1.5).any():
        rows.notes.append(f"'{name}' holds percents: 100 was read as the whole")
        return numbers / 100
    if not _is_rating(rows):
        return numbers
    scale, far = rows.settings.scale, guesses.stand_in(numbers)
    if scale or far is not None:
        outside = (numbers == far if scale is None else ~numbers.is_between(scale[0], scale[1])).fill_null(
            False
        )
        if outside.any():
            what = f"are {far:g}, far from all others" if scale is None else "are outside the scale"
            rows.notes.append(f"{int(outside.sum()):,} ratings in '{name}' {what}: read as not given")
            rows.not_given |= outside
            numbers = numbers.set(outside, None)
    if scale or not (numbers > 1).any():
        return numbers
    for value, least in ((-1, 0), (0, 1)):
        empty = (numbers < least).fill_null(False)
        often = value < 0 or (
            (numbers > 3).any() and empty.sum() > max(_MANY, len(numbers) / 4, 3 * int((numbers == 1).sum()))
        )
        if often and empty.any() and (numbers.filter(empty) == value).all():
            rows.notes.append(
                f"{int(empty.sum()):,} ratings in '{name}' are {value}, all others at least {least}: they"
                " were read as not given, as empty ones are: the event happened; --scale LOW,HIGH says"
                " otherwise"
            )
            rows.not_given |= empty
            numbers = numbers.set(empty, None)
    return numbers


def _kinds(rows: Rows, numbers: pl.Series) -> tuple[EventRules, pl.Series]:
    """How events are to be read, and the kind of each by the names of `schema.KINDS`; unknown ones as they
    are. An event without a kind is a rating where its value stands in a column of ratings.
    """
    kinds = rows.text("kind") if rows.flags is None else rows.flags
    if "kind" in rows.names:  # a word that cannot be read may have been a refusal: it says nothing
        kinds = kinds.set(rows.damaged("kind"), "(unreadable)")
    rows.understood["spellings"] = {}
    if "kind" in rows.names:
        names: dict[str, str] = {}
        for spelling, _ in kinds.drop_nulls().value_counts(sort=True).iter_rows():
            known = kind_named(spelling)
            names[spelling] = spelling if known is None else known.name
            rows.understood["spellings"].setdefault(names[spelling], []).append(spelling)
        kinds = kinds.replace(names)
    settings = rows.settings
    if _is_rating(rows):
        rated = kinds.is_null() & rows.filled("value") & ~rows.not_given
        kinds = kinds.set(rated, "rating")
        had = ["view", "click", "save", "purchase"] + ["play"] * bool((numbers > 1).any())
        bought = (kinds.is_in(had) & numbers.is_not_null()).fill_null(False)
        if bought.any() and not settings.positive:
            rows.notes.append(
                f"{int(bought.sum()):,} views, clicks, plays, saves or purchases carry a rating: they were"
                " read as ratings, which say whether the item was wanted; --positive KIND,KIND says otherwise"
            )
            kinds = kinds.set(bought, "rating")
    elif cols.is_share(rows.names.get("value", "")):
        kinds = kinds.set(kinds.is_null() & rows.filled("value"), "play")
    elif (below := (numbers <= 0).fill_null(False)).any() and "value" in rows.names:
        kinds = _taken_back(rows, kinds, numbers, below)
    scale = settings.scale
    given = numbers.filter((kinds == "rating").fill_null(False)).drop_nulls()
    if scale is None and len(given):
        low, high = float(given.to_numpy().min()), float(given.to_numpy().max())
        rows.understood["ratings"] = {"lowest": low, "highest": high, "scale": list(_scale(low, high))}
        scale = _scale(low, high)
    elif scale is not None:
        rows.understood["ratings"] = {"scale": list(scale)}
    wanted = frozenset(settings.positive) if settings.positive else None
    low, high = scale or (1.0, 5.0)
    return EventRules((low, high), wanted), kinds


def _taken_back(rows: Rows, kinds: pl.Series, numbers: pl.Series, below: pl.Series) -> pl.Series:
    """The kinds where counts and weights of none (`below`) say no wish: nothing was done of 0, a negative
    count is what came back, a negative weight a refusal.
    """
    name = rows.names["value"]
    less = "dislike" if "weight" in name.lower() else "undo"
    wished = below & (kinds.is_null() | kinds.is_in(["purchase", "play", "save"]))
    if wished.any():
        rows.notes.append(
            f"{int(wished.sum()):,} events have 0 or less in '{name}': 0 was read as a view, less as {less}"
        )
    return kinds.set(wished & (numbers == 0), "view").set(wished & (numbers < 0), less)


def _scale(low: float, high: float) -> tuple[float, float]:
    """The usual scale of ratings from `low` to `high`; their own range where no usual one holds them."""
    for first, last in SCALES:
        if first <= low and high <= last:
            return float(first), float(last)
    return (low, high) if low < high else (low - 1.0, high)


def _describe_kinds(rows: Rows, frame: pl.DataFrame, rules: EventRules) -> None:
    """Write down the kinds of the accepted events by sign, and what the user should know of them."""
    signs = rules.signs(frame["kind"].to_arrow(), frame["value"].to_numpy())
    spellings = rows.understood.pop("spellings")
    rows.understood["kinds"] = {}
    for name, sign in (("wanted", 1), ("unwanted", -1), ("ignored", 0)):
        counts = frame["kind"].filter(pl.Series(signs == sign)).value_counts(sort=True).iter_rows()
        rows.understood["kinds"][name] = [
            {"kind": kind, "events": count, "spelled": spellings.get(kind, [])[:5]} for kind, count in counts
        ]
    ignored = {entry["kind"]: entry["events"] for entry in rows.understood["kinds"]["ignored"]}
    unknown = {kind: count for kind, count in ignored.items() if kind and kind_named(kind) is None}
    if unknown:
        examples = ", ".join(f"'{kind}' ({count:,})" for kind, count in list(unknown.items())[:5])
        rows.notes.append(
            f"kinds that nobody knows: {examples}; their {sum(unknown.values()):,} events are kept, and count"
            f" neither as wanted nor as unwanted; the kinds are {', '.join(schema.KINDS)}"
        )
    wanted = int((signs > 0).sum())
    if wanted < 0.05 * len(frame):
        rows.notes.append(
            f"{wanted:,} of {len(frame):,} events count as wanted; --positive KIND,KIND says which kinds do,"
            " --scale LOW,HIGH how ratings are read"
        )
    plays = frame["value"].filter(frame["kind"] == "play").drop_nulls().to_numpy()
    rated = _is_rating(rows)
    if not rated and len(plays) and np.mean(plays > 1) > 0.5 and plays.max() > 1.5:
        rows.notes.append(
            f"most plays have values above 1, up to {plays.max():g}: each counts as a whole play; a value is"
            " the share that was played, 0 to 1"
        )
    rows.understood["rules"] = {
        "scale": list(rules.scale),
        "wanted": None if rules.wanted is None else sorted(rules.wanted),
    }
