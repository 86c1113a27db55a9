"""`tastemaker recommend --all`: each person's list, as the server would show it, to a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tastemaker.engine import mapped
from tastemaker.errors import InputError
from tastemaker.flows.data import events_mark, telling_events
from tastemaker.flows.deploy import in_service
from tastemaker.flows.deployment import read
from tastemaker.flows.pipeline import Report
from tastemaker.serving.draw import DrawStep
from tastemaker.serving.load import Shared, load_parts
from tastemaker.serving.query import Query
from tastemaker.serving.rerank import plugged
from tastemaker.serving.serve import Parts, begin, search
from tastemaker.store import Database, Workspace
from tastemaker.store.files import canonical, sha256_bytes
from tastemaker.store.remote import uploaded

PEOPLE = 500  # of one part
LISTS = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("position", pa.int32(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("propensity", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Lists:
    """The batch function: people -> their lists by one deployment. Where lists are drawn, a draw is keyed by
    the deployment and the person, so that it comes out alike wherever it is made.
    """

    root: str
    deployment: str
    k: int
    filters: Mapping[str, tuple[str, ...]]

    def __call__(self, people: tuple[str, ...]) -> pa.Table:
        """LISTS of these people, in their order."""
        parts = _parts(self.root, self.deployment)
        rerank, draw = parts.reranker.now(), DrawStep(parts.drawer, None)
        requests = []
        for person in people:
            query, slate = begin(Query(person, k=self.k, filters=self.filters, logged=False), parts)
            requests.append((query, replace(slate, request_id=f"{self.deployment}/{person}")))
        rows = []
        slates = search(requests, parts, rerank.spare)
        for person, (query, _), slate in zip(people, requests, slates, strict=True):
            for step in (rerank, plugged, draw):
                slate = step(query, slate)
            rows += [(person, row.position, row.item_id, row.score, row.propensity) for row in slate.rows]
        columns = zip(*rows, strict=True) if rows else [()] * len(LISTS)
        return pa.table(
            [pa.array(column, field.type) for column, field in zip(columns, LISTS, strict=True)], LISTS
        )


@lru_cache(maxsize=1)
def _parts(root: str, deployment: str) -> Parts:
    workspace = Workspace.open(root)
    return load_parts(workspace, Shared.of(workspace), read(workspace, deployment))


def recommend_all(
    folder: Path, out: str, k: int, filters: Mapping[str, tuple[str, ...]], report: Report
) -> dict[str, Any]:
    """Write the lists of everybody in the tables and in the server's events, but for who was erased.

    out: a Parquet file or a URL of one. Nothing is logged: a list sent to somebody is no slate of the server.

    Raises InputError for a filter that nothing passes, or where nobody is known.
    """
    workspace = Workspace.open(folder)
    deployment = in_service(workspace)
    people = everybody(workspace, deployment.catalogue)
    if not people:
        raise InputError(f"{folder}: nobody is known; ingest interactions, or send events, first")
    lists = Lists(str(folder.resolve()), deployment.fingerprint, k, dict(filters))
    about = [asdict(lists), people, asdict(workspace.settings), events_mark(telling_events(workspace))]
    parts = [tuple(people[start : start + PEOPLE]) for start in range(0, len(people), PEOPLE)]
    rows = 0
    with uploaded(out) as path, pq.ParquetWriter(path, LISTS, compression="zstd") as writer:
        key = sha256_bytes(canonical(about))
        for table in mapped(lists, parts, workspace, "lists", key, report):
            writer.write_table(table.cast(LISTS))
            rows += table.num_rows
    _parts.cache_clear()
    text = f"{rows:,} rows for {len(people):,} people by deployment {deployment.name}: {out}"
    return {"out": out, "people": len(people), "rows": rows, "deployment": deployment.name, "text": text}


def everybody(workspace: Workspace, tables: str = "") -> list[str]:
    """Ids of all who are known, in order."""
    known = set(workspace.table("interactions", tables=tables)["user_id"].unique().to_pylist())
    if workspace.database.exists():
        with Database(workspace.database) as database:
            known |= {person for person, _ in database.people()}
    tombstones = workspace.tombstones
    return sorted(person for person in known if not tombstones.holds(person))
