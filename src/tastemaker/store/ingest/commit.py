"""From files to the tables of a workspace: both replaced at once, by a new sealed folder and a pointer to
it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from tastemaker import schema
from tastemaker.errors import InputError
from tastemaker.store.artifacts import fingerprint
from tastemaker.store.files import sha256_file, write_bytes, write_json
from tastemaker.store.folders import verify_folder, write_folder
from tastemaker.store.ingest.rows import IngestSettings
from tastemaker.store.ingest.rules import ingest_interactions, ingest_items
from tastemaker.store.tables import Source, as_source, read_source, write_table
from tastemaker.store.tombstones import Tombstones
from tastemaker.store.workspace import Workspace

VERSION = 1  # of the rules for rows; a new one makes a re-ingest of the same files count as new


@dataclass(frozen=True)
class Ingested:
    """The outcome of `ingest_files`: the folder of tables now in use, and a `Report.summary` for each
    table.
    """

    folder: Path
    reused: bool
    reports: Mapping[str, dict[str, Any]]

    def lines(self) -> list[str]:
        """What to print: counts, reasons, the first refused rows and where all of them are."""
        made = []
        for name, report in self.reports.items():
            made.append(
                f"{name}: {report['accepted']} of {report['rows']} rows accepted from {report['source']}"
            )
            made += [f"  note: {note}" for note in report["notes"]]
            made += [
                f"  {one['rows']} refused: column '{one['column']}': {one['reason']}"
                for one in report["reasons"]
            ]
            made += [f"    {one}" for one in report["first"]]
        if any(report["refused"] for report in self.reports.values()):
            made.append(f"every refused row: {self.folder / 'refused.csv'}")
        return made


def ingest_files(
    workspace: Workspace,
    items: Path | None = None,
    interactions: Path | None = None,
    settings: IngestSettings | None = None,
) -> Ingested:
    """Make the workspace's tables from files: both are replaced at once, by a new folder and a pointer to it.

    A table whose file is not given stays, its interactions checked against the new items. The same files
    again change nothing. People with a tombstone are left out, counted in the report.

    Raises
    ------
    InputError
        as `ingest_items` and `ingest_interactions`; when no row is accepted; when there are no items at all.
    ArtifactError
        when the disk is full or the tables in use are damaged; the tables in use stay what they were.
    """
    settings = settings or IngestSettings()
    if items is None and (interactions is None or not workspace.has_tables()):
        raise InputError("no items: give the file of your items, with or before that of the interactions")
    sources = {
        "items": _given(workspace, "items", items),
        "interactions": _given(workspace, "interactions", interactions),
    }
    forgotten = workspace.tombstones
    inputs = {name: _file_hash(path) for name, path in sources.items() if path is not None} | forgotten.mark()
    folder = workspace.data / f"tables-{fingerprint('tables', inputs, settings, VERSION)}"
    reused = folder.exists()
    if reused:
        verify_folder(folder)
    else:
        read = {name: read_source(path) for name, path in sources.items() if path is not None}
        _write_tables(folder, read, inputs, settings, forgotten)
    write_json(workspace.data / "current.json", {"folder": folder.name})
    return Ingested(folder, reused, json.loads((folder / "report.json").read_text()))


def _write_tables(
    folder: Path,
    sources: Mapping[str, Source],
    inputs: Mapping[str, str],
    settings: IngestSettings,
    forgotten: Tombstones,
) -> None:
    items, about_items = ingest_items(sources["items"], settings=settings)
    empty = as_source(schema.INTERACTIONS.empty_table(), "(none given)")
    events, about_events = ingest_interactions(sources.get("interactions", empty), items, settings=settings)
    for table, report in ((items, about_items), (events, about_events)):
        if not table.num_rows and (report.rows or table is items):
            why = f"; the first: {report.first(1)[0]}" if report.rows else ""
            raise InputError(f"{report.source}: none of its {report.rows} rows can be used{why}")
    events, left = forgotten.without(events)
    if left.rows:
        about_events = replace(about_events, accepted=events.num_rows, notes=(*about_events.notes, str(left)))
    refused = pl.concat(
        [pl.DataFrame(pl.from_arrow(report.refused)) for report in (about_items, about_events)]
    )
    with write_folder(folder, {"kind": "tables", "inputs": inputs, "settings": settings}) as temporary:
        write_table(temporary / "items.parquet", items)
        write_table(temporary / "interactions.parquet", events)
        write_bytes(temporary / "refused.csv", refused.write_csv().encode())
        write_json(
            temporary / "report.json",
            {"items": about_items.summary(), "interactions": about_events.summary()},
        )


def _given(workspace: Workspace, name: str, path: Path | None) -> Path | None:
    """The file to read a table from: the user's, else that of the tables in use."""
    if path is not None or not workspace.has_tables():
        return path
    folder = workspace.tables_folder()
    verify_folder(folder)
    return folder / f"{name}.parquet"


def _file_hash(path: Path) -> str:
    if path.is_dir():
        return fingerprint(
            "folder",
            {one.relative_to(path).as_posix(): sha256_file(one) for one in path.rglob("*") if one.is_file()},
            None,
        )
    if not path.exists():
        raise InputError(f"{path}: no such file; check the path")
    return sha256_file(path)
