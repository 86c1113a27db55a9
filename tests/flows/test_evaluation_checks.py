"""What an evaluation says of its own numbers: the order of the file, repeats, a simple baseline that wins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastemaker.corpus.events import Histories
from tastemaker.corpus.splits import leave_one_out
from tastemaker.flows.data import Data
from tastemaker.flows.evaluation import sections as checks


def _data(base: Data, rows: list[list[int]], times: list[list[float]] | None, items: int) -> Data:
    return replace(
        base, histories=Histories.of_lists(rows, times=times), item_ids=[f"i{n}" for n in range(items)]
    )


@pytest.fixture
def blank() -> Data:
    """Data without anything; the checks look at histories and the number of items."""
    from tastemaker.schema import EventRules

    return Data(pl.DataFrame({"item_id": []}).to_arrow(), [], Histories.of_lists([]), {}, EventRules())


def _noise(rng: np.random.Generator, people: int = 500) -> list[list[int]]:
    """Eight of a hundred items at random each: nothing can be learnt."""
    return [rng.choice(100, 8, replace=False).tolist() for _ in range(people)]


def test_a_file_sorted_by_item_inside_a_day_is_pointed_at(blank: Data) -> None:
    rows = _noise(np.random.default_rng(1))
    tied = [[5.0] * 8 for _ in rows]
    check = checks.order_check(_data(blank, [sorted(row) for row in rows], tied, 100), "test", True)
    assert not check["ok"] and "the order at equal times decides these numbers" in check["text"]
    assert "100.0% of people end with events at one time" in check["text"]
    fine = checks.order_check(_data(blank, rows, tied, 100), "test", True)
    assert fine["ok"] and "in another order" in fine["text"]
    timed = [[float(place) for place in range(8)] for _ in rows]
    assert checks.order_check(_data(blank, [sorted(row) for row in rows], timed, 100), "test", True)["ok"]
    words = checks.order_words(_data(blank, rows, tied, 100).histories)
    assert "100.0% of them tied" in words
    unknown = _data(blank, rows, None, 100)
    assert "cannot be tried" in checks.order_check(unknown, "test", True)["text"]
    assert "no time confirms" in checks.order_words(unknown.histories)


@dataclass(frozen=True)
class Ranks:
    """A system as the checks see it."""

    name: str
    ranks: Any
    lists: Any = ()


def test_the_best_simple_baseline_must_be_beaten() -> None:
    rng = np.random.default_rng(2)
    good, bad = (np.where(rng.random(800) < share, 1, 0) for share in (0.6, 0.3))
    assert checks.simple_beaten([Ranks("Tastemaker", good), Ranks("popularity", bad)])["ok"]
    lost = checks.simple_beaten(
        [Ranks("Tastemaker", bad), Ranks("popularity", bad), Ranks("item co-occurrence", good)]
    )
    assert not lost["ok"] and "'item co-occurrence' is not beaten" in lost["text"]
    assert "counting is enough" in lost["text"]
    equal = checks.simple_beaten([Ranks("Tastemaker", good), Ranks("memory of transitions alone", good)])
    assert not equal["ok"]  # as good as counting is not better than counting
    none = checks.simple_beaten([Ranks("Tastemaker", good), Ranks("SASRec (full cross-entropy)", bad)])
    assert none["ok"] and "no simple baseline was run" in none["text"]


def test_repeats_are_counted_and_the_remedy_is_named() -> None:
    rows = [[1, 2, 1, 2, 1] for _ in range(50)] + [[3, 4, 5, 6, 7]] * 50
    targets = leave_one_out(Histories.of_lists(rows)).test
    check = checks.repeats(targets, True)
    assert not check["ok"] and check["text"].startswith(
        "50.0% of targets were had before and cannot be found"
    )
    assert "remove_seen = false" in check["text"] and checks.repeats(targets, False)["ok"]
