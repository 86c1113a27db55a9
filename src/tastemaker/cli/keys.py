"""`tastemaker admin keys`: who may call the server, and what operators did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastemaker.cli.options import HERE, Workspace, command, group

if TYPE_CHECKING:
    from tastemaker.store.database import Keys

app = group("""
    Who may call the server, and what operators did.

    Without keys the server listens to this machine only, and trusts it. With one, every call needs a key or a
    token, and --host may open the server to others:

      tastemaker admin keys add -w shop --role app --name backend
      tastemaker admin keys list -w shop
      tastemaker admin keys revoke -w shop backend
      tastemaker admin keys log -w shop

    An app key reads and writes for everybody and mints tokens for one person (POST /tokens); a read key reads
    and writes nothing; an operator key erases people, too. Docs: docs/api.md
    """)


@contextmanager
def _keys(workspace: Path) -> Iterator[Keys]:
    from tastemaker.store.database import Database, Keys
    from tastemaker.store.workspace import Workspace as Store

    with Database(Store.open(workspace).database) as database:
        yield Keys(database)


def note(workspace: Path, action: str, detail: str = "") -> None:
    """Log what was done from the command line, and by which account."""
    with _keys(workspace) as keys:
        keys.note(keys.account(), action, detail)


@command(app)
def add(
    workspace: Workspace = HERE,
    role: Annotated[
        str, typer.Option(help="app, operator or read; see `tastemaker admin keys --help`.")
    ] = "app",
    name: Annotated[str, typer.Option(help="What to call it in lists and logs; default: the role.")] = "",
) -> Any:
    """Make a key and print it, this once: only its hash is kept.

    Example: tastemaker admin keys add -w shop --role app --name backend
    """
    name = name or role
    with _keys(workspace) as keys:
        key = keys.add(role, name)
        keys.note(keys.account(), "key added", f"{name} ({role})")
    text = f"{key}\nThis is shown once. Send it as the header `Authorization: Bearer {key[:10]}...`"
    return {"key": key, "name": name, "role": role, "text": text}


@command(app, "list")
def list_(workspace: Workspace = HERE) -> Any:
    """Keys that were made, and those revoked; never the keys themselves.

    Example: tastemaker admin keys list -w shop
    """
    with _keys(workspace) as keys:
        rows: list[dict[str, Any]] = [
            {
                "id": key.key_id,
                "name": key.name,
                "role": key.role,
                "created": key.created.isoformat(timespec="seconds"),
                "revoked": key.revoked and key.revoked.isoformat(timespec="seconds"),
            }
            for key in keys.all()
        ]
    lines = [
        f"{row['id']}  {row['role']:<8}  {row['created']}  {row['name']}"
        + (f"  revoked {row['revoked']}" if row["revoked"] else "")
        for row in rows
    ]
    return {"keys": rows, "text": "\n".join(lines) or "There are no keys: this machine is trusted."}


@command(app)
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id or name.")],
    workspace: Workspace = HERE,
) -> Any:
    """Take a key back, and every token that it minted; a running server stops taking them within a second.

    Example: tastemaker admin keys revoke -w shop backend
    """
    with _keys(workspace) as keys:
        record = keys.revoke(key)
        in_force = sum(key.revoked is None for key in keys.all())
        keys.note(keys.account(), "key revoked", f"{record.name} ({record.role})")
    text = f"{record.name} ({record.role}) is revoked; {in_force} in force."
    text += "" if in_force else " The server answers nobody until you add one."
    return {"id": record.key_id, "name": record.name, "in_force": in_force, "text": text}


@command(app)
def log(workspace: Workspace = HERE) -> Any:
    """What operators did, and when: keys made and revoked, people erased; deployments, proxies and
    policies put in force or taken back, those that a training, an ingest or an erasure makes included.

    Example: tastemaker admin keys log -w shop
    """
    with _keys(workspace) as keys:
        entries = [entry.plain() for entry in keys.entries()]
    lines = [
        f"{entry['timestamp'][:19]}  {entry['actor']}: {entry['action']}  {entry['detail']}".rstrip()
        for entry in entries
    ]
    return {"log": entries, "text": "\n".join(lines) or "Nothing was done yet."}
