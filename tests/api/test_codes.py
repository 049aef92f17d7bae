"""Member codes over HTTP: shown by the app, used once at a till, worthless to whoever guesses or comes late."""

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from loyalty.api import codes, writing
from loyalty.api.guesses import Guesses
from loyalty.domain.codes import STEP
from loyalty.domain.programme import SpendRequires
from loyalty.recompute.verify import verify
from tests.api.conftest import Client, Shop, ShopFactory, a_grant, a_hold, a_redemption, accepted, an_order, refused


class Clock:
    """The wall clock of whoever shows and checks codes."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(second=1, microsecond=0)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(codes, "wall_clock", found)
    monkeypatch.setattr(writing, "wall_clock", found)
    return found


@pytest.fixture(autouse=True)
def no_guesses(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.state.service, "guesses", Guesses())


@pytest.fixture
def phone(shop: Shop) -> Client:
    return shop.client("app")


async def shows(client: Client, member: dict[str, Any]) -> str:
    found: str = accepted(await client.get(f"/v1/members/{member['id']}/code"))["code"]
    return found


async def test_a_till_names_the_member_by_what_the_app_shows(shop: Shop, phone: Client) -> None:
    member = await shop.enrols()
    answer = await phone.get(f"/v1/members/{member['id']}/code")
    shown = accepted(answer)
    assert re.fullmatch(member["number"] + "[0-9]{8}", shown["code"])
    assert answer.headers["cache-control"] == "no-store"
    sold = accepted(await shop.till.post("/v1/accruals", an_order({"code": shown["code"]})))
    assert sold["entry"]["member"] == member["id"]


async def test_a_code_is_used_once_whatever_comes_at_the_same_moment(shop: Shop, phone: Client, clock: Clock) -> None:
    member = await shop.enrols()
    await shop.gives(member, 1_000)
    name = {"code": await shows(phone, member)}
    answers = await asyncio.gather(*(shop.till.post("/v1/redemptions", a_redemption(name, 10)) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
    for answer in answers:
        if answer.status_code == 409:
            refused(answer, 409, "code_used")
    assert await shop.figures(member) == (0, 990)
    refused(await shop.till.post("/v1/accruals", a_grant(name)), 409, "code_used")
    clock.now += STEP
    fresh = {"code": await shows(phone, member)}
    assert fresh != name
    accepted(await shop.till.post("/v1/redemptions", a_redemption(fresh, 10)))
    refused(await shop.till.post("/v1/redemptions", a_redemption(name, 10)), 409, "code_used")


async def test_a_retry_is_answered_long_after_its_code_is_over(shop: Shop, phone: Client, clock: Clock) -> None:
    member = await shop.enrols()
    await shop.gives(member, 1_000)
    body = a_redemption({"code": await shows(phone, member)}, 10)
    first = await shop.till.post("/v1/redemptions", body, key="till-7")
    for later in (timedelta(0), timedelta(minutes=10)):
        clock.now += later
        again = await shop.till.post("/v1/redemptions", body, key="till-7")
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true"
    assert await shop.figures(member) == (0, 990)


async def test_retries_are_no_guesses_and_are_answered_after_too_many(shop: Shop, phone: Client, clock: Clock) -> None:
    member = await shop.enrols()
    body = a_grant({"code": await shows(phone, member)})
    first = accepted(await shop.till.post("/v1/accruals", body, key="till-8"))
    clock.now += timedelta(minutes=10)
    for _ in range(7):
        assert accepted(await shop.till.post("/v1/accruals", body, key="till-8")) == first
    wrong = [await shop.till.post("/v1/accruals", a_grant({"code": f"{member['number']}{n:08}"})) for n in range(6)]
    assert wrong[-1].status_code == 429
    assert accepted(await shop.till.post("/v1/accruals", body, key="till-8")) == first


async def test_a_code_is_good_for_a_moment(shop: Shop, phone: Client, clock: Clock) -> None:
    member = await shop.enrols()
    name = {"code": await shows(phone, member)}
    clock.now += 2 * STEP
    problem = refused(await shop.till.post("/v1/accruals", a_grant(name), key="k"), 422, "code_not_valid")
    assert name["code"] not in str(problem)
    clock.now -= STEP
    accepted(await shop.till.post("/v1/accruals", a_grant(name), key="k"))  # the refusal was not kept under the key


async def test_a_refused_command_and_a_dry_run_leave_the_code_as_it_was(shop: Shop, phone: Client) -> None:
    member = await shop.enrols()
    await shop.gives(member, 100)
    name = {"code": await shows(phone, member)}
    refused(await shop.till.post("/v1/redemptions", a_redemption(name, 500)), 409, "insufficient_points")
    accepted(await shop.till.post("/v1/redemptions", a_redemption(name, 50), key=None, dry_run="true"))
    assert accepted(await shop.till.post("/v1/members/resolve", {"member": name}, key=None))["id"] == member["id"]
    accepted(await shop.till.post("/v1/redemptions", a_redemption(name, 50)))


async def test_guesses_that_come_all_at_once_are_not_more(shop: Shop, phone: Client) -> None:
    member, desk = await shop.enrols(), shop.client("desk")

    async def at_once(client: Client, codes_: list[str]) -> Counter[str]:
        bodies = [{"member": {"code": code}} for code in codes_]
        said = await asyncio.gather(*(client.post("/v1/members/resolve", body, key=None) for body in bodies))
        return Counter(one.json().get("code", "found") for one in said)

    wrong = await at_once(shop.till, [f"{member['number']}{guess:08}" for guess in range(60)])
    assert wrong == {"code_not_valid": 5, "too_many_guesses": 55}
    wrong = await at_once(shop.till, [f"7{card:015}{0:08}" for card in range(60)])
    assert wrong == {"code_not_valid": 15, "too_many_guesses": 45}
    good = await shows(phone, member)
    assert await at_once(desk, [f"{good[:-8]}{guess:08}" for guess in range(4)]) == {"code_not_valid": 4}
    assert await at_once(desk, [good] * 9) == {"found": 9}, "one after the other"


async def test_whoever_guesses_is_slowed_and_nobody_else(shop: Shop, phone: Client, clock: Clock) -> None:
    member, other = await shop.enrols(), await shop.enrols()
    good = await shows(phone, member)

    async def guesses(number: str, count: int) -> list[str]:
        wrong = [{"code": f"{number}{guess:08}"} for guess in range(count)]
        answers = [await shop.till.post("/v1/accruals", a_grant(name)) for name in wrong if name["code"] != good]
        return [answer.json()["code"] for answer in answers]

    assert await guesses(member["number"], 6) == [*["code_not_valid"] * 5, "too_many_guesses"]
    late = await shop.till.post("/v1/accruals", a_grant({"code": good}))
    refused(late, 429, "too_many_guesses")
    assert late.headers["retry-after"] == "60"
    accepted(await shop.till.post("/v1/accruals", a_grant({"code": await shows(phone, other)})))
    accepted(await shop.client("admin").post("/v1/accruals", a_grant({"code": good})))
    unknown = [(await guesses(f"7{card:015}", 1))[0] for card in range(16)]
    assert unknown == [*["code_not_valid"] * 15, "too_many_guesses"]  # twenty of this client, whatever the card


async def test_a_programme_may_ask_tills_for_the_code(a_shop: ShopFactory) -> None:
    shop = await a_shop(spend_requires=SpendRequires.MEMBER_CODE, forced_sources=frozenset({"offline"}))
    phone, member = shop.client("app"), await shop.enrols()
    await shop.gives(member, 1_000)  # knowing a card is enough to earn
    for path, body in (("redemptions", a_redemption(member, 10)), ("holds", a_hold(member, 10))):
        refused(await shop.till.post(f"/v1/{path}", body), 422, "member_code_required")
    accepted(await shop.till.post("/v1/redemptions", a_redemption({"code": await shows(phone, member)}, 10)))
    accepted(await phone.post("/v1/redemptions", a_redemption(member, 10)))  # the member's own app
    forced = a_redemption(member, 10, source="offline", forced=True)
    accepted(await shop.till.post("/v1/redemptions", forced))


async def test_only_the_app_sees_codes_and_none_of_whoever_has_left(shop: Shop, phone: Client) -> None:
    member = await shop.enrols()
    for role in sorted(set(shop.keys) - {"app"}):
        for path in ("code", "code/image"):
            refused(await shop.client(role).get(f"/v1/members/{member['id']}/{path}"), 403, "forbidden")
    accepted(await shop.client("desk").post(f"/v1/members/{member['id']}/close", {}))
    refused(await phone.get(f"/v1/members/{member['id']}/code"), 409, "member_closed")


async def test_a_code_of_another_programme_is_no_code(shop: Shop, phone: Client, a_shop: ShopFactory) -> None:
    member = await shop.enrols()
    other = await a_shop()
    name = {"code": await shows(phone, member)}
    refused(await other.till.post("/v1/accruals", a_grant(name)), 422, "code_not_valid")
    await other.enrols()
    assert accepted(await shop.till.post("/v1/accruals", a_grant(name)))


@pytest.mark.parametrize("shape", ["qr", "barcode"])
async def test_a_code_is_drawn(shop: Shop, phone: Client, shape: str) -> None:
    member = await shop.enrols()
    drawn = await phone.get(f"/v1/members/{member['id']}/code/image", shape=shape)
    assert drawn.status_code == 200
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert b"<svg" in drawn.content
    assert member["number"].encode() not in drawn.content
    wrong = await phone.get(f"/v1/members/{member['id']}/code/image", shape="sound")
    refused(wrong, 422, "invalid_request")


async def test_a_bulk_call_takes_no_codes(shop: Shop, phone: Client) -> None:
    member = await shop.enrols()
    items = [a_grant({"code": await shows(phone, member)})]
    refused(await shop.till.post("/v1/accruals/bulk", {"items": items}), 422, "invalid_request")


async def test_a_code_that_is_set_back_is_no_loss_of_the_ledger(shop: Shop, phone: Client, app: FastAPI) -> None:
    member = await shop.enrols()
    accepted(await shop.till.post("/v1/accruals", a_grant({"code": await shows(phone, member)})))
    report = await verify(app.state.service.database, shop.programme)
    assert report.findings == []
