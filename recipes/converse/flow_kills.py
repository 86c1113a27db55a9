"""Kill -9 `tastemaker converse run` at random moments, resume it, and compare with a run that was left alone.

The roles are played by rules served over HTTP on this machine, with faults; cache and journal are those of
any paid run.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from recipes.common import command, parser, read_arguments, save_figure, show_table
from recipes.converse.engine_kills import Kills, counted, run_through
from recipes.converse.served_rules import nobody, served, table
from tastemaker.flows.converse.settings import RunFolder, RunSettings
from tastemaker.flows.ingest import ingest_dataset
from tastemaker.store import Workspace

FAULTS = {"503": 0.02, "wrong_schema": 0.03, "truncated": 0.03, "drop": 0.02}


def kill_the_flow(
    folder: Path, kills: int, conversations: int, seed: int, latency: float = 0.05
) -> tuple[Kills, int, int]:
    """The command line's `run` and `resume` through `kills` kills; and (conversations, conversations with an
    id of their own).
    """
    asked = RunSettings(n=conversations, seed=seed, media="none")
    with served(folder, asked, FAULTS, latency) as (server, settings):
        command = [sys.executable, "-c", "from tastemaker.cli.main import main; main()", "converse"]
        begun = RunFolder.of(Workspace.open(folder), "killed").settings

        def line() -> list[str]:
            if begun.exists():
                return [*command, "resume", "-w", str(folder), "--name", "killed", "-q", "--at-once", "8"]
            options = {
                "--n": conversations,
                "--seed": seed,
                "--media": "none",
                "--model": settings.model,
                "--at-once": 8,
            }
            given = [str(part) for option in options.items() for part in option]
            return [*command, "run", "-w", str(folder), "--name", "killed", "-q", *given]

        done = table(folder, "killed")
        killed, sessions = run_through(line, done.exists, server, kills, seed, longest=0.4, starting=4.0)
        same = done.read_bytes() == table(folder, "remembered").read_bytes()
        cost = counted(RunFolder.of(Workspace.open(folder), "killed").journal, server, killed, sessions, same)
    ids = Counter(pq.read_table(done, columns=["conversation_id"]).column(0).to_pylist())
    return cost, ids.total(), len(ids)


def main() -> None:
    """Kill, resume, count."""
    arguments = read_arguments(parser(main, "five kills, six conversations"), "converse/flow_kills")
    kills, conversations = (5, 6) if arguments.quick else (50, 40)
    folder = arguments.out / "workspace"
    Workspace.create(folder, {})
    ingest_dataset(folder, "tunes", nobody, 150, 60)
    cost, rows, distinct = kill_the_flow(folder, kills, conversations, arguments.seed)
    row = {name.replace("_", " "): value for name, value in asdict(cost).items()}
    note = f"{rows} conversations, {distinct} ids. Faults of the endpoint: {FAULTS}."
    show_table(
        arguments.out, [row | {"rows": rows, "ids": distinct}], "`converse run` killed and resumed", note
    )
    save_figure(arguments.out, draw(cost))


def draw(cost: Kills) -> Figure:
    """What the kills cost."""
    figure = Figure(figsize=(6.5, 2.2), layout="constrained")
    axes = figure.subplots()
    names = [
        "calls answered",
        "lost under way",
        "asked again",
        "kept, asked again",
        "duplicate conversations",
    ]
    values = [cost.calls, cost.lost, cost.asked_again, cost.kept_asked_again, cost.duplicate_units]
    axes.barh(names[::-1], values[::-1], color="#0072b2")
    for place, value in enumerate(values[::-1]):
        axes.text(value, place, f" {value:,}", va="center")
    axes.set(xlabel=f"calls or conversations, {cost.kills} kills")
    axes.margins(x=0.12)
    return figure


if __name__ == "__main__":
    command(main)
