"""`tastemaker rehearse`: the closed loop with a simulated crowd, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import HERE, Report, Workspace, answers


@answers()
def rehearse(
    report: Report,
    workspace: Workspace = HERE,
    days: Annotated[int, typer.Option(min=2, help="Days that the crowd lives.")] = 30,
    people: Annotated[int, typer.Option(min=20, help="How many of the workspace's users live on.")] = 150,
    world: Annotated[
        str,
        typer.Option(
            help="item: people return for what they liked; person: by their nature alone; drift: tastes turn;"
            " poison: programs push items."
        ),
    ] = "item",
    night: Annotated[
        int, typer.Option(min=1, help="Days from one training, proxy and certificate to the next.")
    ] = 10,
    arrivals: Annotated[int, typer.Option(min=1, help="Days from one arrival of new items to the next.")] = 3,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="A part to leave out in a world of its own: learning, exploration or proxy; repeat."
            " none: no such world. Default: each."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same crowd.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the worlds and of the page.")] = Path("rehearsal"),
    jobs: Annotated[int, typer.Option(min=1, help="Worlds that live at the same time.")] = 2,
) -> Any:
    """Live the whole loop with a simulated crowd.

    A copy of the workspace is served; people visit, play, skip, answer questions and come back or not; items
    arrive and go; by night the model is trained, a proxy fitted and tested, a policy certified, and alarms
    watched. The same crowd lives once with everything, once without each part, and once with nothing. What
    is finished is kept: the same command again goes on. Example: tastemaker rehearse -w demo --days 30
    """
    from tastemaker.rehearse.rehearse import RehearsalSettings
    from tastemaker.rehearse.rehearse import rehearse as live
    from tastemaker.rehearse.town import PARTS, Schedule

    parts = PARTS if without is None else tuple(part for part in without if part != "none")
    settings = RehearsalSettings(people, seed, world, parts, Schedule(days, night, arrivals), jobs)
    return live(workspace, out, settings, report)
