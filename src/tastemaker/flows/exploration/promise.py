"""The ledger on disk: promises made once and every step since, rows of the table `deployments` of a SQLite file."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tastemaker.errors import InputError
from tastemaker.explore.ledger import Ledger
from tastemaker.store import Database, Workspace, fingerprint

PROMISE = "exploration-promise"


def ledger_file(workspace: Path | None, ledger: Path | None) -> Path:
    """The workspace's own database, or the file given."""
    if ledger is not None:
        return ledger
    if workspace is None:
        raise InputError("give --ledger FILE.sqlite, where promises and deployments are kept, or --workspace")
    return Workspace.open(workspace).database


def read_ledger(path: Path, promise: Ledger | None = None) -> Ledger:
    """The ledger as it stands; a file without one gets `promise`. Raises InputError when there is none and none is given."""
    database = Database(path)
    rows = [asdict(one) for one in reversed(database.deployments())]
    made = [json.loads(row["note"]) for row in rows if row["kind"] == PROMISE]
    if not made and promise is None:
        database.close()
        raise InputError(f"{path}: holds no ledger yet; `tastemaker explore certify` starts one")
    if not made and promise is not None:
        terms = _terms(promise)
        database.deploy(PROMISE, fingerprint(PROMISE, {}, terms), datetime.now(UTC), json.dumps(terms, sort_keys=True))
        made = [terms]
    database.close()
    return Ledger(**made[-1]).with_rows(rows)


def append_entries(path: Path, before: Ledger, after: Ledger) -> None:
    """Write the entries that `after` has more than `before`, each in one durable transaction."""
    database = Database(path)
    for entry in after.entries[len(before.entries) :]:
        row = entry.to_row()
        database.deploy(row["kind"], row["fingerprint"], datetime.now(UTC), row["note"])
    database.close()


def _terms(ledger: Ledger) -> dict[str, Any]:
    return {name: value for name, value in asdict(ledger).items() if name != "entries"}
