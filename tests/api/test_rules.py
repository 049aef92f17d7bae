"""Earning rules over HTTP: drafted, checked, published, earned by, explained; and what comes back by them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI

from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.publishing import NOTICE
from loyalty.recompute.verify import verify
from tests.api.conftest import Client, Shop, ShopFactory, a_merge, a_reassignment, a_return, accepted, an_order, refused

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
"""A Wednesday; the shop's clock stands still there."""
JUNE, JULY = "2026-06-01T00:00:00+08:00", "2026-07-01T00:00:00+08:00"
BASE = {"kind": "base", "id": "base", "wallet": "points", "points": 1, "per": 100}
DOUBLE_TOYS = {
    "kind": "multiplier",
    "id": "toys",
    "wallet": "points",
    "percent": 200,
    "when": "line.category == 'toys'",
}
BIG_BASKET = {"kind": "bonus", "id": "big", "wallet": "points", "points": 50, "when": "order.net_spend >= 20000"}
WELCOME = {"kind": "bonus", "id": "first", "wallet": "points", "points": 500, "when": "member.first_purchase"}


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    """A shop whose clock stands still, so that rules can be published for the past."""
    return await a_shop(fixed_now=NOON, ladder=Ladder((Rung("member", 0), Rung("gold", 100_000))))


@pytest.fixture
def marketing(shop: Shop) -> Client:
    return shop.client("marketing")


async def drafts(client: Client, *rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return accepted(await client.post("/v1/earning-rules", {"rules": list(rules), **more}))


async def publishes(client: Client, *rules: dict[str, Any], since: str = JUNE) -> dict[str, Any]:
    draft = await drafts(client, *rules)
    path = f"/v1/earning-rules/{draft['id']}/publish"
    return accepted(await client.post(path, {"effective_from": since}))


def a_line(line_id: str, amount: int, category: str = "toys", quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "line_id": line_id, "sku": f"S-{line_id}", "category": category, "quantity": quantity, "amount": amount, **more
    }  # fmt: skip


async def test_rules_are_drafted_published_and_listed(shop: Shop, marketing: Client) -> None:
    draft = await drafts(marketing, BASE, DOUBLE_TOYS, note="Double toys")
    assert (draft["status"], draft["version"], draft["note"]) == ("draft", None, "Double toys")
    first = accepted(await marketing.post(f"/v1/earning-rules/{draft['id']}/publish", {"effective_from": JUNE}))
    assert (first["status"], first["version"]) == ("published", 1)
    second = await publishes(marketing, BASE, since=JULY)
    assert second["version"] == 2

    shown = accepted(await shop.client("desk").get(f"/v1/earning-rules/{draft['id']}"))
    assert shown["effective_from"] == "2026-05-31T16:00:00Z"
    assert shown["effective_until"] == "2026-06-30T16:00:00Z"
    assert shown["rules"][1] == {**DOUBLE_TOYS, "stacking": "add", "group": None, "priority": 0}
    listed = accepted(await marketing.get("/v1/earning-rules", limit=1))
    assert [one["id"] for one in listed["items"]] == [second["id"]]
    rest = accepted(await marketing.get("/v1/earning-rules", cursor=listed["next_cursor"]))
    assert rest["items"] == [shown]
    assert rest["next_cursor"] is None


async def test_what_occurs_earns_by_the_version_of_its_moment(shop: Shop, marketing: Client) -> None:
    member = await shop.enrols()
    before = await shop.sells(member, 10_000)
    await publishes(marketing, BASE, DOUBLE_TOYS, since=JUNE)
    await publishes(marketing, {**BASE, "points": 3}, since=JULY)
    points = [
        (await shop.sells(member, 10_000, occurred_at=at))["points"]
        for at in ("2026-05-31T23:59:59+08:00", JUNE, "2026-06-30T23:59:59+08:00", JULY)
    ]
    assert [before["points"], *points] == [100, 100, 200, 200, 300]


async def test_rules_say_when_points_can_be_spent_and_for_how_long(shop: Shop, marketing: Client, app: FastAPI) -> None:
    """Each sale by the rules of its moment; what is reassigned keeps its dates."""
    member, other = await shop.enrols(), await shop.enrols()
    lasting = {**BASE, "pending_seconds": 0, "expiry": {"lifespan": "months", "periods": 3}}
    await publishes(marketing, lasting, since=JUNE)
    shown = await publishes(marketing, {**BASE, "pending_seconds": 3 * 86_400}, since=JULY)
    assert "expiry" not in shown["rules"][0], "as the wallet has it"
    june = await shop.sells(member, 10_000, occurred_at=JUNE)
    assert june["receipt"]["valid_through"] == "2026-09-01"
    preview = {name: value for name, value in an_order(member, 20_000).items() if name != "reference"}
    foretold = accepted(await marketing.post("/v1/accruals/preview", preview, key=None))
    july = await shop.sells(member, 20_000)
    assert july["receipt"] == foretold["receipt"]
    assert (july["receipt"]["available_from"], july["receipt"]["valid_through"]) == (
        "2026-07-04T12:00:00Z",
        "2027-12-31",
    )
    assert await shop.figures(member) == (200, 100)
    accepted(await shop.client("desk").post("/v1/reassignments", a_reassignment({"entry": june["entry"]["id"]}, other)))
    lots = accepted(await shop.till.get(f"/v1/members/{other['id']}/lots"))["items"]
    assert [(lot["points"], lot["valid_through"]) for lot in lots] == [(100, "2026-09-01")]
    assert (await verify(app.state.service.database, shop.programme)).findings == []


async def test_every_point_explains_itself(shop: Shop, marketing: Client) -> None:
    member = await shop.enrols()
    excluded = {"kind": "exclusion", "id": "cards", "when": "line.kind == 'gift_card'"}
    never = {"kind": "multiplier", "id": "gold", "wallet": "points", "percent": 150, "when": "member.tier == 'gold'"}
    cap = {"kind": "cap", "id": "daily", "wallet": "points", "points": 450, "per": "day"}
    version = await publishes(marketing, BASE, DOUBLE_TOYS, BIG_BASKET, excluded, never, cap)
    lines = [a_line("1", 15_050), a_line("2", 9_999, "books"), a_line("3", 5_000, kind="gift_card")]
    sale = await shop.sells(member, 0, lines=lines)
    assert sale["points"] == 450  # 301.00 + 99.99 = 400.99, rounded down, + 50

    told = accepted(await shop.till.get(f"/v1/entries/{sale['entry']['id']}/explanation"))
    earning = told["earning"]
    assert earning["rules"] == {"id": version["id"], "version": 1}
    assert earning["inputs"]["values"] == {"member.tier": "member"}
    assert earning["inputs"]["room"] == {"daily": 450}
    assert earning["wallets"] == [
        {"wallet": "points", "exact": "400.99", "rounding": "floor", "rounded": 400, "points": 450}
    ]
    steps = {
        step["rule"]["id"]: (step["fired"], step["why"], step["amount"], step["points"]) for step in earning["steps"]
    }
    assert steps == {
        "base": (True, None, 25_049, None),
        "toys": (True, None, 15_050, None),
        "gold": (False, "its condition does not hold", 0, None),
        "big": (True, None, None, 50),
        "daily": (False, "there was room for all", None, 0),
        "cards": (True, None, 5_000, None),
    }
    second = await shop.sells(member, 10_000)
    assert second["points"] == 0  # the day's cap is used up
    told = accepted(await shop.till.get(f"/v1/entries/{second['entry']['id']}/explanation"))
    assert told["earning"]["inputs"]["room"] == {"daily": 0}
    assert (await shop.sells(member, 10_000, occurred_at="2026-06-30T12:00:00+08:00"))["points"] == 200


async def test_an_entry_that_is_no_purchase_gives_its_reason(shop: Shop) -> None:
    member = await shop.enrols()
    given = await shop.gives(member, 100, reason="goodwill")
    told = accepted(await shop.till.get(f"/v1/entries/{given['entry']['id']}/explanation"))
    assert (told["kind"], told["reason"], told["of"], told["earning"]) == ("earn", "goodwill", None, None)
    sale = await shop.sells(member, 10_000)
    told = accepted(await shop.till.get(f"/v1/entries/{sale['entry']['id']}/explanation"))
    assert told["earning"]["rules"] == {"id": None, "version": 0}
    assert told["earning"]["wallets"][0]["exact"] == "100"
    back = accepted(await shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, full=True)))
    told = accepted(await shop.till.get(f"/v1/entries/{back['entry']['id']}/explanation"))
    assert told["of"] == sale["entry"]["id"]
    refused(await shop.till.get("/v1/entries/ent_nonsense/explanation"), 404, "entry_not_found")


async def test_a_preview_tells_what_the_sale_then_earns(shop: Shop, marketing: Client) -> None:
    member = await shop.enrols()
    await publishes(marketing, BASE, DOUBLE_TOYS, WELCOME)
    order = an_order(member, 10_000)
    asked = {name: value for name, value in order.items() if name != "reference"}
    app = shop.client("app")
    foretold = accepted(await app.post("/v1/accruals/preview", asked, key=None))
    assert foretold["points"] == 700
    assert accepted(await app.post("/v1/accruals/preview", asked, key=None)) == foretold  # it uses nothing up
    sold = accepted(await shop.till.post("/v1/accruals", order))
    assert sold["points"] == foretold["points"]
    assert sold["receipt"] == foretold["receipt"]
    assert (await shop.sells(member, 10_000))["points"] == 200  # no first purchase any more

    draft = await drafts(marketing, {**BASE, "points": 7})
    foretold = accepted(await shop.till.post("/v1/accruals/preview", {**asked, "rules": draft["id"]}, key=None))
    assert foretold["points"] == 700
    assert foretold["rules"] == {"id": draft["id"], "version": None}
    unknown = {**asked, "rules": f"erl_{'0' * 32}"}
    refused(await shop.till.post("/v1/accruals/preview", unknown, key=None), 404, "rules_not_found")
    refused(await shop.till.post("/v1/accruals/preview", {**asked, "rules": "x"}, key=None), 404, "rules_not_found")

    later = await drafts(marketing, {**BASE, "from": "2026-08-01T00:00:00+08:00"})
    unbased = {**asked, "rules": later["id"]}
    refused(await shop.till.post("/v1/accruals/preview", unbased, key=None), 422, "rules_not_in_force")
    much = await drafts(marketing, {**BASE, "points": 2**53 - 1, "per": 1})
    too_much = {**asked, "rules": much["id"]}
    refused(await shop.till.post("/v1/accruals/preview", too_much, key=None), 422, "amount_out_of_range")


async def test_returns_take_back_by_the_rules_of_the_sale(shop: Shop, marketing: Client) -> None:
    member = await shop.enrols()
    kept = {"kind": "bonus", "id": "kept", "wallet": "points", "points": 90, "on_return": "proportion"}
    await publishes(marketing, BASE, DOUBLE_TOYS, BIG_BASKET, WELCOME | {"points": 7}, kept)
    lines = [a_line("1", 20_000, quantity=2), a_line("2", 10_000, "books")]
    sale = await shop.sells(member, 0, lines=lines)
    assert sale["points"] == 2 * 200 + 100 + 50 + 7 + 90
    await publishes(marketing, {**BASE, "points": 50}, since=JULY)  # nothing of this concerns what was sold before

    async def takes_back(line: str, quantity: int, amount: int) -> int:
        parts = [{"line_id": line, "quantity": quantity, "amount": amount}]
        back = accepted(await shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, lines=parts)))
        points: int = back["points"]
        return points

    assert await takes_back("1", 1, 9_999) == 200 + 30  # 199.98 and a third of the bonus that goes in proportion
    assert await takes_back("1", 1, 10_001) == 199 + 1 + 50 + 30  # with it the basket is no longer big
    assert await takes_back("2", 1, 10_000) == 100 + 7 + 30
    assert await shop.figures(member) == (0, 0)


async def test_a_reassigned_purchase_goes_on_by_its_rules(shop: Shop, marketing: Client) -> None:
    member, other = await shop.enrols(), await shop.enrols()
    taxed = {**BASE, "tax": "excluded", "rounding": "half_up"}
    kept = {"kind": "bonus", "id": "kept", "wallet": "points", "points": 90, "on_return": "proportion"}
    await publishes(marketing, taxed, DOUBLE_TOYS, kept)
    lines = [a_line("1", 20_000, quantity=2, tax_amount=2_001), a_line("2", 10_000, "books", tax_amount=999)]
    paid = [{"type": "points", "amount": 3_000}, {"type": "card", "amount": 27_000}]
    sale = await shop.sells(member, 0, lines=lines, tenders=paid)
    assert sale["points"] == 405 + 90  # (2 x 179.99 + 90.01) x 90 % = 404.99
    part = [{"line_id": "1", "quantity": 1, "amount": 10_000}]
    accrual = {"entry": sale["entry"]["id"]}
    first = accepted(await shop.till.post("/v1/returns", a_return(accrual, lines=part)))
    left = 243 + 60  # (2 x 89.995 + 90.01) x 90 % = 243.00
    assert first["points"] == sale["points"] - left
    moved = accepted(await shop.client("desk").post("/v1/reassignments", a_reassignment(accrual, other)))
    assert await shop.figures(member) == (0, 0)
    assert sum(await shop.figures(other)) == left
    told = accepted(await shop.till.get(f"/v1/entries/{moved['entries'][1]['id']}/explanation"))
    assert [one["points"] for one in told["earning"]["wallets"]] == [left]
    back = accepted(await shop.till.post("/v1/returns", a_return({"entry": moved["entries"][1]["id"]}, lines=part)))
    assert back["points"] == left - (81 + 30)  # 90.01 x 90 % = 81.01
    accepted(await shop.till.post("/v1/returns", a_return({"entry": moved["entries"][1]["id"]}, full=True)))
    assert await shop.figures(other) == (0, 0)


async def test_what_came_back_before_a_purchase_was_reassigned_is_no_line_of_it(
    shop: Shop, marketing: Client, app: FastAPI
) -> None:
    member, other = await shop.enrols(), await shop.enrols()
    duo = {"kind": "bonus", "id": "duo", "wallet": "points", "points": 50, "when": "order.lines >= 2"}
    books = {"kind": "bonus", "id": "books", "wallet": "points", "points": 7, "when": "'books' in order.categories"}
    await publishes(marketing, BASE, duo, books)
    nothing = a_line("3", 0, quantity=0)
    sale = await shop.sells(member, 0, lines=[a_line("1", 10_000), a_line("2", 10_000, "books"), nothing])
    assert sale["points"] == 257
    accrual = {"entry": sale["entry"]["id"]}
    part = [{"line_id": "2", "quantity": 1, "amount": 10_000}]
    assert accepted(await shop.till.post("/v1/returns", a_return(accrual, lines=part)))["points"] == 157
    moved = accepted(await shop.client("desk").post("/v1/reassignments", a_reassignment(accrual, other)))
    assert sum(await shop.figures(other)) == 100
    told = accepted(await shop.till.get(f"/v1/entries/{moved['entries'][1]['id']}/explanation"))
    assert [one["points"] for one in told["earning"]["wallets"]] == [100]
    assert (await shop.sells(member, 0, lines=[nothing]))["points"] == 0, "no bonus for nothing"
    assert (await verify(app.state.service.database, shop.programme)).findings == []


async def test_caps_hold_whatever_comes_at_once_and_whatever_comes_back(shop: Shop, marketing: Client) -> None:
    member = await shop.enrols()
    monthly = {"kind": "cap", "id": "monthly", "wallet": "points", "points": 250, "per": "month"}
    await publishes(marketing, BASE, monthly)
    sales = await asyncio.gather(*(shop.sells(member, 10_000) for _ in range(5)))
    assert sorted(sale["points"] for sale in sales) == [0, 0, 50, 100, 100]
    for sale in sales:
        accepted(await shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, full=True)))
    assert await shop.figures(member) == (0, 0)
    assert (await shop.sells(member, 10_000))["points"] == 0


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ([DOUBLE_TOYS], ("toys", "wallet", None, "no base rule")),
        ([BASE, {**BASE, "id": "other"}], ("other", "from", None, "overlaps with 'base'")),
        ([BASE, DOUBLE_TOYS, DOUBLE_TOYS], ("toys", "id", None, "another rule has this id")),
        ([BASE, {**DOUBLE_TOYS, "wallet": "gems"}], ("toys", "wallet", None, "no wallet 'gems'")),
        ([BASE, {**DOUBLE_TOYS, "when": "line.colour == 'red'"}], ("toys", "when", 5, "undeclared reference")),
        ([BASE, {**DOUBLE_TOYS, "when": "line.amount ="}], ("toys", "when", 13, "Syntax error")),
        ([BASE, {**DOUBLE_TOYS, "when": "line.amount > 'a'"}], ("toys", "when", 13, "no matching overload")),
        ([BASE, {**DOUBLE_TOYS, "when": "line.amount + 1"}], ("toys", "when", None, "true or false")),
        ([BASE, {**DOUBLE_TOYS, "when": "100 / line.quantity > 3"}], ("toys", "when", 5, "may divide")),
        ([BASE, {**DOUBLE_TOYS, "when": "100 / 0 > 3"}], ("toys", "when", 5, "may divide")),
        ([BASE, {**DOUBLE_TOYS, "when": "1 > 2"}], ("toys", "when", None, "can never fire")),
        ([BASE, {**DOUBLE_TOYS, "when": "member.tier in ['gold', 'ruby']"}], ("toys", "when", 25, "no tier 'ruby'")),
        ([BASE, {**DOUBLE_TOYS, "from": JULY, "until": JUNE}], ("toys", "until", None, "ends before it begins")),
        ([BASE, {**BIG_BASKET, "when": "line.amount > 3"}], ("big", "when", None, "cannot speak of a line")),
        ([{**BASE, "until": JULY}], ("base", "until", None, "gap in time")),
        (
            [{**BASE, "until": JUNE}, {**BASE, "id": "later", "from": JULY}],
            ("later", "from", None, "gap in time after 'base'"),
        ),
        (
            [BASE, {**DOUBLE_TOYS, "group": "g"}, {**DOUBLE_TOYS, "id": "x", "group": "g"}],
            ("x", "priority", None, "same priority"),
        ),
        (
            [BASE, {**DOUBLE_TOYS, "group": "g"}, {**BIG_BASKET, "group": "g", "priority": 2}],
            ("big", "group", None, "one kind"),
        ),
        (
            [
                BASE,
                {**DOUBLE_TOYS, "group": "g"},
                {**DOUBLE_TOYS, "id": "x", "group": "g", "priority": 1, "when": "true"},
            ],
            ("toys", "priority", None, "'x' of its group always goes first"),
        ),
        (
            [BASE, {**DOUBLE_TOYS, "when": "order.skus.exists(s, s == line.sku)"}],
            ("toys", "when", None, "10000 are allowed"),
        ),
        ([BASE, {**DOUBLE_TOYS, "percent": 100}], ("toys", "percent", None, "changes nothing")),
    ],
)
async def test_what_is_wrong_with_rules_is_said_with_its_place(
    shop: Shop, marketing: Client, rules: list[dict[str, Any]], fault: tuple[str, str, int | None, str]
) -> None:
    problem = refused(await marketing.post("/v1/earning-rules", {"rules": rules}), 422, "rules_unsound")
    rule, field, position, words = fault
    found = [one for one in problem["faults"] if (one["rule"], one["field"]) == (rule, field)]
    assert any(words in one["problem"] and one.get("position") == position for one in found), problem["faults"]
    assert accepted(await marketing.get("/v1/earning-rules"))["items"] == []


async def test_what_depends_on_time_is_refused_at_publishing(marketing: Client) -> None:
    over = await drafts(marketing, BASE, {**DOUBLE_TOYS, "until": JUNE})
    late = await drafts(marketing, {**BASE, "from": JULY})
    for draft, words in ((over, "its time is over"), (late, "before it begins")):
        answer = await marketing.post(f"/v1/earning-rules/{draft['id']}/publish", {"effective_from": JUNE})
        assert words in refused(answer, 422, "rules_unsound")["detail"]
    version = await publishes(marketing, BASE, since=JULY)
    again = await marketing.post(f"/v1/earning-rules/{version['id']}/publish", {"effective_from": JULY})
    refused(again, 409, "rules_published")
    draft = await drafts(marketing, BASE)
    answer = await marketing.post(f"/v1/earning-rules/{draft['id']}/publish", {"effective_from": JULY})
    assert refused(answer, 422, "rules_too_soon")["earliest"] == "2026-06-30T16:00:00.000001Z"
    answer = await marketing.post(f"/v1/earning-rules/erl_{'0' * 32}/publish", {"effective_from": JULY})
    refused(answer, 404, "rules_not_found")


async def test_a_live_programme_is_told_some_minutes_ahead(a_shop: ShopFactory) -> None:
    shop = await a_shop()
    marketing = shop.client("marketing")
    draft = await drafts(marketing, BASE)
    path = f"/v1/earning-rules/{draft['id']}/publish"
    now = datetime.now(UTC)
    soon = {"effective_from": (now + NOTICE - timedelta(seconds=5)).isoformat()}
    problem = refused(await marketing.post(path, soon), 422, "rules_too_soon")
    assert now + NOTICE <= datetime.fromisoformat(problem["earliest"]) <= now + NOTICE + timedelta(seconds=90)
    accepted(await marketing.post(path, {"effective_from": (now + timedelta(hours=1)).isoformat()}))


async def test_what_was_published_for_later_leaves_room_before_it_and_can_be_replaced(a_shop: ShopFactory) -> None:
    shop = await a_shop()
    marketing = shop.client("marketing")
    now = datetime.now(UTC)
    far, near = ((now + timedelta(days=day)).isoformat() for day in (90, 10))
    wrong = await publishes(marketing, {**BASE, "points": 999}, since=far)
    meanwhile = await publishes(marketing, BASE, since=near)
    right = await publishes(marketing, {**BASE, "points": 9}, since=far)
    assert [one["version"] for one in (wrong, meanwhile, right)] == [1, 2, 3]
    assert meanwhile["effective_until"] == right["effective_from"]
    shown = {one["version"]: one for one in accepted(await marketing.get("/v1/earning-rules"))["items"]}
    assert shown[1]["effective_until"] == shown[1]["effective_from"], "it never holds"
    assert (shown[2]["effective_until"], shown[3]["effective_until"]) == (shown[1]["effective_from"], None)
    assert shown[2] == meanwhile


async def test_two_who_publish_at_the_same_moment_make_two_versions(shop: Shop, marketing: Client) -> None:
    first, second = await drafts(marketing, BASE), await drafts(marketing, BASE)
    answers = await asyncio.gather(
        *(
            marketing.post(f"/v1/earning-rules/{draft['id']}/publish", {"effective_from": since})
            for draft, since in ((first, JUNE), (second, JULY))
        )
    )
    versions = sorted(answer.json().get("version", 0) for answer in answers)
    assert versions in ([1, 2], [0, 1])  # the earlier one is refused where the later one came first


async def test_one_programme_never_sees_the_rules_of_another(
    shop: Shop, marketing: Client, a_shop: ShopFactory
) -> None:
    version = await publishes(marketing, BASE)
    stranger = (await a_shop(fixed_now=NOON)).client("admin")
    refused(await stranger.get(f"/v1/earning-rules/{version['id']}"), 404, "rules_not_found")
    path = f"/v1/earning-rules/{version['id']}/publish"
    refused(await stranger.post(path, {"effective_from": JULY}), 404, "rules_not_found")
    assert accepted(await stranger.get("/v1/earning-rules"))["items"] == []


@pytest.mark.parametrize("per", ["day", "month", "member"])
async def test_what_somebody_had_used_of_a_cap_is_used_whoever_they_are_merged_into(
    shop: Shop, marketing: Client, app: FastAPI, per: str
) -> None:
    cap = {"kind": "cap", "id": "c", "wallet": "points", "points": 150, "per": per}
    await publishes(marketing, BASE, cap)
    desk = shop.client("desk")
    one, other = await shop.enrols(), await shop.enrols()
    assert (await shop.sells(one, 10_000))["points"] == 100
    assert (await shop.sells(other, 2_000))["points"] == 20
    merge = accepted(await desk.post("/v1/merges", a_merge(one, into=other)))
    assert (await shop.sells(other, 10_000))["points"] == 30, "150 for one person"
    accepted(await desk.post(f"/v1/merges/{merge['merge']}/reverse", {"reason": "two after all"}))
    assert (await shop.sells(one, 10_000))["points"] == 50, "each has its own again"
    assert (await shop.sells(other, 30_000))["points"] == 100
    accepted(await desk.post("/v1/merges", a_merge(one, into=other)))
    assert (await shop.sells(other, 10_000))["points"] == 0
    assert (await verify(app.state.service.database, shop.programme)).findings == []
