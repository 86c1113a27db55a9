"""Workspaces of invented tunes with random logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[int]]:
    """`workers(folder)`: from here on the workspace's large work is mapped as a cluster maps it: the function
    and its parts are shipped as bytes, and what was begun last comes first. Gives the parts computed.
    """
    import pickle

    import tastemaker.engine as engine
    from tastemaker.store.settings import SETTINGS_FILE

    computed = list[int]()

    def elsewhere(batch: Any, parts: Any) -> Any:
        for number, part in reversed(parts.items()):
            computed.append(number)
            yield number, pickle.loads(pickle.dumps(batch))(part)  # noqa: S301 - our own

    def begin(folder: Path) -> list[int]:
        path = folder / SETTINGS_FILE
        path.write_text(path.read_text().replace('engine = "local"', 'engine = "ray"'))
        monkeypatch.setattr(engine, "_on_ray", elsewhere)
        return computed

    return begin
