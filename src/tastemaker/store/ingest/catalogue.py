"""A catalogue from the events themselves, where there is no file of items: their ids, and what the columns
say of each item wherever it stands (its title, who made it, facts).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa

import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
from tastemaker.errors import InputError
from tastemaker.store.ingest.rows import IngestSettings
from tastemaker.store.tables import Source

_SAME = 0.95  # share of the items that several people had, of which a column says one thing
_ITEM_PARTS = ("title", "creator", "description", "attributes")
_LOOKED_AT = 200_000  # events that tell which columns are of items
_SHOWN = 5  # cells of a first row that a message shows


def catalogue_of(events: Source, settings: IngestSettings) -> tuple[Source, Source, IngestSettings]:
    """The items of a table of events, the events, and the settings that name the column of ids in both.

    Raises InputError where no column can be told to be the item's.
    """
    ids, events = _identity(events, settings)
    cells = guesses.ids_of(events, ids)
    item_columns = _of_items(events, cells, ids, settings)
    rows = cells.is_first_distinct().set(cells.is_null(), False).arg_true().to_numpy()
    table = events.table.select([ids, *item_columns]).take(pa.array(rows))
    fit = cols.candidates(item_columns, cols.ITEM_NAMES)
    if "title" not in fit and "title" not in item_columns and _words(cells):
        table = table.append_column("title", cells.gather(rows).to_arrow())
    note = f"no file of items was given: they are the {len(rows):,} of '{ids}'"
    note += f", with what {', '.join(map(repr, item_columns))} say of each" if item_columns else ""
    items = replace(
        events,
        table=table,
        file_of=events.file_of[rows],
        rows=events.rows[rows],
        damaged={name: mask[rows] for name, mask in events.damaged.items() if name in table.column_names},
        unreadable=(),
        notes=(note,),
    )
    columns = dict(settings.columns) | {"items.item_id": ids, "interactions.item_id": ids}
    columns.pop("item_id", None)
    return items, events, replace(settings, columns=columns)


def _identity(events: Source, settings: IngestSettings) -> tuple[str, Source]:
    """The column of item ids: the one that was named or bears a known name, else the most varied whose name
    ends as those of ids do, else the title with who made it, in a column that is added.
    """
    present = events.table.column_names
    named = settings.column("interactions", "item_id") or settings.column("items", "item_id")
    if events.about.get("header") is False and not named:
        first = ", ".join(f"{name}: {str(events.table[name][0])[:30]}" for name in present[:_SHOWN])
        raise InputError(
            f"{events.name}: there is no file of items, and the first line names no column; say which are"
            f" people and items, as in --column user_id=1 --column item_id=2 (the first row has {first})"
        )
    fit = [named] if named else cols.candidates(present, cols.INTERACTION_NAMES).get("item_id", [])
    if fit:  # no numbers of the lines of an order, where another column tells many items apart
        counts = [guesses.ids_of(events, column).n_unique() for column in fit]
        return next(name for name, n in zip(fit, counts, strict=True) if 4 * n >= max(counts)), events
    people = _people(events, settings)
    free = [column for column in present if column != people]
    ends = [column for column in free if cols.squeezed(column).endswith(guesses.ID_ENDS)]
    varied = {column: guesses.ids_of(events, column).n_unique() for column in ends}
    titles = cols.candidates(present, cols.ITEM_NAMES | {"title": ("name", *cols.ITEM_NAMES["title"])})
    title, creator = (next(iter(titles.get(part, ())), None) for part in ("title", "creator"))
    several = {column: n for column, n in varied.items() if n > 1 and not _leads(events, column, people)}
    best = max(several, key=lambda column: several[column], default=None)
    alone = people is None or guesses.ids_of(events, people).n_unique() == 1
    if title is not None and _leads(events, title, people) and not (alone and not several):
        title = None
    if best is not None and (title is None or guesses.ids_of(events, title).n_unique() < 1.2 * several[best]):
        return best, events
    if title is None:
        raise InputError(
            f"{events.name}: no items: give the file of your items, or say which column here holds them with"
            f" --column item_id=COLUMN; the table has {', '.join(present[:40])}{guesses.garbled(events)}"
        )
    cells = guesses.ids_of(events, title)
    year = next((name for name in present if cols.squeezed(name) in ("year", "releaseyear")), None)
    if (
        year is not None
        and pl.DataFrame([cells.alias("t"), guesses.ids_of(events, year).alias("y")]).unique().height
        > cells.n_unique()
    ):
        cells = (cells + " (" + guesses.ids_of(events, year) + ")").fill_null(cells)  # films of one name
    if creator is not None:
        makers = guesses.ids_of(events, creator)
        cells = (makers + " - " + cells).fill_null(cells)
    return "item_id", replace(events, table=events.table.append_column("item_id", cells.to_arrow()))


def _people(events: Source, settings: IngestSettings) -> str | None:
    """The column of people."""
    named = settings.column("interactions", "user_id")
    filled = [name for name in events.table.column_names if events.table[name].null_count < len(events.rows)]
    fit = cols.candidates(filled, cols.INTERACTION_NAMES).get("user_id", [])
    return named or (fit[0] if fit else guesses.likely_people(events))


def _leads(events: Source, column: str, people: str | None) -> bool:
    """Whether a column counts the rows, says of each person one thing, or is of one of several people alone
    wherever it stands, as an order is: no item.
    """
    cells = guesses.ids_of(events, column)
    if cells.n_unique() >= len(cells):
        return True
    if people is None or people not in events.table.column_names:
        return False
    pairs = pl.DataFrame({"person": guesses.ids_of(events, people), "cell": cells}).unique()
    several = pairs["person"].n_unique()
    return pairs.height == several or (several > 1 and pairs.height == pairs["cell"].n_unique())


def _of_items(events: Source, ids: pl.Series, column: str, settings: IngestSettings) -> list[str]:
    """The columns that tell of the item and not of the event or the person: those that were named, and those
    that say one thing of (nearly) every item that several people had, or, where hardly any was, bear a name
    of such a part. ids: those in `column`.
    """
    parts = cols.candidates(events.table.column_names, cols.INTERACTION_NAMES)
    theirs = {fit[0] for part, fit in parts.items() if part != "item_id"}
    theirs |= {settings.column("interactions", part) or "" for part in cols.INTERACTION_NAMES} | {column}
    chosen = {settings.column("items", part) for part in cols.ITEM_NAMES}
    names = cols.candidates(events.table.column_names, cols.ITEM_NAMES)
    item_fields = {name for part in _ITEM_PARTS for name in names.get(part, ())}
    people = _people(events, settings)
    who = pl.Series(np.arange(len(ids)))  # without people, or of one person, each event counts
    if people is not None and people in events.table.column_names:
        named = guesses.ids_of(events, people)
        who = named if named.n_unique() > 1 else who
    had = pl.DataFrame({"id": ids, "who": who}).head(_LOOKED_AT)
    result = []
    for name in events.table.column_names:
        if name in chosen - theirs:
            result.append(name)
        if name in chosen | theirs | {people}:
            continue
        cells = guesses.ids_of(events, name, _LOOKED_AT)
        if cells.drop_nulls().n_unique() < 2:
            continue
        by = had.with_columns(cell=cells).drop_nulls("id").group_by("id")
        counts = by.agg(pl.col("cell").drop_nulls().n_unique(), pl.col("who").n_unique())
        often = counts.filter(pl.col("who") > 1)
        few = often.height < max(2, counts.height / 20)
        if name in item_fields if few else guesses.share(often["cell"] <= 1) >= _SAME:
            result.append(name)
    return result


def _words(ids: pl.Series) -> bool:
    """Whether ids are titles: words with blanks between them."""
    filled = ids.drop_nulls()
    return guesses.share(filled.str.contains(r"\p{L}\p{L}+ ")) > 0.5


def best_id_columns(items: Source, interactions: Source, settings: IngestSettings) -> IngestSettings:
    """The settings with the item file's id column that matches most events, where several could be it."""
    parts = cols.candidates(interactions.table.column_names, cols.INTERACTION_NAMES)
    shared = set(items.table.column_names) & set(interactions.table.column_names)
    shared -= {name for part, names in parts.items() if part != "item_id" for name in names}
    both = [name for name in items.table.column_names if name in shared]
    fit = cols.candidates(items.table.column_names, cols.ITEM_NAMES).get("item_id", [])
    theirs = cols.candidates(interactions.table.column_names, cols.INTERACTION_NAMES).get("item_id", [])
    aliased = bool(fit)
    fit, theirs = (list(dict.fromkeys((*names, *both))) for names in (fit, theirs))
    named = settings.column("interactions", "item_id")
    theirs = [named] if named is not None and named in interactions.table.column_names else theirs
    if not fit or not theirs or settings.column("items", "item_id") is not None:
        return settings
    events = [guesses.ids_of(interactions, column) for column in theirs]
    matches = []
    for column in fit:
        ids = guesses.ids_of(items, column)
        unique = ids.drop_nulls().n_unique() >= 0.9 * max(1, len(ids))
        shares = [guesses.share_known(event_ids, ids) for event_ids in events]
        matches.append(max(shares) if unique else -1.0)
    best = int(np.argmax(matches))
    if (matches[best] < 0.5) if not aliased else (best == 0 or matches[best] <= matches[0]):
        return settings
    return replace(settings, columns={**settings.columns, "items.item_id": fit[best]})
