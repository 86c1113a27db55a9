"""`tastemaker admin`: what an operator does with a workspace: deployments, keys, erasing, checks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

import tastemaker.cli.keys as keys
from tastemaker.cli.options import HERE, Workspace, command, group
from tastemaker.errors import InputError

app = group("""
    What an operator does: choose what is served, say who may call, erase a person, look for faults.

      tastemaker admin doctor -w shop
      tastemaker admin deployments rollback -w shop
      tastemaker admin keys add -w shop --role app --name backend
      tastemaker admin forget -w shop --user U17 --dry-run

    The same, with figures, is on the page /operator of a running server.
    """)
deployments = group("""
    List, activate and roll back what is served, and carry it to other machines.

    A deployment is a model with its Semantic IDs, memory, proxy, policy and catalogue, whole and unchanging.
    `train` makes one of what it learnt, `ingest` one with the new catalogue; a running server takes the
    active one over within seconds.

      tastemaker admin deployments list -w shop
      tastemaker admin deployments rollback -w shop
    """)


@command(deployments, "list")
def list_(workspace: Workspace = HERE) -> Any:
    """Every deployment that is kept, the newest first; * marks the active one.

    Example: tastemaker admin deployments list -w shop
    """
    from tastemaker.flows.deploy import listed

    return listed(workspace)


@command(deployments)
def activate(
    name: Annotated[str, typer.Argument(help="The name as listed, or the beginning of it.")],
    workspace: Workspace = HERE,
) -> Any:
    """Serve another deployment from now on, checked whole first.

    Its catalogue comes with it: items taken down since are named. Example: tastemaker admin deployments
    activate d-8906e24cff9b -w shop
    """
    from tastemaker.flows.deploy import changed

    return changed(workspace, name)


@command(deployments)
def rollback(workspace: Workspace = HERE) -> Any:
    """Serve what was served before the active deployment.

    Items taken down since are named. Example: tastemaker admin deployments rollback -w shop
    """
    from tastemaker.flows.deploy import changed

    return changed(workspace)


PLACE = typer.Argument(help="A URL that fsspec opens: s3://bucket/folder, gs://..., file:///folder.")


@command(deployments)
def push(place: Annotated[str, PLACE], workspace: Workspace = HERE) -> Any:
    """Copy the active deployment, whole, to an address for servers elsewhere to `pull`.

    With it go its model, codes, vectors, proxy and tables; pictures, sounds and the database stay. What is
    there already is not copied again, and what was there of an earlier deployment goes. Example: tastemaker
    admin deployments push s3://bucket/shop -w shop
    """
    from tastemaker.flows.deploy import pushed

    if place.lower().startswith("memory://"):
        raise InputError(
            f"{place}: ends with this command; give a folder, or a store such as s3://bucket/shop"
        )
    return pushed(workspace, place)


@command(deployments)
def pull(place: Annotated[str, PLACE], workspace: Workspace = HERE) -> Any:
    """Take over the deployment that `push` left at an address, and serve it from now on.

    Every byte is compared with its checksum first; where one is wrong, nothing changes. Who may write to the
    address decides what is served here. Example: tastemaker admin deployments pull s3://bucket/shop -w shop
    """
    from tastemaker.flows.deploy import pulled

    return pulled(workspace, place)


app.add_typer(deployments, name="deployments")
app.add_typer(keys.app, name="keys", short_help="Who may call the server, and what operators did.")


@command(app, "copy-database")
def copy_database(
    url: Annotated[str, typer.Argument(help="An empty PostgreSQL: postgresql://me@host/shop.")],
    workspace: Workspace = HERE,
) -> Any:
    """Copy the workspace's database file into a PostgreSQL.

    All of it or nothing, each row checked; nobody writes to the file meanwhile. Then write the address into
    tastemaker.toml and start the servers again. Example: tastemaker admin copy-database -w shop
    postgresql://me@host/shop
    """
    from tastemaker.store.database.copy import copy_database as copy
    from tastemaker.store.database.session import Address
    from tastemaker.store.workspace import Workspace as Store

    store = Store.open(workspace)
    if isinstance(store.database, Address):
        raise InputError(
            f"{workspace}: uses {store.database} already; take `database` out of tastemaker.toml"
        )
    rows = copy(store.database, Address(url))
    lines = [f"{count:>9,}  {table}" for table, count in rows.items() if count]
    lines.append(f'copied; now write database = "{url}" under [advanced] in {workspace / "tastemaker.toml"}')
    return {"database": url, "rows": rows, "text": "\n".join(lines)}


@command(app)
def forget(
    user: Annotated[str, typer.Option(help="The person's id, exactly as in your tables.")],
    workspace: Workspace = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")
    ] = False,
) -> Any:
    """Erase a person from everything.

    A tombstone keeps later ingests from bringing them back.

    First look, then act: tastemaker admin forget -w shop --user U17 --dry-run
    """
    from tastemaker.flows.forget.person import forget as forget_person

    result = forget_person(workspace, user, dry_run)
    if not dry_run:
        keys.note(
            workspace,
            "forget",
            f"one person, {sum(row['count'] for row in result['removed'])} rows and files",
        )
    return result


@command(app)
def doctor(workspace: Workspace = HERE) -> Any:
    """Check a workspace for faults.

    Settings, tables, every artifact's checksums, the database, leftovers, disk and optional packages; exit
    code 2 when something is broken. Example: tastemaker admin doctor -w shop
    """
    from tastemaker.flows.anomalies import anomalies
    from tastemaker.flows.deploy import faults
    from tastemaker.store import diagnose
    from tastemaker.store.workspace import Workspace as Store

    findings = diagnose(workspace)
    if findings[0].subject != "settings" or findings[0].level == "ok":
        findings += [*faults(workspace), *anomalies(Store.open(workspace))]
    levels = [finding.level for finding in findings]
    errors, warnings = levels.count("error"), levels.count("warn")
    summary = f"{errors} broken, {warnings} to look at" if errors or warnings else "nothing is wrong"
    return {
        "findings": [asdict(finding) for finding in findings],
        "errors": errors,
        "warnings": warnings,
        "text": "\n".join([*map(str, findings), "", summary]),
        "exit_code": 2 if errors else 0,
    }
