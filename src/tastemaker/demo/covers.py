"""Cover art: flat geometric posters from a palette, a shape, a count, a symmetry and a seed, known exactly.

Colours are mixed in CIELAB and painted in linear light with analytic antialiasing (a shape's signed distance,
in pixels, is its coverage), so a cover looks the same at every size.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tastemaker.stats.random import generator

Array = npt.NDArray[np.floating[Any]]
# From cool to warm: a background and four inks, each (lightness, chroma, hue in degrees) of CIELAB.
PALETTES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "midnight": ((16, 26, 285), (90, 14, 95), (62, 44, 265), (44, 52, 290), (78, 40, 75)),
    "glacier": ((94, 5, 230), (38, 34, 262), (66, 34, 236), (82, 22, 222), (24, 22, 270)),
    "lagoon": ((26.5, 19.6, 229.8), (88, 22, 190), (66.3, 37.8, 200.7), (51, 30.6, 227.2), (84, 50, 88)),
    "forest": ((93, 9, 105), (30, 28, 155), (52, 40, 145), (72, 42, 125), (80, 56, 85)),
    "heather": ((92, 6, 330), (34, 40, 318), (58, 42, 322), (78, 24, 340), (46, 24, 280)),
    "rosewood": ((24, 20, 10), (88, 14, 70), (60, 52, 22), (46, 50, 18), (76, 38, 55)),
    "amber": ((94, 12, 88), (34, 30, 55), (74, 66, 76), (62, 64, 60), (50, 22, 210)),
    "ember": ((91, 10, 75), (26, 24, 20), (54, 72, 38), (68, 64, 58), (38, 52, 28)),
}
SHAPES = ("rings", "arcs", "petals", "facets", "hills", "rays", "orbs", "bars")
_TO_LINEAR = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


@dataclass(frozen=True)
class CoverSpec:
    """What a cover is made of: `count` 2-6 parts a unit, `symmetry` 1-6 turns (or mirrorings of a grid)."""

    palette: str
    shape: str
    count: int = 3
    symmetry: int = 4
    seed: int = 0


def lab_to_linear(lab: Array) -> Array:
    """CIELAB (..., 3), D65, to linear sRGB in [0, 1], out-of-gamut clipped (IEC 61966-2-1, CIE 15)."""
    lightness, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    f = np.stack(
        [(lightness + 16) / 116 + a / 500, (lightness + 16) / 116, (lightness + 16) / 116 - b / 200], axis=-1
    )
    xyz = _WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
    return np.asarray(np.clip(xyz @ _TO_LINEAR.T, 0.0, 1.0))


def encode(linear: Array) -> npt.NDArray[np.uint8]:
    """Linear light to 8-bit sRGB."""
    curved = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.clip(linear, 0.0031308, 1.0) ** (1 / 2.4) - 0.055
    )
    return np.round(curved * 255.0).astype(np.uint8)


def palette_colours(palette: str) -> Array:
    """(5, 3) linear sRGB of a palette: background, then inks."""
    lch = np.array(PALETTES[palette])
    hue = np.deg2rad(lch[:, 2])
    return lab_to_linear(np.stack([lch[:, 0], lch[:, 1] * np.cos(hue), lch[:, 1] * np.sin(hue)], axis=-1))


def warmth(palette: str) -> float:
    """Place of a palette between the coolest (-1) and the warmest (1)."""
    return 2.0 * list(PALETTES).index(palette) / (len(PALETTES) - 1) - 1.0


@lru_cache(maxsize=256)
def palette_probabilities(dark: bool, dark_share: float, correlation: float = 0.5) -> Array:
    """Chances of each palette for a tune in a dark or a bright mode, so mode and warmth correlate.

    p(k) ∝ exp(q b w_k) for bright and exp(-(1-q) b w_k) for dark modes, w_k the warmth and q the share of
    dark tunes, so that neither end takes over; b is found by bisection of corr = √(q(1-q)) (m₁ - m₀) / σ, m
    the means of the two and σ² = q s₀² + (1-q) s₁² + q(1-q)(m₁ - m₀)².
    """
    places = np.array([warmth(name) for name in PALETTES])
    q, low, high = dark_share, 0.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        chances = np.exp(np.outer([-(1 - q) * middle, q * middle], places))
        chances /= chances.sum(axis=1, keepdims=True)
        means = chances @ places
        within = np.array([q, 1 - q]) @ (chances @ places**2 - means**2)
        between = q * (1 - q) * (means[1] - means[0]) ** 2
        low, high = (middle, high) if np.sqrt(between / (within + between)) < correlation else (low, middle)
    return np.asarray(chances[0 if dark else 1])


class _Canvas:
    """A square in linear light, coordinates in [-1, 1]; shapes by signed distance (negative inside)."""

    def __init__(self, size: int, colours: Array, rng: np.random.Generator) -> None:
        axis = ((np.arange(size) + 0.5) / size * 2.0 - 1.0).astype(np.float32)  # half the memory traffic
        self.x, self.y = np.meshgrid(axis, axis)
        self.pixel = 2.0 / size
        self.colours, self.rng = colours.astype(np.float32), rng
        self.image = np.broadcast_to(colours[0].astype(np.float32), (size, size, 3)).copy()

    def paint(self, distance: Array, ink: int, opacity: float = 1.0) -> None:
        """Lay ink `ink` (0 the background's colour, 1-4 inks) where `distance` is negative."""
        rows = np.flatnonzero((distance < self.pixel).any(axis=1))
        if len(rows):
            part = slice(rows[0], rows[-1] + 1)
            cover = (opacity * np.clip(0.5 - distance[part] / self.pixel, 0.0, 1.0)).astype(np.float32)[
                ..., None
            ]
            self.image[part] += cover * (self.colours[ink] - self.image[part])

    def turned(self, angle: float, x: float = 0.0, y: float = 0.0) -> tuple[Array, Array]:
        """Coordinates about (x, y), turned by `angle`."""
        c, s = float(np.cos(angle)), float(np.sin(angle))
        return c * (self.x - x) + s * (self.y - y), c * (self.y - y) - s * (self.x - x)


def _rings(canvas: _Canvas, spec: CoverSpec) -> None:
    """Concentric rings about one to three centres, the inks in turn."""
    centres = 1 if spec.symmetry <= 2 else 2 if spec.symmetry <= 4 else 3
    start = canvas.rng.uniform(0, 2 * np.pi)
    for number in range(centres):
        angle = start + 2 * np.pi * number / centres
        away = 0.0 if centres == 1 else 0.42
        radius = np.hypot(canvas.x - away * np.cos(angle), canvas.y - away * np.sin(angle))
        rings = spec.count + 2
        outer = 0.78 if centres == 1 else 0.5
        for ring in range(rings, 0, -1):
            canvas.paint(
                radius - outer * ring / rings, (ring + number) % 4 + 1 if (rings - ring) % 2 == 0 else 0
            )
        canvas.paint(radius - outer * 0.45 / rings, 4)


def _grid(
    canvas: _Canvas, spec: CoverSpec, cells: int, kinds: int
) -> tuple[Array, Array, npt.NDArray[np.int64], int]:
    """A mirrored random grid: coordinates in cells in [0, 1], a random kind by cell, the cell count."""
    choice = canvas.rng.integers(0, kinds, size=(cells, cells))
    if spec.symmetry >= 2:
        choice = np.where(np.arange(cells)[None, :] < cells / 2, choice, choice[:, ::-1])
    if spec.symmetry >= 4:
        choice = np.where(np.arange(cells)[:, None] < cells / 2, choice, choice[::-1, :])
    u, v = (canvas.x * 0.5 + 0.5) * cells, (canvas.y * 0.5 + 0.5) * cells
    column, row = np.minimum(u.astype(int), cells - 1), np.minimum(v.astype(int), cells - 1)
    u, v = u - column, v - row
    if spec.symmetry >= 2:
        u = np.where(column >= cells / 2, 1 - u, u)
    if spec.symmetry >= 4:
        v = np.where(row >= cells / 2, 1 - v, v)
    return u, v, choice[row, column], cells


def _arcs(canvas: _Canvas, spec: CoverSpec) -> None:
    """Quarter discs in the corners of a grid of tiles."""
    u, v, kind, cells = _grid(canvas, spec, spec.count + 1 + (spec.count + 1) % 2, 48)
    corner, outer, inner = kind % 4, kind // 4 % 4 + 1, kind // 16 + 1
    radius = np.hypot(np.where(corner % 2 == 0, u, 1 - u), np.where(corner // 2 == 0, v, 1 - v))
    scale = 2.0 / cells
    for ink in range(1, 5):
        canvas.paint(np.where(outer == ink, (radius - 1.0) * scale, 1.0), ink)
    canvas.paint((radius - 0.64) * scale, 0)
    for ink in range(1, 5):
        canvas.paint(np.where((inner + outer) % 4 + 1 == ink, (radius - 0.34) * scale, 1.0), ink)


def _petals(canvas: _Canvas, spec: CoverSpec) -> None:
    """A flower: layers of pointed petals about the centre."""
    fold = spec.symmetry + 3
    start = canvas.rng.uniform(0, 2 * np.pi / fold)
    for layer in range(min(spec.count, 4)):
        length = 0.92 * (1.0 - 0.24 * layer)
        for petal in range(fold):
            angle = start + (petal + 0.5 * (layer % 2)) * 2 * np.pi / fold
            along, across = canvas.turned(angle)
            half, width = length / 2, length * np.tan(min(0.5, 1.1 / fold)) * 0.62
            bulge = (half**2 - width**2) / (2 * width)
            canvas.paint(
                np.hypot(along - half, np.abs(across) + bulge) - (bulge + width), layer % 4 + 1, 0.86
            )
    canvas.paint(np.hypot(canvas.x, canvas.y) - 0.1, 4 if spec.count % 2 else 0)


def _facets(canvas: _Canvas, spec: CoverSpec) -> None:
    """Half-square triangles on a mirrored grid, like a quilt."""
    u, v, kind, cells = _grid(canvas, spec, 2 * ((spec.count + 2) // 2), 40)
    slope, base, triangle = kind % 2, kind // 2 % 4 + 1, kind // 8
    side = np.where(slope == 0, u - v, u + v - 1.0) / np.sqrt(2.0) * 2.0 / cells
    for ink in range(1, 5):
        canvas.paint(np.where(base == ink, -1.0, 1.0), ink)
    for ink in range(1, 5):
        canvas.paint(np.where(triangle == ink, side, 1.0), ink)


def _hills(canvas: _Canvas, spec: CoverSpec) -> None:
    """Ranges of hills below a sun or moon; even symmetries mirror them."""
    even = spec.symmetry % 2 == 0
    across = 0.0 if even else canvas.rng.uniform(-0.45, 0.45)
    canvas.paint(np.hypot(canvas.x - across, canvas.y + 0.32) - 0.36, 4)
    ranges = spec.count + 1
    for number in range(ranges):
        base = -0.12 + 1.05 * number / ranges
        wave = np.zeros_like(canvas.x)
        for harmonic, height in ((1, 0.16), (2, 0.07), (3, 0.035)):
            phase = np.pi * canvas.rng.integers(2) if even else canvas.rng.uniform(0, 2 * np.pi)
            wave += height * np.cos(np.pi * harmonic * canvas.x * canvas.rng.uniform(0.7, 1.2) + phase)
        canvas.paint((base + wave - canvas.y) * 0.85, (3, 2, 1)[number % 3], 0.92)


def _rays(canvas: _Canvas, spec: CoverSpec) -> None:
    """Rays from a disc on the lower edge or at the centre."""
    height = 0.0 if spec.symmetry % 2 == 0 else 0.55
    radius = np.hypot(canvas.x, canvas.y - height)
    rays = 4 * (spec.count + 2)
    turn = np.arctan2(canvas.y - height, canvas.x) / (2 * np.pi) * rays + canvas.rng.uniform()
    place = turn - np.round(turn)
    edge = (np.abs(place) - 0.25) * 2 * np.pi / rays * np.maximum(radius, 1e-6)
    reach = np.where(np.round(turn).astype(int) % 2 == 0, 2.0 if spec.symmetry % 2 else 0.94, 0.78)
    beam, *inks = canvas.rng.permutation(4) + 1
    canvas.paint(np.maximum(edge, radius - reach), int(beam))
    size = canvas.rng.uniform(0.3, 0.5)
    canvas.paint(radius - size - 0.06, 0)
    for share, ink in zip(
        (1.0, canvas.rng.uniform(0.6, 0.8), canvas.rng.uniform(0.25, 0.5)), inks, strict=True
    ):
        canvas.paint(radius - size * share, int(ink))


def _orbs(canvas: _Canvas, spec: CoverSpec) -> None:
    """Translucent discs, `count` sizes repeated round the centre."""
    turns = spec.symmetry + 1
    start = canvas.rng.uniform(0, 2 * np.pi)
    for number in range(spec.count):
        away, radius = canvas.rng.uniform(0.22, 0.58), canvas.rng.uniform(0.2, 0.42)
        for turn in range(turns):
            angle = start + 2 * np.pi * (turn / turns + number / (turns * spec.count))
            distance = np.hypot(canvas.x - away * np.cos(angle), canvas.y - away * np.sin(angle))
            canvas.paint(distance - radius, (number + turn * (turns % 2 == 0)) % 4 + 1, 0.72)


def _bars(canvas: _Canvas, spec: CoverSpec) -> None:
    """Rounded upright bars, like a sounding spectrum; even symmetries mirror them left to right."""
    bars = 2 * spec.count + 3
    heights = canvas.rng.uniform(0.16, 0.8, size=bars)
    inks = canvas.rng.integers(1, 5, size=bars)
    if spec.symmetry % 2 == 0:
        heights, inks = (
            np.maximum(heights[::-1], heights),
            np.where(np.arange(bars) < bars / 2, inks, inks[::-1]),
        )
    width = 0.78 / bars
    for number in range(bars):
        x = -0.85 + 1.7 * (number + 0.5) / bars
        beyond = np.maximum(np.abs(canvas.y) - (heights[number] - width), 0.0)
        canvas.paint(np.hypot(canvas.x - x, beyond) - width, int(inks[number]))


_DRAW = dict(zip(SHAPES, (_rings, _arcs, _petals, _facets, _hills, _rays, _orbs, _bars), strict=True))


def draw(spec: CoverSpec, size: int = 256) -> npt.NDArray[np.uint8]:
    """The cover of `spec`, (size, size, 3) uint8 sRGB; the same spec gives the same pixels."""
    canvas = _Canvas(size, palette_colours(spec.palette), generator(spec.seed, "cover", spec.shape))
    _DRAW[spec.shape](canvas, spec)
    return encode(canvas.image)


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of (h, w, 3) uint8 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
