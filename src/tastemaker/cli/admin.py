"""`tastemaker admin`: what an operator does with a workspace: deployments, keys, erasing, checks."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import tastemaker.cli.deployments as deployments
import tastemaker.cli.keys as keys
from tastemaker.cli.database import copy_database
from tastemaker.cli.options import HERE, AsJson, Workspace, group
from tastemaker.cli.output import emit

app = group("""
    What an operator does: choose what is served, say who may call, erase a person, look for faults.

      tastemaker admin doctor -w shop
      tastemaker admin deployments rollback -w shop
      tastemaker admin keys add -w shop --role app --name backend
      tastemaker admin forget -w shop --user U17 --dry-run

    The same, with figures, is on the page /operator of a running server.
    """)
app.add_typer(deployments.app, name="deployments")
app.add_typer(keys.app, name="keys", short_help="Who may call the server, and what operators did.")
app.command("copy-database")(copy_database)


@app.command()
def forget(
    user: Annotated[str, typer.Option(help="The person's id, exactly as in your tables.")],
    workspace: Workspace = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
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
            f"one person, {sum(one['count'] for one in result['removed'])} rows and files",
        )
    emit(result, as_json)


@app.command()
def doctor(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
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
    text = "\n".join([*map(str, findings), "", summary])
    emit(
        {
            "findings": [asdict(finding) for finding in findings],
            "errors": errors,
            "warnings": warnings,
            "text": text,
        },
        as_json,
    )
    if errors:
        raise typer.Exit(2)
