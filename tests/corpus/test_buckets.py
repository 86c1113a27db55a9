"""Quantile buckets: fitted on training, clipping, missing values, and the way through JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastemaker.corpus import Buckets, fit_buckets
from tastemaker.errors import ArtifactError, InputError

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def test_distinct_values_fill_buckets_equally() -> None:
    data = np.random.default_rng(0).permutation(1600) * 0.1
    buckets = fit_buckets(data)
    assert buckets.count == 16
    assert np.bincount(buckets.index(data)).max() <= 101


@given(values, st.integers(1, 16))
@settings(max_examples=60)
def test_index_is_monotone_in_range_and_every_bucket_is_used(data: list[float], n: int) -> None:
    buckets = fit_buckets([*data, np.nan, np.inf], n)
    index = buckets.index(sorted(data))
    assert (np.diff(index) >= 0).all() and set(index) == set(range(buckets.count)) and buckets.count <= n
    assert buckets.index([-np.inf, np.inf]).tolist() == [0, buckets.count - 1]
    slow = [sum(value >= edge for edge in buckets.edges) for value in sorted(data)]
    assert index.tolist() == slow


def test_missing_has_its_own() -> None:
    assert fit_buckets([1.0, 2.0, 3.0]).index([np.nan, 2.0]).tolist()[0] == -1


@given(values)
@settings(max_examples=30)
def test_edges_survive_json(data: list[float]) -> None:
    buckets = fit_buckets(data)
    assert Buckets.load(json.loads(json.dumps(buckets.settings()))) == buckets


@pytest.mark.parametrize("settings_", [{}, {"edges": "x"}, {"edges": [2, 1]}, {"edges": [float("nan")]}])
def test_damaged_edges_are_refused(settings_: dict) -> None:
    with pytest.raises(ArtifactError, match="fit the buckets again"):
        Buckets.load(settings_)


@pytest.mark.parametrize("data", [[], [np.nan, np.inf]])
def test_nothing_to_fit_is_refused(data: list[float]) -> None:
    with pytest.raises(InputError, match="0 finite"):
        fit_buckets(data)
