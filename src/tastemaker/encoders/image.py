"""Pictures -> vectors without a network: colours, edges and a small layout."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tastemaker.arrays import Float32, Floats

SIDE = 96  # pictures are averaged down to SIDE x SIDE before edges are measured
_CELLS, _ANGLES, _LAYOUT = 4, 8, 6
_LIGHT, _COLOUR = 8, 8

# Name and width of each block of an image vector, in order.
BLOCKS: tuple[tuple[str, int], ...] = (
    ("lightness", _LIGHT),
    ("colour", _COLOUR * _COLOUR),
    ("edges", _CELLS * _CELLS * _ANGLES),
    ("layout", _LAYOUT * _LAYOUT * 3),
)
DIMENSIONS = sum(width for _, width in BLOCKS)

# sRGB to XYZ under D65 (IEC 61966-2-1), rows already divided by the white point.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_XYZ /= _TO_XYZ.sum(axis=1, keepdims=True)


def image_vectors(images: Iterable[npt.NDArray[np.uint8] | None]) -> Float32:
    """(N, 308) float32 features of (h, w, 3) uint8 sRGB pictures of any size.

    Blocks (`BLOCKS` names their widths): histogram of CIELAB lightness (8) and joint histogram of a* and b*
    (8 x 8), square roots of shares; edge directions modulo 180 degrees (8) in 4 x 4 cells, weighted by
    strength; mean L*, a*, b* in 6 x 6 cells, divided by 100. A picture that is None is a NaN row (missing
    view). One picture is held at a time.
    """
    rows = [_features(image) for image in images]
    return np.stack(rows) if rows else np.empty((0, DIMENSIONS), np.float32)


def lab(rgb: Floats) -> Floats:
    """CIELAB (L* 0..100, a*, b*) under D65 of sRGB in [0, 1]; the last axis: the three channels."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def shrink(image: Floats, side: int) -> Floats:
    """(side, side, c): exact area averages of (h, w, c); a smaller picture is enlarged without smoothing."""
    for axis in (0, 1):
        n = image.shape[axis]
        edges = np.linspace(0, n, side + 1)
        total = np.concatenate([np.zeros_like(image.take([0], axis)), np.cumsum(image, axis=axis)], axis=axis)
        below = np.minimum(edges.astype(np.int64), n - 1)
        part = (edges - below).reshape([-1 if i == axis else 1 for i in range(3)])
        at = total.take(below, axis) + part * image.take(below, axis)
        image = np.diff(at, axis=axis) * side / n
    return image


def _features(image: npt.NDArray[np.uint8] | None) -> Float32:
    if image is None:
        return np.full(DIMENSIONS, np.nan, np.float32)
    colours = lab(shrink(image.astype(np.float64) / 255, SIDE))
    return np.concatenate(
        [*_colours(colours), _edges(colours[..., 0]), shrink(colours, _LAYOUT).ravel() / 100]
    ).astype(np.float32)


def _colours(colours: Floats) -> list[Floats]:
    light = (colours[..., 0] * _LIGHT / 100).astype(np.int64).clip(0, _LIGHT - 1)
    a, b = (((colours[..., i] + 80) * _COLOUR / 160).astype(np.int64).clip(0, _COLOUR - 1) for i in (1, 2))
    counts = (
        np.bincount(light.ravel(), minlength=_LIGHT),
        np.bincount((a * _COLOUR + b).ravel(), minlength=_COLOUR**2),
    )
    return [np.sqrt(histogram / light.size) for histogram in counts]


def _edges(light: Floats) -> Floats:
    """(4 * 4 * 8,) mean edge strength by direction and cell; pixels go to the two nearest directions."""
    down, across = np.gradient(light)
    strength = np.hypot(down, across)
    angle = np.mod(np.arctan2(down, across), np.pi) * _ANGLES / np.pi
    lower = np.floor(angle).astype(np.int64)
    upper_share = angle - lower
    cell = np.arange(SIDE) * _CELLS // SIDE
    place = (cell[:, None] * _CELLS + cell) * _ANGLES
    size = _CELLS * _CELLS * _ANGLES
    histogram = np.bincount((place + lower % _ANGLES).ravel(), (strength * (1 - upper_share)).ravel(), size)
    histogram += np.bincount((place + (lower + 1) % _ANGLES).ravel(), (strength * upper_share).ravel(), size)
    return np.log1p(histogram / (SIDE * SIDE / _CELLS**2))
