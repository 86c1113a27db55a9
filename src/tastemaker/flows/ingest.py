"""Into a workspace: the user's files, or a data set that an installed package carries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tastemaker.errors import InputError, many
from tastemaker.schema import EventRules
from tastemaker.store import Workspace, ingest, write_table
from tastemaker.store.remote import fetched

if TYPE_CHECKING:
    from tastemaker.flows.deployment import Deployment
    from tastemaker.flows.pipeline import Report

LISTENERS = 1000
DATASETS = ("movielens", "tunes")


def ingest_files(
    workspace: Path,
    items: Path | str | None,
    interactions: Path | str | None,
    settings: ingest.IngestSettings | None = None,
) -> dict[str, Any]:
    """`tastemaker ingest`: files, here or at a URL, into tables, with a report of what was understood, what
    was refused and why.

    "mostly_refused" names the tables of which more than half was refused.
    """
    opened = Workspace.open(workspace)
    for name, path in (("items", items), ("interactions", interactions)):
        if path == "":  # which would be the folder that the command runs in
            raise InputError(f"{name}: the path is empty; name a file, or '.' for this folder")
    with fetched(items) as items_path, fetched(interactions) as interactions_path:
        result = ingest.ingest_files(opened, items_path, interactions_path, settings)
    lines = result.lines()
    if result.reused:
        same = "switched back to these tables, which were made before"
        lines.append(same if result.changed else "the same tables as before: nothing changed")
    about = {"workspace": str(workspace), "folder": str(result.folder), "reused": result.reused}
    about["mostly_refused"] = result.mostly_refused
    deployment = _refreshed(Workspace.open(workspace))
    if deployment is not None:
        lines.append(
            f"deployment {deployment.name} serves {many(deployment.items, 'item')}; {deployment.note}"
        )
        about["deployment"] = deployment.about()
    return about | dict(result.reports) | {"text": "\n".join(lines)}


def _refreshed(workspace: Workspace) -> Deployment | None:
    """The deployment of the new tables where anything is served; the first ingest loads no model code."""
    if not (workspace.artifacts.root / "deployment").exists():
        return None
    from tastemaker.flows.deploy import refresh

    return refresh(workspace)


def read_options(
    columns: Sequence[str],
    encoding: str | None,
    positive: str | None,
    scale: str | None,
    strict: bool,
    time_unit: str | None = None,
) -> ingest.IngestSettings:
    """The settings that options of the command line stand for. InputError: one cannot be read."""
    chosen = {}
    for option in columns:
        part, equals, column = option.partition("=")
        if not equals:
            raise InputError(f"--column {option}: write it as PART=COLUMN, such as item_id=artistID")
        chosen[part.strip()] = column.strip()
    ends: tuple[float, ...] | None = None
    if scale is not None:
        try:
            ends = tuple(map(float, scale.split(",")))
            EventRules((ends[0], ends[1]))
        except (ValueError, IndexError, InputError):
            raise InputError(
                f"--scale {scale}: write the lowest and the highest rating, such as 1,5"
            ) from None
    kinds = [kind.strip() for kind in (positive or "").split(",") if kind.strip()]
    return ingest.IngestSettings(
        columns=chosen,
        encoding=encoding,
        positive=kinds,
        scale=ends,
        strict=strict,
        time_unit=time_unit,
    )


def ingest_dataset(
    workspace: Path, dataset: str, report: Report, tunes: int | None = None, listeners: int = LISTENERS
) -> dict[str, Any]:
    """Tables of a data set: real ratings (movielens), real tunes with **simulated** listeners (tunes)."""
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
    interactions, removed = opened.tombstones.without(interactions)  # a copy of what a package carries
    write_table(source / "items.parquet", items)
    write_table(source / "interactions.parquet", interactions)
    report("catalogue", 1, 1, "")
    result = ingest_files(workspace, source / "items.parquet", source / "interactions.parquet")
    return result | {"text": f"{result['text']}\n{removed}"} if removed.rows else result


def _tunes(workspace: Workspace, tunes: int | None, listeners: int) -> tuple[pa.Table, pa.Table]:
    """Items and simulated interactions; facts that sound and covers need stay beside the tables."""
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
