"""How alike candidates are: shared attributes, or vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from scipy import sparse

from tastemaker.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Similarity:
    """Similarity of rows of a table: Jaccard of attribute sets (`sets`: CSR (n, A) of 0/1), or cosine of
    `vectors` (n, d).
    """

    sets: Any = None
    vectors: Floats | None = None

    @classmethod
    def of(cls, table: pa.Table) -> Similarity:
        """From the column `attributes` (list of text), else `vector`. Raises InputError when there is
        neither.
        """
        if "attributes" in table.column_names:
            return cls(sets=_sets(table["attributes"]))
        if "vector" in table.column_names:
            vectors = np.asarray(table["vector"].to_pylist(), dtype=np.float64)
            if vectors.ndim != 2 or not np.all(np.isfinite(vectors)):
                raise InputError(
                    "scored: column 'vector' needs a vector of finite numbers of one length in every row"
                )
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            return cls(vectors=vectors / np.where(length > 0, length, 1.0))
        raise InputError("scored: similarity needs a column 'attributes' (list of text) or 'vector'; add one")

    def among(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Similarities (m, m) in [0, 1] (cosine: [-1, 1]) of m rows; items without attributes resemble
        nothing.
        """
        if self.vectors is not None:
            return np.asarray(self.vectors[rows] @ self.vectors[rows].T, dtype=np.float64)
        part = self.sets[rows]
        shared = np.asarray((part @ part.T).todense(), dtype=np.float64)
        size = np.diff(part.indptr).astype(np.float64)
        union = size[:, None] + size[None, :] - shared
        return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))

    def distance(self, rows: npt.NDArray[np.int64]) -> float:
        """Mean of 1 - similarity over pairs of different rows; NaN below two rows."""
        m = len(rows)
        if m < 2:
            return float("nan")
        alike = self.among(rows)
        return float(1 - (alike.sum() - np.trace(alike)) / (m * (m - 1)))


def _sets(column: pa.ChunkedArray) -> Any:
    try:
        lists = pl.Series("attributes", column).cast(pl.List(pl.String)).fill_null([])
    except pl.exceptions.PolarsError as error:
        raise InputError(f"scored: column 'attributes' is no list of texts: {error}") from None
    pairs = lists.to_frame().with_row_index("row").explode("attributes").drop_nulls().unique()
    names = pairs["attributes"].rank("dense").to_numpy().astype(np.int64) - 1
    shape = (len(lists), int(names.max()) + 1 if len(names) else 1)
    return sparse.csr_array(
        (np.ones(len(names)), (pairs["row"].to_numpy().astype(np.int64), names)), shape=shape
    )
