"""What ingest makes of columns of unknown names and of ids written in two ways; each guess ends as a note."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from tastemaker.errors import InputError
from tastemaker.schema import KINDS, kind_named, values
from tastemaker.store.ingest.columns import BASKETS, NO, PEOPLE, YES, squeezed
from tastemaker.store.ingest.words import literal, unescaped
from tastemaker.store.tables import Source
from tastemaker.store.text.header import headless

_HEAD = 10_000  # rows that a guess is made from
_FEW = 8  # columns of a table that is no matrix
_WIDE = 20  # columns of one that can be
ID_ENDS = (
    *("id", "isbn", "sku", "code", "key", "uri", "url", "nr", "num", "number", "nummer", "slug", "handle"),
    *("asin", "ean", "gtin", "upc", "barcode"),
)
_PEOPLE_ENDS = ("", "s", "id", "no", "num", "number", "name", "key", "code")
_ASKED = ("recommend", "recommended", "votedup")  # of people who answer
_ANSWERS = ("label", "target", "feedback")  # columns of yes and no that do not say to what
MARKS = (r"\s*\|\s*", r"\s*;\s*", r"\s*,\s*", r"[\s,;|]+")  # what can stand between the items of a cell
_CROWD = 5  # times the events of the person with the second most, from which on an id may stand for many
_QUOTED = r"'[^']*'|\"[^\"]*\"|[^\s,\[\](){}'\"]+"  # the entries of a list in quotes
_UNDONE = (
    r"(?i)^(wc[-_])?(refunded|cancel+ed|voided?|failed|declined|charged?[-_ ]?back|expired|stornier(t|ung)"
    r"|storno|abgebrochen|erstattet|rücksendung|retour(niert|e)|fehlgeschlagen|annulée?|remboursée?"
    r"|échouée?|cancelad[ao]|reembolsad[ao]|devuelt[ao]|annullat[ao]|rimborsat[ao]|geannuleerd"
    r"|terugbetaald|anulowan[aoey]|отмен[её]н[ао]?|возврат|已取消|已退款|キャンセル|返金済み)$"
)


def ids_of(source: Source, column: str, rows: int | None = None) -> pl.Series:
    """The ids in the first `rows` rows of a column; none where it holds something else than ids."""
    cells = source.table.column(column).slice(0, rows)
    try:
        return values.whole_again(values.as_text(cells, column))
    except InputError:
        return pl.Series([None] * len(cells), dtype=pl.String)


def several(source: Source, column: str) -> bool:
    """Whether a cell can hold several entries: it is a list, or text with marks in it."""
    cells = source.table.column(column).slice(0, _HEAD)
    if pt.is_string(cells.type) or pt.is_large_string(cells.type):
        return bool(pc.any(pc.match_substring_regex(cells, r"[\s,;|]")).as_py())
    return bool(pt.is_nested(cells.type))


def entries_of(source: Source, column: str, mark: str, rows: int | None = None) -> pl.Series:
    """The entries of each cell: of a list or quotes as they are, else what stands between the `mark`s."""
    cells = source.table.column(column).slice(0, rows)
    listed = pt.is_list(cells.type) or pt.is_large_list(cells.type) or pt.is_fixed_size_list(cells.type)
    if listed and not pt.is_nested(cells.type.value_type):
        try:
            return pl.Series(pl.from_arrow(cells.cast(pa.large_list(pa.large_string()))))
        except pa.ArrowException:  # of bytes that are no text
            return pl.Series([None] * len(cells), dtype=pl.List(pl.String))
    text = ids_of(source, column, rows)
    if share(text.drop_nulls().str.contains(r"^\s*[\[({]\s*['\"]")) > 0.5:
        escaped = text.str.contains("\\", literal=True).fill_null(False)
        if escaped.any():  # as JSON writes letters: \u00fc
            written = zip(text.to_list(), escaped.to_list(), strict=True)
            plain = [repr(literal(cell)) if is_escaped else cell for cell, is_escaped in written]
            text = pl.Series(plain, dtype=pl.String)
        return text.str.extract_all(_QUOTED).list.eval(pl.element().str.strip_chars("'\""))
    text = text.str.replace(r"^[\[({](.*)[\])}]$", "$1").str.strip_chars(" ,;|\t")
    return text.str.replace_all(mark, "\x1f").str.split("\x1f")


def share(mask: pl.Series) -> float:
    """The share of rows where `mask` holds; 0 of none."""
    return int(mask.fill_null(False).sum()) / len(mask) if len(mask) else 0.0


def matched(ids: pl.Series, known: pl.Series) -> pl.Series:
    """The ids as `known` has them, where they are written in another way there; others stay.

    Ways: as floats (12.0 for 12), with leading zeros, in another case or Unicode form, with an apostrophe
    before them, with characters nobody sees, or as addresses write them (%20). Where the catalogue itself
    tells ids apart by one of these but the first, that way must explain most of the ids that are not known.
    """
    ids = ids.rename("id")
    if ids.is_in(known.implode()).fill_null(False).all():
        return ids
    distinct = ids.unique().drop_nulls()
    other = distinct.filter(~distinct.is_in(known.implode()))
    for key in (_whole, _without_zeros, _folded):
        theirs = pl.DataFrame({"known": known, "key": key(known)}).drop_nulls()
        telling = key is not _whole and theirs["key"].is_duplicated().any()
        theirs = theirs.filter(~pl.col("key").is_duplicated())
        pairs = pl.DataFrame({"id": other, "key": key(other)}).drop_nulls().join(theirs, on="key")
        if pairs.height and not (telling and pairs.height < len(other) / 2):
            ids = ids.replace(pairs["id"], pairs["known"])
            other = other.filter(~other.is_in(pairs["id"].implode()))
    return ids


def _whole(ids: pl.Series) -> pl.Series:
    bare = ids.str.replace(r"\.0+$", "")
    return bare.set(~ids.str.contains(r"^-?\d+(\.0+)?$"), None)


def _folded(ids: pl.Series) -> pl.Series:
    coded = ids.str.contains(r"%[0-9A-Fa-f]{2}").fill_null(False).arg_true()
    if len(coded):  # as addresses write letters
        ids = ids.clone().scatter(coded, [unquote(text) for text in ids.gather(coded)])
    bare = values.seen(unescaped(ids).str.normalize("NFKC"))
    return bare.str.strip_prefix("'").str.strip_chars(" {}").str.to_lowercase()


def alike(ids: pl.Series) -> str:
    """What to say of ids that differ from another's in case or Unicode form alone; "" where none do."""
    distinct = ids.drop_nulls().unique(maintain_order=True)
    pairs = pl.DataFrame({"id": distinct, "key": distinct.str.normalize("NFC").str.to_lowercase()})
    doubled = pairs.filter(pl.col("key").is_duplicated())
    if doubled.is_empty():
        return ""
    first = doubled.filter(key=doubled["key"][0])["id"].to_list()
    return (
        f"people whose ids differ in case or Unicode form alone ({doubled['key'].n_unique():,}, such as"
        f" {' and '.join(map(repr, first[:2]))}) are different people here; write them alike if they are one"
    )


def _without_zeros(ids: pl.Series) -> pl.Series:
    return ids.str.replace(r"^0+(\d)", "$1").set(~ids.str.contains(r"^\d+$"), None)


def likely_people(source: Source) -> str | None:
    """A column called as people's are (`playlist_id`) that holds many of them, ids before names, or None."""
    fit = []
    for name in filter(_called_as_people, source.table.column_names):
        ids = ids_of(source, name, _HEAD)
        several = ids.n_unique() > max(2, len(ids) / 50)
        # what each row has once is no person
        if several and ("email" not in squeezed(name) or ids.n_unique() < len(ids)):
            fit.append(name)
    # a pid is a playlist or a product: the last choice
    return min(
        fit, key=lambda name: (squeezed(name) == "pid", not squeezed(name).endswith("id")), default=None
    )


def _called_as_people(column: str) -> bool:
    ends = tuple(word + end for word in PEOPLE for end in _PEOPLE_ENDS)
    return squeezed(column).endswith(ends) or squeezed(column) == "pid"


def gone(items: pl.Series, known: pl.Series) -> list[str]:
    """What to say of a log where many `items` are not `known`, as where they expire."""
    lost = items.filter(~items.is_in(known.implode()))
    if len(lost) < len(items) / 20:
        return []
    return [
        f"{len(lost):,} of {len(items):,} events are with {lost.n_unique():,} items that the catalogue has"
        " not, which is usual where items expire: to learn from them, too, give the items as a file of all"
        " items, also of those that ended; where the items alone have changed, give --items alone, which"
        " keeps the events in use that are with the items of that file"
    ]


def likely_items(source: Source, known: pl.Series | None) -> tuple[str, float] | None:
    """The column that at least half holds ids of the catalogue, and that share: of several the one with most
    different items; none where two are nearly alike, or of people. Of a catalogue itself (`known` is None)
    the first whose name ends as those of ids do, each cell once.
    """
    for column in source.table.column_names if known is None else ():
        ids = ids_of(source, column)
        unique = len(ids) and not ids.null_count() and ids.n_unique() == len(ids)
        if unique and squeezed(column).endswith(ID_ENDS):
            return column, 1.0
    if known is None:
        return None
    shares, distinct = dict[str, float](), dict[str, int]()
    for column in source.table.column_names:
        ids = ids_of(source, column, _HEAD)
        if ids.null_count() > len(ids) / 2:
            continue
        ids = matched(ids, known)
        ids = ids.set(~ids.is_in(known.implode()), None)
        people = any(squeezed(column).startswith(word) for word in (*PEOPLE, "uid"))
        if len(ids) and len(ids) - ids.null_count() >= len(ids) / 2 and not people:
            shares[column] = 1 - ids.null_count() / len(ids)
            distinct[column] = ids.drop_nulls().n_unique()
    ranked = sorted(distinct, key=lambda column: -distinct[column])
    if not ranked or (len(ranked) > 1 and distinct[ranked[1]] > distinct[ranked[0]] / 2):
        return None
    return ranked[0], shares[ranked[0]]


def nameless_matrix(source: Source) -> bool:
    """Whether a table without a header is a matrix of numbers, as of people by items."""
    return not source.about.get("header", True) and numeric(source, source.table.column_names)


def numeric(source: Source, names: Sequence[str]) -> bool:
    """Whether these are many columns, and (nearly) all hold numbers."""
    numbers = [ids_of(source, name, 100).drop_nulls().cast(pl.Float64, strict=False) for name in names]
    return len(names) >= _WIDE and sum(not cells.null_count() for cells in numbers) > 0.9 * len(names)


def garbled(source: Source) -> str:
    """What to say of names of columns whose encoding was guessed; "" where it was not, or does not matter."""
    guess = source.about.get("encoding")
    if guess not in ("cp1252", "latin-1") or all(name.isascii() for name in source.table.column_names):
        return ""
    return f"; it is not UTF-8, and was read as {guess}: if letters look wrong, give --encoding (gb18030 ...)"


def shape(source: Source, part: str) -> str:
    """What to say of a table without a column for a `part` that is needed, by how it is laid out."""
    if letters := garbled(source):
        return letters
    names = source.table.column_names
    if nameless_matrix(source):
        return (
            "; it looks like a matrix that names neither people nor items: put the ids of the items in its"
            " first line, and people in its first column"
        )
    numbered = names == [str(place) for place in range(1, len(names) + 1)]
    if len(names) < _FEW and headless(names) and not numbered:
        return headless(names)
    if len(names) == 1 and any(mark in names[0] for mark in ",;\t|"):
        return "; each of its lines is one quoted cell: write it again without quotes around whole lines"
    if part != "user_id" or headless(names):
        return headless(names)
    baskets = [name for name in names if squeezed(name).startswith(BASKETS) and _repeats(source, name)]
    together = (
        f"; --column user_id={baskets[0]} takes what was had together as one person's" if baskets else ""
    )
    called = [name for name in names if _called_as_people(name) and _repeats(source, name)]
    who = f"; --column 'user_id={called[0]}' takes each of its names as a person" if called else ""
    return f"{who}{together}; where all rows are of one person, --column user_id="


def _repeats(source: Source, column: str) -> bool:
    """Whether cells of a column stand in several rows."""
    ids = ids_of(source, column, _HEAD).drop_nulls()
    return 1 < ids.n_unique() < len(ids)


def flags(columns: Mapping[str, pl.Series]) -> tuple[dict[str, str | None], pl.Series, list[str]] | None:
    """The columns that answer with yes or no to a kind of event (`is_click`, `liked`) and the kind that each
    stands for, the kind of each row, and columns of such a name that hold other words; None without any.

    A row is of the kind that says most about taste and is answered with yes; a refusal says more than a wish.
    A no to whether one recommends it, or voted it up, is a dislike. Without a yes it is a view, or an event
    of no kind where only a refusal could be said: the item was had.
    """
    kinds, other = dict[str, str | None](), list[str]()
    for column, cells in columns.items():
        name = squeezed(column)
        words = set(cells.drop_nulls().str.to_lowercase().unique().to_list())
        bare = next(
            (name.removeprefix(start) for start in ("is", "has", "was") if name.startswith(start)), name
        )
        kind = kind_named(bare) or kind_named(name)
        if (kind is None and name not in _ANSWERS) or (kind and kind.name in ("view", "rating", "undo")):
            continue
        if words and words <= {*YES, *NO}:
            kinds[column] = None if kind is None else kind.name
        elif words & {*YES} and words & {*NO}:
            other.append(column)
    if not kinds and not other:
        return None
    wanted = any(kind is None or KINDS[kind].sign > 0 for kind in kinds.values())
    first = next(iter(columns.values()))
    result = pl.Series(["view" if wanted and kinds else None] * len(first), dtype=pl.String)
    for column in sorted(kinds, key=lambda name: _telling(kinds[name])):
        answers = columns[column].str.to_lowercase()
        yes = answers.is_in(list(YES)).fill_null(False)
        if kinds[column] == "like" and squeezed(column).endswith(_ASKED):
            result = result.set(answers.is_in(list(NO)).fill_null(False), "dislike")
        result = result.set(yes, kinds[column])
    return kinds, result, other


def _telling(kind: str | None) -> tuple[bool, float]:
    """How much an event of a kind says about taste."""
    return (False, 0.0) if kind is None else (KINDS[kind].sign < 0, KINDS[kind].weight + KINDS[kind].explicit)


def taken_back(columns: Mapping[str, pl.Series]) -> tuple[str, pl.Series] | None:
    """The column of states of orders (`status`, `Financial Status`) in which some were refunded or never came
    about, and which of its cells say so; None without one.
    """
    for column, cells in columns.items():
        if not squeezed(column).endswith(("status", "state")):
            continue
        undone = cells.str.contains(_UNDONE).fill_null(False)
        if undone.any() and len(cells.unique()) <= _WIDE:
            return column, undone
    return None


def stand_in(numbers: pl.Series) -> float | None:
    """The one number that stands for "none" among others: the largest or the least, common, and farther from
    all others than twice the range of these (Jester's 99 on a scale of -10 to 10).
    """
    values = numbers.drop_nulls().to_numpy()
    for end in (values.max(initial=-np.inf), values.min(initial=np.inf)):
        rest = values[values != end]
        spread = np.ptp(rest) if len(rest) else 0.0
        common = len(values) - len(rest) > max(_FEW, 0.05 * len(values))
        usual = abs(end) <= 10 or end == 100  # the ends of scales
        if spread and common and not usual and min(abs(rest - end)) > 2 * spread:
            return float(end)
    return None


def share_known(ids: pl.Series, known: pl.Series) -> float:
    """The share of ids that are `known`, perhaps written otherwise."""
    return share(matched(ids, known).is_in(known.implode()))


def crowd(people: pl.Series) -> list[str]:
    """What to say of a user id (E,) with so many more events than any other that it may stand for guests."""
    counts = people.value_counts(sort=True).head(2)
    if counts.height < 2:
        return []
    name, (most, next_most) = counts["user_id"][0], counts["count"].to_list()
    if people.n_unique() < 10 or most < max(20, 0.01 * len(people), _CROWD * next_most):
        return []
    return [
        f"'{name}' has {most:,} of {len(people):,} events, {most / next_most:.0f} times as many as anybody"
        " else: if that stands for guests or a test, leave its rows out, for it is learnt from as one person"
    ]


def as_name(column: pa.ChunkedArray, name: str) -> tuple[pl.Series, pl.Series]:
    """Text that names somebody, and which cells are numbers, as of volumes ("Band" in German), instead."""
    text = values.as_text(column, name)
    numbers = text.str.contains(r"^[\d.,]+$").fill_null(False)
    return text.set(numbers, None), numbers
