"""Where a workspace's tables and database hold a person, and how each place lets go of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tastemaker.errors import ArtifactError
from tastemaker.flows.data import EVENTS
from tastemaker.store import (
    Database,
    IngestSettings,
    Workspace,
    ingest_files,
    read_manifest,
    read_table,
    tables_without,
    write_table,
)
from tastemaker.store.files import LEFTOVER, restored, sweep
from tastemaker.store.folders import MANIFEST, remove_folder

PEOPLE = ("user_id", "unit")  # columns that name people


@dataclass(frozen=True)
class Holding:
    """One place that holds a person: `count` of `what`. `remove` can be called again after a kill.

    inputs: the fingerprint under which artifacts were learnt from it. again: the command that makes it anew.
    """

    where: Path
    what: str
    count: int
    remove: Callable[[], object]
    inputs: tuple[str, ...] = ()
    again: str = ""


def database(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """Events, slates, answers to questions, impressions, exposures."""
    if not workspace.database.exists():
        return
    with Database(workspace.database) as opened:
        counts = opened.row_counts(user_id)
    for table, count in counts.items():
        if count:
            what, remove = f"{table} in the database", partial(close_database, workspace, user_id)
            learnt = _learnt_events(workspace) if table == EVENTS else ()
            yield Holding(workspace.root / workspace.database.name, what, count, remove, learnt)


def _learnt_events(workspace: Workspace) -> tuple[str, ...]:
    """Fingerprints of all the server's events that anything was learnt from: who has events may be in each,
    and those of earlier trainings are no longer there to be searched.
    """
    inputs = (artifact.about.get("inputs", {}) for artifact in workspace.artifacts.finished())
    return tuple(sorted({marks[EVENTS] for marks in inputs if EVENTS in marks}))


def snapshots(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """The server's events as the newest training read them."""
    for artifact in workspace.artifacts.finished():
        if artifact.kind == EVENTS:
            count = _rows(artifact.path / "events.parquet", user_id)
            if count:
                remove = partial(remove_folder, artifact.path)
                yield Holding(
                    artifact.path, "events that were learnt from", count, remove, (artifact.fingerprint,)
                )


def close_database(workspace: Workspace, user_id: str) -> None:
    """Delete the person's rows, and keep every server that runs from writing another."""
    if workspace.database.exists():
        with Database(workspace.database) as opened:
            opened.erase(user_id)


def scrub_database(workspace: Workspace) -> None:
    """Leave nothing of deleted rows in the database's file and log. Raises BusyError as `Database.scrub`."""
    if workspace.database.exists():
        with Database(workspace.database) as opened:
            opened.scrub()


def tables(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """Interactions in the tables in use, which are written anew, and in earlier ones, which go."""
    for folder in sorted(workspace.data.glob("tables-*")):
        count = _rows(folder / "interactions.parquet", user_id)
        if count:
            remove = partial(_remove_tables, workspace, folder)
            yield Holding(folder, "interactions", count, remove, (folder.name.removeprefix("tables-"),))


def renew_tables(workspace: Workspace, holdings: Iterable[Holding], served: str = "") -> dict[str, str]:
    """Ingest the tables in use again, where they are among `holdings`: the tombstone leaves the person out.
    Those that are `served`, if others, are written again beside them. Both fingerprints.
    """
    folders, renewed = {holding.where for holding in holdings}, dict[str, str]()
    current = workspace.tables_folder() if workspace.has_tables() else None
    if current in folders:
        settings = restored(IngestSettings, read_manifest(current)["about"]["settings"], current)
        ingest_files(workspace, current / "items.parquet", current / "interactions.parquet", settings)
        renewed[current.name.removeprefix("tables-")] = workspace.tables_fingerprint()
    if served not in renewed and workspace.data / f"tables-{served}" in folders:
        renewed[served] = tables_without(workspace, served)
    return renewed


def _remove_tables(workspace: Workspace, folder: Path) -> None:
    if folder == workspace.tables_folder():
        renew_tables(workspace, [Holding(folder, "", 0, lambda: None)])
    remove_folder(folder)


def builds(workspace: Workspace) -> Iterator[Holding]:
    """Unfinished builds: they began from what held the person, and nothing can go on from there."""
    folders, artifacts = sorted(workspace.artifacts.root.glob("*/*.partial")), workspace.artifacts
    if folders:
        yield Holding(
            artifacts.root,
            "unfinished builds",
            len(folders),
            lambda: artifacts.prune(artifacts.finished()),
        )


def loose(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """Other Parquet tables in the workspace that name people: profiles, copies, tables of reports."""
    for path in files_under(workspace.root, (".parquet",)):
        inside = path.relative_to(workspace.root).parts
        if inside[0] in ("artifacts", "conversations") or (path.parent / MANIFEST).exists():
            continue
        for name in PEOPLE:
            count = _rows(path, user_id, name)
            if count:
                yield Holding(path, "rows", count, partial(_rewrite, path, user_id, name))


def files_under(root: Path, endings: Collection[str]) -> list[Path]:
    """Files of these suffixes, however deep, but for what another process is writing or takes away: the next
    look finds what it made of it, and what a dead one left is removed.
    """
    sweep(root)
    paths = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    return sorted(
        path
        for path in paths
        if path.suffix in endings and not any(map(LEFTOVER.match, path.relative_to(root).parts))
    )


def _rewrite(path: Path, user_id: str, name: str) -> None:
    try:
        table = read_table(path)
        write_table(path, table.filter(pc.invert(_theirs(table[name], user_id))))
    except ArtifactError:
        if path.exists():  # else an ingest ended, and the next look finds what it made of it
            raise


def _rows(path: Path, user_id: str, name: str = "user_id") -> int:
    """Rows of a Parquet file about the person; none where it has no such column.

    Raises ArtifactError when the file cannot be read, so that nobody can say whom it names.
    """
    try:
        if name not in pq.read_schema(path).names:
            return 0
        column = pq.read_table(path, columns=[name])[name]
    except (OSError, pa.ArrowException):
        if not path.exists():  # another process took it away meanwhile
            return 0
        raise ArtifactError(
            f"{path}: cannot be read, so whom it names is unknown; delete it, or make it again"
        ) from None
    return pc.sum(_theirs(column, user_id)).as_py() or 0


def _theirs(column: pa.ChunkedArray, user_id: str) -> pa.ChunkedArray:
    """Which values name the person; a missing one names nobody."""
    return pc.fill_null(pc.equal(column.cast(pa.string()), user_id), False)
