"""Pages by key: complete, without repeats, and steady while writes go on."""

import base64
from typing import Any

import orjson
import pytest

from tests.api.conftest import Client, Shop, accepted, refused


async def every_page(
    client: Client, path: str, *, limit: int, between: Any = None, **query: str
) -> list[dict[str, Any]]:
    """The items of all pages; `between` happens after each."""
    items: list[dict[str, Any]] = []
    cursor = None
    for _ in range(100):
        page = accepted(await client.get(path, limit=limit, cursor=cursor, **query))
        assert len(page["items"]) <= limit
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items
        assert len(page["items"]) == limit, "only the last page may be short"
        if between is not None:
            await between()
    raise AssertionError("the pages do not end")


async def a_busy_member(shop: Shop) -> dict[str, Any]:
    """Lots of every kind: pending and available, with and without an end, some sharing their dates."""
    member = await shop.enrols()
    for number in range(12):
        await shop.gives(member, 10, expires_at=f"2027-{number // 2 + 1:02}-01T00:00:00Z")
    for number in range(5):
        await shop.sells(member, 10_000, occurred_at=f"2026-11-{18 + number // 2}T10:00:00+08:00")
    return member


@pytest.mark.parametrize("limit", [1, 2, 5, 17, 200])
@pytest.mark.parametrize("what", ["entries", "lots"])
async def test_pages_of_any_size_hold_everything_once(shop: Shop, what: str, limit: int) -> None:
    member = await a_busy_member(shop)
    path = f"/v1/members/{member['id']}/{what}"
    whole = accepted(await shop.till.get(path, limit=200))["items"]
    assert len(whole) == 17
    assert await every_page(shop.till, path, limit=limit) == whole


async def test_entries_are_listed_newest_first_while_new_ones_come(shop: Shop) -> None:
    member = await a_busy_member(shop)

    async def more() -> None:
        await shop.gives(member, 1)
        await shop.redeems(member, 1)

    entries = await every_page(shop.till, f"/v1/members/{member['id']}/entries", limit=4, between=more)
    assert [entry["sequence"] for entry in entries] == list(range(17, 0, -1))


async def test_lots_that_stay_are_each_listed_once_while_others_come_and_go(shop: Shop) -> None:
    member = await a_busy_member(shop)
    path = f"/v1/members/{member['id']}/lots"
    before = {lot["id"] for lot in await every_page(shop.till, path, limit=200)}

    async def more() -> None:
        await shop.gives(member, 1, expires_at="2027-01-01T00:00:00Z")
        await shop.redeems(member, 10)

    listed = [lot["id"] for lot in await every_page(shop.till, path, limit=3, between=more)]
    after = {lot["id"] for lot in await every_page(shop.till, path, limit=200)}
    assert len(listed) == len(set(listed))
    assert before & after <= set(listed)


async def test_lots_come_by_state_in_the_order_they_fall_due(shop: Shop) -> None:
    member = await a_busy_member(shop)
    lots = await every_page(shop.till, f"/v1/members/{member['id']}/lots", limit=4)
    due = [(lot["state"], lot["matures_at"] if lot["state"] == "pending" else lot["expires_at"]) for lot in lots]
    assert due == sorted(due)
    assert sum(lot["remaining"] for lot in lots if lot["state"] == "available") == 120
    assert sum(lot["remaining"] for lot in lots if lot["state"] == "pending") == 500


async def test_a_member_without_anything_has_one_empty_page(shop: Shop) -> None:
    member = await shop.enrols()
    for what in ("entries", "lots"):
        page = accepted(await shop.till.get(f"/v1/members/{member['id']}/{what}"))
        assert page == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "true", "9" * 30])
async def test_a_limit_lies_between_1_and_200(shop: Shop, limit: str) -> None:
    member = await shop.enrols()
    for what in ("entries", "lots"):
        refused(await shop.till.get(f"/v1/members/{member['id']}/{what}", limit=limit), 422, "invalid_request")


def sealed(place: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


STRANGE: list[str] = ["", "x", "abcd", "!!!!", "é", "\x00", "=" * 8, sealed({}), sealed("x"), sealed(None), sealed([])]
STRANGE += [sealed([[]]), sealed([None]), sealed([{}]), sealed(["x"]), sealed([1.0]), sealed([True]), sealed([-1])]
STRANGE += [sealed([2**63]), sealed([1, 2]), base64.urlsafe_b64encode(b"[" * 300).decode(), "A" * 512]


@pytest.mark.parametrize("cursor", STRANGE)
@pytest.mark.parametrize("what", ["entries", "lots"])
async def test_a_cursor_that_is_not_ours_is_refused(shop: Shop, what: str, cursor: str) -> None:
    member = await shop.enrols()
    answer = await shop.till.get(f"/v1/members/{member['id']}/{what}", cursor=cursor)
    refused(answer, 400, "invalid_cursor")


TIME, ID = "2026-11-22T10:00:00+00:00", "0" * 32


@pytest.mark.parametrize(
    "place",
    [
        ["points", "available", TIME, TIME],
        ["points", "available", TIME, TIME, "0"],
        ["points", "available", TIME, TIME, "x" * 32],
        ["points", "available", "", TIME, ID],
        ["points", "available", "soon", TIME, ID],
        ["points", "available", "2026-11-22T10:00:00", TIME, ID],
        ["points", "available", "0001-01-01T00:00:00+14:00", TIME, ID],
        ["points", "available", "9999-12-31T23:59:59-14:00", TIME, ID],
        ["points", "available", TIME, None, ID],
        ["po\x00nts", "available", TIME, TIME, ID],
        ["points", "\x00", TIME, TIME, ID],
        [1, "available", TIME, TIME, ID],
    ],
)
async def test_a_place_among_lots_that_is_not_ours_is_refused(shop: Shop, place: Any) -> None:
    member = await shop.enrols()
    answer = await shop.till.get(f"/v1/members/{member['id']}/lots", cursor=sealed(place))
    refused(answer, 400, "invalid_cursor")


async def test_a_cursor_is_at_most_512_characters(shop: Shop) -> None:
    member = await shop.enrols()
    answer = await shop.till.get(f"/v1/members/{member['id']}/entries", cursor="A" * 513)
    refused(answer, 422, "invalid_request")
