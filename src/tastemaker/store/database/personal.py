"""What the database holds about one person."""

from __future__ import annotations

from tastemaker.store.database.database import Database
from tastemaker.store.database.migrations import PERSONAL


def held(database: Database, user_id: str) -> dict[str, int]:
    """Rows about a person in each table that can hold any; `Database.erase` removes them."""
    with database.transaction(write=False) as connection:
        return {
            table: int(
                connection.execute(f"SELECT count(*) FROM {table} WHERE {column} = ?", (user_id,)).fetchone()[
                    0
                ]
            )
            for table, column in PERSONAL.items()
        }
