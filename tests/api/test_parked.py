"""What comes too early: parked, cured by what it waits for, refused by it, or given up."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.ids import FactId
from loyalty.domain.parked import MOST_WAITING, ParkedEvent
from loyalty.operations.park import Lapse
from loyalty.recompute.verify import verify
from loyalty.store import parked as store
from loyalty.store.parts import PROGRAMME, load_statement
from loyalty.store.schema import INTEGER
from loyalty.worker import parked as worker
from loyalty.worker.parked import cure_parked
from loyalty.worker.unasked import decided, unasked
from tests.api.conftest import (
    Shop,
    ShopFactory,
    a_grant,
    a_reassignment,
    a_reference,
    accepted,
    an_order,
    contents,
    patched,
    refused,
)
from tests.api.test_lists import every_page, sealed
from tests.api.test_query_counts import counted
from tests.plans import plan

SOMEBODY = {"channel": "tmall", "type": "ouid", "value": "buyer-of-nobody-knows-what"}
NOON = "2026-11-01T12:00:00+08:00"


async def cured(service: Service, shop: Shop) -> int:
    return await cure_parked(service.database, service.lanes, shop.programme)


def a_return(reference: str, **more: object) -> dict[str, object]:
    awaited = {"source": "pos-1", "reference": reference}
    return {"accrual": awaited, "full": True, "source": "pos-1", "reference": a_reference(), **more}


def a_sale(amount: int = 100_00, **more: Any) -> dict[str, Any]:
    return an_order({"identity": SOMEBODY}, amount, **more)


async def parks(shop: Shop, body: Any, path: str = "/v1/accruals", **more: Any) -> str:
    """The id under which the event waits."""
    answer = await shop.till.post(path, body, **more)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["parked"]
    return found


async def became(shop: Shop, parked: str) -> dict[str, Any]:
    return accepted(await shop.till.get(f"/v1/parked/{parked}"))


async def over(owner: AsyncEngine, shop: Shop) -> None:
    """The time of all that waits is over."""
    async with owner.begin() as connection:
        await connection.execute(
            text("update parked_event set until = now() where programme_id = :p"), {"p": shop.programme.id}
        )


# --- a return before its sale ------------------------------------------------------------------------------


async def test_a_return_waits_for_its_sale_and_is_done_when_it_comes(shop: Shop, service: Service) -> None:
    body = a_return("S-1")
    answer = await shop.till.post("/v1/returns", body, key="k-1")
    assert answer.status_code == 202
    parked = answer.json()
    assert (parked["kind"], parked["status"]) == ("return", "waiting")
    assert parked["awaits"] == {"source": "pos-1", "reference": "S-1", "business_date": None}
    assert await cured(service, shop) == 0, "there is no sale yet"
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    assert await shop.figures(member) == (100, 0)
    assert await cured(service, shop) == 1
    assert await cured(service, shop) == 0, "once"
    assert await shop.figures(member) == (0, 0)
    now = await became(shop, parked["parked"])
    assert now["status"] == "cured"
    entry = accepted(await shop.till.get(f"/v1/entries/{now['entry']}"))
    assert (entry["kind"], entry["reference"]) == ("return", body["reference"])
    again = await shop.till.post("/v1/returns", body, key="k-1")
    assert (again.status_code, again.content) == (202, answer.content), "the key replays what was answered"
    assert (await verify(service.database, shop.programme)).findings == []


async def test_a_parked_return_that_its_sale_refuses_says_why(shop: Shop, service: Service) -> None:
    lines = [{"line_id": "1", "quantity": 2, "amount": 1}]
    body = {name: value for name, value in a_return("S-1").items() if name != "full"}
    parked = await parks(shop, {**body, "lines": lines}, "/v1/returns")
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    assert await cured(service, shop) == 1
    now = await became(shop, parked)
    assert (now["status"], now["code"], now["entry"]) == ("refused", "exceeds_purchase", None)
    assert await shop.figures(member) == (100, 0)
    accepted(await shop.till.post("/v1/returns", {**a_return("S-1"), "reference": body["reference"]}))


async def test_a_parked_return_sent_twice_takes_back_once(shop: Shop, service: Service) -> None:
    body = a_return("S-1")
    parked = [await parks(shop, body, "/v1/returns") for _ in range(2)]
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="S-1")
    await shop.gives(member, 500)
    assert await cured(service, shop) == 2
    found = [await became(shop, one) for one in parked]
    assert [one["status"] for one in found] == ["cured", "refused"]
    assert found[1]["code"] == "reference_taken"
    assert await shop.figures(member) == (0, 500)


async def test_a_parked_return_follows_its_sale_to_who_made_it(shop: Shop, service: Service) -> None:
    wrong, right = await shop.enrols(), await shop.enrols()
    parked = await parks(shop, a_return("S-1"), "/v1/returns")
    await shop.sells(wrong, 100_00, reference="S-1")
    purchase = {"source": "pos-1", "reference": "S-1"}
    accepted(await shop.client("desk").post("/v1/reassignments", a_reassignment(purchase, right)))
    assert await shop.figures(right) == (100, 0)
    assert await cured(service, shop) == 1
    assert (await became(shop, parked))["status"] == "cured"
    assert await shop.figures(right) == (0, 0)
    assert (await verify(service.database, shop.programme)).findings == []


async def test_a_return_of_an_unknown_entry_is_not_parked(shop: Shop) -> None:
    body = {**a_return("S-1"), "accrual": {"entry": f"ent_{'0' * 32}"}}
    refused(await shop.till.post("/v1/returns", body), 404, "entry_not_found")


# --- an accrual before its member --------------------------------------------------------------------------


async def test_a_purchase_waits_for_somebody_to_be_known_by_its_identity(shop: Shop, service: Service) -> None:
    body = a_sale(occurred_at=NOON, tenders=[{"type": "cash", "amount": 100_00}])
    answer = await shop.till.post("/v1/accruals", body, key="k-1")
    assert answer.status_code == 202
    parked = answer.json()
    assert (parked["kind"], parked["status"]) == ("accrual", "waiting")
    assert parked["awaits"] == {"channel": "tmall", "type": "ouid"}, "the value is not repeated"
    assert (parked["source"], parked["reference"]) == ("pos-1", body["reference"])
    assert await cured(service, shop) == 0, "nobody is known by it yet"
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 1
    assert await cured(service, shop) == 0, "once"
    now = await became(shop, parked["parked"])
    assert (now["status"], now["code"]) == ("cured", None)
    entry = accepted(await shop.till.get(f"/v1/entries/{now['entry']}"))
    assert (entry["kind"], entry["member"], entry["reference"]) == ("earn", member["id"], body["reference"])
    assert entry["occurred_at"] == "2026-11-01T04:00:00Z"
    [lot] = accepted(await shop.till.get(f"/v1/members/{member['id']}/lots"))["items"]
    assert (lot["earned_at"], lot["points"], lot["store"]) == ("2026-11-01T04:00:00Z", 100, "SH-001")
    again = await shop.till.post("/v1/accruals", body, key="k-1")
    assert (again.status_code, again.content) == (202, answer.content), "the key replays what was answered"
    assert again.headers["idempotency-replayed"] == "true"
    refused(await shop.till.post("/v1/accruals", body, key="k-2"), 409, "reference_taken")
    assert (await verify(service.database, shop.programme)).findings == []


async def test_a_cured_purchase_is_what_it_would_have_been_at_once(shop: Shop, service: Service) -> None:
    """All but ids and what was learnt when: postings, dates, the stored calculation."""
    member = await shop.enrols()
    line = {"line_id": "1", "sku": "LEGO-1", "quantity": 2, "amount": 60_00, "tax_amount": 7_00, "kind": "goods"}
    order: dict[str, Any] = {"lines": [line], "occurred_at": NOON, "tenders": [{"type": "card", "amount": 60_00}]}
    parked = [
        await parks(shop, a_sale(**order)),
        await parks(shop, a_grant({"identity": SOMEBODY}, 30, occurred_at=NOON, expires_at="2027-03-01T00:00:00Z")),
    ]
    await shop.sells(member, 0, **order)
    await shop.gives(member, 30, occurred_at=NOON, expires_at="2027-03-01T00:00:00Z")
    other = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 2
    assert [(await became(shop, one))["status"] for one in parked] == ["cured", "cured"]
    left, right = [accepted(await shop.till.get(f"/v1/members/{one['id']}/lots"))["items"] for one in (member, other)]
    different = ("id", "entry")
    assert [{name: lot[name] for name in lot if name not in different} for lot in left] == [
        {name: lot[name] for name in lot if name not in different} for lot in right
    ]
    async with service.database.snapshot(shop.programme.id) as connection:
        calculations = await connection.execute(text("select calculation::text from entry where kind = 'earn'"))
        assert len(set(calculations.scalars())) == 2, "of the purchases, and of the grants"


async def test_explicit_points_wait_with_their_dates(shop: Shop, service: Service) -> None:
    until = "2126-01-01T00:00:00Z"
    body = a_grant({"identity": SOMEBODY}, 30, pending_until=until, expires_at="2127-01-01T00:00:00Z")
    parked = await parks(shop, body)
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 1
    [lot] = accepted(await shop.till.get(f"/v1/members/{member['id']}/lots"))["items"]
    assert (lot["matures_at"], lot["expires_at"]) == (until, "2127-01-01T00:00:00Z")
    entry = accepted(await shop.till.get(f"/v1/entries/{(await became(shop, parked))['entry']}"))
    assert entry["reason"] == "welcome"


@pytest.mark.parametrize(
    "name", [{"phone": "+8613800138099"}, {"number": "6000000000000000"}, {"id": f"mem_{'0' * 32}"}]
)
async def test_a_name_that_a_person_types_or_scans_is_refused_at_once(shop: Shop, name: dict[str, str]) -> None:
    for body in (an_order(name), a_grant(name)):
        refused(await shop.till.post("/v1/accruals", body), 404, "member_not_found")


async def test_only_what_earns_waits_for_a_member(shop: Shop) -> None:
    spend = {"member": {"identity": SOMEBODY}, "points": 1, "source": "app", "reference": a_reference()}
    for path in ("/v1/redemptions", "/v1/holds"):
        refused(await shop.till.post(path, spend), 404, "member_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (a_sale(currency="EUR"), 422, "currency_not_accepted"),
        (a_grant({"identity": SOMEBODY}, wallet="miles"), 422, "unknown_wallet"),
        (a_grant({"identity": SOMEBODY}, expires_at="2020-01-01T00:00:00Z"), 422, "dates_contradict"),
        (a_sale(occurred_at="2199-01-01T00:00:00Z"), 422, "occurred_at_in_future"),
        (a_sale(reference="taken"), 409, "reference_taken"),
    ],
)
async def test_what_would_be_refused_for_anybody_is_refused_at_once(
    shop: Shop, owner: AsyncEngine, body: dict[str, Any], status: int, code: str
) -> None:
    await shop.sells(await shop.enrols(), 1_00, reference="taken")
    before = await contents(owner, shop, but="replay")
    refused(await shop.till.post("/v1/accruals", body), status, code)
    assert await contents(owner, shop, but="replay") == before


async def test_of_two_with_the_same_reference_one_is_cured_and_the_other_refused(shop: Shop, service: Service) -> None:
    body = a_sale()
    parked = [await parks(shop, body) for _ in range(2)]
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 2
    found = [await became(shop, one) for one in parked]
    assert [(one["status"], one["code"]) for one in found] == [("cured", None), ("refused", "reference_taken")]
    assert await shop.figures(member) == (100, 0)
    assert (await verify(service.database, shop.programme)).findings == []


async def test_who_may_not_earn_is_refused_what_waited(shop: Shop, service: Service) -> None:
    body = a_sale()
    parked = await parks(shop, body)
    member, desk = await shop.enrols(identities=[SOMEBODY]), shop.client("desk")
    accepted(await patched(desk, f"/v1/members/{member['id']}", {"status": "frozen"}))
    assert await cured(service, shop) == 1
    now = await became(shop, parked)
    assert (now["status"], now["code"], now["entry"]) == ("refused", "member_frozen", None)
    assert await shop.figures(member) == (0, 0)
    await shop.sells(await shop.enrols(), 100_00, reference=body["reference"])  # a refusal has taken no reference
    assert (await verify(service.database, shop.programme)).findings == []


async def test_who_has_left_is_not_known_any_more_and_what_waited_waits_for_who_joins_next(
    shop: Shop, service: Service
) -> None:
    parked = await parks(shop, a_sale())
    left = await shop.enrols(identities=[SOMEBODY])
    accepted(await shop.client("desk").post(f"/v1/members/{left['id']}/close", {}))
    assert await cured(service, shop) == 0
    assert (await became(shop, parked))["status"] == "waiting"
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 1
    assert await shop.figures(member) == (100, 0)


async def test_a_return_of_a_sale_that_waits_itself_is_cured_after_it(shop: Shop, service: Service) -> None:
    back = await parks(shop, a_return("S-1"), "/v1/returns")
    sale = await parks(shop, a_sale(reference="S-1"))
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 2, "in one round"
    assert [(await became(shop, one))["status"] for one in (sale, back)] == ["cured", "cured"]
    assert await shop.figures(member) == (0, 0)


async def test_many_in_a_call_wait_and_are_done_each_by_itself(shop: Shop, service: Service) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1), a_sale(), a_grant({"phone": "+8613800138099"}), a_sale(currency="EUR")]

    async def sent() -> list[dict[str, Any]]:
        answer = accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
        found: list[dict[str, Any]] = answer["results"]
        return found

    first = await sent()
    assert [one["status"] for one in first] == [201, 202, 404, 422]
    other = await shop.enrols(identities=[SOMEBODY])
    again = await sent()
    assert [one["status"] for one in again] == [201, 202, 404, 422]
    assert again[:2] == first[:2], "item by item, the same again"
    assert await cured(service, shop) == 1
    assert (await became(shop, first[1]["body"]["parked"]))["status"] == "cured"
    assert await shop.figures(other) == (100, 0)


async def test_the_value_of_an_identity_is_kept_nowhere(shop: Shop, owner: AsyncEngine) -> None:
    await parks(shop, a_sale())
    async with owner.connect() as connection:
        row = await connection.scalar(
            text("select p::text from parked_event p where programme_id = :p"), {"p": shop.programme.id}
        )
    assert "tmall" in row
    assert SOMEBODY["value"] not in row
    assert SOMEBODY["value"].encode().hex() not in row


# --- giving up, and bounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), [("/v1/returns", a_return("S-1")), ("/v1/accruals", a_sale())])
async def test_what_waits_in_vain_is_given_up(
    shop: Shop, service: Service, owner: AsyncEngine, path: str, body: Any
) -> None:
    parked = await parks(shop, body, path)
    await over(owner, shop)
    assert await cured(service, shop) == 1
    now = await became(shop, parked)
    assert (now["status"], now["entry"], now["code"]) == ("lapsed", None, None)
    await shop.sells(await shop.enrols(identities=[SOMEBODY]), 100_00, reference="S-1")
    assert await cured(service, shop) == 0, "what was given up is not cured"


async def test_what_has_come_is_cured_although_its_time_is_over(
    shop: Shop, service: Service, owner: AsyncEngine
) -> None:
    """The worker may have stood still meanwhile."""
    parked = await parks(shop, a_sale())
    await shop.enrols(identities=[SOMEBODY])
    await over(owner, shop)
    assert await cured(service, shop) == 1
    assert (await became(shop, parked))["status"] == "cured"


@pytest.mark.parametrize(("path", "body"), [("/v1/returns", a_return("S-1")), ("/v1/accruals", a_sale())])
async def test_a_dry_run_parks_nothing(shop: Shop, owner: AsyncEngine, path: str, body: Any) -> None:
    before = await contents(owner, shop)
    parked = await parks(shop, body, path, key=None, dry_run="true")
    assert await contents(owner, shop) == before
    refused(await shop.till.get(f"/v1/parked/{parked}"), 404, "parked_not_found")


@pytest.mark.parametrize("id_", ["prk_1", f"prk_{'0' * 32}"])
async def test_what_was_never_parked_is_not_found(shop: Shop, id_: str) -> None:
    refused(await shop.till.get(f"/v1/parked/{id_}"), 404, "parked_not_found")


async def test_no_more_wait_for_the_same_than_one_customer_can_bring(shop: Shop, service: Service) -> None:
    items = [a_sale(1_00) for _ in range(MOST_WAITING + 5)]
    answer = accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
    statuses = [one["status"] for one in answer["results"]]
    assert statuses.count(202) >= MOST_WAITING, "in batches beside each other a few more may pass"
    body = a_sale()
    problem = refused(await shop.till.post("/v1/accruals", body, key="k-1"), 409, "too_many_parked")
    assert problem["allowed"] == MOST_WAITING
    elsewhere = {**SOMEBODY, "type": "openid"}
    await parks(shop, an_order({"identity": elsewhere}))
    for _ in range(MOST_WAITING):
        await parks(shop, a_return("S-1"), "/v1/returns")
    refused(await shop.till.post("/v1/returns", a_return("S-1")), 409, "too_many_parked")
    await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == statuses.count(202)
    accepted(await shop.till.post("/v1/accruals", body, key="k-1"))  # the refusal was not frozen


# --- the worker --------------------------------------------------------------------------------------------


async def test_workers_at_once_cure_everything_once(shop: Shop, service: Service, owner: AsyncEngine) -> None:
    for number in range(30):
        await parks(shop, a_sale(1_00, reference=f"S-{number}"))
        await parks(shop, a_return(f"S-{number}"), "/v1/returns")
    await parks(shop, a_return("S-none"), "/v1/returns")
    member = await shop.enrols(identities=[SOMEBODY])
    await over(owner, shop)
    done = await asyncio.gather(*(cured(service, shop) for _ in range(3)))
    assert sum(done) == 61
    assert await shop.figures(member) == (0, 0)
    async with owner.connect() as connection:
        statuses = await connection.execute(
            text("select status, count(*) from parked_event where programme_id = :p group by 1 order by 1"),
            {"p": shop.programme.id},
        )
        assert [tuple(row) for row in statuses] == [("cured", 60), ("lapsed", 1)]
    assert (await verify(service.database, shop.programme)).findings == []


async def test_one_that_is_cured_and_given_up_at_once_has_one_end(
    shop: Shop, service: Service, owner: AsyncEngine
) -> None:
    parked = [await parks(shop, a_sale(1_00)) for _ in range(20)]
    await shop.enrols(identities=[SOMEBODY])

    async def given_up() -> int:
        async with service.database.snapshot(shop.programme.id) as connection:
            found = await store.find_all(connection, shop.programme.id, [_fact(one) for one in parked])
        now = datetime.now(UTC)
        lapses = [unasked(shop.programme, Lapse(one), occurred_at=now, recorded_at=now) for one in found]
        return sum(await decided(service.lanes, lapses))

    done = await asyncio.gather(cured(service, shop), given_up())
    assert sum(done) == 20
    found = [await became(shop, one) for one in parked]
    with_entries = {one["entry"] for one in found if one["status"] == "cured"}
    async with owner.connect() as connection:
        entries = await connection.execute(
            text("select 'ent_' || replace(id::text, '-', '') from entry where programme_id = :p"),
            {"p": shop.programme.id},
        )
        assert set(entries.scalars()) == with_entries


async def test_a_round_over_many_that_wait_in_vain_takes_a_statement_for_a_page(
    shop: Shop, service: Service, owner: AsyncEngine, app: FastAPI
) -> None:
    await many_waiting(owner, shop, 2 * worker.LOOKED_AT + 1)
    parked = await parks(shop, a_sale())
    with counted(app) as counts:
        assert await cured(service, shop) == 0
    # Each kind has three pages and an empty one, then what is overdue; each enters the programme first.
    assert counts == {"door": 0, "reads": 2 * (4 + 4 + 1)}
    member = await shop.enrols(identities=[SOMEBODY])
    assert await cured(service, shop) == 1
    assert (await became(shop, parked))["status"] == "cured"
    assert await shop.figures(member) == (100, 0)


async def test_what_the_worker_asks_is_answered_by_keys(shop: Shop, service: Service, owner: AsyncEngine) -> None:
    await many_waiting(owner, shop, 500)
    page = {PROGRAMME: shop.programme.id, "after": store.BEFORE_ALL_PARKED, "at_most": 100}
    late = {PROGRAMME: shop.programme.id, "the_moment": datetime.now(UTC), "at_most": 100}
    async with service.database.snapshot(shop.programme.id) as connection:
        members = await plan(connection, store._MEMBERS, page)
        sales = await plan(connection, store._SALES, page)
        overdue = await plan(connection, store._OVERDUE, late)
    assert {step.over for step in members if step.over} == {"parked_event_waiting", "identity_pkey"}
    assert {step.over for step in sales if step.over} == {"parked_event_waiting", "reference_pkey"}
    [lookup] = [step for step in sales if step.over == "reference_pkey"]
    assert all(name in lookup.condition for name in ("bucket", "programme_id", "source", "reference", "kind", "date"))
    assert {step.over for step in overdue if step.over} == {"parked_event_overdue"}
    assert "Sort" not in {step.type for step in overdue}


async def test_how_many_wait_for_the_same_is_counted_by_key(shop: Shop, service: Service, owner: AsyncEngine) -> None:
    await many_waiting(owner, shop, 500)
    async with service.database.snapshot(shop.programme.id) as connection:
        wanted = store.load_waiting([])
        types = tuple((name, type_) for name, (_, type_) in wanted.binds.items())
        statement = load_statement((wanted.sql,), ((PROGRAMME, INTEGER), *types))
        values = {name: value for name, (value, _) in wanted.binds.items()}
        steps = await plan(connection, statement, {**values, PROGRAMME: shop.programme.id})
    found = {step.over: step.condition for step in steps if step.over}
    assert found.keys() == {"parked_event_awaits_sale", "parked_event_awaits_member"}
    assert "awaits_date" in found["parked_event_awaits_sale"]
    assert "awaits_lookup" in found["parked_event_awaits_member"]


# --- lists -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_parked_events_are_listed_newest_first_by_status_or_all(shop: Shop, service: Service, limit: int) -> None:
    sales = [await parks(shop, a_sale(1_00)) for _ in range(3)]
    await shop.enrols(identities=[SOMEBODY])
    await cured(service, shop)
    returns = [await parks(shop, a_return("S-1"), "/v1/returns") for _ in range(4)]
    everything = await every_page(shop.till, "/v1/parked", limit=limit)
    assert [one["parked"] for one in everything] == [*reversed(returns), *reversed(sales)]
    assert everything[0] == await became(shop, returns[-1])
    waiting = await every_page(shop.till, "/v1/parked", limit=limit, status="waiting")
    assert [one["parked"] for one in waiting] == list(reversed(returns))
    done = await every_page(shop.till, "/v1/parked", limit=limit, status="cured")
    assert [one["parked"] for one in done] == list(reversed(sales))
    assert await every_page(shop.till, "/v1/parked", limit=limit, status="lapsed") == []


@pytest.mark.parametrize("place", [{}, [], [1], ["x"], ["0" * 31], ["0" * 32, 1]])
async def test_a_cursor_that_is_not_ours_is_refused(shop: Shop, place: Any) -> None:
    refused(await shop.till.get("/v1/parked", cursor=sealed(place)), 400, "invalid_cursor")


async def test_a_status_that_there_is_not_is_refused(shop: Shop) -> None:
    refused(await shop.till.get("/v1/parked", status="lost"), 422, "invalid_request")


async def test_the_list_comes_in_the_order_of_its_index(shop: Shop, service: Service, owner: AsyncEngine) -> None:
    await many_waiting(owner, shop, 500)
    values = {"the_statuses": ["waiting", "cured"], "before": store.AFTER_ALL_PARKED, "at_most": 51}
    async with service.database.snapshot(shop.programme.id) as connection:
        steps = await plan(connection, store._PAGE, {**values, PROGRAMME: shop.programme.id})
    [walk] = [step for step in steps if step.over]
    assert walk.over == "parked_event_of_status"
    assert all(name in walk.condition for name in ("programme_id", "status", "id <"))
    assert [step.type for step in steps].count("Sort") == 1, "of the pages of each status, and no more"


async def test_a_parked_event_reads_back_as_it_was_written(a_shop: ShopFactory, service: Service) -> None:
    """Also of a source whose numbers begin again: what it awaits includes the day."""
    shop = await a_shop(restarting_sources=frozenset({"pos-1"}))
    lines = [{"line_id": "1", "quantity": 1, "amount": 5}]
    awaited = {"source": "pos-1", "reference": "7", "business_date": "2026-11-01"}
    body = {"accrual": awaited, "lines": lines, "source": "pos-1", "reference": "8", "occurred_at": NOON}
    parked = await parks(shop, body, "/v1/returns")
    assert (await became(shop, parked))["awaits"] == awaited
    async with service.database.snapshot(shop.programme.id) as connection:
        found: ParkedEvent | None = await store.find(connection, shop.programme.id, _fact(parked))
    assert found is not None
    assert found.awaits == ("pos-1", "7", "accrual", "2026-11-01")
    assert found.asked == ((("1", 1, 5),),)
    member = await shop.enrols()
    await shop.sells(member, 100_00, reference="7", occurred_at="2026-11-02T12:00:00+08:00")
    assert await cured(service, shop) == 0, "that is the sale of another day"
    await shop.sells(member, 100_00, reference="7", occurred_at=NOON)
    assert await cured(service, shop) == 1
    assert (await became(shop, parked))["status"] == "cured"


A_RETURN = '{"lines": null}'
POINTS = '{"points": 1, "wallet": "points", "pending_until": null, "expires_at": null}'


async def many_waiting(owner: AsyncEngine, shop: Shop, count: int) -> None:
    """Events that wait in vain, half of them for a sale, written down as their owner may."""
    async with owner.begin() as connection:
        await connection.execute(
            text(
                "insert into parked_event select get_byte(uuid_send(id), 15), :p, id, kind, 7,"
                "       case kind when 'return' then 's' end, case kind when 'return' then 'S-' || n end,"
                "       case kind when 'return' then '' end, case kind when 'accrual' then 'tmall' end,"
                "       case kind when 'accrual' then 'ouid' end,"
                "       case kind when 'accrual' then sha256(n::text::bytea) end,"
                "       case kind when 'return' then cast(:a_return as json) else cast(:points as json) end,"
                "       's', 'R-' || n, null, null, now(), now(), now() + '1 day', 'waiting', null"
                "  from (select n, gen_random_uuid() as id, (array['return', 'accrual'])[1 + n % 2] as kind"
                "          from generate_series(1, cast(:count as integer)) n) made"
            ),
            {"p": shop.programme.id, "count": 2 * count, "a_return": A_RETURN, "points": POINTS},
        )
        await connection.execute(text("analyze parked_event, reference, identity"))


def _fact(parked: str) -> FactId:
    return FactId(parked.removeprefix("prk_"))
