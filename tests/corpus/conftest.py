"""The real benchmark, where it is at hand."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tastemaker.corpus.events import Histories, histories
from tastemaker.stats import hashed_order


@pytest.fixture(scope="session")
def beauty() -> tuple[Histories, np.ndarray]:
    """Histories of Amazon Beauty and the published item id of each item index."""
    folder = Path(__file__).parents[3] / "shared/data/amazon-beauty-2014"
    if not folder.exists():
        pytest.skip("the Beauty benchmark is not beside the project (../shared/data/amazon-beauty-2014)")
    ids = pq.read_table(folder / "items.parquet")["item_id"].to_pylist()
    ids = np.array(ids)[hashed_order(ids, "tests")]
    return histories(pq.read_table(folder / "interactions.parquet"), ids), ids
