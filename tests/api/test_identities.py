"""Identities over HTTP: bound, listed, found and unbound; each is one member's, whoever asks at the same moment."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service, new_fact
from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Answer, Submission
from loyalty.operations.identify import Bind, Unbind
from loyalty.operations.retry import commit
from loyalty.worker.parked import cure_parked
from tests.api.conftest import Client, Shop, a_grant, accepted, an_order, contents, refused
from tests.api.test_parked import parks
from tests.makers import rendered

OPENID = {"channel": "wechat", "type": "openid", "value": "oX1"}
OUID = {"channel": "tmall", "type": "ouid", "value": "t-1"}
PHONE = "+8613800138000"


@pytest.fixture
def app_of(shop: Shop) -> Client:
    return shop.client("app")


def path(member: dict[str, Any]) -> str:
    return f"/v1/members/{member['id']}/identities"


async def binds(client: Client, member: dict[str, Any], identity: dict[str, Any] = OPENID) -> dict[str, Any]:
    return accepted(await client.post(path(member), {"identity": identity}))


async def unbinds(client: Client, member: dict[str, Any], bound: dict[str, Any], key: str = "k") -> Any:
    headers = {"Idempotency-Key": key}
    return await client.send("DELETE", f"{path(member)}/{bound['id']}", headers=headers)


async def listed(client: Client, member: dict[str, Any]) -> list[tuple[str, str]]:
    answer = accepted(await client.get(path(member)))
    assert answer["next_cursor"] is None
    return [(one["channel"], one["type"]) for one in answer["items"]]


async def resolves(client: Client, name: dict[str, Any]) -> Any:
    return await client.post("/v1/members/resolve", {"member": name}, key=None)


async def test_a_member_is_found_by_all_that_is_bound_to_it(shop: Shop, app_of: Client) -> None:
    member = await shop.enrols(phone=PHONE)
    await shop.gives(member, 50)
    bound = await binds(app_of, member)
    assert bound["balances"]["points"] == {"pending": 0, "available": 50, "held": 0, "owed": 0}
    assert bound["id"].startswith("idn_")
    assert (bound["channel"], bound["type"], bound["entry"], bound["entries"]) == ("wechat", "openid", None, [])
    assert "oX1" not in str(bound), "what is personal is not repeated"
    assert await listed(app_of, member) == [("phone", "phone"), ("programme", "number"), ("wechat", "openid")]
    for name in ({"identity": OPENID}, {"phone": PHONE}, {"number": member["number"]}, {"id": member["id"]}):
        found = accepted(await resolves(shop.till, name))
        assert (found["id"], found["tier"]) == (member["id"], "member")
    await shop.sells({"identity": OPENID}, 100_00)
    assert await shop.figures(member) == (100, 50)


async def test_nobody_is_found_by_what_nobody_is_known_by(shop: Shop) -> None:
    for name in ({"identity": OPENID}, {"phone": PHONE}, {"number": "123456"}, {"id": f"mem_{'0' * 32}"}):
        refused(await resolves(shop.till, name), 404, "member_not_found")
    refused(await resolves(shop.till, {}), 422, "invalid_request")


async def test_what_waited_for_it_is_done_once_it_is_bound(shop: Shop, app_of: Client, service: Service) -> None:
    member = await shop.enrols()
    await parks(shop, an_order({"identity": OUID}, 100_00))
    await binds(app_of, member, OUID)
    assert await cure_parked(service.database, service.lanes, shop.programme) == 1
    assert await shop.figures(member) == (100, 0)


async def test_leaving_a_channel_closes_nothing_and_frees_the_identity(shop: Shop, app_of: Client) -> None:
    anna, ben = await shop.enrols(identities=[OPENID]), await shop.enrols()
    await shop.gives({"identity": OPENID}, 100)
    taken = refused(await app_of.post(path(ben), {"identity": OPENID}, key="mine"), 409, "identity_taken")
    assert taken["identity_type"] == "openid"
    [bound] = [one for one in accepted(await app_of.get(path(anna)))["items"] if one["channel"] == "wechat"]
    gone = await unbinds(app_of, anna, bound)
    assert (gone.status_code, gone.json()["id"]) == (200, bound["id"])
    again = await unbinds(app_of, anna, bound)
    assert (again.content, again.headers["idempotency-replayed"]) == (gone.content, "true")
    refused(await unbinds(app_of, anna, bound, key="another"), 404, "identity_not_found")
    assert await listed(app_of, anna) == [("programme", "number")]
    assert await shop.figures(anna) == (0, 100), "her points stay"
    refused(await resolves(shop.till, {"identity": OPENID}), 404, "member_not_found")
    assert (await shop.till.post("/v1/accruals", a_grant({"identity": OPENID}))).status_code == 202, "it waits"
    accepted(await app_of.post(path(ben), {"identity": OPENID}, key="mine"))
    assert accepted(await resolves(shop.till, {"identity": OPENID}))["id"] == ben["id"], "the same request, now it can"
    events = accepted(await app_of.get("/v1/events"))["items"]
    told = [(one["type"], one["member"]) for one in events if "identity" in one["type"]]
    assert told == [("member.identity_unbound", anna["id"]), ("member.identity_bound", ben["id"])]


async def test_a_card_number_stays_and_of_each_kind_there_is_one(shop: Shop, app_of: Client) -> None:
    member = await shop.enrols(identities=[OPENID])
    for one in accepted(await app_of.get(path(member)))["items"]:
        if one["channel"] == "programme":
            refused(await unbinds(app_of, member, one), 409, "card_number_stays")
    refused(await app_of.post(path(member), {"identity": {**OPENID, "value": "oX2"}}), 409, "identity_conflict")
    both = {"identities": [OUID, {**OUID, "value": "t-2"}]}
    refused(await shop.till.post("/v1/members", both), 409, "identity_conflict")


async def test_a_phone_is_bound_when_it_is_verified(shop: Shop, app_of: Client) -> None:
    member = await shop.enrols()
    refused(await app_of.post(path(member), {"phone": PHONE}), 409, "phone_not_verified")
    accepted(await app_of.post(path(member), {"phone": "+86 138 0013 8000", "phone_verified": True}))
    assert accepted(await resolves(shop.till, {"phone": PHONE}))["id"] == member["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"identity": OPENID, "phone": PHONE},
        {"identity": OPENID, "phone_verified": True},
        {"identity": {**OPENID, "channel": "phone"}},
        {"identity": {**OPENID, "value": ""}},
        {"phone": PHONE, "phone_verified": "yes"},
        {"identity": OPENID, "more": 1},
    ],
)
async def test_a_body_that_names_no_one_thing_is_refused(shop: Shop, app_of: Client, body: dict[str, Any]) -> None:
    member = await shop.enrols()
    refused(await app_of.post(path(member), body), 422, "invalid_request")


@pytest.mark.parametrize("id_", ["idn_0", f"idn_{'0' * 32}", "mem_1", "%20"])
async def test_what_is_no_identity_of_the_member_is_not_found(shop: Shop, app_of: Client, id_: str) -> None:
    member = await shop.enrols()
    refused(await unbinds(app_of, member, {"id": id_}), 404, "identity_not_found")


async def test_of_many_who_bind_it_at_once_one_has_it(shop: Shop, app_of: Client) -> None:
    """New, and once more when it has been unbound: then the claim is on the row that is there."""
    members = [await shop.enrols() for _ in range(6)]
    for _ in range(3):
        answers = await asyncio.gather(*(app_of.post(path(one), {"identity": OPENID}) for one in members))
        assert sorted(answer.status_code for answer in answers) == [201, *[409] * 5]
        [(winner, bound)] = [(one, x.json()) for one, x in zip(members, answers, strict=True) if x.status_code == 201]
        assert accepted(await resolves(shop.till, {"identity": OPENID}))["id"] == winner["id"]
        assert (await unbinds(app_of, winner, bound, key=bound["bound_at"])).status_code == 200


async def test_batches_beside_each_other_never_give_it_to_two(shop: Shop, service: Service) -> None:
    """Each locks its own member: the row says whose it was, and who comes later begins again."""
    both = [MemberId((await shop.enrols())["id"].removeprefix("mem_")) for _ in range(2)]
    identity = Identity("wechat", "openid", b"o-1")

    async def happens(command: Command) -> int:
        now = datetime.now(UTC)
        ask = Submission(shop.programme, command, Moment(new_fact(), now, now), rendered)
        [answer] = await commit(service.database, [ask])
        assert isinstance(answer, Answer)
        return answer.status

    for _ in range(8):
        said = await asyncio.gather(*(happens(Bind(one, identity)) for one in both))
        assert sorted(said) == [201, 409]
        assert await happens(Unbind(both[said.index(201)], identity)) == 201


async def test_a_dry_run_binds_and_unbinds_nothing(shop: Shop, app_of: Client, owner: AsyncEngine) -> None:
    member = await shop.enrols()
    bound = await binds(app_of, member)
    before = await contents(owner, shop)
    accepted(await app_of.post(path(member), {"identity": OUID}, key=None, dry_run="true"))
    answer = await app_of.send("DELETE", f"{path(member)}/{bound['id']}", params={"dry_run": "true"})
    assert answer.status_code == 200
    refused(
        await app_of.send("DELETE", f"{path(member)}/{bound['id']}", params={"dry": "true"}), 422, "invalid_request"
    )
    refused(await app_of.send("DELETE", f"{path(member)}/{bound['id']}"), 400, "idempotency_key_missing")
    assert await contents(owner, shop) == before


async def test_a_verified_phone_is_one_member_on_every_channel(shop: Shop, app_of: Client, owner: AsyncEngine) -> None:
    first = accepted(await app_of.post("/v1/members", {"phone": PHONE, "phone_verified": True, "identities": [OPENID]}))
    assert first["is_new"] is True
    await shop.gives(first, 50)
    body = {"phone": "+86 13800138000", "phone_verified": True, "name": "Li Lei", "identities": [OUID]}
    answer = await app_of.post("/v1/members", {**body, "consents": [{"purpose": "news", "text_version": "1"}]}, key="k")
    assert (answer.status_code, answer.json()["is_new"], answer.json()["id"]) == (200, False, first["id"])
    assert answer.json()["number"] == first["number"], "the card number stays"
    assert answer.json()["balances"]["points"]["available"] == 50, "and so do the points"
    again = await app_of.post("/v1/members", {**body, "consents": [{"purpose": "news", "text_version": "1"}]}, key="k")
    assert (again.content, again.headers["idempotency-replayed"]) == (answer.content, "true")
    assert [channel for channel, _ in await listed(app_of, first)] == ["phone", "programme", "tmall", "wechat"]
    refused(await app_of.post("/v1/members", {**body, "phone_verified": False}), 409, "identity_taken")


async def test_nobody_is_handed_what_the_owner_of_a_phone_earns(shop: Shop, app_of: Client) -> None:
    """Somebody joins with another's phone, which they cannot prove, and waits for its owner."""
    stranger = accepted(await app_of.post("/v1/members", {"phone": PHONE, "identities": [OPENID]}))
    body = {"phone": PHONE, "phone_verified": True, "identities": [OUID]}
    owner_of_it = accepted(await app_of.post("/v1/members", body))
    assert owner_of_it["is_new"]
    assert owner_of_it["id"] != stranger["id"]
    await shop.gives({"phone": PHONE}, 500)
    assert (await shop.figures(stranger), await shop.figures(owner_of_it)) == ((0, 0), (0, 500))
    assert [channel for channel, _ in await listed(app_of, stranger)] == ["programme", "wechat"]


async def test_a_till_binds_nothing_to_whoever_has_the_phone(shop: Shop, app_of: Client) -> None:
    """It may say that a phone was verified; binding identities to a member takes a scope that it lacks."""
    member = accepted(await app_of.post("/v1/members", {"phone": PHONE, "phone_verified": True}))
    body = {"phone": PHONE, "phone_verified": True, "identities": [OPENID]}
    problem = refused(await shop.till.post("/v1/members", body), 403, "forbidden")
    assert problem["scope"] == "identities:write"
    assert accepted(await shop.till.post("/v1/members", {**body, "identities": []}))["id"] == member["id"]
    assert [channel for channel, _ in await listed(app_of, member)] == ["phone", "programme"]


async def test_who_joins_on_many_channels_at_the_same_moment_is_one_member(shop: Shop, app_of: Client) -> None:
    """Nobody is known by the phone when they are looked up; all but one then find who joined first."""
    channels = [{"channel": f"channel-{number}", "type": "id", "value": "x"} for number in range(8)]
    bodies = [{"phone": PHONE, "phone_verified": True, "identities": [one]} for one in channels]
    answers = await asyncio.gather(*(app_of.post("/v1/members", body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 7, 201]
    [member] = {answer.json()["id"] for answer in answers}
    assert len(await listed(app_of, {"id": member})) == 2 + len(channels)


async def test_a_dry_run_says_who_would_join(shop: Shop, app_of: Client, owner: AsyncEngine) -> None:
    body = {"phone": PHONE, "phone_verified": True}
    assert accepted(await app_of.post("/v1/members", body, key=None, dry_run="true"))["is_new"] is True
    member = accepted(await app_of.post("/v1/members", body))
    before = await contents(owner, shop)
    body["identities"] = [OPENID]
    would = accepted(await app_of.post("/v1/members", body, key=None, dry_run="true"))
    assert (would["is_new"], would["id"]) == (False, member["id"])
    assert await contents(owner, shop) == before


async def test_who_has_left_may_join_anew_and_has_nothing_of_before(shop: Shop, app_of: Client) -> None:
    left = accepted(await app_of.post("/v1/members", {"phone": PHONE, "identities": [OPENID]}))
    await shop.gives(left, 100)
    accepted(await shop.client("desk").post(f"/v1/members/{left['id']}/close", {}))
    body = {"phone": PHONE, "phone_verified": True, "identities": [OPENID]}
    joined = accepted(await app_of.post("/v1/members", body))
    assert joined["is_new"]
    assert joined["id"] != left["id"]
    assert await shop.figures(joined) == (0, 0)
