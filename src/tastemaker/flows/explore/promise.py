"""The ledger on disk: promises made once and every step since, rows of the table `deployments` of a SQLite
file.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.ledger import TABLE_KIND, Entry, Ledger
from tastemaker.store import Database, Workspace, fingerprint

PROMISE = "exploration-promise"


def ledger_file(workspace: Path | None, ledger: Path | None) -> Path:
    """The workspace's own database, or the file given. Raises InputError unless it is exactly one of them."""
    if ledger is not None and workspace is not None:
        raise InputError(
            f"{workspace} keeps its ledger in its own database, which the server reads; leave out --ledger"
            f" {ledger}"
        )
    if ledger is not None:
        return ledger
    if workspace is None:
        raise InputError("give --ledger FILE.sqlite, where promises and deployments are kept, or --workspace")
    return Workspace.open(workspace).database


def read_ledger(path: Path, promise: Ledger | None = None) -> Ledger:
    """The ledger as it stands; a file without one gets `promise`. Raises InputError when there is none and
    none is given.
    """
    database = Database(path)
    found = ledger_in(database)
    if found is None and promise is not None:
        terms = _terms(promise)
        database.deploy(
            PROMISE, fingerprint(PROMISE, {}, terms), datetime.now(UTC), json.dumps(terms, sort_keys=True)
        )
        found = promise
    database.close()
    if found is None:
        raise InputError(f"{path}: holds no ledger yet; `tastemaker explore certify` starts one")
    return found


def ledger_in(database: Database) -> Ledger | None:
    """The ledger of an open database; None before the first promise."""
    rows = [vars(one) for one in reversed(database.deployments())]
    made = [json.loads(row["note"]) for row in rows if row["kind"] == PROMISE]
    return Ledger(**made[-1]).with_rows(rows) if made else None


def deployment_name(entry: Entry) -> str:
    """What the policy ids of a deployment's slates begin with."""
    return f"certified-{entry.certificate[:12]}"


def waiting(book: Ledger, workspace: Path | None) -> int:
    """Rounds of the last deployment that were served and not banked; without a workspace, all planned ones
    may have been.
    """
    if book.latest is None or workspace is None:
        return book.left
    database = Database(ledger_file(workspace, None))
    served = database.served(deployment_name(book.latest))
    database.close()
    return served - (book.latest.rounds - book.left)


def last_gate(database: Database) -> datetime | None:
    """When rows were last opened to certify on: only what was served since may be opened again."""
    entries = [one for one in database.deployments() if one.kind == TABLE_KIND]
    return next((one.timestamp for one in entries if json.loads(one.note)["kind"] == "gate"), None)


def append_entries(path: Path, before: Ledger, after: Ledger) -> None:
    """Write the entries that `after` has more than `before`, each in one durable transaction."""
    database = Database(path)
    for entry in after.entries[len(before.entries) :]:
        row = entry.to_row()
        database.deploy(row["kind"], row["fingerprint"], datetime.now(UTC), row["note"])
    database.close()


def _terms(ledger: Ledger) -> dict[str, Any]:
    return {name: value for name, value in asdict(ledger).items() if name != "entries"}
