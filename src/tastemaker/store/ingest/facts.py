"""Facts from the columns of an items table that play no other part: a colour, a price, a size, flags of
genres.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.types as pt

import tastemaker.schema.values as values
from tastemaker.errors import InputError
from tastemaker.store.ingest.rows import Rows
from tastemaker.store.ingest.words import as_words

LOOKED_AT, MOST = 64, 16  # columns that are tried, in the order of the file, and that are taken
VALUES, LONGEST = 200, 40  # distinct values of a word column, and letters of one
EXACT = 10_000  # distinct numbers up to which each is kept as it is
MOSTLY = 0.95  # share of cells that are numbers, from which a column is one of numbers
SEVERAL = 0.2  # share of cells that are lists, from which a column is one of lists
FEWEST = 0.05  # share of items that a fact must be known of
# Names of columns that say nothing about an item, whatever they hold.
_NO_FACT = re.compile(
    r"(?:^|_)(?:id|ids|uid|uuid|guid|asin|isbn\d*|ean|upc|gtin|sku|url|uri|link|links|href|path|file|filename|image|images"
    r"|img|thumbnail|photo|picture|hash|slug|index|row|row_?num(?:ber)?|key|version|updated|modified|updated_at|unnamed"
    r"|lat|latitude|lon|lng|longitude|zip|phone|email)(?:_\d+)?$"
)
_AMOUNT = re.compile(
    r"^(?:us)?[$€£¥]? ?(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d+(?:[.,]\d+)?) ?(?:[$€£¥]|usd|eur|gbp)?$", re.I
)
_MEASURE = re.compile(r"^(-?\d+(?:[.,]\d+)?) ?([a-z°µ]{1,10}|%)\.?$", re.I)
_TRUE, _FALSE = frozenset(("1", "true", "yes", "y", "t")), frozenset(("0", "false", "no", "n", "f"))


def attributes_of(rows: Rows, unused: list[str]) -> tuple[pl.Series, dict[str, str]]:
    """The attributes of items with the facts of the columns that nothing else took (`unused`), where no
    column of attributes was named; and those columns.
    """
    own, given = rows.words("attributes"), rows.settings.column("items", "attributes")
    facts, added = facts_of(rows, unused if given is None else [])
    if not facts:
        return own, {}
    both = (
        pl.DataFrame({"own": own.fill_null([]), "added": added})
        .select(pl.concat_list("own", "added"))
        .to_series()
    )
    return both.set(both.list.len() == 0, None), facts


def facts_of(rows: Rows, columns: list[str]) -> tuple[dict[str, str], pl.Series]:
    """column -> kind ("number", "word", "words", "flag") of the `columns` that tell something about items,
    and the attributes (n,) that they add: `color=red`, `price=49.9`, or a flag's own name where it holds.

    A word column repeats its values; a number column is no numbering; what is known of few, urls, ids and
    prose are no facts.
    """
    kinds, added = dict[str, str](), list[pl.Series]()
    for column in columns[:LOOKED_AT]:
        name = fact_name(column)
        if len(kinds) == MOST or not name or _NO_FACT.search(name):
            continue
        read = _read(rows, column, name)
        if read is not None:
            kinds[column] = read[0]
            added.append(read[1])
    if not added:
        return {}, pl.Series([None] * rows.n, dtype=pl.List(pl.String))
    joined = pl.DataFrame({str(place): each for place, each in enumerate(added)}).select(
        pl.concat_list([pl.col(str(place)).fill_null([]) for place in range(len(added))])
    )
    return kinds, joined.to_series()


def fact_name(column: str) -> str:
    """What a fact of a column is called: "Cover Colour" is cover_colour; empty for a name without letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip())
    name = re.sub(r"[^\w]+", "_", spaced).strip("_").casefold()
    return name if re.search(r"[^\W\d_]", name) and len(name) <= LONGEST else ""


def _read(rows: Rows, column: str, name: str) -> tuple[str, pl.Series] | None:
    cells = rows.source.table[column]
    if pt.is_nested(cells.type) and not (pt.is_list(cells.type) or pt.is_large_list(cells.type)):
        return None
    if pt.is_list(cells.type) or pt.is_large_list(cells.type):
        return _words(cells, column, name)
    try:
        text = values.as_text(cells, column)
    except InputError:
        return None
    text = text.set(text.is_in(list(values.NULL_WORDS)), None)
    known = text.drop_nulls()
    counts = dict(known.value_counts().iter_rows())
    said = {str(cell).lower() for cell in counts}
    if len(said) < 2 or len(known) < FEWEST * rows.n:
        return None
    if said <= _TRUE | _FALSE:
        return "flag", _listed(
            text, {cell: name.replace("_", " ") for cell in counts if cell.lower() in _TRUE}
        )
    unit, bare = _unit(counts, len(known))
    name = f"{name}_{unit}" if unit and not name.endswith(unit) else name
    if amounts := _amounts(bare, counts, len(known)):
        spread = max(amounts.values()) - min(amounts.values())
        numbering = len(counts) == len(known) and spread < 2 * len(known)
        if numbering and all(value.is_integer() for value in amounts.values()):
            return None
        # Each distinct value is a filter with rows of its own: of very many, three digits tell enough.
        digits = ".10g" if len(amounts) <= EXACT else ".3g"
        return "number", _listed(
            text, {cell: f"{name}={amounts[said]:{digits}}" for cell, said in bare.items() if said in amounts}
        )
    if any(cell.startswith("{") for cell in counts):
        return None  # an object of JSON
    for form in (r"[|;]|^\[.*\]$", r"\w, \w"):
        if sum(n for cell, n in counts.items() if re.search(form, cell)) >= SEVERAL * len(known):
            return _words(
                cells if form[0] == "[" else text.str.replace_all(", ", "|").to_arrow(), column, name
            )
    if not _repeats(counts):
        return None
    return "word", _listed(text, {cell: f"{name}={cell}" for cell in counts})


def _unit(counts: Mapping[str, int], n: int) -> tuple[str, dict[str, str]]:
    """The unit that all but a few of the n cells carry ("20 min", "1.5 kg"), empty where there is none; and
    each distinct cell without it.
    """
    hits = {cell: hit for cell in counts if (hit := _MEASURE.match(cell))}
    units = {hit[2].lower().removesuffix("s") for hit in hits.values()}
    if len(units) != 1 or sum(counts[cell] for cell in hits) < MOSTLY * n:
        return "", {cell: cell for cell in counts}
    return {"%": "percent"}.get(min(units), min(units)), {cell: hit[1] for cell, hit in hits.items()}


def _amounts(bare: Mapping[str, str], counts: Mapping[str, int], n: int) -> dict[str, float]:
    """What is said -> number, where all but a few of the n cells are numbers or sums of money; else
    nothing.
    """
    hits = {cell: hit[1] for cell, said in bare.items() if (hit := _AMOUNT.match(said))}
    if sum(counts[cell] for cell in hits) < MOSTLY * n:
        return {}
    return {
        bare[cell]: float(said.replace(",", "") if re.search(r",\d{3}", said) else said.replace(",", "."))
        for cell, said in hits.items()
    }


def _words(cells: pa.ChunkedArray | pa.Array, column: str, name: str) -> tuple[str, pl.Series] | None:
    """Of lists of words."""
    try:
        words, _ = as_words(pa.chunked_array([cells]) if isinstance(cells, pa.Array) else cells, column)
    except InputError:
        return None
    counts = dict(words.explode().drop_nulls().value_counts().iter_rows())
    if words.is_not_null().sum() < FEWEST * len(words) or not _repeats(counts):
        return None
    return "words", words.list.eval(pl.format(f"{name}={{}}", pl.element()))


def _repeats(counts: Mapping[str, int]) -> bool:
    """Whether these are a few values that many items share."""
    short = max(map(len, counts), default=0) <= LONGEST
    return short and 2 <= len(counts) <= min(VALUES, sum(counts.values()) / 2)


def _listed(text: pl.Series, written: Mapping[str, str]) -> pl.Series:
    """Each cell as a list of what is written for it; null where nothing is."""
    facts = text.replace_strict(written, default=None, return_dtype=pl.String)
    return (
        pl.DataFrame({"fact": facts})
        .select(pl.when(pl.col("fact").is_not_null()).then(pl.concat_list("fact")))
        .to_series()
    )
