"""Lanes: commands of one member wait in one lane, so what waits together is committed together.

Lanes only coalesce; correctness is the row locks behind the door, alone, across lanes and processes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from loyalty.operations import retry
from loyalty.operations.door import Answer, Submission
from loyalty.operations.retry import Result
from loyalty.store.database import Database
from loyalty.telemetry import BATCH_SIZE, QUEUE_DEPTH

MAX_BATCH = 256
BULK_LANES = 2
"""Files and sweeps have lanes of their own: a till never waits behind them. While one decides, one commits."""
MAX_BULK_BATCH = MAX_BATCH // 2
"""Smaller: a till whose member is in such a batch waits for its locks."""
PACE_S = 0.008
"""Least time between the beginnings of two batches of a lane that has company."""
MAX_WAITING = 4_096
"""Commands that may wait in one process; beyond it they are refused with 503."""
MAX_WAIT_S = 2.0
"""How long a command may wait in its lane before it is refused with 503."""

TOO_LONG = "The command waited too long."

log = structlog.get_logger()


class Overloaded(Exception):
    """There is no room for the command, or it has waited too long. It did not happen; try again."""


class Waiting(NamedTuple):
    """A submission in its lane and who waits for its answer."""

    ask: Submission
    answer: "asyncio.Future[Answer]"
    since: float


class Lanes:
    """The lanes of one process over one database, each with a batch in flight at a time.

    `count`: those for tills and apps; bulk has `BULK_LANES` beside them. Each needs a connection.
    """

    def __init__(self, database: Database, *, count: int = 1) -> None:
        self._interactive = [_Lane(self, database, MAX_BATCH) for _ in range(count)]
        self._bulk = [_Lane(self, database, MAX_BULK_BATCH, patient=True) for _ in range(BULK_LANES)]
        self._lanes = [*self._interactive, *self._bulk]
        self._waiting = 0
        self._open = True

    def start(self) -> None:
        """Begin to work. Call it inside the running event loop."""
        for lane in self._lanes:
            lane.start()

    async def submit(self, ask: Submission) -> Answer:
        """The answer to one interactive command. Raises Overloaded, retry.Unavailable."""
        return await self._enter([ask], self._interactive)[0]

    def submit_bulk(self, asks: Sequence[Submission]) -> "list[asyncio.Future[Answer]]":
        """Take all of them or raise Overloaded; the answers come in the order of the asks."""
        return self._enter(asks, self._bulk)

    @property
    def waiting(self) -> int:
        """How many commands wait in all lanes."""
        return self._waiting

    @waiting.setter
    def waiting(self, number: int) -> None:
        self._waiting = number
        QUEUE_DEPTH.set(number)

    def room(self) -> int:
        """How many more commands may wait."""
        return MAX_WAITING - self.waiting if self._open else 0

    async def drain(self, deadline_s: float) -> bool:
        """Refuse what comes, finish what waits. False when the deadline passed first."""
        self._open = False
        for lane in self._lanes:
            lane.close()
        done, late = await asyncio.wait([lane.task for lane in self._lanes], timeout=deadline_s)
        for task in late:
            task.cancel()
        return not late and bool(done)

    def _enter(self, asks: Sequence[Submission], lanes: "Sequence[_Lane]") -> "list[asyncio.Future[Answer]]":
        if len(asks) > self.room():
            raise Overloaded("The ledger has more to do than it can take.")
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        self.waiting += len(asks)
        answers = []
        for ask in asks:
            waiting = Waiting(ask, loop.create_future(), now)
            lanes[int(ask.command.member_id[28:], 16) % len(lanes)].put(waiting)
            answers.append(waiting.answer)
        return answers


class _Lane:
    """One lane: takes what waits, commits it, answers. Supervised: no error ends it."""

    def __init__(self, lanes: Lanes, database: Database, max_batch: int, *, patient: bool = False) -> None:
        self._lanes = lanes
        self._database = database
        self._max_batch = max_batch
        self._patient = patient
        self._queues: dict[int, deque[Waiting]] = {}
        self._turn: deque[int] = deque()
        self._wake = asyncio.Event()
        self._open = True
        self._begun = 0.0
        self._had_company = False
        self.task: asyncio.Task[None]
        self._watch: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.task = asyncio.create_task(self._run(), name="lane")

    def close(self) -> None:
        """Finish what waits, then end."""
        self._open = False
        self._wake.set()

    def put(self, waiting: Waiting) -> None:
        programme_id = waiting.ask.programme.id
        queue = self._queues.get(programme_id)
        if queue is None:
            queue = self._queues[programme_id] = deque()
            self._turn.append(programme_id)
        queue.append(waiting)
        self._wake.set()

    async def _run(self) -> None:
        while self._open or self._turn:
            if not self._turn:
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            batch = self._next_batch()
            try:
                await self._commit(batch)
            except Exception as error:
                log.exception("lane_failed")
                _answer(batch, [error] * len(batch))

    async def _gather(self) -> None:
        """Let every request that is ready join the batch; where there is company, begin no two within `PACE_S`.

        A batch costs nearly as much for one command as for ten. A lone client is never made to wait.
        """
        await asyncio.sleep(0)
        early = PACE_S - (time.monotonic() - self._begun)
        if self._had_company and early > 0 and self._open:
            await asyncio.sleep(early)
        self._begun = time.monotonic()

    def _next_batch(self) -> list[Waiting]:
        """The next batch of the programme whose turn it is. Those who waited too long are told so."""
        programme_id = self._turn.popleft()
        queue = self._queues[programme_id]
        batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
        if queue:
            self._turn.append(programme_id)
        else:
            del self._queues[programme_id]
        self._lanes.waiting -= len(batch)
        return self._in_time(batch)

    def _in_time(self, batch: list[Waiting]) -> list[Waiting]:
        if self._patient:
            return batch
        oldest = time.monotonic() - MAX_WAIT_S
        late = [waiting for waiting in batch if waiting.since < oldest]
        if not late:
            return batch
        _answer(late, [Overloaded(TOO_LONG) for _ in late])
        return [waiting for waiting in batch if waiting.since >= oldest]

    async def _commit(self, batch: list[Waiting]) -> None:
        if not batch:
            return
        BATCH_SIZE.observe(len(batch))
        self._had_company = 1 < len(batch) < self._max_batch // 2
        if not self._patient:
            self._look_for_late(MAX_WAIT_S)
        try:
            _answer(batch, await retry.commit(self._database, [waiting.ask for waiting in batch]))
        finally:
            if self._watch is not None:
                self._watch.cancel()

    def _look_for_late(self, after_s: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(after_s, self._refuse_late)

    def _refuse_late(self) -> None:
        """Tell those who have waited too long behind the batch in flight, and look again soon."""
        oldest = time.monotonic() - MAX_WAIT_S
        for queue in self._queues.values():
            while queue and queue[0].since < oldest:
                self._lanes.waiting -= 1
                _answer([queue.popleft()], [Overloaded(TOO_LONG)])
        self._look_for_late(MAX_WAIT_S / 8)


def _answer(batch: Sequence[Waiting], results: Sequence[Result]) -> None:
    """Tell everyone who still waits."""
    for waiting, result in zip(batch, results, strict=True):
        if waiting.answer.done():  # the client has gone; what was committed stays committed
            continue
        if isinstance(result, Exception):
            waiting.answer.set_exception(result)
        else:
            waiting.answer.set_result(result)
