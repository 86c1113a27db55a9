"""`tastemaker admin copy-database`: from the workspace's file to a server."""

from __future__ import annotations

from typing import Annotated

import typer

from tastemaker.cli.options import HERE, AsJson, Workspace
from tastemaker.cli.output import emit
from tastemaker.errors import InputError


def copy_database(
    url: Annotated[str, typer.Argument(help="An empty PostgreSQL: postgresql://me@host/shop.")],
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Copy the workspace's database file into a PostgreSQL.

    All of it or nothing, each row checked; nobody writes to the file meanwhile. Then write the address into
    tastemaker.toml and start the servers again. Example: tastemaker admin copy-database -w shop
    postgresql://me@host/shop
    """
    from tastemaker.store.database.copy import copy_database as copy
    from tastemaker.store.database.postgres import Address
    from tastemaker.store.workspace import Workspace as Store

    store = Store.open(workspace)
    if isinstance(store.database, Address):
        raise InputError(
            f"{workspace}: uses {store.database} already; take `database` out of tastemaker.toml"
        )
    rows = copy(store.database, Address(url))
    lines = [f"{count:>9,}  {table}" for table, count in rows.items() if count]
    lines.append(f'copied; now write database = "{url}" under [advanced] in {workspace / "tastemaker.toml"}')
    emit({"database": url, "rows": rows, "text": "\n".join(lines)}, as_json)
