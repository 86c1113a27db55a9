"""What ingest makes of columns that bear no name it knows, and of ids that two files write differently. Every
guess ends as a note of the report.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from tastemaker.errors import InputError
from tastemaker.schema import KINDS, kind_named, values
from tastemaker.store.ingest.columns import squeezed
from tastemaker.store.tables import Source
from tastemaker.store.text import headless

_HEAD = 10_000  # rows that a guess is made from
_ID_ENDS = ("id", "isbn", "sku", "code", "key", "uri", "url")
_PEOPLE = [
    "user",
    "reviewer",
    "customer",
    "visitor",
    "session",
    "member",
    "playlist",
    "account",
    "profile",
    "listener",
    "reader",
    "viewer",
    "client",
    "person",
    "player",
    "subscriber",
    "guest",
    "patient",
    "student",
    "buyer",
    "device",
    "cookie",
    "household",
    "shopper",
]
_ANSWERS = ("label", "target", "feedback")  # columns of yes and no that do not say to what
_YES, _NO = ("1", "1.0", "true", "yes", "y", "t"), ("0", "0.0", "false", "no", "n", "f")


def ids_of(source: Source, column: str, rows: int | None = None) -> pl.Series:
    """The ids in the first `rows` rows of a column; none where it holds something else than ids."""
    cells = source.table.column(column).slice(0, rows)
    try:
        return values.whole_again(values.as_text(cells, column))
    except InputError:
        return pl.Series([None] * len(cells), dtype=pl.String)


def share(mask: pl.Series) -> float:
    """The share of rows where `mask` holds; 0 of none."""
    return int(mask.fill_null(False).sum()) / len(mask) if len(mask) else 0.0


def matched(ids: pl.Series, known: pl.Series) -> pl.Series:
    """The ids as `known` has them, where they are written in another way there; others stay.

    Ways: as floats (12.0 for 12), in another case or Unicode form, with leading zeros. The last two only
    where they explain most of the ids that are not known, and an id of one item alone.
    """
    ids = ids.rename("id")
    if ids.is_in(known.implode()).fill_null(False).all():
        return ids
    distinct = ids.unique().drop_nulls()
    other = distinct.filter(~distinct.is_in(known.implode()))
    for key, least in ((_whole, 0.0), (_folded, 0.5), (_without_zeros, 0.5)):
        theirs = pl.DataFrame({"known": known, "key": key(known)}).drop_nulls()
        theirs = theirs.filter(~pl.col("key").is_duplicated())
        pairs = pl.DataFrame({"id": other, "key": key(other)}).drop_nulls().join(theirs, on="key")
        if pairs.height and pairs.height >= least * len(other):
            ids = ids.replace(pairs["id"], pairs["known"])
            other = other.filter(~other.is_in(pairs["id"].implode()))
    return ids


def _whole(ids: pl.Series) -> pl.Series:
    bare = ids.str.replace(r"\.0+$", "")
    return bare.set(~ids.str.contains(r"^-?\d+(\.0+)?$"), None)


def _folded(ids: pl.Series) -> pl.Series:
    return ids.str.normalize("NFKC").str.to_lowercase()


def _without_zeros(ids: pl.Series) -> pl.Series:
    return ids.str.replace(r"^0+(\d)", "$1").set(~ids.str.contains(r"^\d+$"), None)


def likely_people(source: Source) -> str | None:
    """A column whose name speaks of people (`playlist_id`), ids before names; None where there is none."""
    fit = [name for name in source.table.column_names if any(word in squeezed(name) for word in _PEOPLE)]
    return min(fit, key=lambda name: not squeezed(name).endswith("id"), default=None)


def likely_items(source: Source, known: pl.Series | None) -> tuple[str, float] | None:
    """The column that holds most ids of the catalogue, at least half of its cells, and that share; of a
    catalogue itself (`known` is None) the first whose name ends as those of ids do, each cell once.
    """
    for column in source.table.column_names if known is None else ():
        ids = ids_of(source, column)
        unique = len(ids) and not ids.null_count() and ids.n_unique() == len(ids)
        if unique and squeezed(column).endswith(_ID_ENDS):
            return column, 1.0
    if known is None:
        return None
    shares = {}
    for column in source.table.column_names:
        ids = ids_of(source, column, _HEAD)
        shares[column] = share(matched(ids, known).is_in(known.implode()))
    best = max(shares, key=lambda column: shares[column], default=None)
    return None if best is None or shares[best] < 0.5 else (best, shares[best])


def shape(source: Source, known: pl.Series | None) -> str:
    """What to say of a table without a column that is needed, by how it is laid out."""
    names = source.table.column_names
    if known is not None:
        items = sum(pl.Series(names, dtype=pl.String).is_in(known.implode()))
        if items >= max(2, len(names) / 2):
            return (
                f"; {items:,} of its columns are items: it is a matrix; write a row for each person and item"
            )
        for column in names:
            cells = ids_of(source, column, 100).drop_nulls()
            split = cells.str.replace_all(r"[\s,;|\[\]'\"]+", " ").str.strip_chars().str.split(" ").explode()
            if len(split) > 1.5 * max(1, len(cells)) and share(split.is_in(known.implode())) > 0.5:
                return f"; column '{column}' holds many items in a cell: write a row for each person and item"
    return headless(names)


def flags(columns: Mapping[str, pl.Series]) -> tuple[str, dict[str, str | None]] | None:
    """The column that answers with yes or no to a kind of event (`is_click`, `liked`), and the kind that each
    of its words stands for; None where there is none.

    No to a wanted kind is a view, no to an unwanted one an event of no kind: the item was had. Of several
    columns the one that says most about taste is taken.
    """
    found: dict[str, tuple[float, str | None]] = {}
    for column, cells in columns.items():
        words = set(cells.drop_nulls().str.to_lowercase().unique().to_list())
        name = squeezed(column)
        bare = next(
            (name.removeprefix(start) for start in ("is", "has", "was") if name.startswith(start)), name
        )
        kind = kind_named(bare) or kind_named(name)
        if words and words <= {*_YES, *_NO} and words & {*_NO}:
            if kind is not None and kind.name not in ("view", "rating", "undo"):
                found[column] = (kind.weight + kind.explicit, kind.name)
            elif name in _ANSWERS:
                found[column] = (0.0, None)
    if not found:
        return None
    column = max(found, key=lambda name: found[name][0])
    kind_name = found[column][1]
    no = None if kind_name and KINDS[kind_name].sign < 0 else "view"
    spelled = columns[column].drop_nulls().unique().to_list()
    return column, {word: kind_name if word.lower() in _YES else no for word in spelled}
