"""Admission: a bounded queue before a few threads, answering in small batches and refusing what it cannot.

Work that cannot be done in time is refused at once, so that what is admitted keeps its latency (Little's law:
the longest wait is the queue's length times the time of one request).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from tastemaker.errors import TastemakerError

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


class Refused(TastemakerError):
    """The server cannot take this request now but `retry_after` seconds later. `status`: 429 or 503."""

    def __init__(self, error: str, retry_after: int, status: int) -> None:
        super().__init__(error)
        self.retry_after = retry_after
        self.status = status


@dataclass(frozen=True)
class LaneSettings:
    """How much one lane takes on.

    `workers` threads, `waiting` requests beyond those in hand, up to `batch` answered by one call, which
    waits up to `linger` seconds for company; `grace` seconds are left to finish when the server stops. What
    comes while another batch is computed is company enough: `linger` is for what nobody waits for. So many
    batches as `computing` (0: as there are workers) are begun before one of them is over, or `free` said.
    """

    name: str = "recommendations"
    workers: int = 1
    computing: int = 0
    waiting: int = 16
    batch: int = 8
    linger: float = 0.0
    grace: float = 5.0


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """An answer, with the seconds it waited and was computed in, and how many were computed together."""

    answer: Answer
    waited: float
    computed: float
    batch: int


@dataclass(eq=False)
class _Job(Generic[Ask, Answer]):
    ask: Ask
    arrived: float
    deadline: float
    future: asyncio.Future[Outcome[Answer]]


class Lane(Generic[Ask, Answer]):
    """Runs `call` on batches of requests in threads. Lives in one event loop, between `start` and `stop`.

    `call` gets up to `batch` requests and returns as many answers, in order; an answer that is an exception
    is raised for that request alone. When the call itself fails, its requests are tried one by one, so that
    one bad request cannot take its neighbours down.
    """

    def __init__(
        self,
        call: Callable[[Sequence[Ask]], Sequence[Answer | Exception]],
        settings: LaneSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._call = call
        self._clock = clock
        self._queue: deque[_Job[Ask, Answer]] = deque()
        self._busy = 0
        self._each = 0.0  # smoothed seconds of computing per request
        self._open = False
        self._local = threading.local()

    async def start(self) -> None:
        """Open the lane in the running event loop."""
        self._arrival, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(self.settings.computing or self.settings.workers)
        self._pool = ThreadPoolExecutor(self.settings.workers, thread_name_prefix=self.settings.name)
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self.settings.workers)]
        self._open = True

    async def stop(self) -> None:
        """Refuse newcomers, finish what was admitted within the grace period, and drop the rest."""
        self._open = False
        self._arrival.set()
        _, late = await asyncio.wait(self._tasks, timeout=self.settings.grace)
        for task in late:
            task.cancel()
        for job in self._queue:
            if not job.future.done():
                job.future.set_exception(self._refusal("the server is stopping", 503))
        self._queue.clear()
        self._pool.shutdown(wait=not late, cancel_futures=True)

    async def run(self, ask: Ask, seconds: float) -> Outcome[Answer]:
        """Answer one request within `seconds`.

        Raises Refused: 503 when the lane is closed or the answer was not ready in time; 429 when the queue is
        full, or so long that the request would expire in it.
        """
        if not self._open:
            raise self._refusal("the server is starting or stopping", 503)
        # What has expired or been abandoned in the queue holds no place in it.
        if len(self._queue) >= self.settings.waiting:
            self._queue = deque(job for job in self._queue if not job.future.done())
        if len(self._queue) >= self.settings.waiting:
            raise self._refusal(f"{len(self._queue)} requests are waiting already", 429)
        if self._wait() > seconds:
            raise self._refusal(
                f"the wait is longer than the {seconds * 1000:.0f} ms this request allows", 429
            )
        now = self._clock()
        job: _Job[Ask, Answer] = _Job(ask, now, now + seconds, asyncio.get_running_loop().create_future())
        self._queue.append(job)
        self._arrival.set()
        try:
            return await asyncio.wait_for(job.future, seconds)
        except TimeoutError:
            raise self._refusal(f"no answer within {seconds * 1000:.0f} ms", 503) from None

    @property
    def load(self) -> tuple[int, int]:
        """How many requests wait, and how many are computed."""
        return len(self._queue), self._busy

    def _wait(self) -> float:
        """Expected seconds until a newcomer would be answered."""
        return (len(self._queue) + self._busy) * self._each / self.settings.workers

    def _refusal(self, error: str, status: int) -> Refused:
        return Refused(error, min(30, max(1, math.ceil(self._wait()))), status)

    async def _work(self) -> None:
        while True:
            await self._turns.acquire()  # what comes until then is company
            while not self._queue:
                if not self._open:
                    self._turns.release()
                    return
                self._arrival.clear()
                await self._arrival.wait()
            await self._linger()
            now = self._clock()
            jobs: list[_Job[Ask, Answer]] = []
            while self._queue and len(jobs) < self.settings.batch:
                job = self._queue.popleft()
                if not job.future.done() and job.deadline > now:
                    jobs.append(job)
            if jobs:
                await self._answer(jobs, now)
            else:
                self._turns.release()

    async def _linger(self) -> None:
        """Give the first request of a batch its few milliseconds of company, unless the queue has waited."""
        remaining = self._queue[0].arrived + self.settings.linger - self._clock()
        if self._open and remaining > 0 and len(self._queue) < self.settings.batch:
            await asyncio.sleep(remaining)

    async def _answer(self, jobs: list[_Job[Ask, Answer]], started: float) -> None:
        self._busy += len(jobs)
        try:
            asks = [job.ask for job in jobs]
            answers = await self._loop.run_in_executor(self._pool, self._in_turn, asks)
        finally:
            self._busy -= len(jobs)
        computed = self._clock() - started
        each = computed / len(jobs)
        self._each = each if not self._each else 0.8 * self._each + 0.2 * each
        for job, answer in zip(jobs, answers, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):  # the client gave up meanwhile
                if isinstance(answer, Exception):
                    job.future.set_exception(answer)
                else:
                    job.future.set_result(Outcome(answer, started - job.arrived, computed, len(jobs)))

    def free(self) -> None:
        """The call that runs in this thread waits from now on, as for a disk: another batch may begin."""
        if getattr(self._local, "turn", False):
            self._local.turn = False
            self._loop.call_soon_threadsafe(self._turns.release)

    def _in_turn(self, asks: list[Ask]) -> list[Answer | Exception]:
        self._local.turn = True
        try:
            return self._safely(asks)
        finally:
            self.free()

    def _safely(self, asks: list[Ask]) -> list[Answer | Exception]:
        """The call's answers, in a thread; its failure becomes the answer of the request that caused it."""
        try:
            answers = list(self._call(asks))
            if len(answers) == len(asks):
                return answers
            raise RuntimeError(f"{len(asks)} requests got {len(answers)} answers")
        except BaseException as error:  # in this thread nothing else ends the server, or the lane
            if len(asks) == 1:
                return [error if isinstance(error, Exception) else RuntimeError(repr(error))]
        return [self._safely([ask])[0] for ask in asks]


class Calls:
    """Single blocking calls (a look-up, a rendered cover) through a lane of their own, bounded too."""

    def __init__(
        self, settings: LaneSettings, clock: Callable[[], float] = time.monotonic, seconds: float = 10.0
    ) -> None:
        self.lane: Lane[Callable[[], object], object] = Lane(
            lambda calls: [call() for call in calls], settings, clock
        )
        self._seconds = seconds

    async def __call__(self, call: Callable[[], Answer]) -> Answer:
        """The call's result, or its error; `Refused` when the lane is full or the call takes too long."""
        outcome = await self.lane.run(call, self._seconds)
        return cast(Answer, outcome.answer)
