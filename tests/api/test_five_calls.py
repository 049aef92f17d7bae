"""One member, in five calls: what the README promises, as it is written there."""

import re
from typing import Any

from tests.api.conftest import Shop, accepted, refused

ENROL = {
    "phone": "+8613800138000",
    "birthday": "1990-05-01",
    "name": "Li Lei",
    "store": "SH-001",
    "identities": [{"channel": "wechat", "type": "openid", "value": "oX1"}],
    "consents": [{"purpose": "membership", "text_version": "2026-01"}],
}


def an_id(prefix: str, text: str) -> bool:
    return re.fullmatch(f"{prefix}_[0-9a-f]{{32}}", text) is not None


async def the_first_four_calls(shop: Shop) -> list[dict[str, Any]]:
    till = shop.till
    member = accepted(await till.post("/v1/members", ENROL, key="enrol-1"))
    welcome = {"points": 1000, "reason": "welcome", "source": "crm", "reference": "W-1"}
    gift = accepted(await till.post("/v1/accruals", {"member": {"id": member["id"]}, **welcome}, key="welcome-1"))
    line = {"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 1, "amount": 19900}
    order = {"source": "pos-1", "reference": "SH-001-000042", "store": "SH-001", "currency": "CNY", "lines": [line]}
    named = {"member": {"number": member["number"]}}
    purchase = accepted(await till.post("/v1/accruals", {**named, **order}, key="pos-1-42"))
    spend = {"points": 100, "as_discount": {"currency": "CNY"}, "source": "app", "reference": "R-7"}
    redeemed = accepted(await till.post("/v1/redemptions", {"member": {"id": member["id"]}, **spend}, key="app-7"))
    return [member, gift, purchase, redeemed]


async def test_enrolling_answers_201_with_an_id_a_card_number_and_the_lowest_tier(shop: Shop) -> None:
    answer = await shop.till.post("/v1/members", ENROL, key="enrol-1")
    member = accepted(answer)
    assert answer.status_code == 201
    assert an_id("mem", member["id"])
    assert re.fullmatch("6[0-9]{15}", member["number"])
    assert (member["status"], member["tier"], member["store"]) == ("active", "member", "SH-001")
    assert member["balances"] == {"points": {"pending": 0, "available": 0, "held": 0, "owed": 0}}


async def test_the_five_calls_answer_as_documented(shop: Shop) -> None:
    member, gift, purchase, redeemed = await the_first_four_calls(shop)

    assert gift["points"] == 1000
    assert gift["balances"] == {"points": {"pending": 0, "available": 1000, "held": 0, "owed": 0}}
    assert gift["entry"]["reason"] == "welcome"

    assert purchase["points"] == 199
    assert purchase["entry"]["kind"] == "earn"
    assert purchase["entry"]["postings"] == [
        {"wallet": "points", "debit": "issued", "credit": "pending", "points": 199}
    ]
    assert purchase["balances"] == {"points": {"pending": 199, "available": 1000, "held": 0, "owed": 0}}
    assert purchase["receipt"]["earned"] == 199
    assert purchase["receipt"]["balance"] == 1000

    assert an_id("red", redeemed["redemption"]["id"])
    assert redeemed["redemption"]["points"] == 100
    assert redeemed["redemption"]["value"] == {"currency": "CNY", "amount": 100}

    balance = accepted(await shop.till.get(f"/v1/members/{member['id']}/balance"))
    points = balance["wallets"]["points"]
    assert {name: points[name] for name in ("pending", "available", "held", "owed")} == {
        "pending": 199,
        "available": 900,
        "held": 0,
        "owed": 0,
    }


async def test_every_write_names_its_first_entry_and_lists_them_all(shop: Shop) -> None:
    _, *writes = await the_first_four_calls(shop)
    for said in writes:
        assert an_id("ent", said["entry"]["id"])
        assert said["entries"][0] == said["entry"]
        entry = accepted(await shop.till.get(f"/v1/entries/{said['entry']['id']}"))
        assert entry == said["entry"]


async def test_the_entries_of_the_five_calls_are_listed_newest_first(shop: Shop) -> None:
    member, *writes = await the_first_four_calls(shop)
    page = accepted(await shop.till.get(f"/v1/members/{member['id']}/entries"))
    assert [one["id"] for one in page["items"]] == [one["entry"]["id"] for one in reversed(writes)]
    assert [one["sequence"] for one in page["items"]] == [3, 2, 1]
    assert page["next_cursor"] is None


async def test_spending_more_than_there_is_answers_409_with_both_figures(shop: Shop) -> None:
    member, *_ = await the_first_four_calls(shop)
    body = {"member": {"id": member["id"]}, "points": 5000, "source": "app", "reference": "R-8"}
    problem = refused(await shop.till.post("/v1/redemptions", body), 409, "insufficient_points")
    assert (problem["available"], problem["required"]) == (900, 5000)
    assert problem["retryable"] is False


async def test_a_member_is_found_by_id_number_phone_and_identity(shop: Shop) -> None:
    member, *_ = await the_first_four_calls(shop)
    names = (
        {"id": member["id"]},
        {"number": member["number"]},
        {"phone": "+86 138 0013 8000"},
        {"identity": {"channel": "wechat", "type": "openid", "value": "oX1"}},
    )
    for name in names:
        said = await shop.gives(name, 1)
        assert said["entry"]["member"] == member["id"]


async def test_a_redemption_that_is_no_discount_has_no_value(shop: Shop) -> None:
    member, *_ = await the_first_four_calls(shop)
    assert (await shop.redeems(member, 1))["redemption"]["value"] is None


async def test_the_trial_balance_of_the_five_calls_balances(shop: Shop) -> None:
    await the_first_four_calls(shop)
    balance = accepted(await shop.client("finance").get("/v1/ledger/trial-balance"))
    accounts = {one["account"]: one["balance"] for one in balance["accounts"]}
    assert balance["debit_total"] == balance["credit_total"]
    assert (accounts["issued"], accounts["pending"]) == (1199, -199)
    assert (accounts["available"], accounts["redeemed"]) == (-900, -100)
