"""Collision policies, unique encoding and the report, against obvious versions."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.errors import InputError
from tastemaker.semantic_ids.codebook import encode
from tastemaker.semantic_ids.collisions import encode_unique, groups, with_suffix
from tastemaker.semantic_ids.report import sid_report
from tastemaker.semantic_ids.rkmeans import fit_rkmeans

SIZES = (3, 2, 2)
code_tables = (
    st.integers(1, 40)
    .flatmap(lambda n: st.lists(st.tuples(*(st.integers(0, k - 1) for k in SIZES)), min_size=n, max_size=n))
    .map(lambda rows: np.array(rows, np.int32))
)


@settings(max_examples=60, deadline=None)
@given(code_tables)
def test_groups_are_the_inverse_map(codes: np.ndarray) -> None:
    oracle = defaultdict(list)
    for item, code in enumerate(codes):
        oracle[tuple(code)].append(item)
    grouping = groups(codes)
    assert [tuple(code) for code in grouping.codes] == sorted(oracle)
    for place, code in enumerate(sorted(oracle)):
        assert grouping.items[grouping.starts[place] : grouping.starts[place + 1]].tolist() == oracle[code]


@settings(max_examples=60, deadline=None)
@given(code_tables)
def test_suffix_numbers_a_group_in_item_order(codes: np.ndarray) -> None:
    numbered, sizes = with_suffix(codes, SIZES)
    seen: dict[tuple, int] = defaultdict(int)
    for before, after in zip(codes, numbered, strict=True):
        assert after[:-1].tolist() == before.tolist() and after[-1] == seen[tuple(before)]
        seen[tuple(before)] += 1
    assert sizes[:-1] == SIZES and sizes[-1] >= max(seen.values())
    assert len(np.unique(numbered, axis=0)) == len(codes)


def _alike(n: int = 300) -> dict[str, np.ndarray]:
    """Most items identical in groups, as in a catalogue without titles."""
    rng = np.random.default_rng(0)
    return {"text": rng.normal(0, 1, (12, 6))[rng.integers(0, 12, n)].astype(np.float32)}


@pytest.mark.parametrize("balance", [None, 1.5])
def test_unique_codes_are_unique_and_respect_their_caps(balance: float | None) -> None:
    views = _alike()
    book = fit_rkmeans(views, (12, 8, 8), 0)
    codes = encode_unique(book, views, balance)
    assert len(np.unique(codes, axis=0)) == 300
    _, children = np.unique(np.unique(codes, axis=0)[:, :2], axis=0, return_counts=True)
    assert children.max() <= 8
    if balance:
        assert np.bincount(codes[:, 0]).max() <= np.ceil(balance * 300 / 12)
    np.testing.assert_array_equal(codes, encode_unique(book, views, balance))


def test_unique_codes_leave_lonely_items_alone() -> None:
    views = {"text": np.random.default_rng(0).normal(0, 1, (60, 6)).astype(np.float32)}
    book = fit_rkmeans(views, (32, 32, 32), 0)
    plain = encode(book, views)
    assert len(np.unique(plain, axis=0)) == 60
    np.testing.assert_array_equal(encode_unique(book, views), plain)


def test_report_by_hand() -> None:
    codes = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]])
    report = sid_report(codes, (4, 2, 2), ["a", "b", "b", None], without_view=codes[[0, 1, 3, 3]])
    assert report.distinct_share == 0.75 and report.alone_share == 0.5
    assert report.use == (0.5, 1.0, 1.0) and report.prefixes == (2, 3, 3)
    assert report.entropy[0] == pytest.approx(0.8112781)
    assert report.group_sizes == {1: 2, 2: 1} and report.largest_group == 2
    assert report.purity == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert report.first_agreement == 0.75
    perfect = sid_report(np.zeros((2, 1), int), (2,))
    assert perfect.entropy == (0.0,) and perfect.purity is None


def test_bad_codes_are_named() -> None:
    codes = np.array([[0, 0, 0], [0, 2, 0]])
    cases = [
        (lambda: with_suffix(codes, SIZES), "item row 2, level 2 holds 2, outside 0..1"),
        (lambda: with_suffix(codes, (3, 3)), "there are 2 levels"),
    ]
    views = _alike()
    book = fit_rkmeans(views, (8, 4, 4), 0)
    cases += [(lambda: encode_unique(book, views), "do not fit in 128 addresses")]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()
