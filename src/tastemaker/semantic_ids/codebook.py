"""The frozen codebook: everything needed to give an item its Semantic ID, in plain arrays, without torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tastemaker.errors import ArtifactError
from tastemaker.semantic_ids.sizes import check_sizes
from tastemaker.semantic_ids.views import Float32, View, Views, count_items

Blocks = tuple[slice, ...]
_FORMAT = 1
_CELLS = 1 << 24  # distances held at once, 64 MB


@dataclass(frozen=True, eq=False)
class Codebook:
    """Standardisation, encoders and codewords, frozen; a re-fit makes another `version`.

    codewords: one (K_l, D) float32 array a level. projection: (matrix (D, H), bias (D,)) that joins the
    encoded views (RQ-VAE), or None (residual k-means lays weighted views side by side, and compares an item
    that lacks a view on the others alone).
    """

    kind: str
    views: tuple[View, ...]
    codewords: tuple[Float32, ...]
    projection: tuple[Float32, Float32] | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """K_l of each level."""
        return tuple(len(level) for level in self.codewords)

    @cached_property
    def version(self) -> str:
        """16 hex digits: the hash of every array and setting."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(json.dumps(self._settings(), sort_keys=True).encode())
        for name, array in sorted(self.arrays().items()):
            digest.update(f"{name}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def blocks(self) -> Blocks:
        """Columns of the joint vector that belong to each view; one block when a projection mixes them."""
        if self.projection is not None:
            return (slice(0, self.codewords[0].shape[1]),)
        ends = np.cumsum([0] + [view.dimensions for view in self.views])
        return tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends))

    def latent(self, views: Views) -> tuple[Float32, Float32]:
        """Joint vectors z (N, D), and (N, blocks) 1 where a block counts in distances, else 0."""
        n = count_items(views, self.views)
        parts = [view.standardise(views.get(view.name), n) for view in self.views]
        if self.projection is None:
            return side_by_side(self.views, parts)
        encoded = [view.encode(x, present) for view, (x, present) in zip(self.views, parts, strict=True)]
        matrix, bias = self.projection
        return (np.concatenate(encoded, axis=1) @ matrix.T + bias).astype(np.float32), np.ones(
            (n, 1), np.float32
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every array under a flat name, ready for safetensors."""
        out: dict[str, npt.NDArray[Any]] = {f"level.{i}": level for i, level in enumerate(self.codewords)}
        for view in self.views:
            out |= {f"view.{view.name}.mean": view.mean, f"view.{view.name}.scale": view.scale}
            if view.null is not None:
                out[f"view.{view.name}.null"] = view.null
            for i, (matrix, bias) in enumerate(view.layers):
                out |= {
                    f"view.{view.name}.layer.{i}.weight": matrix,
                    f"view.{view.name}.layer.{i}.bias": bias,
                }
        if self.projection is not None:
            out |= {"projection.weight": self.projection[0], "projection.bias": self.projection[1]}
        return out

    def settings(self) -> dict[str, Any]:
        """JSON-ready part, `version` included."""
        return self._settings() | {"version": self.version}

    def _settings(self) -> dict[str, Any]:
        views = [
            {"name": v.name, "weight": v.weight, "layers": len(v.layers), "null": v.null is not None}
            for v in self.views
        ]
        return {
            "format": _FORMAT,
            "kind": self.kind,
            "sizes": list(self.sizes),
            "missing": "mask",
            "projection": self.projection is not None,
            "views": views,
        }

    @classmethod
    def load(cls, arrays: Mapping[str, npt.NDArray[Any]], settings: Mapping[str, Any]) -> Codebook:
        """The codebook that `arrays()` and `settings()` came from.

        Raises ArtifactError when the format is another one, an array is missing, or the contents do not hash
        to the recorded version.
        """
        if settings.get("format") != _FORMAT:
            raise ArtifactError(
                f"codebook: format {settings.get('format')} is not {_FORMAT}; fit it again with this version"
            )
        try:
            views = tuple(_load_view(arrays, view) for view in settings["views"])
            levels = tuple(_float32(arrays[f"level.{i}"]) for i in range(len(settings["sizes"])))
            joint = None
            if settings["projection"]:
                joint = (_float32(arrays["projection.weight"]), _float32(arrays["projection.bias"]))
            book = cls(str(settings["kind"]), views, levels, joint)
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"codebook: {error} is missing from its files; fit it again") from None
        if book.version != settings.get("version"):
            raise ArtifactError(
                f"codebook: contents hash to {book.version}, settings say {settings.get('version')}; fit it"
                " again"
            )
        return book


def encode(codebook: Codebook, views: Views) -> npt.NDArray[np.int32]:
    """Semantic IDs (N, L) int32 of items: at each level the nearest codeword of the residual, the lowest code
    on a tie.

    views: {name: (N, d)}; a view may be absent altogether or NaN in some rows, so new items encode from
    content alone. An item without any view gets the code of the average item. InputError for unknown views or
    other dimensions.
    """
    z, present = codebook.latent(views)
    check_sizes(codebook.sizes)
    out = np.empty((len(z), len(codebook.codewords)), np.int32)
    for rows in chunks(len(z), max(codebook.sizes)):
        residual, here = z[rows], present[rows]
        for level, words in enumerate(codebook.codewords):
            codes = distances(residual, here, words, codebook.blocks).argmin(axis=1)
            residual = subtract(residual, here, words[codes], codebook.blocks)
            out[rows, level] = codes
    return out


def side_by_side(
    views: tuple[View, ...], parts: list[tuple[Float32, npt.NDArray[np.bool_]]]
) -> tuple[Float32, Float32]:
    """Weighted views next to each other: view m contributes an expected squared length of weight^2 whatever
    its width. The rows of the parts are weighted in place, so that a large catalogue is held once.
    """
    for view, (x, _) in zip(views, parts, strict=True):
        x *= view.weight / math.sqrt(max(1, int(np.count_nonzero(view.scale))))
    z = parts[0][0] if len(parts) == 1 else np.concatenate([x for x, _ in parts], axis=1)
    present = np.stack([here for _, here in parts], axis=1).astype(np.float32)
    present[present.sum(axis=1) == 0] = 1  # nothing known: compare as the average item
    return z, present


def chunks(n: int, k: int) -> Iterator[slice]:
    """Slices of n rows whose distances to k codewords fit in memory."""
    step = max(1, _CELLS // k)
    return (slice(start, start + step) for start in range(0, n, step))


def distances(z: Float32, present: Float32, words: Float32, blocks: Blocks) -> Float32:
    """(N, K) squared distances over the present blocks, less ||z||^2, which no choice depends on."""
    norms = np.stack([np.square(words[:, block]).sum(axis=1) for block in blocks])
    squares = (-2 * z) @ words.T  # in place from here: these are the largest arrays there are
    squares += norms if len(norms) == 1 and present.all() else present @ norms
    return np.asarray(squares, np.float32)


def subtract(z: Float32, present: Float32, chosen: Float32, blocks: Blocks) -> Float32:
    """z minus the chosen codewords, staying 0 in blocks that are missing."""
    out = z - chosen
    for i, block in enumerate(blocks):
        absent = present[:, i] == 0
        if absent.any():
            out[absent, block] = 0
    return out


def _load_view(arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> View:
    stem = f"view.{about['name']}"
    layers = tuple(
        (_float32(arrays[f"{stem}.layer.{i}.weight"]), _float32(arrays[f"{stem}.layer.{i}.bias"]))
        for i in range(about["layers"])
    )
    null = _float32(arrays[f"{stem}.null"]) if about["null"] else None
    mean, scale = _float32(arrays[f"{stem}.mean"]), _float32(arrays[f"{stem}.scale"])
    return View(str(about["name"]), mean, scale, float(about["weight"]), layers, null)


def _float32(array: npt.NDArray[Any]) -> Float32:
    return np.ascontiguousarray(array, np.float32)
