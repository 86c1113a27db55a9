"""Picture features against pictures whose colours, edges and layout are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.encoders import image_vectors
from tastemaker.encoders.image import BLOCKS, DIMENSIONS, lab, shrink


def _block(x: np.ndarray, name: str) -> np.ndarray:
    start = 0
    for block, width in BLOCKS:
        if block == name:
            return x[..., start : start + width]
        start += width
    raise KeyError(name)


def _plain(r: int, g: int, b: int, side: int = 120) -> np.ndarray:
    return np.broadcast_to(np.array([r, g, b], np.uint8), (side, side, 3)).copy()


def _stripes(angle: float, side: int = 192, period: float = 24.0) -> np.ndarray:
    """Stripes whose gradient points at `angle` radians."""
    y, x = np.mgrid[:side, :side]
    wave = 127.5 + 100 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_published_lab_values(rgb: tuple[int, ...], expected: tuple[float, ...]) -> None:
    np.testing.assert_allclose(lab(np.array(rgb) / 255), expected, atol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 6), st.integers(0, 1000))
def test_shrink_is_the_exact_area_average(height: int, width: int, side: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((height, width, 2))
    # Repeating every pixel `side` times makes each target cell a whole number of equal squares.
    fine = image.repeat(side, axis=0).repeat(side, axis=1)
    oracle = fine.reshape(side, height, side, width, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(image, side), oracle, atol=1e-9)


def test_colours_show_and_size_does_not() -> None:
    red, large_red, blue = image_vectors([_plain(200, 30, 30), _plain(200, 30, 30, 301), _plain(30, 30, 200)])
    np.testing.assert_allclose(red, large_red, atol=1e-5)
    assert _block(red, "colour") @ _block(blue, "colour") < 0.01
    for name in ("lightness", "colour"):
        assert np.square(_block(red, name)).sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("step", range(8))
def test_edge_directions_show(step: int) -> None:
    edges = _block(image_vectors([_stripes(step * np.pi / 8)])[0], "edges").reshape(16, 8)
    assert (edges.argmax(axis=1) == step).all()


def test_a_turned_picture_has_turned_edges_and_the_same_colours() -> None:
    picture = (
        np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8).repeat(24, 0).repeat(24, 1)
    )
    plain, turned = image_vectors([picture, np.rot90(picture)])
    np.testing.assert_allclose(_block(plain, "colour"), _block(turned, "colour"), atol=1e-5)
    np.testing.assert_allclose(
        _block(plain, "edges").reshape(4, 4, 8).sum(axis=(0, 1))[[0, 4]],
        _block(turned, "edges").reshape(4, 4, 8).sum(axis=(0, 1))[[4, 0]],
        rtol=1e-3,
    )


def test_layout_shows_where_things_are() -> None:
    left, right = _plain(0, 0, 0), _plain(0, 0, 0)
    left[:, :60] = 255
    right[:, 60:] = 255
    x = image_vectors([left, right])
    np.testing.assert_allclose(_block(x[0], "lightness"), _block(x[1], "lightness"), atol=1e-6)
    layout = _block(x, "layout").reshape(2, 6, 6, 3)
    np.testing.assert_allclose(layout[0, :, :3, 0], 1, atol=1e-3)
    np.testing.assert_allclose(layout[1, :, :3, 0], 0, atol=1e-3)


def test_missing_tiny_and_plain_pictures() -> None:
    x = image_vectors(iter([None, _plain(0, 0, 0, 1), _plain(255, 255, 255)]))
    assert x.shape == (3, DIMENSIONS) and x.dtype == np.float32
    assert np.isnan(x[0]).all() and np.isfinite(x[1:]).all()
    assert _block(x[2], "edges").max() < 1e-6
    assert image_vectors([]).shape == (0, DIMENSIONS)
