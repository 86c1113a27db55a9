"""Deployments: made from a training, refreshed when the catalogue changes, activated, and rolled back.

A workspace serves the newest activated one. Making and activating hold a lock, so that an ingest and a
training that end together leave the newer model with the newer catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from tastemaker.errors import ArtifactError, InputError, TastemakerError, many
from tastemaker.flows.catalogue import coded, in_order, text_vectors
from tastemaker.flows.data import Snapshot, events_mark, load_data, telling_events
from tastemaker.flows.deployment import (
    FORMAT,
    KIND,
    TABLES,
    Base,
    Deployment,
    name_of,
    read,
    trained_base,
    write,
)
from tastemaker.flows.explore.ledger_store import ledger_in
from tastemaker.flows.pipeline import Report
from tastemaker.retrieve.memory import fit_memory
from tastemaker.retrieve.trie import build_trie
from tastemaker.store import Database, Finding, Workspace, fingerprint
from tastemaker.store.database import Keys
from tastemaker.store.database.events import now
from tastemaker.store.files import locked, sha256_bytes
from tastemaker.store.folders import remove_folder
from tastemaker.store.remote import receive_folder, send_folders, sent_folders

SERVING, PROXY = "serving", "proxy"  # kinds of rows of the table `deployments`
BACK, AGAIN = "rolled back", "activated"  # notes of those that were served before
SILENT: Report = lambda *_: None  # noqa: E731
LIMIT = 10  # deployments kept besides the active one


def deployments(workspace: Workspace, unread: dict[str, ArtifactError] | None = None) -> list[Deployment]:
    """Every deployment that is kept and can be read, the newest first; `unread` takes what is wrong with each
    other, by fingerprint: one damaged folder is in the way of nothing else.
    """
    readable = []
    for mark in [
        artifact.fingerprint for artifact in workspace.artifacts.finished() if artifact.kind == KIND
    ]:
        try:
            readable.append(read(workspace, mark))
        except ArtifactError as error:
            if unread is not None:
                unread[mark] = error
    return sorted(readable, key=attrgetter("created"), reverse=True)


def active_name(database: Database) -> str:
    """The name of the deployment to be served; "" before the first one. One look at one row."""
    row = database.newest_deployment(SERVING)
    return "" if row is None else name_of(row.fingerprint)


def active(workspace: Workspace) -> Deployment | None:
    """The deployment to be served, or None before the first one. Raises ArtifactError when it is gone."""
    if not workspace.database.exists():
        return None
    with Database(workspace.database) as database:
        row = database.newest_deployment(SERVING)
    return None if row is None else read(workspace, row.fingerprint)


def in_service(workspace: Workspace) -> Deployment:
    """The active deployment; in a workspace trained before there were any, one is made.

    Raises ArtifactError when nothing was trained yet.
    """
    with _changing(workspace):
        current = active(workspace)
        if current is not None:
            return current
        base = trained_base(workspace)
        if base is None:
            where = workspace.root
            command = f"tastemaker train -w {quote(str(where))}"
            raise ArtifactError(f"{where}: nothing was trained yet; run `{command}`")
        return _activate(workspace, _make(workspace, base, None, SILENT, "from earlier stages"))


def deploy(workspace: Workspace, base: Base, report: Report, note: str) -> Deployment:
    """Make a deployment of a training and the tables in use, and activate it."""
    with _changing(workspace):
        return _activate(workspace, _make(workspace, base, None, report, note))


def refresh(workspace: Workspace) -> Deployment | None:
    """Serve the tables in use: the active model with new items encoded by its frozen encoders and codebook,
    and without the items that left. None when nothing is deployed.

    No item that stays gets another Semantic ID. What cannot be encoded is left out, as the note says.
    """
    with _changing(workspace):
        current = active(workspace)
        if current is None:
            return None
        if current.catalogue == workspace.tables_fingerprint():
            return current
        return _activate(workspace, _make(workspace, current.base, current, SILENT, ""))


def keep_serving(workspace: Workspace, renewed: Mapping[str, str]) -> None:
    """After tables were written again without somebody, `renewed` saying under which fingerprint: what is
    served stays as it is, or, where its tables are among them, is made of the same model and the same items.
    """
    with _changing(workspace):
        current = active(workspace)
        if current is None:
            return
        tables = renewed.get(current.catalogue, current.catalogue)
        if not (workspace.data / f"tables-{tables}").exists():  # an earlier call was stopped in between
            tables = workspace.tables_fingerprint()
        if tables != current.catalogue:
            deployment = _make(workspace, current.base, current, SILENT, "", tables)
            _activate(workspace, deployment)


def renew(workspace: Workspace) -> Deployment | None:
    """After another survey proxy or policy came into force: the active deployment, naming it."""
    with _changing(workspace):
        current = active(workspace)
        if current is None or _in_force(workspace) == (current.proxy, current.policy):
            return current
        return _activate(
            workspace,
            _make(workspace, current.base, current, SILENT, "another proxy", current.catalogue),
        )


def activate(workspace: Workspace, name: str, note: str = AGAIN) -> Deployment:
    """Serve the deployment of this name, checked whole first, with the proxy it names.

    Raises InputError when no deployment, or more than one, is called so; ArtifactError when a part of it is
    damaged or gone.
    """
    with _changing(workspace):
        unread: dict[str, ArtifactError] = {}
        choices = deployments(workspace, unread)
        matches = [choice for choice in choices if choice.name.startswith(name) and name]
        damaged = [error for mark, error in unread.items() if name_of(mark).startswith(name) and name]
        if damaged and not matches:
            raise damaged[0]
        if len(matches) != 1:
            there = ", ".join(choice.name for choice in choices) or "none; train first"
            how = "no deployment is" if not matches else f"{len(matches)} deployments are"
            raise InputError(f"{name}: {how} called so; there are: {there}")
        matches[0].folders()
        return _activate(workspace, matches[0], note)


def rollback(
    workspace: Workspace,
    agreed: Callable[[str], None] = lambda active: None,
    damaged: dict[str, ArtifactError] | None = None,
) -> Deployment:
    """Serve what was served before the active deployment: the newest that is whole; `damaged` takes what is
    wrong with those passed over, by name. agreed: told what is active, to object before anything changes.

    Raises InputError when there is nothing before, ArtifactError when nothing before is whole.
    """
    damaged = {} if damaged is None else damaged
    with _changing(workspace):
        served, unread = _served(workspace), dict[str, ArtifactError]()
        agreed(name_of(served[-1]) if served else "")
        stored = {deployment.fingerprint for deployment in deployments(workspace, unread)} | set(unread)
        before = [mark for mark in served[:-1] if mark in stored and mark != served[-1]]
        for mark in reversed(before):
            try:
                deployment = read(workspace, mark)
                deployment.folders()
            except ArtifactError as error:
                damaged[name_of(mark)] = error
                continue
            return _activate(workspace, deployment, BACK)
    if damaged:
        raise next(iter(damaged.values()))
    why = "no deployment was served before the active one"
    if len(served) > 1 and workspace.tombstones.people:
        why = "the deployments served before held people who asked to be forgotten, and were removed"
    raise InputError(f"{workspace.root}: {why}; `tastemaker train` makes the next one")


def listed(folder: Path) -> dict[str, Any]:
    """`tastemaker admin deployments list`."""
    workspace = Workspace.open(folder)
    unread: dict[str, ArtifactError] = {}
    current, rows = "", []
    if workspace.database.exists():
        with Database(workspace.database) as database:
            current = active_name(database)  # which may be damaged itself
    for deployment in deployments(workspace, unread):
        rows.append({"active": deployment.name == current} | deployment.about())
    lines = [
        f"{'*' if row['active'] else ' '} {row['name']}  {row['created'][:16].replace('T', ' ')}  model"
        f" {row['model'][:8] or 'none':8}  catalogue {row['catalogue'][:8]} ({row['items']:,} items)"
        f"{'  proxy ' + row['proxy'][:8] if row['proxy'] else ''}  {row['note']}"
        for row in rows
    ]
    lines += [
        f"{'*' if name_of(mark) == current else ' '} {name_of(mark)}  cannot be read: {error}"
        for mark, error in unread.items()
    ]
    return {"deployments": rows, "text": "\n".join(lines) or "nothing was deployed yet; train first"}


def changed(
    folder: Path, name: str | None = None, agreed: Callable[[str], None] = lambda active: None
) -> dict[str, Any]:
    """`tastemaker admin deployments activate NAME`, or `rollback` without one; says which items come back."""
    workspace, damaged = Workspace.open(folder), dict[str, ArtifactError]()
    deployment = rollback(workspace, agreed, damaged) if name is None else activate(workspace, name)
    lines = [f"deployment {deployment.name} serves {many(deployment.items, 'item')}; {deployment.note}"]
    lines += [f"warning: {passed}, served later, was passed over: {why}" for passed, why in damaged.items()]
    back = missing_items(deployment)
    if back:
        shown = ", ".join(back[:5]) + (" ..." if len(back) > 5 else "")
        lines.append(
            f"warning: {len(back)} items that the tables in use no longer have are served again: {shown};"
            " the next `tastemaker ingest` takes them down"
        )
    about = {"deployment": deployment.about(), "items_back": back, "passed_over": list(damaged)}
    return about | {"text": "\n".join(lines)}


def pushed(folder: Path, place: str) -> dict[str, Any]:
    """`tastemaker admin deployments push`: the verified folders of the active deployment, at an address."""
    workspace = Workspace.open(folder)
    deployment = in_service(workspace)
    folders = deployment.folders()
    about = {"format": FORMAT, "deployment": deployment.fingerprint}
    new = send_folders(place, folders, about)
    text = (
        f"deployment {deployment.name} is at {place}: {new} of its {len(folders)} folders were not there yet"
    )
    return {"deployment": deployment.about(), "place": place, "sent": new, "text": text}


def pulled(folder: Path, place: str) -> dict[str, Any]:
    """`tastemaker admin deployments pull`: the deployment of an address, every byte verified, with its tables
    as those in use, and activated. Nothing changes where one is damaged, missing or of a newer version.

    Raises InputError when the address cannot be read, or its tables hold somebody who asked here to be
    forgotten; ArtifactError when a file is damaged.
    """
    workspace, listed = Workspace.open(folder), sent_folders(place)
    if listed.get("format") != FORMAT:
        raise InputError(
            f"{place}: was pushed by a newer Tastemaker (format {listed.get('format')}, this program knows"
            f" {FORMAT}); upgrade this one"
        )
    tables, received = "", list[Path]()
    try:
        for name, mark in listed.get("folders", {}).items():
            kind, _, key = name.partition("/")
            path = workspace.artifacts.path(kind, key)
            if kind == TABLES:
                tables, path = key, workspace.data / f"{TABLES}-{key}"
            if receive_folder(place, name, mark, path):
                received.append(path)
        with workspace.changing_tables():
            dropped = workspace.tombstones.without(workspace.table("interactions", tables=tables))[1]
            if dropped.people:
                raise InputError(
                    f"{place}: {dropped.rows} of its events are about people who asked here to be forgotten;"
                    " run `tastemaker admin forget` for them where it was pushed from, and push again"
                )
            before = workspace.tables_fingerprint() if workspace.has_tables() else tables
            deployment = activate(workspace, name_of(str(listed["deployment"])), f"pulled from {place}")
            received.clear()  # they are served now
            workspace.use_tables(tables)
    except TastemakerError:
        for path in received:  # a deployment without its model is none
            remove_folder(path)
        raise
    text = f"deployment {deployment.name} serves {many(deployment.items, 'item')}; pulled from {place}"
    if before != tables:
        text += (
            "\nwarning: its tables are in use now; `tastemaker ingest` puts back those of before"
            f" ({before[:8]})"
        )
    return {"deployment": deployment.about(), "place": place, "text": text}


def faults(folder: Path) -> list[Finding]:
    """What `tastemaker admin doctor` says of the active deployment; nothing before the first one."""
    try:
        current = active(Workspace.open(folder))
        if current is None:
            return []
        current.folders()
    except TastemakerError as error:
        message, _, remedy = str(error).partition("; ")
        return [Finding("error", "deployment", message, remedy)]
    return [Finding("ok", "deployment", f"{current.name} is active and whole: {current.items:,} items")]


def drop(workspace: Workspace, tables: Collection[str]) -> None:
    """Remove every deployment whose histories are those of one of these tables, but for the active one; what
    cannot be read might be of them, and goes too.
    """
    current = active(workspace)
    unread: dict[str, ArtifactError] = {}
    marks = [each.fingerprint for each in deployments(workspace, unread) if each.catalogue in tables]
    for mark in (*marks, *unread):
        if current is None or mark != current.fingerprint:
            remove_folder(workspace.artifacts.path(KIND, mark))


def missing_items(deployment: Deployment) -> list[str]:
    """Items that a deployment serves and the tables in use no longer have."""
    there = set(deployment.workspace.table("items")["item_id"].to_pylist())
    return [item for item in deployment.catalogue_items()["item_id"].to_pylist() if item not in there]


def _make(
    workspace: Workspace,
    base: Base,
    previous: Deployment | None,
    report: Report,
    note: str,
    tables: str = "",
) -> Deployment:
    """The deployment of a base and the tables in use, or earlier `tables`, made unless it is there."""
    tables = tables or workspace.tables_fingerprint()
    catalogue = coded(workspace, base, previous, report, tables) if base.kind else in_order(workspace, tables)
    arrays: dict[str, Any] = {"codes": catalogue.codes, "sizes": np.array(catalogue.sizes, np.int64)}
    arrays |= catalogue.new
    events = telling_events(workspace, tables)
    memory = ""
    if base.weight:
        data = load_data(workspace, Snapshot(tables), catalogue.items, events)
        counted = fit_memory(data.histories, len(data.item_ids))
        counts = counted.arrays() | {"decay": np.array([counted.decay])}
        content = b"".join(np.ascontiguousarray(array).tobytes() for array in counts.values())
        memory = sha256_bytes(content)[:32]
        arrays |= counts
    if not base.kind:
        arrays |= text_vectors(catalogue.items)
    summary = note or f"{catalogue.added} new items, {catalogue.removed} gone"
    proxy, policy = _in_force(workspace)
    about: dict[str, Any] = {
        "base": asdict(base),
        "catalogue": tables,
        "trie": build_trie(catalogue.codes, catalogue.sizes).fingerprint,
        "memory": memory,
        "proxy": proxy,
        "policy": policy,
        "items": catalogue.items.num_rows,
        "note": summary + (f"; {catalogue.left_out}" if catalogue.left_out else ""),
    }
    inputs = {"tables": tables, "proxy": proxy, "policy": policy, "events": events_mark(events)}
    inputs |= {base.kind: base.model, "tokens": base.tokens} if base.kind else {}
    inputs = {name: mark for name, mark in inputs.items() if mark}
    mark = fingerprint(KIND, inputs, {name: value for name, value in about.items() if name != "note"})
    workspace.artifacts.put(
        KIND, mark, lambda folder: write(folder, about, catalogue.items, arrays), inputs=inputs
    )
    return read(workspace, mark)


def _in_force(workspace: Workspace) -> tuple[str, str]:
    """Fingerprints of the survey proxy and the certified policy in force; "" for none."""
    if not workspace.database.exists():
        return "", ""
    with Database(workspace.database) as database:
        row, book = database.newest_deployment(PROXY), ledger_in(database)
        serving = None if book is None else book.serving
        return "" if row is None else row.fingerprint, "" if serving is None else serving.policy


def _activate(workspace: Workspace, deployment: Deployment, note: str = "") -> Deployment:
    """Record that it is served from now on; old deployments go."""
    with Database(workspace.database) as database:
        at, row, proxy = now(), database.newest_deployment(SERVING), _in_force(workspace)[0]
        if row is None or row.fingerprint != deployment.fingerprint:
            database.deploy(SERVING, deployment.fingerprint, at, note or deployment.note)
            keys, summary = Keys(database), f"{deployment.name}: {note or deployment.note}"
            act, detail = (note, deployment.name) if note in (BACK, AGAIN) else ("made", summary)
            keys.note(keys.account(), f"deployment {act}", detail)
        if proxy != deployment.proxy:
            database.deploy(PROXY, deployment.proxy, at, f"with deployment {deployment.name}")
    for old in [old for old in deployments(workspace) if old.fingerprint != deployment.fingerprint][LIMIT:]:
        remove_folder(workspace.artifacts.path(KIND, old.fingerprint))
    return deployment


def _served(workspace: Workspace) -> list[str]:
    """Fingerprints in the order they were activated; a rollback takes back what came after its target."""
    with Database(workspace.database) as database:
        rows = [row for row in reversed(database.deployments()) if row.kind == SERVING]
    served: list[str] = []
    for row in rows:
        if row.note == BACK and row.fingerprint in served:
            del served[len(served) - served[::-1].index(row.fingerprint) :]
        else:
            served.append(row.fingerprint)
    return served


@contextmanager
def _changing(workspace: Workspace) -> Iterator[None]:
    """Hold the lock under which the active deployment changes; waits for who has it."""
    with locked(workspace.root / "deployments.lock"), workspace.lease("deployments", wait=True):
        yield
