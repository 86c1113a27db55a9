"""The one reader of columns: what each function takes, and every refusal with table, row, column and
remedy.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tastemaker.errors import InputError
from tastemaker.explore.table import Columns, check_log
from tastemaker.schema import columns, values

MOMENT = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def of(**cells: Any) -> pa.Table:
    return pa.table(cells)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([1, 2], [1.0, 2.0]),
        (["1.5", " 2e1 "], [1.5, 20.0]),
        ([True, False], [1.0, 0.0]),
        (["true", "False"], [1.0, 0.0]),
        (pa.array([1.5, 2.5], pa.float32()), [1.5, 2.5]),
        (pa.array(["3", "4"], pa.large_string()), [3.0, 4.0]),
        (pa.array(["3", "3"]).dictionary_encode(), [3.0, 3.0]),
    ],
)
def test_numbers_of_any_type(cells: Any, expected: list[float]) -> None:
    numbers = columns.numbers(of(x=cells), "x", "t.csv")
    assert numbers.tolist() == expected and numbers.dtype == np.float64


def test_an_empty_number_is_nan_or_refused() -> None:
    for cells in ([1.0, None], ["1", ""], [1.0, float("nan")], pa.array([1, None], pa.int8())):
        numbers = columns.numbers(of(x=cells), "x", nulls=True)
        assert numbers[0] == 1 and np.isnan(numbers[1])
        with pytest.raises(InputError, match=r"t.csv: row 2, column 'x' is"):
            columns.numbers(of(x=cells), "x", "t.csv")


def test_whole_numbers_and_what_stands_for_nothing() -> None:
    assert columns.integers(of(x=["-3", "", "4.0"]), "x", nulls=9).tolist() == [-3, 9, 4]
    for wrong, why in (
        (2.5, "no whole number"),
        (1e18, "no whole number"),
        (1e300, "no finite number, or beyond 1e"),
    ):
        with pytest.raises(InputError, match=rf"row 2, column 'x' is '.*', which is {why}"):
            columns.integers(of(x=[1.0, wrong]), "x")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["12.0", "7.00"], ["12", "7"]),
        (["12.0", "a"], ["12.0", "a"]),
        (["1.0", "1.5"], ["1.0", "1.5"]),
        ([12.0, 7.0], ["12", "7"]),
        ([12, 7], ["12", "7"]),
        ([" a ", "b"], ["a", "b"]),
    ],
)
def test_ids_that_were_floats_are_whole_again(cells: Any, expected: list[str]) -> None:
    assert columns.texts(of(x=cells), "x").to_pylist() == expected
    assert columns.codes(of(x=cells), "x")[1] == expected


@pytest.mark.parametrize(
    "cell",
    [MOMENT, MOMENT.isoformat(), "2024-01-02 03:04:05", MOMENT.timestamp(), str(MOMENT.timestamp() * 1000)],
)
@pytest.mark.parametrize("kind", [None, pa.large_string()])
def test_times_of_any_type(cell: Any, kind: pa.DataType | None) -> None:
    if kind is not None and not isinstance(cell, str):
        pytest.skip("text only")
    table = of(x=pa.array([cell, None], kind))
    assert columns.times(table, "x", nulls=True).to_pylist() == [MOMENT, None]
    with pytest.raises(InputError, match="row 2, column 'x' is empty; every row needs a time there"):
        columns.times(table, "x")
    log = {"action": ["a"], "reward": [0.0], "propensity": [0.5], "timestamp": pa.array([cell], kind)}
    assert check_log(of(**log), Columns(), ["a"]).timestamp is not None


@pytest.mark.parametrize(
    ("read", "cells", "says"),
    [
        (columns.numbers, ["1", "soon"], "row 2, column 'x' is 'soon', which is no finite number"),
        (columns.numbers, [1.0, np.inf], "row 2, column 'x' is 'inf', which is no finite number"),
        (columns.numbers, [[1], [2]], "row 1, column 'x'"),
        (columns.times, ["2024-01-01", "soon"], "row 2, column 'x' is 'soon', which is no moment"),
        (columns.texts, ["a", " "], "row 2, column 'x' is empty; every row needs a value there"),
        (columns.texts, [{"a": 1}], "column 'x' holds struct"),
        (columns.codes, ["a", None], "row 2, column 'x' is empty"),
    ],
)
def test_what_cannot_be_read_is_named(read: Any, cells: list[Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(of(x=cells), "x", "t.csv")
    assert str(caught.value).startswith(f"t.csv: {says}")
    with pytest.raises(InputError, match=r"^column 'y' is missing; the table has x$"):
        read(of(x=cells), "y")


def test_bounds_and_remedies() -> None:
    assert columns.numbers(of(x=[0.0, 1.0]), "x", low=0, high=1).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match=r"row 2, column 'x' is '1.5', which is not a number from 0 to 1"):
        columns.numbers(of(x=[0.0, 1.5]), "x", low=0, high=1)
    with pytest.raises(InputError, match="row 1, column 'x' is empty; no reward is 0"):
        columns.numbers(of(x=pa.array([None], pa.float64())), "x", remedy="no reward is 0")


def test_places_of_known_ids() -> None:
    assert columns.places(of(x=["b", "a"]), "x", ["a", "b"]).tolist() == [1, 0]
    assert columns.places(of(x=[2.0, 1.0]), "x", ["1", "2"]).tolist() == [1, 0]
    with pytest.raises(InputError, match=r"row 2, column 'x': 'c' is not in the shop \(and 1 further rows\)"):
        columns.places(of(x=["a", "c", "d"]), "x", ["a"], of="shop")


def test_words_for_nothing_are_told_apart_from_names() -> None:
    assert {"NULL", "\\N", "None", "nan", "NA", "<NA>"} <= values.NULL_WORDS
    assert not {"Nan", "Nil", "Na", "Noneya", "0", "-1", ""} & values.NULL_WORDS


def test_what_may_be_read_otherwise_is_said_of_numbers_and_not_of_stored_moments(caplog: Any) -> None:
    numbers = pa.table({"timestamp": [1, 2, 3]})
    moments = columns.times(numbers, "timestamp", "log.csv")
    assert "log.csv: 'timestamp' was read as seconds since 1970: all fall on 1 January" in caplog.text
    caplog.clear()
    columns.times(pa.table({"timestamp": moments}), "timestamp", "log.parquet")
    assert caplog.text == ""
