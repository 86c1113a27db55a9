"""Cover art: exact colours, stated symmetries, stable bytes, and the correlation with mode."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tastemaker.demo.covers import (
    PALETTES,
    SHAPES,
    CoverSpec,
    draw,
    encode,
    lab_to_linear,
    palette_colours,
    palette_probabilities,
    png_bytes,
    warmth,
)

TRANSLUCENT = {"petals", "hills", "orbs"}


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB to CIELAB, written out as the standard gives it: the oracle of `lab_to_linear` and `encode`."""
    value = pixels / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )


def test_colours_go_to_the_screen_and_back() -> None:
    lab = np.array([[50.0, 20.0, -30.0], [90.0, -5.0, 10.0], [5.0, 1.0, 1.0], [60.0, 30.0, 40.0]])
    assert np.abs(to_lab(encode(lab_to_linear(lab)).astype(float)) - lab).max() < 0.6


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("palette", ["midnight", "forest", "ember"])
def test_a_cover_is_made_of_its_palette(palette: str, shape: str) -> None:
    """Most pixels lie within ΔE 5 of a palette colour; only edges and translucent layers do not."""
    pixels = draw(CoverSpec(palette, shape, 3, 4, seed=5), size=96)
    assert pixels.shape == (96, 96, 3)
    assert pixels.dtype == np.uint8
    colours = to_lab(encode(palette_colours(palette)).astype(float))
    away = np.linalg.norm(to_lab(pixels.astype(float))[:, :, None] - colours, axis=-1).min(axis=-1)
    assert np.mean(away < 5) > (0.4 if shape in TRANSLUCENT else 0.8)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 3


def stated(palette: str) -> np.ndarray:
    """(5, 3) CIELAB of a palette as it is stated, not as it comes out."""
    lightness, chroma, hue = np.array(PALETTES[palette]).T
    return np.stack([lightness, chroma * np.cos(np.deg2rad(hue)), chroma * np.sin(np.deg2rad(hue))], axis=-1)


@pytest.mark.parametrize("palette", PALETTES)
def test_every_colour_of_a_palette_can_be_shown(palette: str) -> None:
    """One outside sRGB would be clipped to another: each of the five comes out within ΔE 5 (here 1) of what
    is stated.
    """
    shown = to_lab(encode(palette_colours(palette)).astype(float))
    assert np.linalg.norm(shown - stated(palette), axis=-1).max() < 1


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("shape", SHAPES)
def test_flat_areas_of_every_cover_lie_within_delta_e_five_of_the_stated_palette(
    palette: str, shape: str
) -> None:
    """Pixels that equal their neighbours: all of them where inks are opaque, elsewhere the background and an
    ink at least.
    """
    seen = set()
    for symmetry, seed in ((1, 1), (4, 2), (6, 3)):
        pixels = draw(CoverSpec(palette, shape, 3, symmetry, seed), 96)
        same = [
            (pixels[1:-1, 1:-1] == np.roll(pixels, move, axis)[1:-1, 1:-1]).all(axis=-1)
            for move in (1, -1)
            for axis in (0, 1)
        ]
        flat = np.unique(pixels[1:-1, 1:-1][np.logical_and.reduce(same)], axis=0)
        away = np.linalg.norm(to_lab(flat.astype(float))[:, None] - stated(palette), axis=-1)
        seen |= set(away.argmin(axis=1)[away.min(axis=1) < 5].tolist())
        if shape not in TRANSLUCENT:
            assert away.min(axis=1).max() < 5
    assert 0 in seen or shape == "facets"  # which fills its square
    assert len(seen) >= (2 if shape in TRANSLUCENT else 4)


def test_the_same_spec_gives_the_same_bytes_and_the_seed_matters() -> None:
    for shape in SHAPES:
        picture = png_bytes(draw(CoverSpec("lagoon", shape, 4, 3, seed=1), 64))
        assert picture == png_bytes(draw(CoverSpec("lagoon", shape, 4, 3, seed=1), 64))
        assert picture != png_bytes(draw(CoverSpec("lagoon", shape, 4, 3, seed=2), 64))
    assert Image.open(io.BytesIO(picture)).size == (64, 64)


@pytest.mark.parametrize("shape", ["arcs", "facets", "hills", "bars"])
def test_mirrored_shapes_are_mirrored(shape: str) -> None:
    pixels = draw(CoverSpec("heather", shape, 3, 4, seed=9), 128).astype(int)
    assert np.abs(pixels - pixels[:, ::-1]).max() <= 2


def test_a_flower_of_six_looks_the_same_half_way_round() -> None:
    pixels = draw(CoverSpec("glacier", "petals", 2, 3, seed=9), 128).astype(int)
    assert np.mean(np.abs(pixels - pixels[::-1, ::-1]).max(axis=-1) > 12) < 0.02


@pytest.mark.parametrize("dark", [0.1, 0.16, 0.3, 0.5])
@pytest.mark.parametrize("target", [0.0, 0.3, 0.5])
def test_the_correlation_of_mode_and_warmth_is_as_stated(dark: float, target: float) -> None:
    places = np.array([warmth(name) for name in PALETTES])
    joint = np.stack(
        [
            dark * palette_probabilities(True, dark, target),
            (1 - dark) * palette_probabilities(False, dark, target),
        ]
    )
    assert joint.sum() == pytest.approx(1.0)
    mode = np.array([0.0, 1.0])
    mean_mode, mean_place = joint.sum(axis=1) @ mode, joint.sum(axis=0) @ places
    covariance = (joint * np.outer(mode - mean_mode, places - mean_place)).sum()
    deviation = np.sqrt(dark * (1 - dark) * (joint.sum(axis=0) @ (places - mean_place) ** 2))
    assert covariance / deviation == pytest.approx(target, abs=1e-6)
