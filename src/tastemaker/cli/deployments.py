"""`tastemaker admin deployments`: what is served, by name."""

from __future__ import annotations

from typing import Annotated

import typer

from tastemaker.cli.options import HERE, AsJson, Workspace, group
from tastemaker.cli.output import emit

app = group("""
    List, activate and roll back what is served.

    A deployment is a model with its Semantic IDs, memory, proxy, policy and catalogue, whole and unchanging.
    `train` makes one of what it learnt, `ingest` one with the new catalogue; a running server takes the
    active one over within seconds.

      tastemaker admin deployments list -w shop
      tastemaker admin deployments rollback -w shop
    """)


@app.command("list")
def list_(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Every deployment that is kept, the newest first; * marks the active one.

    Example: tastemaker admin deployments list -w shop
    """
    from tastemaker.flows.deploy import listed

    emit(listed(workspace), as_json)


@app.command()
def activate(
    name: Annotated[str, typer.Argument(help="The name as listed, or the beginning of it.")],
    workspace: Workspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Serve another deployment from now on, checked whole first.

    Its catalogue comes with it: items taken down since are named. Example: tastemaker admin deployments
    activate d-8906e24cff9b -w shop
    """
    from tastemaker.flows.deploy import changed

    emit(changed(workspace, name), as_json)


@app.command()
def rollback(workspace: Workspace = HERE, as_json: AsJson = False) -> None:
    """Serve what was served before the active deployment.

    Items taken down since are named. Example: tastemaker admin deployments rollback -w shop
    """
    from tastemaker.flows.deploy import changed

    emit(changed(workspace), as_json)
