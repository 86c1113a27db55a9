"""`tastemaker retention simulate`: worlds with known truth, as tables to try every other command on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tastemaker.cli.options import Report, command, group

app = group("""
    Simulated worlds with known truth, as tables to try the other commands on.

      tastemaker retention simulate listeners --out world
    """)


@command(app)
def listeners(
    report: Report,
    world: Annotated[
        str, typer.Option(help="Why people return: item, user (their nature) or state (their day).")
    ] = "item",
    out: Annotated[Path, typer.Option(help="Folder of the tables.")] = Path("world"),
    count: Annotated[int, typer.Option("--listeners", min=1, help="How many listeners.")] = 20_000,
    items: Annotated[
        int, typer.Option(min=1, help="How many items; each is dealt with probability 1 / items.")
    ] = 2_000,
    days: Annotated[int, typer.Option(min=1, help="Days, one impression a listener and day.")] = 2,
    ask_rate: Annotated[float, typer.Option(help="Probability of being asked.")] = 1.0,
    answer_rate: Annotated[float, typer.Option(help="Probability of answering when asked.")] = 1.0,
    answer_by_activity: Annotated[
        float, typer.Option(help="Non-response: slope of answering on log activity.")
    ] = 0.0,
    answer_by_base: Annotated[
        float, typer.Option(help="Non-response: slope of answering on the inclination to return.")
    ] = 0.0,
    asked_effect: Annotated[
        float, typer.Option(help="Mere measurement: how being asked moves the logit of returning.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 0,
) -> Any:
    """Listeners who watch, like, answer three questions and return: rows, users, surveys, slates, and the
    truth beside.

    Example: tastemaker retention simulate listeners --world state --listeners 5000 --out world
    """
    from tastemaker.flows.retention.world import simulate_listeners

    settings = {
        "listeners": count,
        "items": items,
        "days": days,
        "ask_rate": ask_rate,
        "answer_rate": answer_rate,
        "answer_by_activity": answer_by_activity,
        "answer_by_base": answer_by_base,
        "asked_effect": asked_effect,
    }
    return simulate_listeners(world, out, report, settings, seed)
