"""Which entries took a source's reference: for whoever holds a receipt and asks what became of it."""

import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.store import history
from loyalty.store.parts import PROGRAMME
from tests.api.conftest import Shop, ShopFactory, accepted, refused
from tests.api.test_lists import every_page
from tests.plans import many_entries, plan

ENTRIES = "/v1/entries"


async def test_a_reference_leads_to_the_entry_that_took_it(shop: Shop) -> None:
    member = await shop.enrols()
    said = await shop.sells(member, 10_000, source="pos-1", reference="R-1")
    await shop.sells(member, 10_000, source="pos-2", reference="R-1")
    await shop.sells(member, 10_000, source="pos-1", reference="R-11")
    found = accepted(await shop.till.get(ENTRIES, source="pos-1", reference="R-1"))
    assert found == {"items": [said["entry"]], "next_cursor": None}


async def test_nothing_took_the_reference(shop: Shop) -> None:
    found = accepted(await shop.till.get(ENTRIES, source="pos-1", reference="R-1"))
    assert found == {"items": [], "next_cursor": None}


async def test_one_reference_may_serve_several_kinds(shop: Shop) -> None:
    member = await shop.enrols()
    earned = await shop.gives(member, 100, source="pos-1", reference="R-1")
    spent = await shop.redeems(member, 10, source="pos-1", reference="R-1")
    query = {"source": "pos-1", "reference": "R-1"}
    both = accepted(await shop.till.get(ENTRIES, **query))
    assert both["items"] == [spent["entry"], earned["entry"]], "newest first"
    for kind, said in (("accrual", earned), ("redemption", spent)):
        one = accepted(await shop.till.get(ENTRIES, **query, kind=kind))
        assert one["items"] == [said["entry"]]
    assert accepted(await shop.till.get(ENTRIES, **query, kind="return"))["items"] == []


@pytest.mark.parametrize("limit", [1, 2, 3, 200])
async def test_a_source_whose_numbers_begin_again_has_an_entry_for_each_day(a_shop: ShopFactory, limit: int) -> None:
    shop = await a_shop(restarting_sources=frozenset({"pos-1"}))
    member = await shop.enrols()
    said = [
        await shop.sells(member, 10_000, reference="7", occurred_at=f"2026-10-{day:02}T10:00:00+08:00")
        for day in (3, 5, 4, 1, 2)
    ]
    found = await every_page(shop.till, ENTRIES, limit=limit, source="pos-1", reference="7")
    assert found == [one["entry"] for one in reversed(said)], "the newest that we learnt of first"


async def test_source_and_reference_are_both_asked_for(shop: Shop) -> None:
    good = {"source": "pos-1", "reference": "R-1"}
    for wrong in ({"source": None}, {"reference": None}, {"source": ""}, {"reference": "\x00"}, {"kind": ""}):
        refused(await shop.till.get(ENTRIES, **{**good, **wrong}), 422, "invalid_request")


async def test_a_reference_is_found_by_its_key_in_every_bucket(app: FastAPI, shop: Shop, owner: AsyncEngine) -> None:
    service: Service = app.state.service
    await many_entries(shop, owner)
    values = {
        PROGRAMME: shop.programme.id,
        "the_source": "pos-1",
        "the_reference": "R-1",
        "the_kind": None,
        "before_entry": history.AFTER_ALL_ENTRIES,
        "at_most": 51,
    }
    async with service.database.snapshot(shop.programme.id) as connection:
        steps = await plan(connection, history._UNDER, values)
    found = {step.over: step.condition for step in steps if step.over}
    assert found.keys() == {"reference_pkey", "entry_pkey", "posting_pkey"}
    assert all(name in found["reference_pkey"] for name in ("bucket", "programme_id", "source", "reference"))
