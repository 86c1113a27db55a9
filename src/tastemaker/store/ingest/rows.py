"""The rows of a table under examination: columns read, rows refused with a reason, and the report of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.schema import values
from tastemaker.store.ingest import columns as cols
from tastemaker.store.tables import Refusal, Source


@dataclass(frozen=True)
class IngestSettings:
    """Longest text and id taken (characters); `strict` makes the first refused row an error."""

    longest_text: int = 200_000
    longest_id: int = 512
    strict: bool = False

    def __post_init__(self) -> None:
        if self.longest_text < 1 or self.longest_id < 1:
            raise InputError("longest_text and longest_id must be at least 1")


@dataclass(frozen=True)
class Report:
    """What came of one table: `rows` = `accepted` + refused, one row of `refused` (file, row, column, reason)
    for each; rows about forgotten people are neither, and counted in a note.

    `columns` says which of the file's columns serves as each of ours; `notes` what else the user should know.
    """

    source: str
    rows: int
    accepted: int
    refused: pa.Table
    columns: Mapping[str, str]
    notes: tuple[str, ...]

    def first(self, n: int) -> list[Refusal]:
        """The first `n` refusals."""
        return [Refusal(**row) for row in self.refused.slice(0, n).to_pylist()]

    def summary(self) -> dict[str, Any]:
        """Counts for a JSON report, refusals counted by column and reason."""
        reasons = Counter(
            zip(self.refused["column"].to_pylist(), self.refused["reason"].to_pylist(), strict=True)
        )
        counts = [
            {"column": column, "reason": reason, "rows": n} for (column, reason), n in reasons.most_common()
        ]
        shown = [str(one) for one in self.first(5)]
        counted = {
            "source": self.source,
            "rows": self.rows,
            "accepted": self.accepted,
            "refused": self.refused.num_rows,
        }
        return counted | {
            "reasons": counts,
            "first": shown,
            "columns": dict(self.columns),
            "notes": list(self.notes),
        }


class Rows:
    """The rows of a source under examination; the first reason to refuse a row is the one that is kept."""

    def __init__(self, source: Source, names: Mapping[str, tuple[str, ...]], needed: tuple[str, ...]) -> None:
        self.source, self.n = source, source.table.num_rows
        self.names = cols.resolve_names(source.table.column_names, names)
        self.code = np.zeros(self.n, dtype=np.int64)
        self.reasons: list[tuple[str, str]] = [("", "")]
        self.notes: list[str] = []
        for name in needed:
            if name not in self.names:
                have = ", ".join(source.table.column_names) or "no columns"
                accepted = ", ".join((name, *names[name][:4]))
                raise InputError(
                    f"{source.name}: no column for '{name}' (any of {accepted}, ... would do); the table has"
                    f" {have}"
                )

    def column(self, name: str) -> pa.ChunkedArray | None:
        """The file's column for our `name`, if it has one."""
        return self.source.table.column(self.names[name]) if name in self.names else None

    def refuse(self, mask: pl.Series | npt.NDArray[np.bool_], name: str, reason: str) -> None:
        """Refuse the rows where `mask` holds, unless they are refused already."""
        bad = mask.fill_null(False).to_numpy() if isinstance(mask, pl.Series) else mask
        self.reasons.append((self.names.get(name, name), reason))
        self.code[bad & (self.code == 0)] = len(self.reasons) - 1

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Rows not refused so far."""
        return np.asarray(self.code == 0)

    def text(self, name: str, settings: IngestSettings) -> pl.Series:
        """An optional text column, overlong values refused."""
        column = self.column(name)
        if column is None:
            return pl.Series([None] * self.n, dtype=pl.String)
        text = values.as_text(column, self.names[name])
        self.refuse(
            text.str.len_chars() > settings.longest_text,
            name,
            f"longer than {settings.longest_text} characters; shorten it",
        )
        return text

    def identity(self, name: str, settings: IngestSettings) -> pl.Series:
        """A column of ids: none empty, overlong, or with control characters."""
        column = self.column(name)
        assert column is not None
        ids = values.as_text(column, self.names[name])
        self.refuse(ids.is_null(), name, "empty; every row needs an id")
        self.refuse(
            ids.str.len_chars() > settings.longest_id,
            name,
            f"an id longer than {settings.longest_id} characters; shorten it",
        )
        self.refuse(
            ids.str.contains(r"\p{Cc}"),
            name,
            "an id with a control character (such as a line break); remove it",
        )
        return ids

    def time(self, name: str, years: bool = False) -> pl.Series:
        """A column of moments; what cannot be read as one is refused."""
        column = self.column(name)
        if column is None:
            return pl.Series([None] * self.n, dtype=pl.Datetime("us", "UTC"))
        times, bad = values.as_time(column, self.names[name], years)
        self.refuse(bad, name, "not a time; write 2026-01-31T12:00:00Z or seconds since 1970")
        return times

    def number(self, name: str) -> pl.Series:
        """A column of finite numbers; others are refused."""
        column = self.column(name)
        if column is None:
            return pl.Series([None] * self.n, dtype=pl.Float64)
        numbers, bad = values.as_number(column, self.names[name])
        self.refuse(bad, name, "not a finite number; write a number or leave it empty")
        return numbers

    def position(self) -> pl.Series | None:
        """The column of positions, if there is one: whole numbers from 0."""
        column = self.column("position")
        if column is None:
            return None
        positions, bad = values.as_whole(column, self.names["position"])
        self.refuse(bad, "position", "not a whole number from 0; positions count a user's events from 0")
        self.refuse(
            positions.is_null(),
            "position",
            "empty; give every row a position, or drop the column and give timestamps",
        )
        return positions

    def report(self, settings: IngestSettings) -> Report:
        """The report; in strict mode InputError for the first refused row instead."""
        source, at = self.source, np.flatnonzero(self.code)
        files = pa.array(source.files)
        made = pa.table(
            {
                "file": files.take(pa.array(source.file_of[at])),
                "row": pa.array(source.rows[at], pa.int64()),
                "column": pa.array([self.reasons[code][0] for code in self.code[at]], pa.string()),
                "reason": pa.array([self.reasons[code][1] for code in self.code[at]], pa.string()),
            }
        )
        unread = [vars(one) for one in source.unreadable]
        refused = pa.concat_tables([pa.Table.from_pylist(unread, schema=made.schema), made]).sort_by(
            [("file", "ascending"), ("row", "ascending")]
        )
        report = Report(
            source.name, self.n + len(unread), int(self.good.sum()), refused, self.names, tuple(self.notes)
        )
        if settings.strict and refused.num_rows:
            raise InputError(f"{report.first(1)[0]} (strict: nothing was ingested)")
        return report
