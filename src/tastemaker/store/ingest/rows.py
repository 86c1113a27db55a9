"""The rows of a table under examination: columns read, rows refused and cells emptied, each with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

import tastemaker.store.ingest.columns as cols
import tastemaker.store.ingest.guesses as guesses
import tastemaker.store.ingest.layout as layout
from tastemaker.errors import InputError
from tastemaker.schema import EventRules, kind_of, moments, values
from tastemaker.store.ingest.report import Report
from tastemaker.store.ingest.words import as_prose, as_words, in_one_language, unescaped
from tastemaker.store.tables import NOT_UTF8, Refusal, Source

_SAMPLE = 20_000  # rows that tell whether a column can be read as a part
_NOBODY = "a word that stands for nothing (such as NULL, \\N, None, nan), not an id; rename it if it is one"

_TOTALS = "(grand |sub)?total|totals|sum|summe|gesamt(summe)?|somme|suma|totale|итого|合计|总计|合計"
_SHORTENED = r"^\d(\.\d+)?[Ee]\+\d\d$"
_NO_TIME = "1970-01-01, or a year from 2100 on, which stand for no time among others; give the time"
_ROUNDED = (
    "a number too large for a column of floats, which rounds it: others look the same; store the ids as"
    " whole numbers or text"
)
_CUT = "a number that a spreadsheet has shortened (9.78E+12): others look the same; export the ids as text"


@dataclass(frozen=True)
class IngestSettings:
    """Longest text and id taken (characters); `strict` makes the first refused row or emptied cell an error.

    columns: part -> column of the file, instead of a guess; "items.title" names the table too. encoding: of
    text files. positive: the kinds that count as wanted, and no others. scale: lowest and highest rating that
    can be given. time_unit: of numbers in the times of events, one of `schema.moments.TIME_UNITS`.
    """

    longest_text: int = 200_000
    longest_id: int = 512
    strict: bool = False
    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    positive: Sequence[str] = ()
    scale: Sequence[float] | None = None
    time_unit: str | None = None

    def __post_init__(self) -> None:
        if self.longest_text < 1 or self.longest_id < 1:
            raise InputError("longest_text and longest_id must be at least 1")
        moments.check_unit(self.time_unit)
        kinds = [self.positive] if isinstance(self.positive, str) else self.positive or ()
        object.__setattr__(self, "positive", tuple(kind_of(kind).name for kind in kinds))
        if self.scale is not None:
            try:
                low, high = map(float, self.scale)
            except (TypeError, ValueError):
                raise InputError(f"scale={self.scale!r}: give the lowest and the highest rating") from None
            object.__setattr__(self, "scale", (low, high))
            EventRules(scale=(low, high))

    def numbers(self, table: str) -> set[str]:
        """Columns named by their place, in a file without a header; those of events unless told otherwise."""
        result = set()
        for part, column in self.columns.items():
            own, _, name = part.rpartition(".")
            own = own or ("interactions" if name in cols.INTERACTION_NAMES else "items")
            if own == table and column.isdigit():
                result.add(column)
        return result

    def column(self, table: str, part: str) -> str | None:
        """The column that the user named for a part of one of the tables."""
        return self.columns.get(f"{table}.{part}", self.columns.get(part))


class Rows:
    """The rows of a source under examination; the first reason to refuse a row is the one that is kept.

    table: "items" or "interactions", as `IngestSettings.columns` names it. known: the ids of the catalogue,
    where there is one.
    """

    def __init__(
        self,
        source: Source,
        table: str,
        names: Mapping[str, tuple[str, ...]],
        needed: tuple[str, ...],
        settings: IngestSettings,
        known: pl.Series | None = None,
    ) -> None:
        self.source, self.table, self.n, self.settings = source, table, source.table.num_rows, settings
        self.notes: list[str] = list(source.notes)
        present = source.table.column_names
        self.candidates = cols.candidates(present, names)
        for part in names:
            given = settings.column(table, part)
            if given == "":
                self.candidates.pop(part, None)
            elif given is not None and given in present:
                self.candidates[part] = [given]
        self._prefer_filled()
        for part in needed:
            if not self.candidates.get(part):
                self._guess(part, known)
        self.names: dict[str, str] = {}
        for part, fit in self.candidates.items():
            free = [column for column in fit if column not in self.names.values()]
            if free:
                self.names[part] = free[0]
        self._add_optional(names)
        self.flags: pl.Series | None = None  # the kinds of rows that columns of yes and no tell
        self.not_given = pl.Series([False] * self.n, dtype=pl.Boolean)  # values that stand for no rating
        self.times: moments.Times | None = None  # of the last column of times that was read
        self.code = np.zeros(self.n, dtype=np.int64)
        self.reasons: list[tuple[str, str]] = [("", "")]
        self.emptied: list[tuple[str, str, npt.NDArray[np.bool_]]] = []
        self.understood: dict[str, Any] = {
            "file": dict(source.about) | {"records": self.n + len(source.unreadable)}
        }
        for name in needed:
            if name not in self.names:
                have = ", ".join(present[:40]) or "no columns"
                accepted = ", ".join((name, *names[name][:4]))
                raise InputError(
                    f"{source.name}: no column for '{name}' (any of {accepted}, ... would do, or say which"
                    f" with --column {name}=COLUMN); the table has {have}"
                    f"{guesses.shape(source, name)}"
                )

    def _guess(self, part: str, known: pl.Series | None) -> None:
        """Take a column of another name for a part that is needed, by what its name or its cells say."""
        people = guesses.likely_people(self.source) if part == "user_id" else None
        items = guesses.likely_items(self.source, known) if part == "item_id" else None
        if people is not None:
            self.candidates[part] = [people]
            self.notes.append(f"no column is called {part} or the like: '{people}' was taken, by its name")
        elif items is not None:
            self.candidates[part] = [items[0]]
            why = (
                "each of its cells stands once" if known is None else f"{items[1]:.0%} of it are ids of items"
            )
            self.notes.append(f"no column is called {part} or the like: '{items[0]}' was taken, as {why}")

    def _add_optional(self, names: Mapping[str, tuple[str, ...]]) -> None:
        """Take columns of other names for optional parts that no column bears the name of."""
        missing = [
            part
            for part in names
            if part not in self.names and self.settings.column(self.table, part) is None
        ]
        if "position" in self.names:
            missing = [part for part in missing if part != "timestamp"]
        if (
            "title" in missing
            and self.names.get("description")
            and layout.titles(self.source, self.names["description"])
        ):
            self.names["title"] = column = self.names.pop("description")
            self.notes.append(f"no column is called title: '{column}' was taken, as its cells are short")
            missing.remove("title")
        columns = layout.optional_parts(self.source, self.table, self.names.values(), missing)
        if self.table == "interactions" and "timestamp" in set(missing) - set(columns):
            self.notes += layout.ambiguous_times(self.source, self.names.values())
        for part, column in columns.items():
            self.names[part] = column
            self.candidates[part] = [column]
            self.notes.append(
                f"no column is called {part} or the like: '{column}' was taken, by its name and what it holds"
                f" (--column {part}= for none)"
            )

    def _prefer_filled(self) -> None:
        """Columns that hold nothing come last for a part; an order of events that holds nothing is none."""
        for part, fit in list(self.candidates.items()):
            ordering = part in ("position", "timestamp")
            if self.n and self.settings.column(self.table, part) is None and (len(fit) > 1 or ordering):
                holding = [column for column in fit if not self._holds_nothing(column)]
                self.candidates[part] = holding + [column for column in fit if column not in holding]
                if ordering and not holding:
                    del self.candidates[part]
                    self.notes.append(f"column '{fit[0]}' is empty: it was not taken as {part}")

    def _holds_nothing(self, column: str) -> bool:
        """Whether every cell is empty or a word that stands for nothing."""
        cells = self.source.table.column(column)
        if cells.null_count == self.n or pa.types.is_null(cells.type):
            return True
        if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
            return False
        words = pl.Series(pl.from_arrow(cells)).unique().drop_nulls().str.strip_chars()
        return bool(words.is_in(["", *values.NULL_WORDS]).all())

    def column(self, name: str) -> pa.ChunkedArray | None:
        """The file's column for our `name`, if it has one."""
        return self.source.table.column(self.names[name]) if name in self.names else None

    def refuse(self, mask: pl.Series | npt.NDArray[np.bool_], name: str, reason: str) -> None:
        """Refuse the rows where `mask` holds, unless they are refused already."""
        bad = mask.fill_null(False).to_numpy() if isinstance(mask, pl.Series) else mask
        self.reasons.append((self.names.get(name, name), reason))
        self.code[bad & (self.code == 0)] = len(self.reasons) - 1

    def empty(self, mask: pl.Series, name: str, reason: str) -> None:
        """Count the optional cells where `mask` holds as left empty; their rows stay."""
        bad = mask.fill_null(False).to_numpy()
        if bad.any():
            self.emptied.append((self.names.get(name, name), reason, bad))

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Rows not refused so far."""
        return np.asarray(self.code == 0)

    def settle(self, part: str, read: values.Reader) -> None:
        """Of several columns that could play an optional part, keep the first that can be read; where the one
        column bears but an alias and cannot be read at all, the part stays empty, with a note.
        """
        others = {column for other, column in self.names.items() if other != part}
        fit = [column for column in self.candidates.get(part, ()) if column not in others]
        for column in fit:
            try:
                result, wrong = read(self.source.table.column(column).slice(0, _SAMPLE), column)
            except InputError:
                continue
            filled = len(result) - result.null_count() + int(wrong.sum())
            if filled == 0 or int(wrong.sum()) <= filled / 2:
                self.names[part] = column
                return
        if fit and fit[0].lower() != part and self.settings.column(self.table, part) is None:
            cells = self.source.table.column(fit[0])
            remedy = f"; {moments.remedy(cells, fit[0])}" if part == "timestamp" else ""
            lost = " (without it each event counts as wanted)" if part == "value" else ""
            why = f"most of it cannot be read as one{lost}{remedy}"
            self.notes.append(f"column '{fit[0]}' was not taken as {part}: {why}")
            del self.names[part]

    def _optional(self, name: str, read: values.Reader, dtype: pl.DataType, reason: str) -> pl.Series:
        """What `read` makes of an optional column; cells that cannot be read are empty, and counted."""
        column = self.column(name)
        if column is not None:
            try:
                result, wrong = read(column, self.names[name])
                self.empty(wrong, name, reason)
                self.empty(self.damaged(name), name, NOT_UTF8)
                return result
            except InputError as error:
                self.notes.append(f"{error}; it was left out")
                del self.names[name]
        return pl.Series([None] * self.n, dtype=dtype)

    def damaged(self, name: str) -> pl.Series:
        """Which cells of a column are text that is not UTF-8."""
        cells = self.source.damaged.get(self.names[name])
        return pl.Series(np.zeros(self.n, dtype=bool) if cells is None else cells)

    def text(self, name: str, joint: str | None = None) -> pl.Series:
        """An optional text column, overlong values cut, null words empty; joint: words of lists joined."""
        longest = self.settings.longest_text

        def read(column: pa.ChunkedArray, header: str) -> tuple[pl.Series, pl.Series]:
            if self.source.about.get("format") == "csv" and pa.types.is_list(column.type):
                column = pc.binary_join(
                    column.cast(pa.list_(pa.string())), " "
                )  # words of RecBole's `token_seq`, split at blanks
            text = values.as_text(column, header)
            text = self._unescaped(in_one_language(text if joint is None else as_prose(text, joint)), header)
            return text, text.is_in(list(values.NULL_WORDS))

        text = self._optional(
            name, read, pl.String(), "a word that stands for nothing (such as NULL, None, nan)"
        )
        long = text.str.len_chars() > longest
        self.empty(long, name, f"longer than {longest} characters; cut there")
        text = text.str.slice(0, longest) if long.any() else text
        return text.set(text.is_in(list(values.NULL_WORDS)), None)

    def _unescaped(self, text: pl.Series, column: str) -> pl.Series:
        """Text without HTML, with a note where there was some."""
        plain = unescaped(text)
        if plain is not text:
            n = int(plain.ne_missing(text).sum())
            self.notes.append(f"{n:,} cells of '{column}' hold HTML (&amp;, <p>): read as plain text")
        return plain

    def identity(self, name: str) -> pl.Series:
        """A column of ids: none empty, overlong, with control characters, or a word for nothing."""
        column = self.column(name)
        assert column is not None
        text = values.as_text(column, self.names[name])
        ids = values.whole_again(text)
        if ids is not text:
            self.notes.append(f"the ids in '{self.names[name]}' were floats once (12.0): they are read as 12")
        if unseen := int((ids != (ids := values.seen(ids))).sum()):
            count = f"{unseen:,} ids in '{self.names[name]}'"
            self.notes.append(f"{count} hold characters nobody sees (U+200B and the like): read without them")
        if name == "user_id" and (note := guesses.alike(ids)):
            self.notes.append(note)
        longest = self.settings.longest_id
        if pa.types.is_floating(column.type):
            exact = {16: 11, 32: 24}.get(column.type.bit_width, 53)
            self.refuse(ids.cast(pl.Int64, strict=False).abs() >= 2**exact, name, _ROUNDED)
        self.refuse(self.damaged(name), name, NOT_UTF8)
        self.refuse(ids.str.contains(_SHORTENED), name, _CUT)
        self.refuse(ids.is_null(), name, "empty; every row needs an id")
        self.refuse(self._total(ids), name, "a line of totals below the table, not a row of it; remove it")
        nothing = ids.is_in(list(values.NULL_WORDS)).fill_null(False)
        self.refuse(nothing, name, _NOBODY)
        if nothing.any():
            counts = ids.filter(nothing).value_counts(sort=True)
            self.understood.setdefault("null_words", {})[name] = dict(counts.iter_rows())
        self.refuse(
            ids.str.len_chars() > longest, name, f"an id longer than {longest} characters; shorten it"
        )
        self.refuse(
            ids.str.contains(r"\p{Cc}"),
            name,
            "an id with a control character (such as a line break); remove it",
        )
        return ids

    def _total(self, ids: pl.Series) -> npt.NDArray[np.bool_]:
        """Where the last row is a line of totals: its id is such a word, and a column that every other row
        fills is empty in it.
        """
        result = np.zeros(self.n, dtype=bool)
        if self.n > 1 and re.fullmatch(_TOTALS, str(ids[-1]).strip(" :").lower()):
            columns = self.source.table.columns
            result[-1] = any(cells.null_count == 1 and not cells[-1].is_valid for cells in columns)
        return result

    def time(self, name: str, years: bool = False, needed: bool = False) -> pl.Series:
        """A column of moments; where `needed`, a row whose time cannot be read is refused."""
        unit = self.settings.time_unit if name == "timestamp" else None

        def read(column: pa.ChunkedArray, header: str) -> tuple[pl.Series, pl.Series]:
            self.times = moments.read(column, header, years, unit)
            return self.times.moments, self.times.wrong

        column = self.column(name)
        reason = moments.REMEDY if column is None else moments.remedy(column, self.names[name])
        reason = f"not a time; {reason}"
        if column is None or not needed:
            return self._optional(name, read, pl.Datetime("us", "UTC"), reason)
        times, wrong = read(column, self.names[name])
        self.refuse(self.damaged(name), name, NOT_UTF8)
        self.refuse(wrong, name, reason)
        self.refuse(moments.strays(times), name, _NO_TIME)
        return times

    def number(self, name: str) -> pl.Series:
        """A column of finite numbers; others are empty."""
        reason = "not a finite number; write a number or leave it empty"
        return self._optional(name, values.as_score, pl.Float64(), reason)

    def filled(self, name: str) -> pl.Series:
        """Which cells of a text or number column hold something, readable or not."""
        column = self.column(name)
        if column is None:
            return pl.Series([False] * self.n, dtype=pl.Boolean)
        text = values.as_text(column, self.names[name])
        return text.is_not_null() & ~text.is_in(list(values.NULL_WORDS)).fill_null(True)

    def words(self, name: str) -> pl.Series:
        """A column of lists of words; cells that fit no form are empty."""
        form = 'no list that can be read; write ["a", "b"] or a|b'
        words = self._optional(name, as_words, pl.List(pl.String), form)
        column = self.column(name)
        if column is not None and str(column.type) in ("string", "large_string"):
            self._unescaped(values.as_text(column, name), self.names[name])
        long = words.list.join("").str.len_chars() > self.settings.longest_text
        self.empty(long, name, f"longer than {self.settings.longest_text} characters together; shorten them")
        return words.set(long.fill_null(False), None)

    def media(self, name: str) -> pl.Series:
        """Paths of sounds or pictures inside the workspace; others are left out, and counted."""
        paths = self.text(name)
        outside = paths.str.contains(r"^[/~]|^[A-Za-z][A-Za-z0-9+.-]*:|\\|\p{Cc}|(^|/)\.\.(/|$)").fill_null(
            False
        )
        self.empty(outside, name, "not a path inside the workspace; copy the file there")
        return paths.set(outside, None).alias(name)

    def position(self) -> pl.Series | None:
        """The column of positions, if there is one: whole numbers from 0."""
        column = self.column("position")
        if column is None:
            return None
        positions, bad = values.as_whole(column, self.names["position"])
        self.refuse(self.damaged("position"), "position", NOT_UTF8)
        self.refuse(bad, "position", "not a whole number from 0; positions count a user's events from 0")
        self.refuse(
            positions.is_null(),
            "position",
            "empty; give every row a position, or drop the column and give timestamps",
        )
        return positions

    def report(self) -> Report:
        """The report; in strict mode InputError for the first refused row or emptied cell instead."""
        source, at = self.source, np.flatnonzero(self.code)
        refused = self._listed(at, [self.reasons[code] for code in self.code[at]])
        unread = [vars(refusal) for refusal in source.unreadable]
        refused = pa.concat_tables([pa.Table.from_pylist(unread, schema=refused.schema), refused])
        emptied = [
            self._listed(np.flatnonzero(bad), [(name, why)] * int(bad.sum()))
            for name, why, bad in self.emptied
        ]
        cells = pa.concat_tables([refused.slice(0, 0), *emptied])
        order = [("file", "ascending"), ("row", "ascending")]
        report = Report(
            source.name,
            self.n + len(unread),
            int(self.good.sum()),
            refused.sort_by(order),
            cells.sort_by(order),
            dict(self.names),
            self.understood,
            tuple(self.notes),
        )
        if self.settings.strict:
            for table in (report.refused, report.cells):
                for row in table.slice(0, 1).to_pylist():
                    raise InputError(f"{Refusal(**row)} (strict: nothing was ingested)")
        return report

    def _listed(self, at: npt.NDArray[np.int64], why: list[tuple[str, str]]) -> pa.Table:
        """Rows of the report: file, row, column and reason of the rows `at`."""
        return pa.table(
            {
                "file": pa.array(self.source.files).take(pa.array(self.source.file_of[at])),
                "row": pa.array(self.source.rows[at], pa.int64()),
                "column": pa.array([column for column, _ in why], pa.string()),
                "reason": pa.array([reason for _, reason in why], pa.string()),
            }
        )
