"""Once around the house: everything the service reads and writes, through its own doors, in this process.

For `plans.py`, which looks at what Postgres does meanwhile. A statement that the tour does not come by is named there:
add the request, the round of the worker or the read that brings it.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2

from bench.ground import TOP_TIER
from bench.rules import publish_at_once
from loyalty.api.app import create_app
from loyalty.api.service import Service
from loyalty.channels import tmall
from loyalty.channels.messages import Received
from loyalty.channels.reading import CHINA
from loyalty.config import Settings
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.claims import ReferenceKey
from loyalty.domain.codes import step_of
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.rules import Base, Bonus, Cap, CapPer
from loyalty.domain.what_ifs import WhatIfStatus
from loyalty.store import claims, readiness, rules, verify, what_ifs
from loyalty.store.cleaning import Cleaner
from loyalty.store.strays import strays
from loyalty.worker.cleaning import BATCH
from loyalty.worker.worker import one_round

ROUNDS: Final = 7
"""More than the five runs after which Postgres may prefer a plan that does not look at the values."""
PAGE: Final = 200
A_FULL_BULK: Final = 250
SOON: Final = 1.2


async def go_round(
    settings: Settings, programme: Programme, tokens: Sequence[str], member_id: str, *, rounds: int = ROUNDS
) -> None:
    """Everything, so many times, on members that join for it and, reading only, on one who was there before.

    `tokens` are keys of two clients that may do everything: one asks, the other approves.
    """
    assert settings.cleaner_url is not None, "replays are deleted on the way"
    app = create_app(settings)
    service: Service = app.state.service
    await readiness.check_servable(service.database)
    async with app.router.lifespan_context(app), _clients(app, tokens) as (till, second):
        known = "member.first_purchase || member.birthday || 'staff' in member.tags"
        welcome = Bonus("welcome", "points", 5, when=known)
        cap = Cap("most", "points", MAX_POINTS, CapPer.MEMBER)
        await publish_at_once(service.database, programme, Base("base", "points", 1, 100), welcome, cap)
        for _ in range(rounds):
            joined = await _write(service, programme, till, second)
            await one_round(settings.model_copy(update={"cleaner_url": None}), service.database, service.lanes)
            for one in (joined, f"mem_{member_id}"):
                await _read(till, one)
            await _publish(service, programme, till)
            await _verify(service, programme)
            await Cleaner(settings.cleaner_url).delete_replays(
                programme.id, before=datetime.now(UTC) - timedelta(days=settings.replay_days), at_most=BATCH
            )
        await asyncio.sleep(0.1)  # what Postgres told last is heard in the next turn of the loop


class _Client:
    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self._http = http
        self._token = token

    async def get(self, path: str, **params: Any) -> Any:
        return self._found(await self._http.get(path, params=params, headers=self._headers()))

    async def post(self, path: str, body: Any = None, *, method: str = "POST", **params: Any) -> Any:
        headers = {**self._headers(), "Idempotency-Key": secrets.token_hex(8)}
        return self._found(await self._http.request(method, path, json=body or {}, params=params, headers=headers))

    async def signed(self, path: str, body: Any, secret: str) -> None:
        """A message of Tmall's; some are to be sent again."""
        content = json.dumps(body).encode()
        query = {"timestamp": f"{datetime.now(CHINA):%Y-%m-%d %H:%M:%S}"}
        received = Received("", query, {}, content)
        query = {**query, "sign": tmall.sign(received, secret)}
        answer = await self._http.post(path, params=query, content=content)
        assert answer.status_code in (200, 503), answer.text

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _found(self, answer: httpx2.Response) -> Any:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.text}"
        return answer.json()


@asynccontextmanager
async def _clients(app: Any, tokens: Sequence[str]) -> AsyncIterator[list[_Client]]:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://loyalty.test", timeout=120) as http:
        yield [_Client(http, token) for token in tokens]


def _origin() -> dict[str, str]:
    return {"source": "tour", "reference": f"R-{secrets.token_hex(8)}"}


def _order(member: dict[str, str], amount: int) -> dict[str, Any]:
    lines = [{"line_id": "1", "sku": "LEGO-1", "quantity": 1, "amount": amount}]
    return {"member": member, "currency": "CNY", "lines": lines, **_origin()}


def _grant(member: str, points: int) -> dict[str, Any]:
    return {"member": {"id": member}, "points": points, "reason": "tour", **_origin()}


def _points(member: str, points: int, **more: Any) -> dict[str, Any]:
    return {"member": {"id": member}, "points": points, **_origin(), **more}


async def _write(service: Service, programme: Programme, till: _Client, second: _Client) -> str:
    """Every verb; the member that did it all."""
    member, other = [(await _enrol(till)) for _ in range(2)]
    await _come_too_early(till)
    await _by_channels(service, till)
    await _change_hands(till, member, other)
    await _redeem_by_force(till, second, other)
    now = step_of(datetime.now(UTC))
    for step in (now, now + 1):
        await _take_a_code(till, service, programme, member, step)
    await till.post("/v1/accruals/bulk", {"items": [_grant(member, 5) for _ in range(A_FULL_BULK)]})
    await till.post("/v1/accruals", _order({"number": await _number(till, member)}, TOP_TIER))
    await till.post("/v1/accruals", _grant(member, 100), dry_run="true")
    await till.post("/v1/accruals", {**_grant(member, 5), "wallet": "stars"})
    for tier in ("silver", "gold"):
        await till.post(f"/v1/members/{member}/tier-grants", {"tier": tier, "reason": "tour", "approved_by": "tour"})
    early = _order({"id": member}, 20_000)
    back = {"accrual": {"source": early["source"], "reference": early["reference"]}, "full": True, **_origin()}
    await till.post("/v1/returns", back)
    await till.post("/v1/accruals", early)
    sale = await till.post("/v1/accruals", _order({"id": member}, 20_000))
    await till.post("/v1/returns", {"accrual": {"entry": sale["entry"]["id"]}, "full": True, **_origin()})
    await _return_in_two_steps(till, member)
    sale = await till.post("/v1/accruals", _order({"id": member}, 20_000))
    moved = {"accrual": {"entry": sale["entry"]["id"]}, "to": {"id": other}, "reason": "tour", **_origin()}
    await till.post("/v1/reassignments", moved)
    spent = await till.post("/v1/redemptions", _points(member, 60, as_discount={"currency": "CNY"}))
    for _ in range(2):
        await till.post(f"/v1/redemptions/{spent['redemption']['id']}/refund", {"points": 10, **_origin()})
    for end in ("capture", "release"):
        hold = await till.post("/v1/holds", _points(member, 20, expires_in=600))
        await till.post(f"/v1/holds/{hold['hold']['id']}/{end}")
    await till.post("/v1/holds", _points(member, 20, expires_in=1))
    await till.post("/v1/transfers", {"from": {"id": member}, "to": {"id": other}, "points": 10, **_origin()})
    asked = await till.post("/v1/adjustments", _points(member, 5_000, reason="tour"))
    await second.post(f"/v1/adjustments/{asked['adjustment']}/approve")
    await _merge(till, member)
    await till.post(f"/v1/members/{other}/tags", {"tags": ["staff"], "reason": "tour"}, method="PUT")
    await till.post(f"/v1/members/{other}", {"status": "frozen"}, method="PATCH")
    await till.post(f"/v1/members/{other}/close")
    await asyncio.sleep(SOON)  # until the hold has ended by itself: there is something to settle
    return member


async def _come_too_early(till: _Client) -> None:
    """An accrual for an identity that nobody has; then somebody joins with it, and the worker cures it."""
    identity = {"channel": "wechat", "type": "openid", "value": secrets.token_hex(8)}
    early = await till.post("/v1/accruals", {**_grant("", 5), "member": {"identity": identity}})
    await till.get(f"/v1/parked/{early['parked']}")
    await till.get("/v1/parked", limit=PAGE)
    await _enrol(till, identities=[identity])


async def _merge(till: _Client, survivor: str) -> None:
    """Somebody has joined twice, or so it seemed; what was bought meanwhile comes back."""
    twice = (await till.post("/v1/members"))["id"]
    sale = await till.post("/v1/accruals", _order({"id": twice}, 20_000))
    both = {"survivor": {"id": survivor}, "absorbed": {"id": twice}}
    merge = (await till.post("/v1/merges", {**both, "reason": "tour"}))["merge"]
    await till.post("/v1/returns", {"accrual": {"entry": sale["entry"]["id"]}, "full": True, **_origin()})
    await till.post(f"/v1/merges/{merge}/reverse", {"reason": "tour"})


async def _by_channels(service: Service, till: _Client) -> None:
    """A platform is connected, tells of somebody, and shows something else than they have."""
    name = f"tour-{secrets.token_hex(8)}"
    connected = await till.post("/v1/channels", {"name": name, "adapter": "tmall", "secret": "what it signs with"})
    await till.post(f"/v1/channels/{name}", {"points_per_unit": 2}, method="PATCH")
    await till.get("/v1/channels", limit=PAGE)
    await till.get(f"/v1/channels/{name}")
    service.inbound.connections.forget()
    for message, body in (
        ("points", {"record_id": 1, "ouid": "t-1", "point": 50, "type": 0}),
        ("register", {"ouid": "t-2"}),
        ("points", {"record_id": 2, "ouid": "t-2", "point": 50, "type": 0}),
        ("points", {"record_id": 3, "ouid": "t-2", "point": 9, "type": 1}),
        ("points", {"record_id": 4, "ouid": "nobody", "point": 9, "type": 1}),
    ):
        await till.signed(f"{connected['path']}{message}", body, "what it signs with")
    for points in (7, 8, 20):
        copy = {"identity": {"type": "ouid", "value": "t-2"}, "as_of": datetime.now(UTC).isoformat(), "points": points}
        said = await till.post(f"/v1/channels/{name}/drift", {"copies": [copy]})
        if (difference := said["results"][0]["body"]["difference"]) is not None:
            await till.get(f"/v1/drift/{difference}")
        await till.get(f"/v1/channels/{name}/drift", limit=PAGE)


async def _change_hands(till: _Client, *members: str) -> None:
    """An identity is one member's, and then the other's."""
    identity = {"channel": "wechat", "type": "openid", "value": secrets.token_hex(8)}
    for member in members:
        bound = await till.post(f"/v1/members/{member}/identities", {"identity": identity})
        await till.post("/v1/members/resolve", {"member": {"identity": identity}})
        await till.get(f"/v1/members/{member}/identities")
        await till.post(f"/v1/members/{member}/identities/{bound['id']}", method="DELETE")


async def _take_a_code(till: _Client, service: Service, programme: Programme, member: str, step: int) -> None:
    """The till scans what the app shows."""
    one_time = service.sealer.one_time(programme.id, MemberId(member.removeprefix("mem_")), step)
    code = await _number(till, member) + one_time
    await till.post("/v1/accruals", {**_grant("", 5), "member": {"code": code}})


async def _redeem_by_force(till: _Client, second: _Client, member: str) -> None:
    """More than the member has: somebody has to look at it."""
    await till.post("/v1/redemptions", _points(member, 5, forced=True))
    [review, *_] = (await till.get("/v1/reviews", limit=PAGE))["items"]
    await till.get(f"/v1/reviews/{review['review']}")
    await second.post(f"/v1/reviews/{review['review']}/resolve", {"reason": "tour"})


async def _publish(service: Service, programme: Programme, till: _Client) -> None:
    """Rules that will never be in force while the tour lasts."""
    listed = await till.get("/v1/earning-rules", limit=PAGE)
    since = datetime.now(UTC) + timedelta(days=len(listed["items"]))
    base = {"kind": "base", "id": "base", "wallet": "points", "points": 1, "per": 100}
    draft = await till.post("/v1/earning-rules", {"rules": [base]})
    await till.post(f"/v1/earning-rules/{draft['id']}/publish", {"effective_from": since.isoformat()})
    await till.get(f"/v1/earning-rules/{draft['id']}")
    asked = await till.post(f"/v1/earning-rules/{draft['id']}/what-if", {"from": "2026-01-01", "to": "2026-01-02"})
    await till.get(f"/v1/what-ifs/{asked['id']}")
    await _take_what_is_asked(service, programme)


async def _take_what_is_asked(service: Service, programme: Programme) -> None:
    """What a worker reads and keeps of a what-if, its first page."""
    now = datetime.now(UTC)
    async with service.database.transaction(programme.id) as connection:
        found = await what_ifs.claim(connection, programme.id, moment=now, until=now)
        assert found is not None, "it was asked just before"
        done = found._replace(status=WhatIfStatus.DONE.value)
        assert await what_ifs.tell(connection, programme.id, done, claimed=found.claimed_until)
    async with service.database.snapshot(programme.id) as connection:
        async for _ in verify.entries_of_kinds(connection, programme.id, secrets.choice(verify.EVERY_BUCKET), ["earn"]):
            break


async def _return_in_two_steps(till: _Client, member: str) -> None:
    for end in ("confirm", "cancel"):
        sale = await till.post("/v1/accruals", _order({"id": member}, 20_000))
        wanted = {"accrual": {"entry": sale["entry"]["id"]}, "full": True, "expires_in": 600, **_origin()}
        reserved = (await till.post("/v1/returns/reserve", wanted))["reservation"]["id"]
        await till.get(f"/v1/returns/{reserved}")
        await till.post(f"/v1/returns/{reserved}/{end}")


async def _enrol(till: _Client, **more: Any) -> str:
    phone = f"+86138{secrets.randbelow(10**8):08}"
    consents = [{"purpose": "membership", "text_version": "2026-01"}]
    body = {"phone": phone, "name": "Li Lei", "birthday": "1990-05-01", "consents": consents, **more}
    found: str = (await till.post("/v1/members", body))["id"]
    return found


async def _number(till: _Client, member: str) -> str:
    found: str = (await till.get(f"/v1/members/{member}"))["number"]
    return found


async def _read(till: _Client, member: str) -> None:
    """Every list and figure of a member, and those of the programme."""
    now = datetime.now(UTC)
    before = (now - timedelta(seconds=1)).isoformat()
    path = f"/v1/members/{member}"
    await till.get(path)
    await till.get(f"{path}/balance")
    await till.get(f"{path}/balance", as_of=before, known_at=before)
    await till.get("/v1/tiers")
    await till.get(f"{path}/tier")
    await till.get(f"{path}/tier/history", limit=1)
    await till.get(f"{path}/tags", limit=PAGE)
    await till.get(f"{path}/lots", limit=PAGE)
    days = {"from": f"{now - timedelta(days=365):%Y-%m-%d}", "to": f"{now:%Y-%m-%d}"}
    await till.get(f"{path}/statement", limit=PAGE, **days)
    page = await till.get(f"{path}/entries", limit=PAGE)
    named = next(one for one in page["items"] if one["reference"])
    await till.get(f"/v1/entries/{named['id']}")
    await till.get(f"/v1/entries/{named['id']}/explanation")
    await till.post("/v1/accruals/preview", _order({"id": member}, 100))
    await till.get("/v1/entries", source=named["source"], reference=named["reference"], limit=PAGE)
    await till.get("/v1/events", limit=PAGE)
    await till.get("/v1/ledger/trial-balance")
    await till.get("/v1/analytics/tier-transitions", **days)


async def _verify(service: Service, programme: Programme) -> None:
    """What `loyalty verify` reads of a bucket, its first pages."""
    bucket = secrets.choice(verify.EVERY_BUCKET)
    async with service.database.snapshot(programme.id) as connection:
        await verify.take_time(connection)
        await rules.all_published(connection, programme.id)
        async for page in verify.entries(connection, programme.id, bucket):
            keys = [found for rows in page if (found := _reference(rows.entry)) is not None]
            await claims.find_references(connection, programme.id, keys)
            break
        async for _ in verify.members_of(connection, programme.id, bucket):
            break
        async for _ in verify.adjustments_of(connection, programme.id, bucket):
            break
        await strays(connection, programme, bucket)
        await verify.count_beside(connection, programme.id, bucket)


def _reference(entry: Any) -> ReferenceKey | None:
    """Under which an entry came, as far as looking it up is concerned."""
    source, reference = entry.because.source, entry.because.reference
    return None if source is None or reference is None else ReferenceKey(source, reference, "accrual", "")
