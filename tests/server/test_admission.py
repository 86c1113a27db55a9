"""Admission: bounded, batched, fair to neighbours; it sheds at once and recovers. Held by events, not by the
clock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from server_fake import FakeService

from tastemaker.errors import InputError
from tastemaker.server import LaneSettings, ServerSettings, create_app
from tastemaker.server.admission import Calls, Lane, Refused

Answer = TypeVar("Answer")
LONG = 20.0


class Held:
    """A batch call that stops until it is let go, and remembers its batches."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, asks: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(asks))
        self.entered.release()
        assert self.go.wait(LONG)
        return [10 * ask for ask in asks]

    async def begun(self) -> None:
        """Wait until a batch is in hand."""
        await asyncio.to_thread(self.entered.acquire)


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def play(scene: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run a scene; one that hangs is a failure, not a wait."""
    return asyncio.run(asyncio.wait_for(scene(), LONG / 2))


def lane_of(call: Held, clock: list[float] | None = None, **options: object) -> Lane[int, int]:
    chosen = LaneSettings(**{"batch": 2, "waiting": 4, "linger": 0.0, **options})  # type: ignore[arg-type]
    return Lane(call, chosen, *([lambda: clock[0]] if clock else []))


def test_another_batch_begins_once_the_one_before_only_waits() -> None:
    held, freed, begun, calls = Held(), threading.Event(), threading.Semaphore(0), list[list[int]]()

    def call(asks: Sequence[int]) -> list[int | Exception]:
        calls.append(list(asks))
        begun.release()
        assert freed.wait(LONG)
        lane.free()
        return held(asks)

    lane: Lane[int, int] = Lane(call, LaneSettings(workers=2, computing=1, batch=1))

    async def scene() -> list[int]:
        await lane.start()
        asked = [asyncio.create_task(lane.run(ask, LONG)) for ask in (1, 2)]
        await asyncio.to_thread(begun.acquire)
        await settle()
        assert calls == [[1]]
        freed.set()
        await held.begun()
        await held.begun()  # both, though neither is over
        held.go.set()
        answers = [(await future).answer for future in asked]
        await lane.stop()
        return answers

    assert play(scene) == [10, 20]


def test_three_times_the_load_is_shed_at_once_and_the_rest_is_served() -> None:
    """One in hand, four waiting, thirteen refused while nothing has been answered; then all five are, in
    three batches.
    """
    held = threading.Event()
    entered = threading.Semaphore(0)

    def gate(_: object) -> None:
        entered.release()
        assert held.wait(LONG)

    service = FakeService(gate=gate)
    lane = LaneSettings(batch=2, waiting=4, linger=0.0)
    app = create_app(service, ServerSettings(recommendations=lane, deadline=LONG))

    async def scene() -> None:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):

            async def ask() -> httpx.Response:
                return await client.post("/recommendations", json={"history": ["tune-000"]})

            tasks = [asyncio.create_task(ask())]
            await asyncio.to_thread(entered.acquire)
            tasks += [asyncio.create_task(ask()) for _ in range(17)]
            refused = []
            for task in asyncio.as_completed(tasks):
                refused.append(await task)
                if len(refused) == 13:
                    break
            assert not held.is_set()
            for response in refused:
                assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1
                assert response.json()["error"] == "4 requests are waiting already"
            # Reading goes on meanwhile: it has a lane of its own.
            assert (await client.get("/items/tune-000")).status_code == 200
            held.set()
            done = await asyncio.gather(*tasks)
            assert sorted(response.status_code for response in done) == [200] * 5 + [429] * 13
            assert service.batches == [1, 2, 2]
            assert (await ask()).status_code == 200

    play(scene)


def test_the_company_of_a_batch_is_gathered_and_answers_go_home() -> None:
    async def scene() -> None:
        held = Held()
        held.go.set()
        lane = lane_of(held, linger=0.5, batch=3, waiting=9)
        await lane.start()
        done = await asyncio.gather(*(lane.run(ask, LONG) for ask in (1, 2, 3)))
        assert [answer.answer for answer in done] == [10, 20, 30] and [answer.batch for answer in done] == [
            3,
            3,
            3,
        ]
        assert held.batches == [[1, 2, 3]]
        await lane.stop()

    play(scene)


def test_one_bad_request_does_not_take_its_neighbours_down() -> None:
    def call(asks: Sequence[int]) -> list[int | Exception]:
        if 2 in asks:
            raise InputError("two is not allowed; send three")
        return [KeyError("mine") if ask == 4 else ask for ask in asks]

    async def scene() -> None:
        lane: Lane[int, int] = Lane(call, LaneSettings(linger=0.5, batch=4))
        await lane.start()
        done = await asyncio.gather(*(lane.run(ask, LONG) for ask in (1, 2, 3, 4)), return_exceptions=True)
        assert [getattr(answer, "answer", type(answer)) for answer in done] == [1, InputError, 3, KeyError]
        await lane.stop()

    play(scene)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(0), GeneratorExit(), asyncio.CancelledError()]
)
def test_a_lane_outlives_whatever_is_raised_in_its_thread(error: BaseException) -> None:
    def call(asks: Sequence[int]) -> list[int | Exception]:
        if 0 in asks:
            raise error
        return [10 * ask for ask in asks]

    async def scene() -> None:
        lane: Lane[int, int] = Lane(call, LaneSettings())
        await lane.start()
        with pytest.raises(RuntimeError, match=type(error).__name__):
            await lane.run(0, LONG)
        assert (await lane.run(1, LONG)).answer == 10
        await lane.stop()

    play(scene)


def test_a_call_that_loses_an_answer_is_an_error_and_not_a_mix_up() -> None:
    async def scene() -> None:
        lane: Lane[int, int] = Lane(lambda asks: list(asks)[1:], LaneSettings(linger=0.5, batch=2))
        await lane.start()
        done = await asyncio.gather(lane.run(1, LONG), lane.run(2, LONG), return_exceptions=True)
        assert [str(answer) for answer in done] == ["1 requests got 0 answers"] * 2
        await lane.stop()

    play(scene)


@pytest.mark.parametrize("waiting", [1, 4])
def test_a_deadline_ends_the_wait_and_the_abandoned_work_is_never_begun(waiting: int) -> None:
    async def scene() -> None:
        held = Held()
        lane = lane_of(held, waiting=waiting)
        await lane.start()
        first = asyncio.create_task(lane.run(1, LONG))
        await held.begun()
        with pytest.raises(Refused, match="no answer within 10 ms") as late:
            await lane.run(2, 0.01)
        assert late.value.status == 503 and late.value.retry_after >= 1
        # It holds no place either: the queue of one has room again.
        third = asyncio.create_task(lane.run(3, LONG))
        await settle()
        held.go.set()
        assert [(await first).answer, (await third).answer] == [10, 30] and held.batches == [[1], [3]]
        await lane.stop()

    play(scene)


def test_what_would_expire_in_the_queue_is_refused_at_the_door() -> None:
    async def scene() -> None:
        held, clock = Held(), [0.0]
        lane = lane_of(held, clock)
        await lane.start()
        first = asyncio.create_task(lane.run(1, LONG))
        await held.begun()
        clock[0] = 7.0  # so one request takes 7 s
        held.go.set()
        assert (await first).computed == 7.0
        held.go.clear()
        second = asyncio.create_task(lane.run(2, LONG))
        await held.begun()
        with pytest.raises(Refused, match="the wait is longer than the 3000 ms") as refused:
            await lane.run(3, 3.0)
        assert (refused.value.status, refused.value.retry_after) == (429, 7)
        held.go.set()
        await second
        await lane.stop()

    play(scene)


@pytest.mark.parametrize(("grace", "finished"), [(LONG, True), (0.0, False)])
def test_stopping_finishes_what_was_admitted_within_the_grace(grace: float, finished: bool) -> None:
    async def scene() -> None:
        held = Held()
        lane = lane_of(held, batch=1, grace=grace)
        await lane.start()
        tasks = [asyncio.create_task(lane.run(ask, LONG)) for ask in (1, 2, 3)]
        await held.begun()
        stopping = asyncio.create_task(lane.stop())
        await settle()
        with pytest.raises(Refused, match="starting or stopping") as refused:
            await lane.run(4, LONG)
        assert refused.value.status == 503
        if finished:
            held.go.set()
            assert [(await task).answer for task in tasks] == [10, 20, 30]
        await stopping
        if not finished:
            for task in tasks[1:]:
                with pytest.raises(Refused, match="the server is stopping"):
                    await task
            held.go.set()
            tasks[0].cancel()
            with suppress(asyncio.CancelledError, Refused):
                await tasks[0]

    play(scene)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), batch=st.integers(1, 9), workers=st.integers(1, 3), waiting=st.integers(1, 40))
def test_everyone_gets_their_own_answer_or_a_refusal(n: int, batch: int, workers: int, waiting: int) -> None:
    sizes: list[int] = []

    def call(asks: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(asks))
        return [ask + 1000 for ask in asks]

    async def scene() -> list[object]:
        lane: Lane[int, int] = Lane(
            call, LaneSettings(batch=batch, workers=workers, waiting=waiting, linger=0.0)
        )
        await lane.start()
        done = await asyncio.gather(*(lane.run(ask, LONG) for ask in range(n)), return_exceptions=True)
        await lane.stop()
        return list(done)

    done = play(scene)
    answered = [(ask, answer) for ask, answer in enumerate(done) if not isinstance(answer, Refused)]
    assert all(answer.answer == ask + 1000 for ask, answer in answered)  # type: ignore[attr-defined]
    assert len(answered) >= min(n, waiting) and sum(sizes) == len(answered) and max(sizes) <= batch


def test_single_calls_return_what_they_return() -> None:
    async def scene() -> None:
        calls = Calls(LaneSettings("reading", batch=1, linger=0.0))
        await calls.lane.start()
        assert await calls(lambda: "word") == "word"
        with pytest.raises(InputError, match="no"):
            await calls(lambda: (_ for _ in ()).throw(InputError("no")))
        await calls.lane.stop()

    play(scene)
