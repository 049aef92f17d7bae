"""Lanes under pressure: a bounded queue, bugs, clients that leave, and the end of the process."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.chaos.proxy import Commits, Proxy
from loyalty.operations import door, retry
from loyalty.operations import lanes as lanes_module
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes, Overloaded
from loyalty.store.database import Database
from tests.faults.conftest import TownFactory
from tests.faults.scene import audit, code_of, everything, references


class Gate:
    """Stands before `commit_batch`: every batch waits here until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        self._commit_batch = door.commit_batch
        monkeypatch.setattr(retry, "commit_batch", self)

    async def __call__(self, database: Database, asks: Sequence[Submission], **more: Any) -> list[Answer]:
        self.reached.set()
        await self._open.wait()
        return await self._commit_batch(database, asks, **more)

    def open(self) -> None:
        self._open.set()


def sent(lane: Lanes, *asks: Submission) -> "list[asyncio.Task[Answer]]":
    return [asyncio.create_task(lane.submit(ask)) for ask in asks]


# --- the queue is bounded --------------------------------------------------------------------------------


async def test_a_full_queue_refuses_and_what_it_took_before_happens(
    town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    monkeypatch.setattr(lanes_module, "MAX_WAITING", 5)
    gate = Gate(monkeypatch)
    first = sent(lane, here.gives(0, ref="in flight"))
    await gate.reached.wait()
    taken = sent(lane, *(here.gives(1, ref=f"taken {number}") for number in range(5)))
    await asyncio.sleep(0)
    assert lane.room() == 0
    refused = await everything(sent(lane, here.gives(1, ref="too much")))
    assert isinstance(refused[0], Overloaded)
    gate.open()
    assert [answer.status for answer in await everything([*first, *taken])] == [201] * 6
    assert lane.room() == 5
    assert references(await audit(owner, here.programme)) == ["in flight", *(f"taken {n}" for n in range(5))]


async def test_bulk_takes_all_its_room_or_is_refused_whole(
    town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    monkeypatch.setattr(lanes_module, "MAX_WAITING", 5)
    with pytest.raises(Overloaded):
        lane.submit_bulk([here.gives(n % 2, ref=f"six {n}") for n in range(6)])
    assert lane.room() == 5, "nothing of it was taken"
    waiting = lane.submit_bulk([here.gives(n % 2, ref=f"five {n}") for n in range(5)])
    with pytest.raises(Overloaded):
        lane.submit_bulk([here.gives(0, ref="one more")])
    assert [answer.status for answer in await everything(waiting)] == [201] * 5
    assert references(await audit(owner, here.programme)) == [f"five {n}" for n in range(5)]


async def test_who_waited_too_long_is_refused_while_the_lane_is_still_busy_and_it_did_not_happen(
    town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    monkeypatch.setattr(lanes_module, "MAX_WAIT_S", 0.05)
    gate = Gate(monkeypatch)
    first = sent(lane, here.gives(0, ref="in flight", key="k0"))
    await gate.reached.wait()
    bulk = lane.submit_bulk([here.gives(0, ref="bulk")])
    late = await everything(sent(lane, *(here.gives(1, ref=f"late {n}", key=f"late {n}") for n in range(3))))
    assert [type(answer) for answer in late] == [Overloaded] * 3, "they did not wait for the batch in flight"
    gate.open()
    assert [answer.status for answer in await everything([*first, *bulk])] == [201, 201], "a file has time"
    assert references(await audit(owner, here.programme)) == ["bulk", "in flight"]
    assert (await lane.submit(here.gives(1, ref="late 0", key="late 0"))).status == 201, "the key was not taken"


async def test_a_till_does_not_wait_behind_a_file(
    town: TownFactory, lane: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    gate = Gate(monkeypatch)
    first = sent(lane, here.gives(0, ref="in flight"))
    await gate.reached.wait()
    bulk = lane.submit_bulk([here.gives(0, ref=f"bulk {n}") for n in range(400)])
    till = sent(lane, here.gives(1, ref="till"))
    gate.open()
    await everything(till)
    assert sum(one.done() for one in bulk) <= lanes_module.BULK_LANES * lanes_module.MAX_BULK_BATCH
    await everything([*first, *bulk])


# --- bugs, and clients that leave ------------------------------------------------------------------------


async def test_an_error_outside_the_door_is_told_and_does_not_end_the_lane(
    town: TownFactory, lane: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)

    async def broken(database: Database, asks: Sequence[Submission]) -> list[retry.Result]:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(retry, "commit", broken)
        answers = await everything(sent(lane, here.gives(0, ref="a"), here.gives(1, ref="b")))
    assert [type(answer) for answer in answers] == [ZeroDivisionError] * 2
    assert (await lane.submit(here.gives(0, ref="a"))).status == 201


async def test_a_batch_that_answers_too_few_is_an_error_for_all_of_it_and_does_not_end_the_lane(
    town: TownFactory, lane: Lanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)

    async def forgetful(database: Database, asks: Sequence[Submission]) -> list[retry.Result]:
        return []

    with monkeypatch.context() as patched:
        patched.setattr(retry, "commit", forgetful)
        answers = await everything(sent(lane, here.gives(0, ref="a"), here.gives(1, ref="b")))
    assert [type(answer) for answer in answers] == [ValueError] * 2
    assert (await lane.submit(here.gives(0, ref="a"))).status == 201


async def test_a_client_that_leaves_changes_nothing_and_its_key_tells(
    town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    gate = Gate(monkeypatch)
    in_flight = sent(lane, here.gives(0, ref="in flight", key="in flight"))
    await gate.reached.wait()
    waiting, neighbour = sent(lane, here.gives(1, ref="waiting", key="waiting"), here.gives(1, ref="neighbour"))
    await asyncio.sleep(0)
    for task in (*in_flight, waiting):
        task.cancel()
    gate.open()
    gone = await everything([*in_flight, waiting, neighbour])
    assert [type(one) for one in gone] == [asyncio.CancelledError, asyncio.CancelledError, Answer]
    for key in ("in flight", "waiting"):
        again = await lane.submit(here.gives(int(key == "waiting"), ref=key, key=key))
        assert (again.status, again.replayed) == (201, True), "it had happened; the retry says so"
    assert references(await audit(owner, here.programme)) == ["in flight", "neighbour", "waiting"]


async def test_a_client_that_leaves_during_commit_changes_nothing(
    town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=1)
    proxy.next_commits(Commits.HOLD)
    task = sent(proxied, here.gives(0, ref="r", key="k"))[0]
    await proxy.held.wait()
    task.cancel()
    await everything([task])
    proxy.release()
    assert (await proxied.submit(here.gives(0, ref="r", key="k"))).replayed
    assert references(await audit(owner, here.programme)) == ["r"]


async def test_the_answer_leaves_after_the_commit(
    town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=1)
    proxy.next_commits(Commits.HOLD)
    task = sent(proxied, here.gives(0, ref="r", key="k"))[0]
    await proxy.held.wait()
    assert not references(await audit(owner, here.programme)), "not yet committed"
    assert not task.done()
    proxy.release()
    assert (await everything([task]))[0].status == 201
    assert references(await audit(owner, here.programme)) == ["r"]


# --- the end ---------------------------------------------------------------------------------------------


async def test_draining_finishes_what_waits_and_refuses_what_comes(
    town: TownFactory, database: Database, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=4)
    lanes = Lanes(database, count=2)
    lanes.start()
    gate = Gate(monkeypatch)
    first = sent(lanes, here.gives(0, ref="in flight"))
    await gate.reached.wait()
    waiting = sent(lanes, *(here.gives(n % 4, ref=f"r{n}") for n in range(20)))
    bulk = lanes.submit_bulk([here.gives(n % 4, ref=f"b{n}") for n in range(20)])
    await asyncio.sleep(0)
    draining = asyncio.create_task(lanes.drain(10))
    await asyncio.sleep(0)
    assert isinstance((await everything(sent(lanes, here.gives(0, ref="late"))))[0], Overloaded)
    gate.open()
    assert await draining
    assert {answer.status for answer in await everything([*first, *waiting, *bulk])} == {201}
    assert len(references(await audit(owner, here.programme))) == 41


async def test_draining_ends_at_its_deadline_whatever_hangs(
    town: TownFactory, database: Database, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=1)
    lanes = Lanes(database)
    lanes.start()
    gate = Gate(monkeypatch)
    hanging = sent(lanes, here.gives(0, ref="hanging", key="k"))
    await gate.reached.wait()
    queued = sent(lanes, here.gives(0, ref="queued"))
    await asyncio.sleep(0)
    assert not await lanes.drain(0.05)
    for task in (*hanging, *queued):
        task.cancel()
    await everything([*hanging, *queued])
    assert not references(await audit(owner, here.programme)), "unknown to its client; its key tells: it did not happen"


async def test_a_key_answers_the_same_from_every_lane_and_process(
    town: TownFactory, lanes: Lanes, rival: Lanes
) -> None:
    here = await town(members=2)
    first = await lanes.submit(here.gives(0, 7, ref="r", key="k"))
    again = await rival.submit(here.gives(0, 7, ref="r", key="k"))
    other = await rival.submit(here.gives(1, 7, ref="r", key="k"))
    assert (again.status, again.body, again.replayed) == (first.status, first.body, True)
    assert code_of(other) == "idempotency_key_reused"
