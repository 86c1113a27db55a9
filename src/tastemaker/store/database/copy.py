"""Everything of a workspace's SQLite file into an empty PostgreSQL, all or nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tastemaker.errors import InputError
from tastemaker.store.database.database import Database
from tastemaker.store.database.integrity import DAMAGED, intact, tables
from tastemaker.store.database.session import Address

ROWS = 10_000  # sent at once
ERASED = "erased"  # keyed by another hash there: the workspace's tombstones keep these people out


def copy_database(source: Path, address: Address) -> dict[str, int]:
    """The rows copied of each table. Nobody can write to the file meanwhile.

    Raises InputError when there is no file, or a row in the database already; ArtifactError when a row does
    not match its checksum, or either cannot be read or written.
    """
    if not source.exists():
        raise InputError(
            f"{source}: there is nothing to copy; a database at PostgreSQL begins empty by itself"
        )
    copied = dict[str, int]()
    with (
        Database(source) as file,
        Database(address) as server,
        file.transaction() as rows,
        server.transaction() as target,
    ):
        for table, (names, key) in tables().items():
            if target.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():
                raise InputError(f"{address}: its table {table} has rows already; give an empty database")
            if table == ERASED:
                continue
            columns, copied[table] = ", ".join(names), 0
            cursor = rows.execute(f"SELECT {columns}, {intact(table)} FROM {table}")
            insert = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})"
            while block := cursor.fetchmany(ROWS):
                if not all(row[-1] for row in block):
                    raise sqlite3.DatabaseError(DAMAGED)
                target.executemany(insert, [row[:-1] for row in block])
                copied[table] += len(block)
            if key[0] in ("deployment_id", "entry_id"):  # numbered by the database
                last = f"(SELECT coalesce(max({key[0]}), 0) + 1 FROM {table})"
                target.execute(f"SELECT setval(pg_get_serial_sequence('{table}', '{key[0]}'), {last}, false)")
    return copied
