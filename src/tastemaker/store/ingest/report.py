"""The report of one table: what was taken, refused, left empty and understood, in lines for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.store.folders import read_file
from tastemaker.store.tables import Refusal

_DELIMITERS = {"\t": "tab", " ": "blank"}
_NAMED = 12  # unused columns named in the summary; --json has all
_OFTEN = 0.2  # share of events from which people seem to come back to what they had
_ORDERS = {
    "position": "ordered by position",
    "time": "ordered by time",
    "time, then hash": "ordered by time, and by a keyed hash inside a moment",
    "file": "ordered as in the file",
    "hash": "ordered by a keyed hash",
}


def origin(folder: Path) -> dict[str, Any]:
    """What names the fields of the items of a folder of tables: "columns", part -> column of the file that
    they came from, and "flags", the columns that were flags. Of tables made of tables it is as it was.
    """
    try:
        about = json.loads(read_file(folder, "report.json"))["items"]
    except (FileNotFoundError, KeyError):  # tables of version 0.1
        return {"columns": {}, "flags": []}
    facts, columns = about["understood"].get("facts", {}), about["columns"]
    naming = {part: columns[part] for part in ("attributes", "creator", "created_at") if part in columns}
    return about.get("origin") or {
        "columns": naming,
        "flags": sorted(column for column, kind in facts.items() if kind == "flag"),
    }


def described(report: Mapping[str, Any]) -> list[str]:
    """The lines of `Report.summary`: file, columns, times, kinds, notes, refusals, emptied cells."""
    understood = report["understood"]
    lines = [_file(understood["file"]), _columns(understood["columns"])]
    lines += [_facts(understood.get("facts", {})), _unused(understood["unused"])]
    if report["rows"]:
        lines += [line for line in (_times(understood), _kinds(understood), _ratings(understood)) if line]
    for name, words in understood.get("null_words", {}).items():
        counts = ", ".join(f"{word} {count:,}" for word, count in words.items())
        lines.append(f"words for nothing in {name}: {counts}")
    lines += [f"note: {note}" for note in report["notes"]]
    lines += [
        f"{reason['rows']:,} refused: column '{reason['column']}': {reason['reason']}"
        for reason in report["reasons"]
    ]
    lines += [f"  {refusal}" for refusal in report["first"]]
    lines += [
        f"{cell['rows']:,} cells left empty: column '{cell['column']}': {cell['reason']} (first in row"
        f" {cell['first']:,})"
        for cell in report["cells"]
    ]
    return [line for line in lines if line]


def _file(file: Mapping[str, Any]) -> str:
    if file.get("format") in (None, "table"):
        return ""
    parts = [str(file["format"])]
    if file.get("encoding"):
        parts.append(str(file["encoding"]))
    if file.get("delimiter"):
        delimiter = _DELIMITERS.get(file["delimiter"])
        parts.append(f"delimiter {delimiter}" if delimiter else f"delimiter '{file['delimiter']}'")
    return "read as: " + ", ".join(parts)


def _columns(columns: Mapping[str, Any]) -> str:
    roles = []
    for part, role in columns.items():
        about = []
        if role.get("matches") is not None:
            about.append(f"{role['matches']:.1%} are items")
        if role["runner_up"] is not None:
            match = role.get("runner_up_matches")
            about.append(
                f"not '{role['runner_up']}'" + ("" if match is None else f", of which {match:.1%} are")
            )
        roles.append(f"{part} = '{role['column']}'" + (f" ({'; '.join(about)})" if about else ""))
    return "columns: " + ", ".join(roles)


def _facts(facts: Mapping[str, str]) -> str:
    columns = ", ".join(f"'{column}' ({kind})" for column, kind in facts.items())
    how = "kept as attributes, `--column attributes=...` takes one column alone"
    return f"facts: {columns}; {how}" if columns else ""


def _unused(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    more = f" and {len(columns) - _NAMED:,} more" if len(columns) > _NAMED else ""
    names = ", ".join(f"'{column}'" for column in columns[:_NAMED])
    return f"not used: {names}{more}; if one plays a part, say which with --column PART={columns[0]}"


def _times(understood: Mapping[str, Any]) -> str:
    times = understood.get("times")
    if times is None:
        return ""
    parts = [_ORDERS[times["order"]]]
    if times["first"] is not None:
        parts.append(f"{times.get('unit', 'times')} from {times['first'][:10]} to {times['last'][:10]}")
        parts.append(f"{times['tied']:.1%} of events tie in time")
    again = " (by default nobody is shown what they had; `remove_seen = false` shows it)"
    often = again if understood["repeats"] >= _OFTEN else ""
    parts.append(f"{understood['repeats']:.1%} repeat an item the person had before{often}")
    return "order: " + ", ".join(parts)


def _kinds(understood: Mapping[str, Any]) -> str:
    kinds = understood.get("kinds")
    if kinds is None:
        return ""
    parts = []
    for name, listed in kinds.items():
        if listed:
            parts.append(f"{name} {', '.join(map(_kind, listed[:8]))}")
    return "kinds: " + "; ".join(parts)


def _kind(entry: Mapping[str, Any]) -> str:
    name = entry["kind"] or "(no kind)"
    other = [f"'{spelling}'" for spelling in entry["spelled"] if spelling != entry["kind"]]
    return f"{name} {entry['events']:,}" + (f" (written {', '.join(other)})" if other else "")


def _ratings(understood: Mapping[str, Any]) -> str:
    ratings = understood.get("ratings")
    if ratings is None:
        return ""
    low, high = ratings["scale"]
    line = (
        f"ratings: read on a scale from {low:g} to {high:g}: wanted from {low + 0.6 * (high - low):g} up,"
        " unwanted"
    )
    line += f" up to {low + 0.4 * (high - low):g}"
    if "lowest" in ratings:
        line += (
            f" (a guess: they run from {ratings['lowest']:g} to {ratings['highest']:g}; --scale LOW,HIGH"
            " says it)"
        )
    return line


@dataclass(frozen=True)
class Report:
    """What came of one table: `rows` = `accepted` + refused, one row of `refused` (file, row, column, reason)
    for each; rows about forgotten people are neither, and counted in a note.

    cells: like `refused`, the optional cells that were left empty. `columns` says which of the file's columns
    serves as each of ours; `understood` what else ingest made of the file (docs/quickstart.md describes it);
    `notes` what the user should know.
    """

    source: str
    rows: int
    accepted: int
    refused: pa.Table
    cells: pa.Table
    columns: Mapping[str, str]
    understood: Mapping[str, Any]
    notes: tuple[str, ...]

    def first(self, n: int) -> list[Refusal]:
        """The first `n` refusals."""
        return [Refusal(**row) for row in self.refused.slice(0, n).to_pylist()]

    def summary(self) -> dict[str, Any]:
        """Counts for a JSON report, refusals counted by column and reason."""
        counted = {
            "source": self.source,
            "rows": self.rows,
            "accepted": self.accepted,
            "refused": self.refused.num_rows,
        }
        return counted | {
            "reasons": _counted(self.refused),
            "first": [str(refusal) for refusal in self.first(5)],
            "cells": _counted(self.cells),
            "columns": dict(self.columns),
            "understood": dict(self.understood),
            "notes": list(self.notes),
        }


def _counted(table: pa.Table) -> list[dict[str, Any]]:
    """Rows by column and reason, the commonest first, with the first row of each."""
    pairs = list(zip(table["column"].to_pylist(), table["reason"].to_pylist(), strict=True))
    first = dict(zip(reversed(pairs), reversed(table["row"].to_pylist()), strict=True))
    return [
        {"column": column, "reason": reason, "rows": n, "first": first[column, reason]}
        for (column, reason), n in Counter(pairs).most_common()
    ]
