from __future__ import annotations

import threading
from contextlib import nullcontext, suppress

import pytest

from tastemaker.chat import CallError, PaceSettings, StoppedEarly
from tastemaker.chat.pace import Pace


def run(pace, *outcomes):
    """Attempts one after another: None succeeds, a kind fails."""
    for outcome in outcomes:
        error = outcome if isinstance(outcome, CallError) or outcome is None else CallError(outcome, "x")
        with nullcontext() if error is None else suppress(CallError), pace.slot():
            if error is not None:
                raise error


def allowed_after(pace, successes):
    """How many are allowed at once after each of some successes."""
    allowed = []
    for _ in range(successes):
        run(pace, None)
        allowed.append(pace.allowed)
    return allowed


def test_one_more_after_as_many_successes_as_are_allowed_once_slowed(clock):
    pace = Pace(PaceSettings(most=8), clock)
    run(pace, "rate_limited")
    assert allowed_after(pace, 10) == [4, 4, 4, 5, 5, 5, 5, 5, 6, 6]
    assert allowed_after(pace, 200)[-1] == 8


@pytest.mark.parametrize("kind", ["rate_limited", "unavailable", "timeout"])
def test_halved_once_per_cool_down_and_recovers(clock, kind):
    pace = Pace(PaceSettings(most=16, cool_down=10), clock)
    run(pace, kind, kind, kind)
    assert pace.allowed == 8
    clock.time += 10
    run(pace, kind)
    assert pace.allowed == 4
    run(pace, *[None] * (4 + 5 + 6))
    assert pace.allowed == 7
    for _ in range(5):
        clock.time += 10
        run(pace, None, kind)
    assert pace.allowed == 1


def test_a_dropped_connection_does_not_slow(clock):
    pace = Pace(PaceSettings(most=8), clock)
    run(pace, None, "dropped", "dropped")
    assert pace.allowed == 8


def test_retry_after_holds_everyone_back(clock):
    pace = Pace(PaceSettings(), clock)
    run(pace, CallError("rate_limited", "x", wait=7.25))
    before = clock.time
    run(pace, None)
    assert clock.time - before == pytest.approx(7.25)


def test_back_off_is_keyed_grows_and_yields_to_retry_after(clock):
    pace = Pace(PaceSettings(back_off=1, longest=60), clock)
    error = CallError("unavailable", "x")
    waits = [pace.back_off(error, "k", turn) for turn in range(9)]
    assert (
        waits
        == [pace.back_off(error, "k", turn) for turn in range(9)]
        != [pace.back_off(error, "l", turn) for turn in range(9)]
    )
    assert all(min(60, 2**turn) / 2 <= wait <= min(60, 2**turn) for turn, wait in enumerate(waits))
    assert pace.back_off(CallError("unavailable", "x", wait=100), "k", 0) == 100


def test_stops_at_more_than_three_tenths_of_the_last_fifty(clock):
    pace = Pace(PaceSettings(), clock)
    run(pace, *([None] * 7 + ["unavailable"] * 3) * 5)
    run(pace, *["rate_limited"] * 20)  # not counted
    assert pace.stopped is None
    with pytest.raises(StoppedEarly, match="16 of the last 50"):
        run(pace, "dropped", None, None, None, None, None, None, None, "dropped", None, None)
    with pytest.raises(StoppedEarly, match="Finished work is kept"):
        run(pace, None)


def test_an_endpoint_that_is_down_from_the_start_is_noticed_at_once(clock):
    pace = Pace(PaceSettings(give_up=8), clock)
    with pytest.raises(StoppedEarly, match=r"answered none of 8 attempts.*unreachable"):
        run(pace, *["unreachable"] * 9)


def test_an_endpoint_that_hangs_from_the_start_is_given_up_after_two_deadlines_at_once(clock):
    pace = Pace(PaceSettings(), clock)
    clock.time += 120
    run(pace, CallError("timeout", "no answer within 120 s"))
    with pytest.raises(StoppedEarly, match=r"answered none of 2 attempts \(timeout"):
        run(pace, CallError("timeout", "no answer within 120 s"), None)


def test_nothing_but_429_ends_after_a_minute(clock):
    pace = Pace(PaceSettings(), clock)
    run(pace, *["rate_limited"] * 50)
    clock.time += 59
    run(pace, "rate_limited", None)
    clock.time += 59
    run(pace, *["rate_limited"] * 8)
    clock.time += 2
    with pytest.raises(StoppedEarly, match=r"nothing but 429 .* for 61 s, 9 times.*--at-once"):
        run(pace, "rate_limited", None)


def test_a_key_or_model_that_is_turned_away_ends_the_run_at_once(clock):
    pace = Pace(PaceSettings(), clock)
    with pytest.raises(StoppedEarly, match="check the API key"):
        run(pace, CallError("denied", "host answers HTTP 401: check the API key"), None)


def test_a_wait_beyond_patience_stops(clock):
    pace = Pace(PaceSettings(patience=600), clock)
    run(pace, CallError("rate_limited", "x", wait=3600))
    with pytest.raises(StoppedEarly, match="asks to wait 3600 s"):
        run(pace, None)


def test_never_more_under_way_than_allowed(clock):
    pace = Pace(PaceSettings(most=3), clock)
    seen, release = [], threading.Event()

    def worker():
        with pace.slot():
            seen.append(pace.under_way)
            release.wait(60)

    threads = [threading.Thread(target=worker) for _ in range(9)]
    for thread in threads:
        thread.start()
    while pace.under_way < 3:
        pass
    release.set()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 9 and max(seen) == 3 and pace.under_way == 0
