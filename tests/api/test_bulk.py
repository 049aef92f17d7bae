"""A thousand accruals in one call: each decided by itself, all answered in order."""

from datetime import UTC, datetime
from typing import Any

import pytest

from loyalty.operations import lanes
from tests.api.conftest import Shop, ShopFactory, a_grant, accepted, an_order, refused


async def bulk(shop: Shop, items: list[Any], **more: Any) -> list[dict[str, Any]]:
    answer = accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}, **more))
    found: list[dict[str, Any]] = answer["results"]
    return found


def codes(results: list[dict[str, Any]]) -> list[Any]:
    """What became of each item: the points it earned, or the code of its refusal."""
    return [one["body"].get("code", one["body"].get("points")) for one in results]


async def test_answers_come_in_the_order_of_the_items(shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(7)]
    items = [a_grant(members[number % 7], number + 1) for number in range(60)]
    results = await bulk(shop, items)
    assert [one["status"] for one in results] == [201] * 60
    assert codes(results) == list(range(1, 61))
    assert [one["body"]["entry"]["reference"] for one in results] == [item["reference"] for item in items]


async def test_items_of_one_member_are_decided_in_order(shop: Shop) -> None:
    member = await shop.enrols()
    results = await bulk(shop, [a_grant(member, 10) for _ in range(20)])
    assert [one["body"]["entry"]["sequence"] for one in results] == list(range(1, 21))
    assert [one["body"]["receipt"]["balance"] for one in results] == list(range(10, 201, 10))


async def test_one_failing_item_disturbs_no_other(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.gives(member, 1, source="crm", reference="taken")
    results = await bulk(
        shop,
        [
            a_grant(member, 1),
            a_grant({"phone": "+8613800138099"}),
            a_grant({"id": f"mem_{'0' * 32}"}),
            an_order(member, currency="USD"),
            a_grant(member, 2, reference="taken"),
            a_grant(member, wallet="miles"),
            a_grant(member, occurred_at="2199-01-01T00:00:00Z"),
            an_order(member, 300),
        ],
    )
    assert codes(results) == [
        1,
        "member_not_found",
        "member_not_found",
        "currency_not_accepted",
        "reference_taken",
        "unknown_wallet",
        "occurred_at_in_future",
        3,
    ]
    assert [one["status"] for one in results] == [201, 404, 404, 422, 409, 422, 422, 201]
    assert all(one["body"]["status"] == one["status"] for one in results if one["status"] >= 400)
    assert await shop.figures(member) == (3, 2)


async def test_a_retry_replays_item_by_item_and_takes_what_was_curable(shop: Shop) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 5), a_grant({"phone": "+8613800138000"}, 7), an_order(member, currency="USD")]
    first = await bulk(shop, items)
    assert codes(first) == [5, "member_not_found", "currency_not_accepted"]
    await shop.enrols(phone="+8613800138000")
    again = await bulk(shop, items)
    assert codes(again) == [5, 7, "currency_not_accepted"]
    assert (again[0], again[2]) == (first[0], first[2])
    assert await shop.figures(member) == (0, 5)


async def test_items_may_be_retried_in_other_company(shop: Shop) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1) for _ in range(6)]
    first = await bulk(shop, items)
    again = await bulk(shop, [*reversed(items), a_grant(member, 2)], key=None)
    assert again[:6] == first[::-1]
    assert await shop.figures(member) == (0, 8)


async def test_an_items_own_key_replays_and_refuses_another_body(shop: Shop) -> None:
    member = await shop.enrols()
    item = {**a_grant(member, 5), "idempotency_key": "mine"}
    first = await bulk(shop, [item])
    assert await bulk(shop, [item]) == first
    assert codes(await bulk(shop, [{**item, "points": 6}])) == ["idempotency_key_reused"]
    assert await shop.figures(member) == (0, 5)


async def test_a_reference_that_comes_twice_in_a_call_is_taken_once(shop: Shop) -> None:
    member = await shop.enrols()
    item = a_grant(member, 5, reference="once")
    results = await bulk(shop, [item, item, {**item, "points": 6}, a_grant(member, 1)])
    assert codes(results) == [5, 5, "idempotency_key_reused", 1]
    assert results[0] == results[1]
    assert await shop.figures(member) == (0, 6)


async def test_a_reference_that_two_members_bring_in_a_call_is_taken_once(shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(4)]
    results = await bulk(shop, [a_grant(member, 5, reference="once") for member in members])
    # Members wait in different lanes, so which of them is first is nobody's to say.
    assert sorted(map(str, codes(results))) == ["5", *["idempotency_key_reused"] * 3]


async def test_a_reference_that_comes_twice_under_two_keys_names_the_first_entry(shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(4)]
    items = [{**a_grant(one, 5, reference="once"), "idempotency_key": f"k-{n}"} for n, one in enumerate(members)]
    results = await bulk(shop, items)
    winner = next(one for one in results if one["status"] == 201)
    losers = [one["body"] for one in results if one["status"] != 201]
    assert [(one["code"], one["entry"]) for one in losers] == [("reference_taken", winner["body"]["entry"]["id"])] * 3


async def test_a_call_has_1_to_1000_items(shop: Shop) -> None:
    member = await shop.enrols()
    for items in ([], [a_grant(member)] * 1001):
        refused(await shop.till.post("/v1/accruals/bulk", {"items": items}), 422, "invalid_request")
    results = await bulk(shop, [a_grant(member, 1) for _ in range(1000)])
    assert {one["status"] for one in results} == {201}
    assert await shop.figures(member) == (0, 1000)


async def test_an_item_that_does_not_fit_its_schema_refuses_the_whole_call(shop: Shop) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1), {**a_grant(member, 1), "points": "12"}]
    problem = refused(await shop.till.post("/v1/accruals/bulk", {"items": items}), 422, "invalid_request")
    assert problem["errors"][0]["field"].startswith("body.items.1.")
    assert await shop.figures(member) == (0, 0)


async def test_a_call_for_which_there_is_no_room_is_refused_whole(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1) for _ in range(5)]
    with monkeypatch.context() as patched:
        patched.setattr(lanes, "MAX_WAITING", 4)
        answer = await shop.till.post("/v1/accruals/bulk", {"items": items})
        problem = refused(answer, 503, "overloaded")
    assert problem["retryable"] is True
    assert answer.headers["retry-after"] == "1"
    assert await shop.figures(member) == (0, 0)
    assert codes(await bulk(shop, items)) == [1] * 5


async def test_a_write_for_which_there_is_no_room_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    member = await shop.enrols()
    body = a_grant(member, 1)
    with monkeypatch.context() as patched:
        patched.setattr(lanes, "MAX_WAITING", 0)
        refused(await shop.till.post("/v1/accruals", body, key="k-1"), 503, "overloaded")
    accepted(await shop.till.post("/v1/accruals", body, key="k-1"))


async def test_a_dry_run_of_a_call_leaves_no_trace(shop: Shop) -> None:
    member = await shop.enrols()
    items = [a_grant(member, 1), a_grant(member, 2)]
    dry = await bulk(shop, items, dry_run="true")
    assert codes(dry) == [1, 2]
    assert await shop.figures(member) == (0, 0)
    assert codes(await bulk(shop, items)) == [1, 2]


async def test_a_retry_past_the_cut_over_counts_no_receipt_twice(a_shop: ShopFactory) -> None:
    """A source whose numbers begin again says when it sold, or what its key is: today's is not in the request."""
    shop = await a_shop(restarting_sources=frozenset({"till-r"}))
    member = await shop.enrols()
    item = a_grant(member, 100, source="till-r")
    timed = {**item, "occurred_at": datetime.now(UTC).isoformat()}
    keyed = {**a_grant(member, 10, source="till-r"), "idempotency_key": "k-1"}
    answer = accepted(await shop.till.post("/v1/accruals/bulk", {"items": [item, timed, keyed]}))
    assert [one["status"] for one in answer["results"]] == [422, 201, 201]
    assert (answer["results"][0]["body"]["code"], answer["results"][0]["body"]["missing"]) == (
        "field_required",
        ["occurred_at"],
    )
