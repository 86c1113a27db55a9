"""Numbers as tokens: quantile buckets fitted on the training part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.corpus.events import Ints
from tastemaker.errors import ArtifactError, InputError

MISSING = -1


@dataclass(frozen=True)
class Buckets:
    """Inner edges, strictly increasing: bucket b holds edges[b - 1] <= value < edges[b]; everything beyond
    clips.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if not np.all(np.isfinite(self.edges)) or np.any(np.diff(self.edges) <= 0):
            raise InputError("bucket edges must be finite and strictly increasing")

    @property
    def count(self) -> int:
        """Number of buckets, the one for missing values not counted."""
        return len(self.edges) + 1

    def index(self, values: npt.ArrayLike) -> Ints:
        """Bucket 0 .. count - 1 of each value, same shape; NaN gives -1, the bucket of a missing value."""
        array = np.asarray(values, dtype=np.float64)
        return np.where(np.isnan(array), MISSING, np.searchsorted(self.edges, array, side="right")).astype(
            np.int64
        )

    def settings(self) -> dict[str, Any]:
        """What to write as JSON; `load` reads it back, to the last bit."""
        return {"edges": list(self.edges)}

    @classmethod
    def load(cls, settings: Mapping[str, Any]) -> Buckets:
        """Read what `settings` gave. Raises ArtifactError when it is something else."""
        try:
            return cls(tuple(float(edge) for edge in settings["edges"]))
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise ArtifactError(f"bucket edges cannot be read ({error}); fit the buckets again") from None


def fit_buckets(values: npt.ArrayLike, n: int = 16) -> Buckets:
    """At most `n` buckets with about equally many of `values`, which must be of the training part.

    Values that are missing (NaN) or infinite do not count. Many equal values share a bucket, so there may be
    fewer than `n`. Raises InputError when no value is left or `n` is below 1.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    finite = array[np.isfinite(array)]
    if n < 1 or not len(finite):
        raise InputError(
            f"{n} buckets cannot be fitted on {len(finite)} finite values; give at least one of each"
        )
    edges = np.unique(np.quantile(finite, np.arange(1, n) / n, method="inverted_cdf"))
    return Buckets(tuple(float(edge) for edge in edges[edges > finite.min()]))
