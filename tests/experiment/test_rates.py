"""How often a read-out is wrong in the worlds of `recipes.retention.experiment_rates`, in short."""

from __future__ import annotations

import pytest
from recipes.retention.experiment_rates import WORLDS, world
from scipy import stats

SHORT = [name for name in WORLDS if "looks" not in name and "power" not in name]
RUNS = 150


@pytest.mark.parametrize("name", SHORT)
def test_a_read_out_is_wrong_no_more_often_than_it_says(name: str) -> None:
    """Never above what .07 gives by chance in one of 100,000 sets; the full rates are printed by the
    recipe.
    """
    due = WORLDS[name][0]
    assert world(name, RUNS, 1)["wrong"] <= stats.binom.ppf(1 - 1e-5, RUNS, max(1.4 * due, due + 0.001))


def test_what_was_wrong_before_is_seen() -> None:
    """The same draws read as version 0.1 did: people of whole houses, and fixed intervals looked at twenty
    times.
    """
    houses = world("A/A, 60 houses", RUNS, 1)
    assert houses["Wald wrong"] > RUNS / 4 > 3 * houses["wrong"]
    looks = world("20 looks at two metrics, A/A", 20, 1)
    assert looks["wrong"] <= 4
