"""The ledger on disk: terms and every step since, rows of the table `deployments` of a SQLite file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from tastemaker.errors import InputError
from tastemaker.explore.ledger.ledger import TABLE_KIND, Entry, Ledger
from tastemaker.store import Address, Database, Workspace, fingerprint
from tastemaker.store.database.events import now
from tastemaker.store.files import restored

OPTIONS = {"c": "--c", "floor": "--floor", "delta": "--delta", "K": "--gates", "r_max": "--r-max"}
MOST_DELTA = 0.25
TERMS = "exploration-promise"  # kind of the row that holds the terms


@dataclass(frozen=True)
class LedgerStore:
    """The SQLite file of a ledger; workspace: whose own database it is, None for a file of its own."""

    path: Path | Address
    workspace: Path | None = None

    @classmethod
    def of(cls, workspace: Path | None, ledger: Path | None) -> LedgerStore:
        """Raises InputError unless exactly one of the two is given."""
        if ledger is not None and workspace is not None:
            raise InputError(
                f"{workspace} keeps its ledger in its own database, which the server reads; leave out"
                f" --ledger {ledger}"
            )
        if ledger is not None:
            return cls(ledger)
        if workspace is None:
            raise InputError(
                "give --ledger FILE.sqlite, where promises and deployments are kept, or --workspace"
            )
        return cls(Workspace.open(workspace).database, workspace)

    def read(self, terms: Mapping[str, float | int | None] | None = None) -> Ledger:
        """The ledger as it stands; a file without one begins with these `terms` (None: the usual one).

        Raises InputError when there is none and none are given, and on terms that contradict the ledger's.
        """
        wanted = {name: value for name, value in (terms or {}).items() if value is not None}
        with Database(self.path) as database:
            book = ledger_in(database)
            if book is None and terms is not None:
                book = Ledger(**wanted)  # type: ignore[arg-type]
                if book.delta > MOST_DELTA:
                    raise InputError(
                        f"--delta {book.delta:g}: a promise that fails more often than {MOST_DELTA:g} is"
                        " none; give .05, or less"
                    )
                values = {name: value for name, value in asdict(book).items() if name != "entries"}
                mark = fingerprint(TERMS, {}, values)
                database.deploy(TERMS, mark, now(), json.dumps(values, sort_keys=True))
        for name, value in wanted.items():
            if book is not None and value != getattr(book, name):
                raise InputError(
                    f"{self.path}: promises {OPTIONS[name]} {getattr(book, name):g}, which was set once;"
                    f" leave out {OPTIONS[name]} {value:g}, or start another ledger for other rows"
                )
        if book is None:
            raise InputError(f"{self.path}: holds no ledger yet; `tastemaker explore certify` starts one")
        return book

    def secret(self) -> str:
        """64 hexadecimal digits that only this ledger knows."""
        with Database(self.path) as database:
            return database.secret("ledger")

    def append(self, before: Ledger, after: Ledger) -> Ledger:
        """Write the entries that `after` has more than `before`, each durable by itself; gives `after`."""
        with Database(self.path) as database:
            for entry in after.entries[len(before.entries) :]:
                row = entry.to_row()
                database.deploy(row["kind"], row["fingerprint"], now(), row["note"])
        return after

    def unsettled_rounds(self, book: Ledger) -> int:
        """Rounds of the last deployment served and not banked; without a workspace, perhaps all planned."""
        if book.latest is None or self.workspace is None:
            return book.left
        with Database(self.path) as database:
            served = database.served(deployment_name(book.latest))
        return served - (book.latest.rounds - book.left)


def ledger_in(database: Database) -> Ledger | None:
    """The ledger of an open database; None before the first gate."""
    rows = [vars(row) for row in reversed(database.deployments())]
    terms = [json.loads(row["note"]) for row in rows if row["kind"] == TERMS]
    return restored(Ledger, terms[-1], "the ledger").with_rows(rows) if terms else None


def deployment_name(entry: Entry) -> str:
    """What the policy ids of a deployment's slates begin with."""
    return f"certified-{entry.certificate[:12]}"


def last_gate(database: Database) -> datetime | None:
    """When rows were last opened to certify on: only what was served since may be opened again."""
    entries = [row for row in database.deployments() if row.kind == TABLE_KIND]
    return next((row.timestamp for row in entries if json.loads(row.note)["kind"] == "gate"), None)
