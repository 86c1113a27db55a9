"""What asking does to people: known truth in simulated returns, hand-made logs, and every refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binom

from tastemaker.errors import InputError
from tastemaker.experiment.assign import assign, position
from tastemaker.experiment.moments import Metric
from tastemaker.experiment.readout.logs import AskedAfter, AskingSettings, people_table, read_asking
from tastemaker.flows.retention.asked import asked_claim
from tastemaker.simulate.retention import ListenerWorld, draw_listeners, draw_pairs, returns
from tastemaker.stats.random import generator

SETTINGS = AskingSettings((Metric("returned"),), 0.2, shown="shown")
MORNING = datetime(2026, 3, 2, 8, tzinfo=UTC)

AFTER = AskedAfter(0.3, "(nobody)")


@cache
def chances(effect: float) -> tuple[Any, Any]:
    """True chances of returning (n,) of listeners when not asked and when asked; the switch is
    `ListenerWorld.asked_effect`.
    """
    world = ListenerWorld.of("item", listeners=20_000, items=50, days=1, asked_effect=effect)
    pairs = draw_pairs(world, draw_listeners(world, 0), 0)
    both = [
        returns(world, pairs.append_column("asked", pa.array(np.full(20_000, n))), 0)["true_return"]
        for n in (0, 1)
    ]
    return both[0].to_numpy(), both[1].to_numpy()


def one_test(effect: float, run: int, people: int = 3_000, share: float = 0.5) -> pa.Table:
    """A table as a product would have it: a fifth never asked, the others with chance `share`."""
    never, when = chances(effect)
    rng = generator("asked", effect, run)
    who = rng.choice(len(never), people, replace=False)
    users = [f"u{run}-{number}" for number in who]
    arm = np.array(assign(users, f"salt {run}", SETTINGS.shares)["arm"].to_pylist())
    shown = (arm == "asked") & (rng.random(people) < share)
    back = rng.random(people) < np.where(shown, when[who], never[who])
    return pa.table({"user_id": users, "arm": arm, "shown": shown.astype(int), "returned": back.astype(int)})


@pytest.mark.parametrize("effect", [0.0, -1.2])
def test_the_interval_holds_the_true_effect_of_asking(effect: float) -> None:
    runs, (never, when) = 200, chances(effect)
    whole = 0.5 * (when - never).mean() / never.mean()
    each = (when - never).mean()
    read = [read_asking(one_test(effect, run), SETTINGS) for run in range(runs)]
    misses = sum(not reading.effects[0].low <= whole <= reading.effects[0].high for reading in read)
    missed = sum(
        reading.each is None or not reading.each.low <= each <= reading.each.high for reading in read
    )
    limit = binom.ppf(0.999, runs, 0.05)
    assert misses <= limit and missed <= limit
    harmless = sum(reading.verdict == "supported" for reading in read)
    if effect:
        assert harmless <= binom.ppf(0.999, runs, 0.05)  # far more than two percent are lost
        assert sum(reading.verdict == "not supported" for reading in read) > 0.5 * runs
    else:
        assert sum(reading.verdict == "not supported" for reading in read) <= binom.ppf(0.999, runs, 0.025)


def test_whoever_plays_more_is_asked_more_so_only_the_group_chosen_by_chance_tells() -> None:
    rng = generator("naive")
    n = 8_000
    keen = rng.random(n)
    users = [f"u{number}" for number in range(n)]
    arm = np.array(assign(users, "s", SETTINGS.shares)["arm"].to_pylist())
    shown = (arm == "asked") & (rng.random(n) < keen)
    table = pa.table(
        {
            "user_id": users,
            "arm": arm,
            "shown": shown.astype(int),
            "returned": (rng.random(n) < 0.2 + 0.6 * keen).astype(int),
        }
    )
    read = read_asking(table, SETTINGS)
    assert (
        read.effects[0].low < 0 < read.effects[0].high
        and read.each is not None
        and read.each.low < 0 < read.each.high
    )


def test_too_small_groups_and_lost_people_are_refused() -> None:
    small = read_asking(one_test(0.0, 1, people=300), SETTINGS)
    assert small.verdict == "cannot tell" and "unasked group has" in small.because and not small.effects
    table = one_test(0.0, 2)
    arm, back = np.array(table["arm"].to_pylist()), np.array(table["returned"].to_pylist())
    lost = table.filter(pa.array((arm != "unasked") | (back == 1) | (np.arange(len(arm)) % 2 == 0)))
    read = read_asking(lost, SETTINGS)
    assert (
        read.verdict == "cannot tell"
        and read.ratio.alarm
        and "do not hold their shares" in read.because
        and not read.effects
    )
    flat = table.set_column(3, "returned", pa.array(np.ones(table.num_rows, int)))
    assert read_asking(flat, SETTINGS).verdict == "cannot tell"


def test_wrong_tables_and_settings_are_told_in_words() -> None:
    table = one_test(0.0, 3)
    with pytest.raises(InputError, match="comes twice"):
        read_asking(pa.concat_tables([table, table.slice(0, 1)]), SETTINGS)
    with pytest.raises(InputError, match="arm 'held' has units but no share"):
        read_asking(table.set_column(1, "arm", pa.array(["held"] * table.num_rows)), SETTINGS)
    with pytest.raises(InputError, match="column 'plays' is missing"):
        read_asking(table, AskingSettings((Metric("plays"),), 0.2))
    for wrong in ({"holdout": 0.0}, {"tolerated": 1.0}, {"least": 1}, {"metrics": ()}):
        with pytest.raises(InputError):
            AskingSettings(**wrong)  # type: ignore[arg-type]


def logs(people: int = 40) -> tuple[pa.Table, pa.Table, pa.Table, str]:
    """Three days: everybody gets a list on the first and plays its item; some come back; those who may be
    asked are, by turns.
    """
    salt, day = "never asked/0", timedelta(days=1)
    events, slates, questions = [], [], []
    for number in range(people):
        user, moment = f"u{number}", MORNING + timedelta(minutes=number)
        for visit in range(1 + (number % 3 == 0)):
            at, request = moment + visit * day, f"{user}-{visit}"
            slates.append({"request_id": request, "user_id": user, "timestamp": at, "item_id": "i"})
            value = 0.1 if number == 5 else 0.9  # a glance is no occasion
            act = {
                "user_id": user,
                "item_id": "i",
                "kind": "play",
                "value": value,
                "request_id": request,
                "timestamp": at,
            }
            events.append(act)
        if number % 2 and number != 5 and position(user, salt) >= 0.25:
            questions.append({"user_id": user, "timestamp": moment})
    # A last day on which two come for the first time: their next day is not over.
    for number in (90, 91):
        at = MORNING + 2 * day
        slates.append(
            {"request_id": f"late{number}", "user_id": f"u{number}", "timestamp": at, "item_id": "i"}
        )
        act = {
            "user_id": f"u{number}",
            "item_id": "i",
            "kind": "like",
            "value": None,
            "request_id": f"late{number}",
            "timestamp": at,
        }
        events.append(act)
    return pa.Table.from_pylist(events), pa.Table.from_pylist(slates), pa.Table.from_pylist(questions), salt


def test_logs_become_one_row_a_person_from_their_first_occasion_on() -> None:
    events, slates, questions, salt = logs()
    settings = AskingSettings(holdout=0.25)
    table = people_table(events, slates, questions, salt, settings, AFTER).to_pylist()
    assert {row["user_id"] for row in table} == {f"u{number}" for number in range(40) if number != 5}
    asked = set(questions["user_id"].to_pylist())
    for row in table:
        number = int(row["user_id"][1:])
        assert row["arm"] == ("unasked" if position(row["user_id"], salt) < 0.25 else "asked")
        assert row["asked"] == (row["user_id"] in asked) and row["returned"] == (number % 3 == 0)
        assert row["lists"] == row["plays"] == 1 + (number % 3 == 0)


def test_logs_that_cannot_be_read_are_refused() -> None:
    events, slates, questions, salt = logs()
    settings = AskingSettings(holdout=0.25)
    with pytest.raises(InputError, match="no question was shown"):
        people_table(events, slates, questions.slice(0, 0), salt, settings, AFTER)
    with pytest.raises(
        InputError, match=r"of the never-asked group were asked.*ask_holdout or seed was changed"
    ):
        people_table(events, slates, questions, salt, AskingSettings(holdout=0.75), AFTER)
    early = [
        table.filter(pa.compute.less(table["timestamp"], MORNING + timedelta(hours=9)))
        for table in (events, slates)
    ]
    with pytest.raises(InputError, match="nobody's next day"):
        people_table(*early, questions, salt, settings, AFTER)


def test_a_reading_ends_in_a_report() -> None:
    settings = AskingSettings(holdout=0.2, shown="shown")
    reading = read_asking(one_test(-1.2, 7, people=12_000), settings)
    claim = asked_claim(reading, settings, "day 1")
    assert claim.verdict == "not supported" and claim.exit_code == 1 and reading.effects[0].high < 0
    titles = [table.title for table in claim.tables]
    assert titles[0] == "Asked against never asked" and "Sample ratio" in titles and claim.figures
    few = read_asking(one_test(-1.2, 7, people=12_000).slice(0, 200), settings)
    assert few.verdict == "cannot tell" and not few.effects
