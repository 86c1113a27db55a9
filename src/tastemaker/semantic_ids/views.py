"""Views of items: checked, standardised by numbers frozen in the codebook, and laid side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tastemaker.errors import InputError

Float32 = npt.NDArray[np.float32]
Views = Mapping[str, npt.NDArray[Any]]
ROWS = 1 << 20  # rows whose exact copy is held at once
Scaling = Literal["dimension", "view"]


@dataclass(frozen=True, eq=False)
class View:
    """One view as the codebook remembers it.

    mean, scale: (d,), a constant dimension has scale 0; weight: its share in distances and reconstruction;
    layers: the encoder's (out, in) matrices and (out,) biases, empty for residual k-means; null: (h,) what a
    missing view encodes to.
    """

    name: str
    mean: Float32
    scale: Float32
    weight: float = 1.0
    layers: tuple[tuple[Float32, Float32], ...] = ()
    null: Float32 | None = None

    @property
    def dimensions(self) -> int:
        return len(self.mean)

    def standardise(self, x: npt.NDArray[Any] | None, n: int) -> tuple[Float32, npt.NDArray[np.bool_]]:
        """(n, d) standardised rows, 0 where the view is missing, and (n,) which rows are present."""
        if x is None:
            return np.zeros((n, self.dimensions), np.float32), np.zeros(n, bool)
        if x.shape != (n, self.dimensions):
            raise InputError(
                f"view '{self.name}': shape {x.shape}, but the codebook was fitted on {(n, self.dimensions)}"
            )
        present = _present(self.name, x)
        out = np.where(present[:, None], x, self.mean)
        out -= self.mean
        out *= self.scale
        return out.astype(np.float32, copy=False), present

    def encode(self, x: Float32, present: npt.NDArray[np.bool_]) -> Float32:
        """(n, h): standardised rows through the encoder (with ReLU), the learned null where missing."""
        for i, (matrix, bias) in enumerate(self.layers):
            x = x @ matrix.T + bias
            if i + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return x if self.null is None else np.where(present[:, None], x, self.null)


def fit_view(name: str, x: npt.NDArray[Any], weight: float = 1.0, scaling: Scaling = "dimension") -> View:
    """Learn mean and scale of (N, d) vectors; NaN rows are missing.

    "dimension" gives every dimension variance 1; "view" divides all by one number so that the mean variance
    is 1 and the spectrum survives. InputError, naming view and row, for partly NaN or infinite rows, no rows
    at all, or no variation.
    """
    present = _present(name, x)
    if not present.any():
        raise InputError(f"view '{name}': every item's vector is missing; drop the view")
    count, zero = np.count_nonzero(present), np.zeros(x.shape[1])
    mean = sum((rows.sum(axis=0) for rows in _exact(x, present)), zero) / count
    spread = np.sqrt(sum((np.square(rows - mean).sum(axis=0) for rows in _exact(x, present)), zero) / count)
    alive = spread > 1e-6 * np.maximum(np.abs(mean), 1e-12)
    if not alive.any():
        raise InputError(
            f"view '{name}': all its vectors are equal (see item row 1); the encoder ignores its input,"
            " drop it"
        )
    if scaling == "view":
        spread = np.where(alive, np.sqrt(np.mean(spread[alive] ** 2)), 0)
    scale = np.where(alive, 1 / np.where(alive, spread, 1), 0)
    return View(name, mean.astype(np.float32), scale.astype(np.float32), float(weight))


def _exact(x: npt.NDArray[Any], present: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.float64]]:
    """The rows that are present, so many at a time that a copy of them with twice the digits is small."""
    for start in range(0, len(x), ROWS):
        part = slice(start, start + ROWS)
        yield x[part][present[part]].astype(np.float64)


def fit_views(
    views: Views, weights: Mapping[str, float] | None, scaling: Scaling = "dimension"
) -> tuple[View, ...]:
    """One fitted `View` a view, sorted by name; InputError when they disagree on the number of items."""
    if not views:
        raise InputError(
            "Semantic IDs need at least one view; encode texts, audio, images or behaviour first"
        )
    rows = {name: len(x) for name, x in views.items()}
    if len(set(rows.values())) > 1:
        raise InputError(
            f"views differ in their number of items: {rows}; each needs one row an item, NaN where missing"
        )
    return tuple(
        fit_view(name, views[name], (weights or {}).get(name, 1.0), scaling) for name in sorted(views)
    )


def count_items(views: Views, known: tuple[View, ...]) -> int:
    """Number of items in `views`, which may lack views but may not bring unknown ones."""
    names = [view.name for view in known]
    unknown = sorted(set(views) - set(names))
    if unknown:
        raise InputError(
            f"view '{unknown[0]}' is unknown to this codebook, which has {', '.join(names)}; fit a new one"
        )
    rows = {len(x) for x in views.values()}
    if len(rows) != 1:
        raise InputError(
            f"views hold {sorted(rows) or 'no'} rows; give at least one view and the same items in each"
        )
    return rows.pop()


def _present(name: str, x: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if x.ndim != 2 or not x.shape[1]:
        raise InputError(f"view '{name}': an array of shape {x.shape}; it must be (items, dimensions)")
    missing = np.isnan(x).all(axis=1)
    bad = ~np.isfinite(x).all(axis=1) & ~missing
    if bad.any():
        row = int(bad.argmax()) + 1
        raise InputError(
            f"view '{name}': item row {row} holds a NaN or infinite number; a missing view is a row of NaN"
            " only"
        )
    return np.asarray(~missing)
