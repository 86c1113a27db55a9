"""`tastemaker admin forget`: a person leaves the workspace, and a tombstone keeps them out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tastemaker.errors import ArtifactError, InputError, TastemakerError
from tastemaker.flows.deploy import active, drop, keep_serving
from tastemaker.flows.forget.conversations import conversations
from tastemaker.flows.forget.holdings import (
    Holding,
    builds,
    close_database,
    database,
    files_under,
    loose,
    renew_tables,
    scrub_database,
    snapshots,
    tables,
)
from tastemaker.schema import check_person
from tastemaker.store import Workspace
from tastemaker.store.recorded import record_media
from tastemaker.store.tombstones import outdated

TRIES = 3
TEXT = frozenset((".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".md", ".html", ".log", ".toml"))


def forget(folder: Path, user: str, dry_run: bool = False) -> dict[str, Any]:
    """Remove a person from everything the workspace keeps, or, with `dry_run`, say where they are.

    The tombstone comes first and every step can be done again, so that a kill leaves nothing that a second
    call does not end, and no ingest in between brings the person back. The result does not name the person:
    what prints it may be kept.

    Raises InputError when nothing is known of the person; ArtifactError when something is training, a file
    cannot be read or written, or the person is still held afterwards; BusyError when another process has the
    database open for so long that its log cannot be emptied: the erasure is unfinished then, as `tastemaker
    admin doctor` says, and a second call ends it.
    """
    user_id = user.strip()
    check_person(user_id)
    workspace = Workspace.open(folder)
    if dry_run:
        places, known = _places_of(workspace, user_id)
        return _result(workspace, user_id, places, known, dry_run=True)
    with workspace.lock(
        "forgetting a person", command="tastemaker admin forget"
    ):  # the command line holds the id
        places, known = _places_of(workspace, user_id)
        if places or not workspace.tombstones.finished(user_id):
            _remove(workspace, user_id, places)
    return _result(workspace, user_id, places, known, dry_run=False)


def _remove(workspace: Workspace, user_id: str, places: list[Holding]) -> None:
    """The protocol: the tombstone; the rows of the database, after which no server that runs can write
    another; tables and a deployment without the person, so that a server that starts meanwhile finds what
    it is to serve; everything else; the pages and the log that held them; the deployments.
    """
    remaining, renewed = places, dict[str, str]()
    for _ in range(TRIES):  # an ingest or a server that was in the middle of something may bring them again
        with workspace.changing_tables():
            workspace.tombstones.add(user_id, _inputs(remaining))
        close_database(workspace, user_id)
        with suppress(TastemakerError):  # what cannot be served must not keep the person here; raised below
            serving = active(workspace)
            renewed |= renew_tables(workspace, remaining, "" if serving is None else serving.catalogue)
            keep_serving(workspace, renewed)
        record_media(workspace, {holding.where for holding in remaining})  # a server that loads compares
        for holding in remaining:
            holding.remove()
        record_media(workspace)
        if not (remaining := list(holdings(workspace, user_id))):
            break
    else:
        where = ", ".join(sorted({str(holding.where) for holding in remaining}))
        raise ArtifactError(
            f"{where}: holds the person again; stop `converse` on this workspace and repeat this"
        )
    scrub_database(workspace)
    keep_serving(workspace, renewed)
    drop(workspace, workspace.tombstones.held)
    workspace.tombstones.finish(user_id)


def holdings(workspace: Workspace, user_id: str) -> Iterator[Holding]:
    """Every place that holds the person in the order of removal: what another place finds goes first."""
    inputs = list(snapshots(workspace, user_id))
    yield from database(workspace, user_id)
    talked = list(conversations(workspace, user_id))
    learnt = [*inputs, *tables(workspace, user_id)]
    if any(holding.inputs for holding in (*talked, *learnt)):
        yield from builds(workspace)
    yield from talked
    yield from loose(workspace, user_id)
    yield from learnt


def _places_of(workspace: Workspace, user_id: str) -> tuple[list[Holding], bool]:
    """Where the person is, and whether they were forgotten before."""
    places, known = list(holdings(workspace, user_id)), workspace.tombstones.holds(user_id)
    if not user_id or not (places or known):
        raise InputError(
            f"--user '{user_id}': nothing in {workspace.root} is about this person; ids are taken exactly,"
            " case included"
        )
    return places, known


def _inputs(places: Iterable[Holding]) -> frozenset[str]:
    return frozenset(name for holding in places for name in holding.inputs)


def mentions(workspace: Workspace, user_id: str) -> list[str]:
    """Text files in the workspace with the id as a word: somebody's notes, for somebody to look at."""
    word = re.compile(rb"(?<![\w.@-])" + re.escape(user_id.encode()) + rb"(?![\w@-])")
    paths = list[str]()
    for path in files_under(workspace.root, TEXT):
        with suppress(FileNotFoundError):  # another process took it away meanwhile
            if word.search(path.read_bytes()):
                paths.append(path.relative_to(workspace.root).as_posix())
    return paths


def _result(
    workspace: Workspace, user_id: str, places: list[Holding], known: bool, dry_run: bool
) -> dict[str, Any]:
    root, stale = workspace.root, outdated(workspace.artifacts, workspace.tombstones.held | _inputs(places))
    removed = [
        {"where": holding.where.relative_to(root).as_posix(), "what": holding.what, "count": holding.count}
        for holding in places
    ]
    result = {
        "workspace": str(root),
        "dry_run": dry_run,
        "forgotten_before": known,
        "removed": removed,
        "again": [holding.again for holding in places if holding.again],
        "outdated": [f"{artifact.kind}/{artifact.fingerprint}" for artifact in stale],
        "mentions": mentions(workspace, user_id),
    }
    return result | {"text": "\n".join(_lines(result))}


def _lines(result: dict[str, Any]) -> Iterator[str]:
    folder, dry = result["workspace"], result["dry_run"]
    if not result["removed"]:
        yield f"{folder}: this person was forgotten before; nothing is held about them"
    else:
        yield f"{folder}: {'would be removed' if dry else 'removed'}"
        yield from (f"  {row['count']:>6,} {row['what']:<34} {row['where']}" for row in result["removed"])
        yield (
            "a tombstone, a keyed hash of the id, "
            + ("would keep" if dry else "keeps")
            + " the person out of later ingests"
        )
    if result["outdated"]:
        yield (
            f"NOT changed: {len(result['outdated'])} learned artifacts made before, which saw this person;"
            f" what is served learns without them by `tastemaker train -w {folder}`, which then removes these"
        )
    if result["again"]:
        yield "to be made again where they are still needed:"
        yield from (f"  {command}" for command in result["again"])
    if result["mentions"]:
        yield f"text files that hold the id as a word, to be looked at: {', '.join(result['mentions'])}"
    if result["removed"]:
        yield (
            "not reached: copies outside the workspace (your sources, `--out` files, backups), and what a"
            " running server read"
        )
