"""Workspaces of invented tunes with random logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def two_machines() -> Iterator[str]:
    """The address of a Ray cluster of two nodes of one core each."""
    pytest.importorskip("ray", reason="pip install 'tastemaker[ray]' (240 MB)")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture(params=["bytes", pytest.param("ray", marks=pytest.mark.filterwarnings("default"))])
def workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[int]]:
    """`workers(folder)`: from here on the workspace's large work is mapped by a Ray cluster of two machines,
    where Ray is installed, and as a cluster maps it: the function and its parts are shipped as bytes, and
    what was begun last comes first. Gives the parts computed.
    """
    import pickle

    import tastemaker.engine as engine
    from tastemaker.store.settings import SETTINGS_FILE

    computed, cluster = list[int](), engine._on_ray
    if request.param == "ray":
        monkeypatch.setenv("RAY_ADDRESS", request.getfixturevalue("two_machines"))

    def elsewhere(batch: Any, parts: Any) -> Any:
        if request.param == "ray":
            for number, table in cluster(batch, parts):
                computed.append(number)
                yield number, table
            return
        for number, part in reversed(parts.items()):
            computed.append(number)
            yield number, pickle.loads(pickle.dumps(batch))(part)  # noqa: S301 - our own

    def begin(folder: Path) -> list[int]:
        path = folder / SETTINGS_FILE
        path.write_text(path.read_text().replace('engine = "local"', 'engine = "ray"'))
        monkeypatch.setattr(engine, "_on_ray", elsewhere)
        return computed

    return begin
