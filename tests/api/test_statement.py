"""A statement adds up as an accountant would add it up: opening, line by line, closing."""

import itertools
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.calendar import FOREVER
from loyalty.store import history, past, statements
from tests.api.conftest import Shop, ShopFactory, accepted, refused
from tests.api.lives import Life
from tests.api.test_lists import sealed
from tests.makers import a_calendar, a_wallet
from tests.plans import many_entries, plan

ACCOUNTS = ("pending", "available", "held", "owed")
ALL = {"from": "2000-01-02", "to": "2199-12-30"}


async def stated(
    shop: Shop, member: Mapping[str, Any], *, limit: int = 200, first: str = ALL["from"], last: str = ALL["to"]
) -> dict[str, Any]:
    """The whole statement, its pages put together; what concerns the whole span is told on each page alike."""
    client, path = shop.client("finance"), f"/v1/members/{member['id']}/statement"
    whole: dict[str, Any] | None = None
    cursor = None
    for _ in range(200):
        page = accepted(await client.get(path, limit=limit, cursor=cursor, **{"from": first, "to": last}))
        if whole is None:
            whole = page
        else:
            assert all(page[name] == whole[name] for name in ("opening", "closing", "totals", "from", "to"))
            whole["items"] += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return whole
        assert len(page["items"]) == limit
    raise AssertionError("the pages do not end")


def check(statement: dict[str, Any]) -> None:
    """Opening and every posting come to the closing; so do opening and totals; the totals are those of the items."""
    for wallet, opening in statement["opening"].items():
        sums, totals = dict(opening), dict(opening)
        for item in statement["items"]:
            for posting in item["postings"]:
                if posting["wallet"] == wallet:
                    for account, sign in ((posting["credit"], 1), (posting["debit"], -1)):
                        if account in ACCOUNTS:
                            sums[account] += (-sign if account == "owed" else sign) * posting["points"]
            if wallet in item["balances"]:
                assert sums == item["balances"][wallet], "each line leaves the balance it says"
        for total in statement["totals"]:
            for account, points in total["changes"].get(wallet, {}).items():
                totals[account] += points
        assert sums == totals == statement["closing"][wallet]
    counted = {one["kind"]: one["entries"] for one in statement["totals"]}
    kinds = [item["kind"] for item in statement["items"]]
    assert counted == {kind: kinds.count(kind) for kind in kinds}
    days = [item["business_date"] for item in statement["items"]]
    assert days == sorted(days)
    assert all(statement["from"] <= day <= statement["to"] for day in days)


async def a_life(app: FastAPI, shop: Shop) -> Mapping[str, str]:
    """Two months of a member: buys, spends, lots mature and expire, one purchase earns nothing."""
    start = datetime(2026, 9, 1, 23, 30, tzinfo=UTC)
    life = Life(app, shop)
    await life.begins(start)
    for number in range(24):
        when = start + timedelta(hours=61 * number)
        await life.buys((number % 5) * 1_250 + (number % 7 == 0), when)
        if number % 6 == 1:
            await life.is_given(30, when + timedelta(hours=1), expires_at=when + timedelta(days=9))
        if number % 4 == 3:
            await life.spends(10, when + timedelta(hours=2))
    return life.member


async def test_opening_and_entries_come_to_the_closing_over_any_span(app: FastAPI, a_shop: ShopFactory) -> None:
    shop = await a_shop(
        wallets={"points": a_wallet(pending=timedelta(days=3)), "coins": a_wallet("coins", points=3, unit=1_000)}
    )
    member = await a_life(app, shop)
    whole = await stated(shop, member)
    check(whole)
    assert {one["kind"] for one in whole["totals"]} == {"earn", "mature", "spend", "expire"}
    assert whole["opening"] == {wallet: dict.fromkeys(ACCOUNTS, 0) for wallet in ("points", "coins")}
    days = [date(2026, 8, 31) + timedelta(days=step) for step in (0, 1, 2, 13, 14, 30, 45, 61, 80)]
    for first, last in itertools.combinations_with_replacement(days, 2):
        part = await stated(shop, member, first=first.isoformat(), last=last.isoformat())
        check(part)
        within = [one for one in whole["items"] if first.isoformat() <= one["business_date"] <= last.isoformat()]
        assert part["items"] == within


async def test_statements_of_days_that_follow_each_other_join(app: FastAPI, shop: Shop) -> None:
    member = await a_life(app, shop)
    closing = None
    listed = []
    for number in range(62):
        day = (date(2026, 9, 1) + timedelta(days=number)).isoformat()
        one = await stated(shop, member, first=day, last=day)
        assert closing in (None, one["opening"]), "what one day closes with, the next opens with"
        closing = one["closing"]
        listed += one["items"]
    assert listed == (await stated(shop, member))["items"]


async def test_a_day_is_the_programme_s_own(app: FastAPI, a_shop: ShopFactory) -> None:
    """In Shanghai, where a day begins at four in the morning."""
    shop = await a_shop(calendar=a_calendar("Asia/Shanghai", 4))
    life, four = Life(app, shop), datetime.fromisoformat("2026-11-02T04:00:00+08:00").astimezone(UTC)
    await life.begins(four - timedelta(days=1))
    await life.is_given(1, four - timedelta(microseconds=1))
    await life.is_given(2, four)
    first = await stated(shop, life.member, first="2026-11-01", last="2026-11-01")
    second = await stated(shop, life.member, first="2026-11-02", last="2026-11-02")
    assert [item["sequence"] for item in first["items"]] == [1]
    assert [item["sequence"] for item in second["items"]] == [2]
    assert second["opening"]["points"]["available"] == first["closing"]["points"]["available"] == 1


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_pages_of_one_statement_tell_of_the_same_entries_while_more_are_written(
    app: FastAPI, shop: Shop, limit: int
) -> None:
    member = await a_life(app, shop)
    before = await stated(shop, member)
    path = f"/v1/members/{member['id']}/statement"
    first = accepted(await shop.till.get(path, limit=limit, **ALL))
    await shop.gives(member, 1)
    items, cursor = first["items"], first["next_cursor"]
    while cursor is not None:
        page = accepted(await shop.till.get(path, limit=limit, cursor=cursor, **ALL))
        assert page["closing"] == before["closing"]
        items += page["items"]
        cursor = page["next_cursor"]
    if limit < 200:
        assert items == before["items"]


async def test_a_span_without_entries_closes_as_it_opened(app: FastAPI, shop: Shop) -> None:
    life = Life(app, shop)
    await life.begins(datetime(2026, 10, 1, tzinfo=UTC))
    await life.is_given(70, datetime(2026, 10, 2, tzinfo=UTC))
    empty = await stated(shop, life.member, first="2026-10-05", last="2026-10-09")
    assert (empty["items"], empty["totals"], empty["next_cursor"]) == ([], [], None)
    assert empty["opening"] == empty["closing"]
    assert empty["opening"]["points"]["available"] == 70


async def test_a_span_that_makes_no_sense_is_refused(shop: Shop) -> None:
    member = await shop.enrols()
    path = f"/v1/members/{member['id']}/statement"
    for span in (
        {"from": "2026-11-02", "to": "2026-11-01"},
        {"from": "0001-01-01", "to": "2026-11-01"},
        {"from": "2026-11-01", "to": "9999-12-31"},
        {"from": "2026-11-01"},
        {"to": "2026-11-01"},
        {"from": "yesterday", "to": "2026-11-01"},
    ):
        refused(await shop.till.get(path, **span), 422, "invalid_request")


@pytest.mark.parametrize("place", [[0, 1], [1, 1], [1, 3], [2, 1], [1, 2**63], [-1, 1], [True, 2], [1]])
async def test_a_cursor_of_another_statement_is_refused(shop: Shop, place: list[int]) -> None:
    member = await shop.enrols()
    await shop.gives(member, 1)
    await shop.gives(member, 1)
    answer = await shop.till.get(f"/v1/members/{member['id']}/statement", cursor=sealed(place), **ALL)
    refused(answer, 400, "invalid_cursor")


async def test_a_statement_finds_its_span_and_its_entries_by_key(app: FastAPI, shop: Shop, owner: AsyncEngine) -> None:
    service: Service = app.state.service
    member = await many_entries(shop, owner)
    of = past.of_member(shop.programme.id, member["id"].removeprefix("mem_"))
    span = {"the_after": 10, "the_through": 500}
    asked: list[tuple[TextClause, dict[str, Any], str]] = [
        (past._LAST, {"the_effective": datetime.now(UTC), "the_recorded": FOREVER}, "sequence = "),
        (history._SPAN, {**span, "at_most": 50}, "sequence >"),
        (statements._TOTALS, span, "sequence >"),
        (past._LEFT, {"the_sequence": 7}, "sequence ="),
    ]
    for statement, values, how in asked:
        async with service.database.snapshot(shop.programme.id) as connection:
            steps = await plan(connection, statement, {**of, **values})
        [walk] = [step for step in steps if step.over == "entry_member_sequence_key"]
        assert all(name in walk.condition for name in ("bucket", "programme_id", "member_id")), walk
        assert how in walk.condition, walk
        if statement is history._SPAN:
            assert "Sort" not in {step.type for step in steps}
