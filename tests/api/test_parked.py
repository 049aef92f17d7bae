"""A return that comes before its sale: parked, cured by the sale, refused by it, or given up."""

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.operations.verify import verify
from loyalty.worker.parked import cure_parked
from tests.api.conftest import Shop, a_reference, accepted, refused


@pytest_asyncio.fixture(loop_scope="session")
async def service(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


async def cured(service: Service, shop: Shop) -> int:
    return await cure_parked(service.database, service.lanes, shop.programme)


def a_return(reference: str, **more: object) -> dict[str, object]:
    awaited = {"source": "pos-1", "reference": reference}
    return {"accrual": awaited, "full": True, "source": "pos-1", "reference": a_reference(), **more}


async def test_a_return_waits_for_its_sale_and_is_done_when_it_comes(shop: Shop, service: Service) -> None:
    body = a_return("S-1")
    answer = await shop.till.post("/v1/returns", body, key="k-1")
    assert answer.status_code == 202
    parked = answer.json()
    assert (parked["status"], parked["awaits"]) == ("waiting", {"source": "pos-1", "reference": "S-1"})
    assert await cured(service, shop) == 0, "there is no sale yet"
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    assert await shop.figures(member) == (100, 0)
    assert await cured(service, shop) == 1
    assert await cured(service, shop) == 0, "once"
    assert await shop.figures(member) == (0, 0)
    now = accepted(await shop.till.get(f"/v1/parked/{parked['parked']}"))
    assert now["status"] == "cured"
    entry = accepted(await shop.till.get(f"/v1/entries/{now['entry']}"))
    assert (entry["kind"], entry["reference"]) == ("return", body["reference"])
    again = await shop.till.post("/v1/returns", body, key="k-1")
    assert (again.status_code, again.content) == (202, answer.content), "the key replays what was answered"
    assert (await verify(service.database, shop.programme)).findings == []


async def test_a_parked_return_that_its_sale_refuses_says_why(shop: Shop, service: Service) -> None:
    lines = [{"line_id": "1", "quantity": 2, "amount": 1}]
    body = {name: value for name, value in a_return("S-1").items() if name != "full"}
    parked = (await shop.till.post("/v1/returns", {**body, "lines": lines})).json()["parked"]
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    assert await cured(service, shop) == 1
    now = accepted(await shop.till.get(f"/v1/parked/{parked}"))
    assert (now["status"], now["code"], now["entry"]) == ("refused", "exceeds_purchase", None)
    assert await shop.figures(member) == (100, 0)


async def test_a_parked_return_sent_twice_takes_back_once(shop: Shop, service: Service) -> None:
    body = a_return("S-1")
    parked = [(await shop.till.post("/v1/returns", body)).json()["parked"] for _ in range(2)]
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    await shop.gives(member, 500)
    assert await cured(service, shop) == 2
    found = [accepted(await shop.till.get(f"/v1/parked/{one}")) for one in parked]
    assert [one["status"] for one in found] == ["cured", "refused"]
    assert found[1]["code"] == "reference_taken"
    assert await shop.figures(member) == (0, 500)


async def test_a_parked_return_whose_sale_never_comes_is_given_up(
    shop: Shop, service: Service, owner: AsyncEngine
) -> None:
    parked = (await shop.till.post("/v1/returns", a_return("S-1"))).json()["parked"]
    async with owner.begin() as connection:
        await connection.execute(
            text("update parked_return set until = now() where programme_id = :p"), {"p": shop.programme.id}
        )
    assert await cured(service, shop) == 1
    assert accepted(await shop.till.get(f"/v1/parked/{parked}"))["status"] == "lapsed"


async def test_a_dry_run_parks_nothing(shop: Shop, service: Service) -> None:
    parked = (await shop.till.post("/v1/returns", a_return("S-1"), key=None, dry_run="true")).json()["parked"]
    refused(await shop.till.get(f"/v1/parked/{parked}"), 404, "parked_not_found")


@pytest.mark.parametrize("id_", ["prk_1", f"prk_{'0' * 32}"])
async def test_what_was_never_parked_is_not_found(shop: Shop, id_: str) -> None:
    refused(await shop.till.get(f"/v1/parked/{id_}"), 404, "parked_not_found")


async def test_a_return_of_an_unknown_entry_is_not_parked(shop: Shop) -> None:
    body = {**a_return("S-1"), "accrual": {"entry": f"ent_{'0' * 32}"}}
    refused(await shop.till.post("/v1/returns", body), 404, "entry_not_found")
