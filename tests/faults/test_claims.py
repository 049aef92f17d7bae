"""A key and a reference are taken once, whoever races for them: lanes, processes, members (invariant 7)."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from bench.chaos.proxy import Commits, Proxy
from loyalty.operations.lanes import Lanes
from tests.faults.conftest import Batches, TownFactory
from tests.faults.scene import audit, code_of, everything, references, somebody_waits_for_a_lock


async def test_a_key_raced_from_two_processes_makes_one_entry_and_one_answer(
    town: TownFactory, lanes: Lanes, rival: Lanes, owner: AsyncEngine
) -> None:
    here = await town(members=4)
    for key in (f"k{number}" for number in range(12)):
        asks = [(one, here.gives(1, 5, ref=key, key=key)) for _ in range(10) for one in (lanes, rival)]
        answers = await everything([asyncio.create_task(one.submit(ask)) for one, ask in asks])
        assert len({(answer.status, answer.body) for answer in answers}) == 1
        assert [answer.replayed for answer in answers].count(False) == 1
    records = await audit(owner, here.programme)
    assert references(records) == sorted(f"k{number}" for number in range(12))
    assert len(records.replays) == 12


async def test_a_reference_raced_by_other_members_is_taken_once_and_nothing_is_left_of_the_others(
    town: TownFactory, lanes: Lanes, rival: Lanes, owner: AsyncEngine
) -> None:
    here = await town(members=16)
    for reference in (f"r{number}" for number in range(12)):
        asks = [
            ((lanes, rival)[member % 4 // 2], here.gives(member, ref=reference, key=f"{reference}/{member}"))
            for member in range(16)
        ]
        answers = await everything([asyncio.create_task(one.submit(ask)) for one, ask in asks])
        assert (
            sorted((answer.status, code_of(answer)) for answer in answers if answer.status != 201)
            == [(409, "reference_taken")] * 15
        )
    records = await audit(owner, here.programme)
    assert references(records) == sorted(f"r{number}" for number in range(12))
    assert len(records.lots) == 12
    assert len(records.replays) == 12 * 16, "a refusal is an answer too"


async def test_a_key_raced_with_different_requests_belongs_to_one_of_them(
    town: TownFactory, lanes: Lanes, rival: Lanes, owner: AsyncEngine
) -> None:
    here = await town(members=8)
    for key in (f"k{number}" for number in range(12)):
        asks = [
            ((lanes, rival)[member % 4 // 2], here.gives(member, ref=f"{key}/{member}", key=key)) for member in range(8)
        ]
        answers = await everything([asyncio.create_task(one.submit(ask)) for one, ask in asks])
        assert sorted(str(code_of(answer)) for answer in answers) == ["None", *["idempotency_key_reused"] * 7]
    records = await audit(owner, here.programme)
    assert len(references(records)) == len(records.replays) == 12


async def test_a_lost_race_for_a_reference_restarts_the_batch_and_disturbs_no_neighbour(
    town: TownFactory, lane: Lanes, proxied: Lanes, proxy: Proxy, owner: AsyncEngine, batches: Batches
) -> None:
    here = await town(members=8)
    proxy.next_commits(Commits.HOLD)
    winner = asyncio.create_task(proxied.submit(here.gives(0, ref="raced", key="winner")))
    await proxy.held.wait()
    batches.clear()
    asks = [here.gives(n, ref="raced" if n == 4 else f"r{n}", key=f"k{n}") for n in range(1, 8)]
    racing = [asyncio.create_task(lane.submit(ask)) for ask in asks]
    await somebody_waits_for_a_lock(owner)
    proxy.release()
    assert (await winner).status == 201
    answers = await everything(racing)
    assert [code_of(answer) for answer in answers] == [None, None, None, "reference_taken", None, None, None]
    assert [len(batch) for batch in batches] == [7, 7], "the whole batch, begun again once"
    records = await audit(owner, here.programme)
    assert references(records) == ["r1", "r2", "r3", "r5", "r6", "r7", "raced"]


async def test_a_lost_race_for_a_key_is_answered_with_what_the_winner_was_told(
    town: TownFactory, lane: Lanes, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=4)
    proxy.next_commits(Commits.HOLD)
    winner = asyncio.create_task(proxied.submit(here.gives(0, ref="won", key="raced", request="one")))
    await proxy.held.wait()
    asks = [here.gives(2, ref="other", key="raced", request="another"), here.gives(3, ref="neighbour", key="k3")]
    racing = [asyncio.create_task(lane.submit(ask)) for ask in asks]
    await somebody_waits_for_a_lock(owner)
    proxy.release()
    assert (await winner).status == 201
    assert [code_of(answer) for answer in await everything(racing)] == ["idempotency_key_reused", None]
    assert references(await audit(owner, here.programme)) == ["neighbour", "won"]


async def test_batches_that_race_for_the_same_keys_and_references_crosswise_all_end(
    town: TownFactory, lanes: Lanes, rival: Lanes, owner: AsyncEngine
) -> None:
    """Claims are taken in sorted order, so two batches never wait for each other."""
    here = await town(members=64)
    for turn in range(4):
        asks = [
            (one, here.gives(member, ref=f"{turn}/{(member * step) % 61}", key=f"{turn}/{step}/{member}"))
            for one, step in ((lanes, 1), (rival, 60))
            for member in range(61)
        ]
        answers = await everything([asyncio.create_task(one.submit(ask)) for one, ask in asks])
        assert sorted(answer.status for answer in answers) == [201] * 61 + [409] * 61
    records = await audit(owner, here.programme)
    assert len(references(records)) == len(set(references(records))) == 4 * 61


async def test_a_refusal_disturbs_no_neighbour_in_its_batch(
    town: TownFactory, lane: Lanes, owner: AsyncEngine, batches: Batches
) -> None:
    here = await town(members=1)
    batches.clear()
    refs = ["a", "b", "a", "c", "b", "d"]
    asks = [here.gives(0, 1, ref=ref, key=f"k{n}") for n, ref in enumerate(refs)]
    answers = await everything([asyncio.create_task(lane.submit(ask)) for ask in asks])
    assert [code_of(answer) for answer in answers] == [None, None, "reference_taken", None, "reference_taken", None]
    assert [len(batch) for batch in batches] == [6], "they were one batch"
    records = await audit(owner, here.programme)
    assert [entry.sequence for entry in records.entries] == [1, 2, 3, 4]
