from __future__ import annotations

import threading

import pytest

from tastemaker.chat import BudgetReached, CallError, Limits, Request, StoppedEarly, Unit, map_units, user
from tastemaker.errors import InputError

from .conftest import Pick, Scripted, ask


def chat_of(*replies):
    """A chat that says these in turn (CallErrors are raised), and remembers what it was asked."""
    rest, asked = iter(replies), []

    def say(request):
        asked.append(request)
        reply = next(rest)
        if isinstance(reply, CallError):
            raise reply
        return reply

    chat = Scripted(say)
    chat.asked = asked
    return chat


def kept_answers(folder):
    return [
        path
        for path in folder.rglob("*.json")
        if not path.name.endswith(".tries.json") and "unit-" not in path.name
    ]


def test_an_answer_is_paid_once(make):
    chat = chat_of('{"item": 1}')
    assert make(chat).call(ask()) == Pick(item=1) == make(chat).call(ask())
    assert len(chat.asked) == 1


def test_asks_again_with_the_reason_at_most_twice(make, tmp_path):
    chat = chat_of("hm", '{"item": "x"}', '{"item": 7}')
    assert make(chat).call(ask()).item == 7
    assert [len(request.messages) for request in chat.asked] == [1, 3, 5]
    assert (
        "not JSON" in chat.asked[1].messages[-1].text and "valid integer" in chat.asked[2].messages[-1].text
    )
    assert make(chat).call(ask()).item == 7


def test_nothing_invalid_is_cached_and_the_last_kind_is_told(make, tmp_path):
    chat = chat_of("hm", "{}", '{"item": 9}')
    engine = make(chat)
    with pytest.raises(CallError, match="T9 is unknown") as caught:
        engine.call(ask(), lambda pick: "T9 is unknown" if pick.item == 9 else None)
    assert caught.value.kind == "domain" and kept_answers(tmp_path / "cache") == []
    assert engine.journal.attempts == {"not_json": 1, "schema": 1, "domain": 1}


def test_passing_failures_are_tried_again_and_others_are_not(make, clock):
    chat = chat_of(CallError("unavailable", "503"), CallError("dropped", "x", paid=True), '{"item": 1}')
    engine = make(chat)
    assert engine.call(ask()).item == 1
    assert sum(clock.slept) >= 0.5 + 1
    used, calls = engine.journal.billed()
    assert calls == 2 and used.output == 100 + 3  # the dropped call may be billed: its maximum is booked
    chat = chat_of(CallError("refused", "400"), '{"item": 1}')
    with pytest.raises(CallError, match="400"):
        make(chat).call(ask("other"))
    assert len(chat.asked) == 1


def test_gives_up_after_the_attempts_allowed(make):
    chat = chat_of('{"item": 1}', *[CallError("timeout", "slow", paid=True)] * 3)
    engine = make(chat, tries=3)
    engine.call(ask("one that is answered"))
    with pytest.raises(CallError, match="timeout"):
        engine.call(ask())
    assert len(chat.asked) == 4


def test_gives_up_the_run_and_no_call_while_nothing_was_ever_answered(make):
    chat = chat_of(*[CallError("timeout", "slow", paid=True)] * 8)
    with pytest.raises(StoppedEarly, match="answered none of 8 attempts"):
        make(chat, tries=3).call(ask())
    assert len(chat.asked) == 8


def test_a_stricter_check_asks_again(make):
    chat = chat_of('{"item": 1}', '{"item": 2}')
    engine = make(chat)
    engine.call(ask())
    assert engine.call(ask(), lambda pick: "no 1" if pick.item == 1 else None).item == 2


def test_equal_questions_at_once_are_paid_once(make):
    started, release = threading.Event(), threading.Event()

    def say(request):
        started.set()
        release.wait(60)
        return '{"item": 1}'

    chat = Scripted(say)
    engine = make(chat)
    out = []
    threads = [threading.Thread(target=lambda: out.append(engine.call(ask()).item)) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(60)
    release.set()
    for thread in threads:
        thread.join(60)
    assert out == [1] * 4 and engine.journal.paid_calls == 1 and engine.hits == 3


def test_a_kill_between_answer_and_journal_is_settled_from_the_cache(make, monkeypatch):
    chat = chat_of('{"item": 1}')
    engine = make(chat)
    monkeypatch.setattr(engine.journal, "answered", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        engine.call(ask())
    again = make(chat)
    assert len(again.journal.unconfirmed) == 1
    assert (
        again.call(ask()).item == 1
        and not again.journal.unconfirmed
        and again.journal.attempts == {"valid": 1}
    )


def test_rejected_tries_survive_a_kill(make):
    """The second run_session goes on with the re-ask, instead of paying for the first try again."""

    def say(request):
        reply = '{"item": 1}' if len(request.messages) == 3 and len(seen) > 1 else "hm"
        seen.append(len(request.messages))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return reply

    seen: list[int] = []
    chat = Scripted(say)
    with pytest.raises(KeyboardInterrupt):
        make(chat).call(ask())
    assert make(chat).call(ask()).item == 1 and seen == [1, 3, 3]


def units(number):
    return [Unit(f"c{i}", f"s{i}", i) for i in range(number)]


def talk(engine, calls=3):
    def work(unit):
        return {
            "picks": [
                engine.call(ask(f"{unit.id} turn {t}", unit=unit.id, subject=unit.subject)).item
                for t in range(calls)
            ]
        }

    return work


def numbered(request):
    return f'{{"item": {sum(request.messages[0].text.encode())}}}'


def test_units_come_in_order_once_and_are_read_back(make):
    engine = make(Scripted(numbered))
    first = list(map_units(engine, talk(engine), units(30)))
    assert [result.id for result in first] == [f"c{i}" for i in range(30)] and engine.journal.paid_calls == 90
    engine = make(Scripted(lambda request: pytest.fail("asked again")))
    again = list(map_units(engine, talk(engine), units(30)))
    assert [result.value for result in again] == [result.value for result in first] and all(
        result.replayed for result in again
    )


def test_failures_keep_apart_and_only_they_are_retried(make):
    broken = {"c1": "hm", "c4": "{}"}
    asked = []

    def say(request):
        asked.append(request.unit)
        return broken.get(request.unit) or numbered(request)

    engine = make(Scripted(say))
    first = list(map_units(engine, talk(engine), units(6)))
    assert [result.failure for result in first] == [None, "not_json", None, None, "schema", None]
    assert engine.journal.failures() == {"not_json": 1, "schema": 1}
    asked.clear()
    engine = make(Scripted(say))
    assert [result.failure for result in map_units(engine, talk(engine), units(6))] == [
        result.failure for result in first
    ] and not asked
    broken.clear()
    engine = make(Scripted(say))
    retried = list(map_units(engine, talk(engine), units(6), retry={"schema"}))
    assert set(asked) == {"c4"} and [result.failure for result in retried] == [
        None,
        "not_json",
        None,
        None,
        None,
        None,
    ]
    engine = make(Scripted(say))
    assert all(
        result.failure is None for result in map_units(engine, talk(engine), units(6), retry={"not_json"})
    )
    assert set(asked) == {"c4", "c1"}


def test_a_failed_call_is_not_paid_again_on_resume(make):
    """Killed after the last re-ask but before the unit's record: the failure is replayed."""
    chat = chat_of("a", "b", "c")
    engine = make(chat)
    for _ in range(2):
        with pytest.raises(CallError, match="not_json"):
            engine.call(ask(unit="c0"))
    assert len(chat.asked) == 3


def test_a_budget_ends_the_run_and_a_larger_one_goes_on(make):
    limits = Limits(calls=10)
    engine = make(Scripted(numbered), limits=limits, most=1)
    seen = []
    with pytest.raises(BudgetReached, match=r"budget of 10 calls.*3 of 9 units finished"):
        seen.extend(map_units(engine, talk(engine), units(9)))
    assert len(seen) == 3 and engine.budget.calls == 10  # three of three calls, and one call of the fourth
    engine = make(Scripted(numbered), limits=Limits(calls=27))
    assert len(list(map_units(engine, talk(engine), units(9)))) == 9 and engine.budget.calls == 27


def test_a_budget_smaller_than_one_unit_says_so(make):
    engine = make(Scripted(numbered), limits=Limits(calls=2))
    with pytest.raises(BudgetReached, match="smaller than one unit"):
        list(map_units(engine, talk(engine), units(3)))


def test_an_endpoint_down_from_the_start_stops_the_run(make):
    def say(request):
        raise CallError("unreachable", "127.0.0.1:1: connection refused")

    engine = make(Scripted(say))
    with pytest.raises(
        StoppedEarly, match=r"answered none of 8 attempts.*connection refused.*0 of 100 units"
    ):
        list(map_units(engine, talk(engine), units(100)))
    assert not engine.journal.units and not engine.journal.unconfirmed


def test_leaving_early_keeps_what_was_paid(make):
    engine = make(Scripted(numbered))
    run = map_units(engine, talk(engine), units(200))
    next(run)
    run.close()
    paid = engine.journal.paid_calls
    assert 3 <= paid < 600 and not engine.journal.unconfirmed
    engine = make(Scripted(numbered))
    assert len(list(map_units(engine, talk(engine), units(200)))) == 200 and engine.journal.paid_calls == 600


def test_heartbeat_and_two_units_of_one_id(make):
    engine = make(Scripted(numbered))
    beats = []
    list(map_units(engine, talk(engine), units(5), report=beats.append))
    assert [beat.finished for beat in beats][-1] == 5 and beats[-1].total == 5 and beats[-1].usage.output > 0
    with pytest.raises(InputError, match="two units have the id 'c0'"):
        list(map_units(engine, talk(engine), units(1) * 2))


def test_plain_text_and_no_disk_at_all():
    from tastemaker.chat import Engine

    engine = Engine(Scripted(lambda request: "hello"))
    assert engine.call(Request((user("hi"),), str)) == "hello"
