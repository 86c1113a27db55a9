"""Facts from columns of an items table that play no other part: a colour, a price, flags of genres."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.types as pt

import tastemaker.schema.moments as moments
import tastemaker.schema.values as values
from tastemaker.errors import InputError
from tastemaker.store.ingest.columns import NO, YES
from tastemaker.store.ingest.rows import Rows
from tastemaker.store.ingest.words import as_words

LOOKED_AT, MOST = 256, 24  # columns that are tried, in the order of the file; those taken that are no flags
SAMPLE = 2_000  # rows from which it is told that a column is prose
VALUES, LONGEST = 200, 40  # distinct values of a word column, and letters of one
EXACT = 10_000  # distinct numbers up to which each is kept as it is
MOSTLY = 0.95  # share of cells that are numbers, from which a column is one of numbers
SEVERAL = 0.2  # share of cells that are lists, from which a column is one of lists
FEWEST = 0.05  # share of items that a fact must be known of; of cells that must not name a person or a page
NUMBERING = 20, 1.2  # numbers that all differ, and the span they fill, an item, from which they count rows
# Names of columns that say nothing about an item, whatever they hold.
_NO_FACT = re.compile(
    r"(?:^|_)(?:id|ids|uri|uid|uuid|guid|asin|isbn\d*|ean|upc|gtin|sku|hash|slug|index|row|row_?num(?:ber)?"
    r"|updated|modified|updated_at|unnamed|lat|latitude|lon|lng|longitude"
    r"|(?:api|auth|access|public|private|primary|foreign|licen[cs]e)_?key)(?:_\d+)?$"
)
# Names of what tells of people, machines and accounts, or must stay secret.
_PRIVATE = re.compile(
    r"passw|passphrase|passport|email|address|website|web_?page|web_?site|home_?page|barcode|telephone"
    r"|phone_?n|token(?:_|$)"
    r"|(?:^|_)(?:pass|pwd|secrets?|ssn|iban|bic|swift|cvv|cvc|dob|birthday|birthdate|credentials?|imei"
    r"|card_?(?:number|num|no))(?:_|\d*$)"
    # phone_model
    r"|(?:^|_)(?:pin|(?:cell|mobile)?phones?|mobile|tel|fax|mails?|ip|ipv[46]|birth|street|cookie|session)"
    r"(?:_(?:number|num|nr|no|addr|id|ids|key|code|date|day|place|name|home|work|private|office|line|data|hash|\d+))*\d*$"
    r"|(?:^|_)(?:card|owner|user|user_?name|login|account|customer|buyer|contact)(?:_?(?:name|no|number))?$"
)
_PLACE = re.compile(
    r"(?:^|_)(?:url|uri|links?|href|path|file|filename|images?|img|thumbnail|photo|picture)(?:_\d+)?$"
)
_CODE = re.compile(r"(?:^|_)(?:zip|zipcode|plz|postcode|postal|code)(?:_|$)")
_QUANTITY = re.compile(
    r"price|cost|amount|budget|revenue|gross|sales|income|page|bpm|tempo|year|duration|length|runtime|minute"
    r"|second|hour|weight|height|width|depth|size|rating|score|calorie|kcal|gram|views|plays|votes|likes|count"
    r"|population|number_of|num_|quantity|age|area|distance|power|capacity"
)
# Cells that name a page, a file, a person, a machine or an account.
_LEAK = "(?i)" + "|".join(
    (
        r"https?://|\bwww\.|\w@\w|^eyJ|^(?:sk|pk|tok|ghp|sess)[_-]\w{6}",
        r"\.(?:jpe?g|png|gif|webp|svg|mp[34]|pdf|html?)$",
        r"^[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]+)?$|^[0-9a-f:]*::[0-9a-f:.]*$",
        r"^(?:[0-9a-f]{1,4}:){5,7}[0-9a-f]{1,4}$|^(?:[0-9a-f]{2}-){5}[0-9a-f]{2}$",
        r"^\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?$|^(?:0x)?[0-9a-f]{16,}$",
        r"^[a-z]{2}[0-9]{2} ?(?:[a-z0-9]{4} ?){2,7}[a-z0-9]{1,4}$|^(?:[0-9]{4}[ -]){3}[0-9]{4}$",
        r"^[0-9]{3}-[0-9]{2}-[0-9]{4}$|^\+[0-9][0-9 ().\-/]{6,}(?: ?(?:x|ext\.?) ?[0-9]+)?$",
        r"^(?:1[ .\-])?\(?[0-9]{3}\)?[ .\-]*[0-9]{3}[ .\-][0-9]{4}(?: ?(?:x|ext\.?) ?[0-9]+)?$",
        r"^\(?0[0-9]{2,4}\)?[ /\-][0-9 \-]{5,}$|^[0-9]{3}-[0-9]{4}$",
    )
)
_NAMED = r"^\{.*[\"'](?:name|title|label)[\"']\s*:"  # a record by its name
_FILE = r"[/\\]|\.[A-Za-z]\w{1,4}$"
_MONEY = r"(?:[$€£¥₹₽₩₺₫₴]|us\$|usd|eur|euros?|gbp|jpy|chf|inr|cad|aud|sek|nok|dkk|pln|kr\.?|zł|rs\.?)"
_AMOUNT = (  # 1,234.50 as well as 1.234,50 and 1 234,50
    rf"(?i)^{_MONEY}?\s?(-?(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}})+(?:,\d+)?"
    rf"|\d{{1,3}}(?:[\s'’]\d{{3}})+(?:[.,]\d+)?"
    rf"|\d+(?:[.,]\d+)?))\s?{_MONEY}?$"
)
_MEASURE = r"(?i)^(-?\d+(?:[.,]\d+)?) ?([a-zµ°]{1,10}|%)\.?$"
_BARS, _COMMAS = r"[|;]|^\[.*\]$", r"[^\W\d],\s*\w|\w,\s+\w"
_DATE = (  # days, and their year: 2020-01-31, 31/1/2020, 31 Jan 2020, Jan 31, 2020
    r"(?i)^(?:(\d{4})[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ].*)?|\d{1,2}[-/. ](?:\d{1,2}|[a-z]{3,9})\.?[-/.,"
    r" ]+(\d{4})"
    r"|[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? (\d{4})|\d{1,2}[-/.]\d{1,2}[-/.]\d{2})$"
)
_UNKNOWN = frozenset(("-", "--", "–", "—", "?", "unknown", "unspecified", "not specified", "tba", "tbd"))
_TRUE, _FALSE = frozenset(YES), frozenset(NO)


@dataclass(frozen=True)
class _Fact:
    """kind: "number", "word", "words", "date" or "flag"; name: what it is called; cells (n,): lists of
    attributes.
    """

    kind: str
    name: str
    cells: pl.Series


def attributes_of(rows: Rows, unused: list[str]) -> tuple[pl.Series, dict[str, str]]:
    """The attributes of items with the facts of `unused` columns where none was named; and those columns."""
    attributes, given = rows.words("attributes"), rows.settings.column("items", "attributes")
    attributes = attributes if given is not None else _unleaked(rows, attributes)
    facts, added = facts_of(rows, unused if given is None else [])
    if not facts:
        return attributes, {}
    both = (
        pl.DataFrame({"own": attributes.fill_null([]), "added": added})
        .select(pl.concat_list("own", "added"))
        .to_series()
    )
    return both.set(both.list.len() == 0, None), facts


def _unleaked(rows: Rows, attributes: pl.Series) -> pl.Series:
    """Attributes of a column nobody named, without words that name a page, file or person; none if many."""
    frame = pl.DataFrame({"row": np.arange(len(attributes)), "word": attributes}).explode("word")
    leaks = frame["word"].str.contains(_LEAK).fill_null(False)
    if not leaks.any():
        return attributes
    column, many = rows.names["attributes"], int(leaks.sum()) > FEWEST * frame["word"].count()
    what = (
        "names pages, files, people or machines, and was not taken as attributes"
        if many
        else (
            f"has {int(leaks.sum()):,} words that name pages, files, people or machines, which were left out"
        )
    )
    rows.notes.append(f"column '{column}' {what}; --column attributes={column} takes it as it is")
    if many:
        return pl.Series([None] * len(attributes), dtype=attributes.dtype)
    groups = frame.with_columns(word=frame["word"].set(leaks, None)).group_by("row", maintain_order=True)
    words = groups.agg(pl.col("word").drop_nulls())["word"]
    return words.set(words.list.len() == 0, None)


def without_people(items: pa.Table, people: pa.ChunkedArray) -> tuple[pa.Table, list[str]]:
    """Items without the facts that are ids of people of the events, and the names of these facts."""
    cells = values.series_of(items["attributes"], "attributes")
    frame = pl.DataFrame({"row": np.arange(len(cells)), "word": cells}).explode("word")
    frame = frame.with_columns(
        name=pl.col("word").str.extract(r"^([^=]+)=."), value=pl.col("word").str.extract("=(.*)$")
    )
    distinct = frame.select("name", "value").drop_nulls().unique()
    known = distinct.filter(pl.col("value").cast(pl.Float64, strict=False).is_null()).with_columns(
        person=pl.col("value").is_in(values.series_of(people, "user_id").unique().implode())
    )
    shares = known.group_by("name").agg(pl.col("person").mean())
    names = sorted(shares.filter(pl.col("person") >= MOSTLY)["name"])
    if not names:
        return items, []
    left = frame.with_columns(word=pl.when(~pl.col("name").fill_null("").is_in(names)).then("word"))
    words = left.group_by("row", maintain_order=True).agg(pl.col("word").drop_nulls())["word"]
    words = words.set(words.list.len() == 0, None)
    place = items.column_names.index("attributes")
    column = words.to_arrow().cast(items.schema.field("attributes").type)
    return items.set_column(place, items.schema.field("attributes"), column), names


def facts_of(rows: Rows, columns: list[str]) -> tuple[dict[str, str], pl.Series]:
    """column -> kind ("number", "word", "words", "date", "flag") of the `columns` that tell something about
    items, and the attributes (n,) that they add: `color=red`, `price=49.9`, or a flag's own name where it
    holds.

    A word column repeats its values; a number column is no numbering; what is known of few, urls, ids, codes,
    prose, and what tells of people or must stay secret are no facts. What is left out for its number or as
    another column has its name is told in `rows.notes`.
    """
    taken, over = dict[str, _Fact](), list[str]()
    for column in columns[:LOOKED_AT]:
        name = fact_name(column)
        if not name or _NO_FACT.search(name) or _PRIVATE.search(name):
            continue
        fact = _read(rows.source.table[column], column, name)
        if fact is None:
            continue
        first = next((other for other, known in taken.items() if known.name == fact.name), None)
        if first is not None:
            rows.notes.append(f"column '{column}' was not taken as a fact: '{first}' has the same name")
        elif fact.kind != "flag" and sum(known.kind != "flag" for known in taken.values()) == MOST:
            over.append(column)
        else:
            taken[column] = fact
            if fact.kind == "number" and len(currencies := _currencies(rows.source.table[column])) > 1:
                rows.notes.append(
                    f"'{column}' holds sums in several currencies ({', '.join(currencies)}): their numbers"
                    " were kept as they stand; convert them, or who asks for less than 20 gets them mixed"
                )
    if over:
        names = ", ".join(f"'{column}'" for column in over[:12]) + (", ..." if len(over) > 12 else "")
        rows.notes.append(f"{len(over)} more columns could be facts, but {MOST} are taken: {names} left out")
    if len(columns) > LOOKED_AT:
        rows.notes.append(
            f"facts were looked for in the first {LOOKED_AT} of {len(columns)} columns without a part"
        )
    kinds = {column: fact.kind for column, fact in taken.items()}
    if not taken:
        return kinds, pl.Series([None] * rows.n, dtype=pl.List(pl.String))
    frame = pl.DataFrame({str(place): fact.cells for place, fact in enumerate(taken.values())})
    return kinds, frame.select(pl.concat_list(pl.all().fill_null([]))).to_series()


def _currencies(cells: pa.ChunkedArray) -> list[str]:
    """The currencies that stand beside the numbers of a column, the commonest first."""
    if not (pt.is_string(cells.type) or pt.is_large_string(cells.type)):
        return []
    signs = pl.Series(pl.from_arrow(cells)).str.extract(f"(?i)({_MONEY})").str.to_lowercase()
    same = {"eur": "€", "euro": "€", "euros": "€", "us$": "$", "usd": "$", "gbp": "£", "kr.": "kr"}
    counts = signs.replace(same).drop_nulls().value_counts(sort=True)
    return [str(name) for name in counts[counts.columns[0]]]


def fact_name(column: str) -> str:
    """What a fact of a column is called: "Cover Colour" is cover_colour; empty for a name without letters."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.strip())
    name = re.sub(r"[^\w]+", "_", spaced).strip("_").casefold()
    return name if re.search(r"[^\W\d_]", name) and len(name) <= LONGEST else ""


def _read(cells: pa.ChunkedArray, column: str, name: str) -> _Fact | None:
    if pt.is_list(cells.type) or pt.is_large_list(cells.type):
        return _words(cells, column, name)
    if pt.is_nested(cells.type):
        return None
    try:
        if _hopeless(_text(cells.slice(0, SAMPLE), column), name):
            return None
        text = _text(cells, column)
    except InputError:
        return None
    known = text.drop_nulls()
    if len(known) and known.str.contains(_NAMED).all():  # {"id": 3, "name": "Bikes"}
        return _words(cells, column, name)
    if known.is_empty() or len(known) < FEWEST * len(text) or _hopeless(known.head(SAMPLE), name):
        return None
    lower = set(known.unique().str.to_lowercase()) if known.n_unique() <= 2 * len(_TRUE | _FALSE) else set()
    if lower & _TRUE and lower <= _TRUE | _FALSE and (lower & _FALSE or len(known) < len(text)):
        labels = [name.replace("_", " ")] * len(_TRUE)
        return _Fact("flag", name, _listed(text.str.to_lowercase(), sorted(_TRUE), labels))
    if known.n_unique() < 2 or known.str.starts_with("{").any() or _codes(known, name):  # {: objects of JSON
        return None
    if int(known.str.contains(_DATE).sum()) >= MOSTLY * len(known):
        return _dated(cells, text, column, re.sub(r"_?(?:date|day|at|on)$", "", name) or name)
    leading = known.str.contains(r"^-?0\d+$").any() or _CODE.search(name)
    unit, numbers = ("", None) if leading else _measured(text)
    if numbers is not None:
        return _number(numbers, f"{name}_{unit}" if unit and not name.endswith(unit) else name)
    parted = _parted(text)
    if parted is not None:
        return _words(parted.to_arrow(), column, name)
    words = _spelled(text, name)
    if words is None:
        return None
    facts = words.drop_nulls().unique()
    return _Fact("word", name, _listed(words, facts.to_list(), (f"{name}=" + facts).to_list()))


def _dated(cells: pa.ChunkedArray, text: pl.Series, column: str, name: str) -> _Fact | None:
    """Of days: each as 2024-03-05, and its year where that tells items apart."""
    years = pl.DataFrame(text.str.extract_groups(_DATE)).unnest(text.name).select(pl.coalesce(pl.all()))
    year = _number(years.to_series().cast(pl.Float64, strict=False), f"{name}_year")
    days = text.str.extract(r"^(\d{4}-\d\d-\d\d)")  # as it is written there, whatever the time zone
    if days.null_count() > text.null_count():
        try:
            days = moments.read(cells, column).moments.dt.strftime("%Y-%m-%d")
        except InputError:
            return year
    distinct = days.drop_nulls().unique()
    if len(distinct) < 2:
        return year
    each = _listed(days, distinct.to_list(), (f"{name}=" + distinct).to_list())
    if year is None:
        return _Fact("date", name, each)
    both = pl.DataFrame({"year": year.cells, "day": each}).select(pl.concat_list(pl.all().fill_null([])))
    return _Fact("date", name, both.to_series())


def _text(cells: pa.ChunkedArray, column: str) -> pl.Series:
    """Text; words that stand for nothing are null."""
    text = values.as_text(cells, column)
    nothing = text.is_in(list(values.NULL_WORDS)) | text.str.to_lowercase().is_in(list(_UNKNOWN))
    return text.set(nothing.fill_null(False), None)


def _hopeless(sample: pl.Series, name: str) -> bool:
    """Whether the first cells of a column tell that it is prose, has too many values, or leaks."""
    known = sample.drop_nulls()
    if known.is_empty():
        return False
    if known.str.contains(_LEAK).sum() > FEWEST * len(known):
        return True
    numbers = known.str.contains(_AMOUNT) | known.str.contains(_MEASURE) | known.str.contains(_DATE)
    if int((numbers | known.cast(pl.Float64, strict=False).is_not_null()).sum()) > len(known) / 2:
        return False
    parted = _parted(known)
    if parted is not None:
        known = as_words(pa.chunked_array([parted.to_arrow()]), name)[0].explode().drop_nulls()
    return not _short(known)


def _codes(known: pl.Series, name: str) -> bool:
    """Whether these are numbers of eight digits and more, all alike in length, that count nothing."""
    long = known.str.len_chars().filter(known.str.contains(r"^\+?\d{8,}$"))
    return long.n_unique() == 1 and len(long) >= MOSTLY * len(known) and not _QUANTITY.search(name)


def _measured(text: pl.Series) -> tuple[str, pl.Series | None]:
    """The unit that all but a few of the cells carry ("20 min", "1.5 kg"), empty where there is none, and the
    numbers; no numbers where more than a few cells are neither numbers nor sums of money.
    """
    enough = MOSTLY * (len(text) - text.null_count())
    numbers = text.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite(), None)
    if numbers.count() >= enough:
        unit = ""
    else:
        parts = text.str.extract_groups(_MEASURE).struct.unnest()
        units = parts["2"].str.to_lowercase().str.replace(r"(..)s$", "${1}").drop_nulls()
        unit = units[0] if len(units) >= enough and units.n_unique() == 1 else ""
        amounts = parts["1"] if unit else text.str.extract(_AMOUNT).str.replace_all(r"[\s'’]", "")
        dotted = amounts.str.contains(r"\.\d{3}(?:[.,]|$)").fill_null(False)  # 1.234,50: thousands apart
        if dotted.any() and not amounts.str.contains(r"\.\d{1,2}$").any():
            amounts = amounts.str.replace_all(".", "", literal=True)
            numbers = numbers.set(dotted, None)
        thousands = amounts.str.contains(r"^-?\d{1,3}(,\d{3})+(\.|$)").fill_null(False)
        amounts = amounts.str.replace_all(",", "").zip_with(thousands, amounts.str.replace(",", "."))
        numbers = numbers.zip_with(numbers.is_not_null(), amounts.cast(pl.Float64, strict=False))
    return {"%": "percent"}.get(unit, unit), numbers if numbers.count() >= enough else None


def _number(numbers: pl.Series, name: str) -> _Fact | None:
    """Of numbers, unless they count the rows or are larger than can be told apart."""
    numbers = numbers.set(numbers.abs() > 2.0**53, None) + 0.0
    known = numbers.drop_nulls()
    distinct = known.unique()
    if len(distinct) < 2 or len(known) < FEWEST * len(numbers):
        return None
    if len(distinct) == len(known) >= NUMBERING[0] and not _QUANTITY.search(name):
        low, high = float(distinct.min()), float(distinct.max())  # type: ignore[arg-type]
        if bool((distinct == distinct.floor()).all()) and high - low + 1 <= NUMBERING[1] * len(known):
            return None
    if len(distinct) > EXACT:  # each is a filter with rows of its own: of very many, three digits tell enough
        numbers = numbers.round_sig_figs(3)
        distinct = numbers.drop_nulls().unique()
    written = [f"{name}={_digits(number)}" for number in distinct.to_list()]
    return _Fact("number", name, _listed(numbers, distinct.to_list(), written))


def _digits(number: float) -> str:
    """A number without an exponent."""
    if number.is_integer():
        return str(int(number))
    return np.format_float_positional(number, precision=15, fractional=False, trim="-")


def _parted(text: pl.Series) -> pl.Series | None:
    """Cells that are lists, parted by bars or as written lists; None where too few cells are lists and their
    parts stand nowhere alone. Commas are of lists only where parts recur alone or at several places of a
    cell: "Portland, Oregon" is one name.
    """
    known = text.drop_nulls()
    for form in (_BARS, _COMMAS):
        several = known.str.contains(form)
        if not several.any():
            continue
        parts = (
            known.filter(several).str.replace_all(r"[|;,]", "|").str.split("|").explode().str.strip_chars()
        )
        alone = parts.is_in(known.filter(~several).unique().implode())
        if 2 * int(alone.sum()) >= len(parts) or (
            several.sum() >= SEVERAL * len(known) and (form == _BARS or _roaming(known))
        ):
            return text if form == _BARS else text.str.replace_all(r",\s*", "|")
    return None


def _roaming(known: pl.Series) -> bool:
    """Whether half of what stands between commas, and recurs, does so at several places of a cell."""
    cells = pl.DataFrame({"part": known.str.split(",")}).with_columns(
        at=pl.int_ranges(pl.col("part").list.len())
    )
    parts = cells.explode("part", "at").with_columns(pl.col("part").str.strip_chars().str.to_lowercase())
    counts = parts.group_by("part").agg(n=pl.len(), places=pl.col("at").n_unique()).filter(pl.col("n") > 1)
    moving = counts.filter(pl.col("places") > 1)["n"].sum()
    return bool(len(counts)) and 2 * moving >= counts["n"].sum()


def _words(cells: pa.ChunkedArray | pa.Array, column: str, name: str) -> _Fact | None:
    """Of lists of words."""
    try:
        words, _ = as_words(pa.chunked_array([cells]) if isinstance(cells, pa.Array) else cells, column)
    except InputError:
        return None
    frame = pl.DataFrame({"row": np.arange(len(words)), "word": words}).explode("word")
    spelled = _spelled(frame["word"], name)
    if words.count() < FEWEST * len(words) or spelled is None:
        return None
    facts = frame.with_columns(word=f"{name}=" + spelled).group_by("row", maintain_order=True)
    return _Fact("words", name, facts.agg(pl.col("word").drop_nulls().unique(maintain_order=True))["word"])


def _spelled(words: pl.Series, name: str) -> pl.Series | None:
    """Words, each in the commonest of the spellings that differ in case alone, without those that name a
    person or a page; None where these are many, or the words are not a few that many items share.
    """
    counts = words.drop_nulls().value_counts(name="n").rename({words.name: "word"})
    leaks = counts["word"].str.contains(_LEAK)
    if _PLACE.search(name):
        leaks |= counts["word"].str.contains(_FILE)
    if int(counts["n"].filter(leaks).sum()) > FEWEST * words.count():
        return None
    counts = counts.filter(~leaks).with_columns(lower=pl.col("word").str.to_lowercase())
    first = pl.col("word").sort_by(["n", "word"], descending=[True, False]).first()
    counts = counts.with_columns(first.over("lower").alias("spelled"))
    n = counts["lower"].n_unique()
    if not _short(counts["word"]) or not 2 <= n <= int(counts["n"].sum()) / 2:
        return None
    return words.replace_strict(counts["word"], counts["spelled"], default=None, return_dtype=pl.String)


def _short(words: pl.Series) -> bool:
    """Whether these are short, and not too many."""
    longest = words.str.len_chars().max() or 0
    return int(longest) <= LONGEST and words.str.to_lowercase().n_unique() <= VALUES  # type: ignore[arg-type]


def _listed(cells: pl.Series, old: list[str] | list[float], new: list[str]) -> pl.Series:
    """Each cell as a list of what is written for it; null where nothing is."""
    facts = cells.replace_strict(old, new, default=None, return_dtype=pl.String)
    return (
        pl.DataFrame({"fact": facts})
        .select(pl.when(pl.col("fact").is_not_null()).then(pl.concat_list("fact")))
        .to_series()
    )
