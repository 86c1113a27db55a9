"""Two levels, or three of semantic IDs, where they hold the catalogue, else the sizes of `codebook_sizes`."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.semantic_ids.sizes import codebook_sizes, three_level_sizes, two_level_sizes


def test_known_catalogues() -> None:
    assert two_level_sizes(12_101) == (2048, 8192)
    assert two_level_sizes(3_459) == (512, 2048)
    assert two_level_sizes(400) == (64, 256)
    assert two_level_sizes(60) == (32, 256)  # never more first codes than items
    assert two_level_sizes(10**7) == codebook_sizes(10**7)


@given(st.integers(1, 10**8))
def test_every_catalogue_fits_with_room(n: int) -> None:
    sizes = two_level_sizes(n)
    room = 1
    for size in sizes:
        room *= size
    assert room >= 4 * n


def test_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(InputError, match="0 items"):
        two_level_sizes(0)


def test_three_levels_halve_and_hold_four_times_the_catalogue() -> None:
    assert three_level_sizes(12_101) == (512, 256, 128) == three_level_sizes(4_000_000)
    assert three_level_sizes(300) == (256, 128, 64)
    assert three_level_sizes(10_000_000) == codebook_sizes(10_000_000)
    for n in (3, 10, 50, 511, 513):
        assert math.prod(three_level_sizes(n)) >= 4 * n
