"""How many statements the write path takes: a rise is a visible diff."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncpg.connection import LoggedQuery
from fastapi import FastAPI
from sqlalchemy import event

from loyalty.api.service import Service
from loyalty.store.database import driver_of
from tests.api.conftest import Shop, a_grant, a_redemption, accepted, an_order

ABOUT_TYPES = ("typeinfo_tree", "current_setting('jit')")
"""Marks of what the driver asks about types, once for each connection: its own business."""


@contextmanager
def counted(app: FastAPI) -> Iterator[dict[str, int]]:
    """Statements by pool while the block runs, as the driver sends them: BEGIN and COMMIT are among the door's."""
    service: Service = app.state.service
    door, reads = service.database.door.sync_engine, service.database.reads.sync_engine
    counts = {"door": 0, "reads": 0}
    watched: list[Any] = []

    def count_of_the_door(said: LoggedQuery) -> None:
        if not any(mark in said.query for mark in ABOUT_TYPES):
            counts["door"] += 1

    def listen(driver: Any) -> None:
        if driver not in watched:
            driver.add_query_logger(count_of_the_door)
            watched.append(driver)

    def watch(connection: Any, *_: Any) -> None:
        listen(connection.driver_connection)

    def count_of_the_reads(*_: Any) -> None:
        counts["reads"] += 1

    event.listen(door.pool, "checkout", watch)
    for resting in service.database.resting:
        listen(driver_of(resting))
    event.listen(reads, "before_cursor_execute", count_of_the_reads)
    try:
        yield counts
    finally:
        event.remove(door.pool, "checkout", watch)
        event.remove(reads, "before_cursor_execute", count_of_the_reads)
        for driver in watched:
            driver.remove_query_logger(count_of_the_door)


async def test_a_lone_accrual_takes_five_statements_of_the_door(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    with counted(app) as counts:
        await shop.gives(member, 1)
        await shop.sells(member, 10_000)
    # Begin (and enter the programme), lock, load, write, commit: for each of the two.
    assert counts == {"door": 10, "reads": 0}


async def test_an_accrual_by_card_number_looks_it_up_once(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    with counted(app) as counts:
        await shop.gives({"number": member["number"]}, 1)
        await shop.gives({"number": member["number"]}, 1)
    # Looked up once, then remembered.
    assert counts == {"door": 1 + 10, "reads": 0}


async def test_a_redemption_takes_five_statements_of_the_door(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    await shop.gives(member, 100)
    with counted(app) as counts:
        await shop.redeems(member, 1)
    assert counts == {"door": 5, "reads": 0}


async def test_an_enrolment_takes_five_statements_of_the_door(app: FastAPI, shop: Shop) -> None:
    await shop.enrols()
    with counted(app) as counts:
        await shop.enrols(phone="+8613800138000", name="Li Lei")
    assert counts == {"door": 5, "reads": 0}


async def test_a_replay_takes_four_statements_of_the_door(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    body = a_grant(member)
    accepted(await shop.till.post("/v1/accruals", body, key="k-1"))
    with counted(app) as counts:
        accepted(await shop.till.post("/v1/accruals", body, key="k-1"))
    assert counts == {"door": 4, "reads": 0}


async def test_a_balance_takes_two_statements_whatever_is_due(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    await shop.sells(member, 10_000, occurred_at="2026-10-01T10:00:00Z")
    with counted(app) as counts:
        await shop.balance(member)
    assert counts == {"door": 0, "reads": 2}


async def test_a_hundred_items_take_as_many_statements_as_the_lanes_have_batches(app: FastAPI, shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(10)]
    items = [an_order(members[number % 10]) for number in range(100)]
    with counted(app) as counts:
        accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
    assert counts["door"] <= 5 * 2, "one batch for each of the two lanes"
    assert counts["reads"] == 0


async def test_writes_that_wait_together_are_committed_together(app: FastAPI, shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(40)]
    await shop.gives(members[0], 1)
    with counted(app) as counts:
        await asyncio.gather(*(shop.gives(member, 1) for member in members))
    assert counts["door"] <= 5 * 12, "forty accruals in a handful of batches"


async def test_redeeming_from_many_lots_reads_them_in_few_helpings(app: FastAPI, shop: Shop) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1) for _ in range(300)]
    accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
    with counted(app) as counts:
        accepted(await shop.till.post("/v1/redemptions", a_redemption(member, 300)))
    assert counts["door"] <= 7
