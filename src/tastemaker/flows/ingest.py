"""Into a workspace: the user's files, or a data set that an installed package carries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from tastemaker.errors import InputError
from tastemaker.flows.deploy import refresh
from tastemaker.flows.pipeline import Report
from tastemaker.store import Workspace, ingest, write_table

LISTENERS = 1000
DATASETS = ("movielens", "tunes")


def ingest_files(
    workspace: Path, items: Path | None, interactions: Path | None, strict: bool = False
) -> dict[str, Any]:
    """`tastemaker ingest`: files into tables, with a report of what was refused and why."""
    found = ingest.ingest_files(
        Workspace.open(workspace), items, interactions, ingest.IngestSettings(strict=strict)
    )
    lines = found.lines()
    if found.reused:
        lines.append("the same tables as before: nothing changed")
    about = {"workspace": str(workspace), "folder": str(found.folder), "reused": found.reused}
    deployment = refresh(Workspace.open(workspace))
    if deployment is not None:
        lines.append(f"deployment {deployment.name} serves {deployment.items:,} items; {deployment.note}")
        about["deployment"] = deployment.about()
    return about | dict(found.reports) | {"text": "\n".join(lines)}


def ingest_dataset(
    workspace: Path, dataset: str, report: Report, tunes: int | None = None, listeners: int = LISTENERS
) -> dict[str, Any]:
    """Tables of a packaged data set: real ratings (movielens), or real tunes with **simulated** listeners
    (tunes).
    """
    opened = Workspace.open(workspace)
    source = opened.data / "source"
    report("catalogue", 0, 1, dataset)
    if dataset == "movielens":
        from tastemaker.demo.movielens import load

        items, interactions = load()
    elif dataset == "tunes":
        items, interactions = _tunes(opened, tunes, listeners)
    else:
        raise InputError(f"--dataset {dataset}: there is no such data set; choose {' or '.join(DATASETS)}")
    interactions, left = opened.tombstones.without(
        interactions
    )  # the workspace keeps a copy of what a package carries
    write_table(source / "items.parquet", items)
    write_table(source / "interactions.parquet", interactions)
    report("catalogue", 1, 1, "")
    found = ingest_files(workspace, source / "items.parquet", source / "interactions.parquet")
    return found | {"text": f"{found['text']}\n{left}"} if left.rows else found


def _tunes(workspace: Workspace, tunes: int | None, listeners: int) -> tuple[pa.Table, pa.Table]:
    """Items and simulated interactions; the facts needed to render sound and covers stay beside the
    tables.
    """
    from tastemaker.demo.listeners import simulate
    from tastemaker.demo.tunes import catalogue
    from tastemaker.flows.media import FACTS_FILE

    seed = workspace.settings.seed
    items, facts = catalogue(tunes, seed)
    simulated = simulate(facts, listeners, seed)
    write_table(workspace.data / FACTS_FILE, facts)
    write_table(
        workspace.data / "listener_profiles.parquet", workspace.tombstones.without(simulated.profiles)[0]
    )
    return items, simulated.interactions
