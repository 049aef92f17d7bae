"""Two years of anything, in random order and with every verb: nothing breaks, and every sum holds."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.rules import publish_at_once
from loyalty.api import holds, members, writing
from loyalty.api.service import Service
from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.domain.ladder import Down, Ladder, Pending, Period, Returns, Rung, Steps, Up, Window
from loyalty.domain.programme import Shortfall
from loyalty.domain.rules import Base, Bonus, Cap, CapPer, Multiplier, OnReturn, Rounding, Rule
from loyalty.recompute.verify import verify
from tests.api.conftest import (
    Shop,
    ShopFactory,
    a_grant,
    a_hold,
    a_merge,
    a_reassignment,
    a_redemption,
    a_refund,
    a_return,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    patched,
)
from tests.api.test_races import audit

MOMENTS = 120
MEMBERS = 3


class Days:
    """Asks for things in a shop, each a little later than the one before."""

    def __init__(self, shop: Shop, chance: random.Random, people: list[dict[str, Any]]) -> None:
        self.shop = shop
        self.chance = chance
        self.people = people
        self.admin, self.desk = shop.client("admin"), shop.client("desk")
        self.sales: list[dict[str, Any]] = []
        self.holds: list[str] = []
        self.redemptions: list[str] = []
        self.waiting: list[str] = []
        self.merges: list[str] = []
        self.seen: Counter[tuple[str, str]] = Counter()

    async def pass_(self, now: datetime) -> None:
        """One thing happens, or many at once, which then share a batch at the door."""
        many = self.chance.choice([1, 1, 6])
        verbs = [self.chance.choice(VERBS if many == 1 else VERBS_AT_ONCE) for _ in range(many)]
        await asyncio.gather(*(self._ask(verb, self.chance.choice(self.people[-MEMBERS:]), now) for verb in verbs))

    async def _ask(self, verb: "Verb", member: dict[str, Any], now: datetime) -> None:
        said = await verb(self, member, now)
        if said is None:
            return
        assert said.status_code < 500, said.text
        body = said.json()
        self.seen[verb.__name__, body["code"] if said.status_code >= 400 else "yes"] += 1
        for wallet in body.get("balances", {}).values():
            assert min(wallet.values()) >= 0
            assert not (wallet["owed"] and wallet["available"])

    async def sale(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        lines = [
            {**an_order(member)["lines"][0], "line_id": str(n), "quantity": 2, "amount": self.chance.randrange(20_000)}
            for n in range(self.chance.randrange(1, 4))
        ]
        when = now - timedelta(days=self.chance.choice([0, 0, 0, 3, 30]))
        said = await self.admin.post("/v1/accruals", an_order(member, lines=lines, occurred_at=when.isoformat()))
        if said.status_code == 201:
            self.sales.append({"entry": said.json()["entry"]["id"], "lines": lines})
        return said

    async def grant(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        return await self.admin.post("/v1/accruals", a_grant(member, self.chance.randrange(1, 80)))

    async def redeem(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        said = await self.admin.post("/v1/redemptions", a_redemption(member, self.chance.randrange(1, 150)))
        return self._redeemed(said)

    async def force(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        when = now - timedelta(days=self.chance.choice([0, 1, 9]))
        how = {"forced": True, "source": "pos-offline", "occurred_at": when.isoformat()}
        said = await self.admin.post("/v1/redemptions", a_redemption(member, self.chance.randrange(1, 150), **how))
        return self._redeemed(said)

    def _redeemed(self, said: httpx2.Response) -> httpx2.Response:
        if said.status_code == 201:
            self.redemptions.append(said.json()["redemption"]["id"])
        return said

    async def refund(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if not self.redemptions:
            return None
        points = {} if self.chance.random() < 0.3 else {"points": self.chance.randrange(1, 80)}
        path = f"/v1/redemptions/{self.chance.choice(self.redemptions[-12:])}/refund"
        return await self.admin.post(path, a_refund(**points))

    async def hold(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        lasting = self.chance.choice([600, 86_400, 29 * 86_400])
        said = await self.admin.post("/v1/holds", a_hold(member, self.chance.randrange(1, 100), expires_in=lasting))
        if said.status_code == 201:
            self.holds.append(said.json()["hold"]["id"])
        return said

    async def capture(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if not self.holds:
            return None
        points = {} if self.chance.random() < 0.3 else {"points": self.chance.randrange(1, 80)}
        said = await self.admin.post(f"/v1/holds/{self.chance.choice(self.holds[-3:])}/capture", points)
        if said.status_code == 201:
            self.redemptions.append(said.json()["redemption"])
        return said

    async def release(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if not self.holds:
            return None
        return await self.admin.post(f"/v1/holds/{self.chance.choice(self.holds[-3:])}/release", {})

    async def give_back(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if not self.sales:
            return None
        sale = self.chance.choice(self.sales[-12:])
        if self.chance.random() < 0.2:
            return await self.admin.post("/v1/returns", a_return({"entry": sale["entry"]}, full=True))
        line = self.chance.choice(sale["lines"])
        part = {"line_id": line["line_id"], "quantity": 1, "amount": line["amount"] // self.chance.choice([1, 2, 3])}
        return await self.admin.post("/v1/returns", a_return({"entry": sale["entry"]}, lines=[part]))

    async def move(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        """The sale was somebody else's; what comes back of it comes back from there."""
        if not self.sales:
            return None
        sale = self.chance.choice(self.sales[-12:])
        said = await self.admin.post("/v1/reassignments", a_reassignment({"entry": sale["entry"]}, member))
        if said.status_code == 201:
            sale["entry"] = said.json()["entries"][1]["id"]
        return said

    async def give_away(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        taker = self.chance.choice(self.people)
        return await self.admin.post("/v1/transfers", a_transfer(member, taker, self.chance.randrange(1, 60)))

    async def adjust(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        said = await self.desk.post("/v1/adjustments", an_adjustment(member, self.chance.choice([-150, -30, 30, 150])))
        if said.status_code == 202:
            self.waiting.append(said.json()["adjustment"])
        return said

    async def decide(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if not self.waiting:
            return None
        verb = self.chance.choice(["approve", "approve", "reject"])
        return await self.admin.post(f"/v1/adjustments/{self.chance.choice(self.waiting[-4:])}/{verb}", {})

    async def restrict(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        status = self.chance.choice(["active"] * 6 + ["earn_only", "frozen"])
        return await patched(self.desk, f"/v1/members/{member['id']}", {"status": status})

    async def appoint(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        """A tier is given by hand, or taken back."""
        why = {"reason": "a good customer", "approved_by": "desk-7"}
        path = f"/v1/members/{member['id']}/tier-grants"
        if self.chance.random() < 0.3:
            return await self.desk.post(f"{path}/end", why)
        days = self.chance.choice([None, 1, 40, 200])
        until = {} if days is None else {"until": (now + timedelta(days=days)).isoformat()}
        tier, locked = self.chance.choice(["member", "silver", "gold"]), self.chance.random() < 0.5
        return await self.desk.post(path, {**why, **until, "tier": tier, "locked": locked})

    async def merge(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        """Two of them are one person, or two again."""
        if self.chance.random() < 0.5:
            return None
        other = self.chance.choice(self.people[-MEMBERS:])
        if self.merges and self.chance.random() < 0.5:
            return await self.desk.post(f"/v1/merges/{self.merges.pop()}/reverse", {"reason": "two after all"})
        said = await self.desk.post("/v1/merges", a_merge(other, into=member))
        if said.status_code == 201:
            self.merges.append(said.json()["merge"])
        return said

    async def leave(self, member: dict[str, Any], now: datetime) -> httpx2.Response | None:
        if self.chance.random() < 0.8:
            return None
        said = await self.desk.post(f"/v1/members/{member['id']}/close", {})
        self.people.append(accepted(await self.admin.post("/v1/members", {})))
        return said

    async def look(self, member: dict[str, Any], now: datetime) -> httpx2.Response:
        """A balance as if settled is what the next write settles it to."""
        seen = await self.shop.balance(member)
        dry = await self.desk.post(f"/v1/members/{member['id']}/close", {}, key=None, dry_run="true")
        if dry.status_code == 201:
            held = dry.json()["forfeited"]["points"] - seen["pending"] - seen["available"]
            assert 0 <= held <= seen["held"], "what was held repays what is owed, or ends once it is free"
        return dry


Verb = Callable[[Days, dict[str, Any], datetime], Any]
VERBS_AT_ONCE: list[Verb] = [
    *(Days.sale, Days.sale, Days.grant, Days.grant, Days.redeem, Days.force, Days.refund, Days.refund),
    *(Days.hold, Days.hold, Days.capture, Days.release, Days.give_back, Days.give_back, Days.give_away),
    Days.move,
    *(Days.adjust, Days.decide, Days.restrict, Days.leave, Days.appoint, Days.merge),
]
VERBS = [*VERBS_AT_ONCE, Days.look]


BASE = Base("base", "points", 1, 90, Rounding.HALF_UP)
RULES: tuple[Rule, ...] = (
    BASE,
    Multiplier("weekend", "points", 200, "order.weekday > 5 && line.quantity > 0"),
    Bonus("big", "points", 30, "order.net_spend >= 20000"),
    Bonus("kept", "points", 20, on_return=OnReturn.PROPORTION),
    Bonus("welcome", "points", 50, "member.first_purchase"),
    Cap("daily", "points", 250, CapPer.DAY),
    Cap("monthly", "points", 900, CapPer.MONTH),
    Cap("ever", "points", 2_000, CapPer.MEMBER),
)


LASTING: tuple[Rule, ...] = (BASE._replace(pending=5 * 86_400, expiry=Expiry(Lifespan.YEAR_END)), *RULES[1:])
"""They give terms of their own."""


RUNGS = (Rung("member", 0), Rung("silver", 200, 120), Rung("gold", 700))
LADDERS = (
    Ladder((Rung("member", 0), Rung("silver", 300_00), Rung("gold", 900_00, 600_00))),
    Ladder(
        RUNGS,
        metric=(("points.points", 1),),
        window=Window(Period.ROLLING, 3),
        down=Down.ONE_STEP,
        grace_days=20,
        pending=Pending.MATURING,
    ),
    Ladder(
        RUNGS,
        metric=(("visits", 40), ("points.points", 1)),
        window=Window(Period.TIER_ANNIVERSARY),
        returns=Returns.DEMOTE,
    ),
    Ladder(
        RUNGS,
        metric=(("points.points", 1), ("net_spend", 1)),
        window=Window(Period.JOIN_ANNIVERSARY),
        returns=Returns.PROTECT,
        up_steps=Steps.ONE,
    ),
    Ladder(RUNGS, metric=(("points.points", 2),), window=Window(Period.CALENDAR_MONTH), up=Up.NEXT_PERIOD),
)


EXPIRIES = (Expiry(Lifespan.MONTHS, 2), Expiry(Lifespan.SLIDING, 1, RenewedBy.EARNING_AND_SPENDING))


@pytest.mark.parametrize(
    ("seed", "rules"), [*((seed, ()) for seed in range(4)), (4, RULES), (5, LASTING), (6, ()), (7, RULES)]
)
async def test_whatever_happens_over_two_years_every_sum_holds(
    a_shop: ShopFactory,
    app: FastAPI,
    owner: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    rules: tuple[Rule, ...],
) -> None:
    chance = random.Random(seed)
    plain = await a_shop()
    wallet = plain.programme.wallets["points"]._replace(pending=timedelta(days=2), expiry=EXPIRIES[seed // 6])
    shop = await a_shop(
        wallets={"points": wallet},
        adjustment_limit=100,
        return_shortfall=list(Shortfall)[seed % 3],
        refund_grace_days=[0, 14][seed % 2],
        ladder=LADDERS[seed % len(LADDERS)],
        hold_grace=[timedelta(minutes=10), timedelta(days=20)][seed // 2 % 2],
    )
    service: Service = app.state.service
    if rules:
        await publish_at_once(service.database, shop.programme, *rules)
        service.keys.forget()
    now = datetime.now(UTC)
    for module in (holds, members, writing):
        monkeypatch.setattr(module, "wall_clock", lambda: now)
    days = Days(shop, chance, [await shop.enrols() for _ in range(MEMBERS)])
    for _ in range(MOMENTS):
        await days.pass_(now)
        now += timedelta(hours=chance.choice([0, 0, 1, 5, 24, 200]))
    await audit(owner, shop)
    assert (await verify(service.database, shop.programme)).findings == []
    done = {verb for verb, said in days.seen if said == "yes"}
    assert 3 * len(done) >= 2 * len(set(VERBS)), days.seen  # what shares a batch, and so what comes of it, is chance
