"""Workspaces of invented tunes with random logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="session")
def make_tunes() -> Callable[[Path], Path]:
    """`make_tunes(folder)`: a workspace of 160 tunes and 40 users in folder/w."""
    from tastemaker.demo.tunes import catalogue
    from tastemaker.flows.ingest import ingest_files
    from tastemaker.store import Workspace

    items, _ = catalogue(160, books=("procedural",))
    rng, ids = np.random.default_rng(0), items["item_id"].to_pylist()
    rows = [
        {"user_id": f"u{user:02d}", "item_id": ids[int(row)], "position": position}
        for user in range(40)
        for position, row in enumerate(rng.permutation(160)[:30])
    ]

    def make(folder: Path) -> Path:
        pq.write_table(items, folder / "items.parquet")
        pq.write_table(pa.Table.from_pylist(rows), folder / "interactions.parquet")
        Workspace.create(folder / "w")
        ingest_files(folder / "w", folder / "items.parquet", folder / "interactions.parquet")
        return folder / "w"

    return make
