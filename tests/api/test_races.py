"""Two processes over one database, asked at once for what only one may have: one wins, and every sum holds."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.domain.books import ACCOUNTS, DEBIT_NORMAL
from tests.api.conftest import (
    Client,
    Shop,
    ShopFactory,
    a_hold,
    a_reassignment,
    a_redemption,
    a_refund,
    a_return,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    served,
)
from tests.conftest import Urls

ROUNDS = 6
PATIENCE_S = 60
"""How long a race may take. None takes that long unless something is stuck."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def elsewhere(urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx2.AsyncClient]:
    """A second process of the service over the same database."""
    server = served(urls, tmp_path_factory.mktemp("races") / "server.log")
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as http:
        yield http
    server.stop()


class Arena:
    """A shop whose asks go to both processes in turn, all at once."""

    def __init__(self, shop: Shop, elsewhere: httpx2.AsyncClient) -> None:
        self.shop = shop
        self._elsewhere = elsewhere

    async def race(self, *asks: tuple[str, str, Mapping[str, Any]], key: str | None = None) -> list[httpx2.Response]:
        """The answers to (role, path, body), in order; each under a key of its own unless there is one for all."""
        turns = itertools.cycle((self.shop.client, self._rival))
        async with asyncio.timeout(PATIENCE_S):
            sent = (next(turns)(role).post(path, body, key=key or "a new one") for role, path, body in asks)
            return list(await asyncio.gather(*sent))

    def _rival(self, role: str) -> Client:
        return Client(self._elsewhere, self.shop.contract, self.shop.keys[role])

    async def rich(self, points: int = 500) -> dict[str, Any]:
        member = await self.shop.enrols()
        await self.shop.gives(member, points)
        return member


@pytest_asyncio.fixture(loop_scope="session")
async def arena(a_shop: ShopFactory, elsewhere: httpx2.AsyncClient, owner: AsyncEngine) -> AsyncIterator[Arena]:
    """An arena; whatever happens in it, the books are sound afterwards."""
    arena = Arena(await a_shop(adjustment_limit=100), elsewhere)
    yield arena
    await audit(owner, arena.shop)


def outcomes(answers: Sequence[httpx2.Response]) -> Counter[str]:
    """How often each was answered: `yes`, or the code of the refusal."""
    return Counter("yes" if answer.status_code in (200, 201) else answer.json()["code"] for answer in answers)


async def four(shop: Shop, member: Mapping[str, Any]) -> tuple[int, int, int, int]:
    found = await shop.balance(member)
    return found["pending"], found["available"], found["held"], found["owed"]


async def an_open_hold(arena: Arena, points: int = 100) -> tuple[dict[str, Any], str]:
    member = await arena.rich()
    hold = accepted(await arena.shop.till.post("/v1/holds", a_hold(member, points)))["hold"]
    return member, f"/v1/holds/{hold['id']}"


async def test_a_capture_against_a_release(arena: Arena) -> None:
    for turn in range(ROUNDS):
        member, path = await an_open_hold(arena)
        asks = [("pos", f"{path}/capture", {"points": 30}), ("pos", f"{path}/release", {})]
        answers = await arena.race(*(asks if turn % 2 else reversed(asks)), *asks)
        assert outcomes(answers) == {"yes": 1, "hold_resolved": 3}
        status = accepted(await arena.shop.till.get(path))["status"]
        available = {"captured": 470, "released": 500}[status]
        assert await four(arena.shop, member) == (0, available, 0, 0)


async def test_captures_of_one_hold(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member, path = await an_open_hold(arena)
        answers = await arena.race(*(("pos", f"{path}/capture", {"points": points}) for points in (10, 20, 30, 40)))
        assert outcomes(answers) == {"yes": 1, "hold_resolved": 3}
        [captured] = [answer.json()["hold"]["captured"] for answer in answers if answer.status_code == 201]
        assert await four(arena.shop, member) == (0, 500 - captured, 0, 0)


async def test_one_capture_that_is_tapped_many_times_is_answered_in_one_way(arena: Arena) -> None:
    for turn in range(ROUNDS):
        member, path = await an_open_hold(arena)
        answers = await arena.race(*[("pos", f"{path}/capture", {})] * 8, key=f"tap-{turn}")
        assert outcomes(answers) == {"yes": 8}
        assert len({answer.content for answer in answers}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
        assert await four(arena.shop, member) == (0, 400, 0, 0)


async def test_holds_and_spends_of_the_same_points(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member = await arena.rich(100)
        asks = [("pos", "/v1/holds", a_hold(member, 60)) for _ in "ab"]
        spends = [("pos", "/v1/redemptions", a_redemption(member, 60)) for _ in "ab"]
        assert outcomes(await arena.race(*asks, *spends)) == {"yes": 1, "insufficient_points": 3}


async def test_refunds_of_one_redemption(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member = await arena.rich()
        redeemed = [(await arena.shop.redeems(member, 100))["redemption"]["id"] for _ in "ab"]
        whole, parts = (f"/v1/redemptions/{id_}/refund" for id_ in redeemed)
        answers = await arena.race(*(("pos", whole, a_refund()) for _ in range(4)))
        assert outcomes(answers) == {"yes": 1, "exceeds_redemption": 3}
        answers = await arena.race(*(("pos", parts, a_refund(points=40)) for _ in range(4)))
        assert outcomes(answers) == {"yes": 2, "exceeds_redemption": 2}
        assert await four(arena.shop, member) == (0, 300 + 100 + 80, 0, 0)


async def test_returns_of_the_same_line(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member = await arena.shop.enrols()
        line = {**an_order(member)["lines"][0], "quantity": 2, "amount": 199_98}
        purchase = (await arena.shop.sells(member, 0, lines=[line]))["entry"]["id"]
        one = {"line_id": "1", "quantity": 1, "amount": 99_99}
        asks = [("pos", "/v1/returns", a_return({"entry": purchase}, lines=[one])) for _ in range(4)]
        answers = await arena.race(*asks)
        assert outcomes(answers) == {"yes": 2, "exceeds_purchase": 2}
        assert sum(answer.json()["points"] for answer in answers if answer.status_code == 201) == 199
        assert await four(arena.shop, member) == (0, 0, 0, 0)


async def test_a_confirmation_against_a_cancellation(arena: Arena) -> None:
    for turn in range(ROUNDS):
        member = await arena.rich(1)
        entry = (await arena.shop.sells(member, 100_00))["entry"]["id"]
        asked = accepted(await arena.shop.till.post("/v1/returns/reserve", a_return({"entry": entry}, full=True)))
        path = f"/v1/returns/{asked['reservation']['id']}"
        asks: list[tuple[str, str, dict[str, Any]]] = [("pos", f"{path}/{how}", {}) for how in ("confirm", "cancel")]
        answers = await arena.race(*(asks if turn % 2 else reversed(asks)), *asks)
        assert outcomes(answers) == {"yes": 1, "reservation_resolved": 3}
        pending = {"confirmed": 0, "cancelled": 100}[accepted(await arena.shop.till.get(path))["status"]]
        assert await four(arena.shop, member) == (pending, 1, 0, 0)


async def test_reservations_and_returns_of_the_same_line(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member = await arena.rich(1)
        entry = (await arena.shop.sells(member, 100_00))["entry"]["id"]
        part = {"lines": [{"line_id": "1", "quantity": 0, "amount": 60_00}]}
        paths = ("/v1/returns", "/v1/returns/reserve") * 2
        answers = await arena.race(*(("pos", path, a_return({"entry": entry}, **part)) for path in paths))
        assert outcomes(answers) == {"yes": 1, "exceeds_purchase": 3}
        pending, available, held, _ = await four(arena.shop, member)
        assert (pending, available, held in (0, 60)) == (40, 1, True)


async def test_a_purchase_that_is_reassigned_to_two_and_returned_at_once(arena: Arena) -> None:
    """Whoever has it in the end: it was earned by once, and what came back was taken once."""
    for _ in range(ROUNDS):
        members = [await arena.rich(1) for _ in range(3)]
        order = an_order(members[0], 100_00)
        accepted(await arena.shop.till.post("/v1/accruals", order))
        sale = {"source": order["source"], "reference": order["reference"]}
        asks = [("desk", "/v1/reassignments", a_reassignment(sale, one)) for one in members[1:]]
        part = {"lines": [{"line_id": "1", "quantity": 0, "amount": 10_00}]}
        answers = await arena.race(*asks, *[("pos", "/v1/returns", a_return(sale, **part)) for _ in "ab"])
        assert set(outcomes(answers)) <= {"yes", "purchase_reassigned"}
        came_back = sum(answer.status_code == 201 for answer in answers[2:])
        pending = [(await four(arena.shop, member))[0] for member in members]
        assert sum(pending) == 100 - 10 * came_back
        assert sum(one > 0 for one in pending) == 1


async def test_full_returns_of_one_purchase_against_its_spending(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member = await arena.rich(50)
        bought = await arena.shop.sells(member, 100_00, occurred_at="2026-01-01T10:00:00Z")
        purchase = {"entry": bought["entry"]["id"]}
        returns = [("pos", "/v1/returns", a_return(purchase, full=True)) for _ in "ab"]
        spends = [("pos", "/v1/redemptions", a_redemption(member, 75)) for _ in "ab"]
        returned, spent, *others = await arena.race(returns[0], spends[0], returns[1], spends[1])
        assert outcomes([returned, others[0]]) == {"yes": 1, "exceeds_purchase": 1}
        wins = outcomes([spent, others[1]])["yes"]
        _, available, _, owed = await four(arena.shop, member)
        assert available - owed == 50 - 75 * wins


async def test_two_approvals_and_a_rejection(arena: Arena) -> None:
    desk = arena.shop.client("desk")
    for points in (101, -101) * (ROUNDS // 2):
        member = await arena.rich()
        waiting = (await desk.post("/v1/adjustments", an_adjustment(member, points))).json()["adjustment"]
        path = f"/v1/adjustments/{waiting}"
        answers = await arena.race(
            ("finance", f"{path}/approve", {}), ("admin", f"{path}/approve", {}), ("finance", f"{path}/reject", {})
        )
        assert outcomes(answers) == {"yes": 1, "adjustment_decided": 2}
        [status] = [answer.json()["status"] for answer in answers if answer.status_code == 201]
        available = 500 + (points if status == "approved" else 0)
        assert await four(arena.shop, member) == (0, available, 0, 0)


async def test_transfers_in_both_directions(arena: Arena) -> None:
    one, two, three = [await arena.rich(1000) for _ in range(3)]
    there = [("app", "/v1/transfers", a_transfer(giver, taker, 7)) for giver, taker in ((one, two), (two, one))]
    around = [("app", "/v1/transfers", a_transfer(giver, taker, 5)) for giver, taker in ((two, three), (three, one))]
    asks = [(*ask[:2], {**ask[2], "reference": f"T-{n}"}) for n, ask in enumerate([*there, *around] * 12)]
    answers = await arena.race(*asks)
    assert outcomes(answers) == {"yes": len(asks)}, "no deadlock surfaces"
    left = [(await four(arena.shop, member))[1] for member in (one, two, three)]
    assert left == [1000 + 5 * 12, 1000 - 5 * 12, 1000]


async def test_transfers_of_more_than_there_is_in_both_directions(arena: Arena) -> None:
    one, two = await arena.rich(100), await arena.rich(100)
    asks = [
        ("app", "/v1/transfers", a_transfer(giver, taker, 90))
        for _ in range(8)
        for giver, taker in ((one, two), (two, one))
    ]
    assert set(outcomes(await arena.race(*asks))) <= {"yes", "insufficient_points"}
    left = [(await four(arena.shop, member))[1] for member in (one, two)]
    assert sum(left) == 200
    assert min(left) in (10, 100)


async def test_closing_against_everything_else(arena: Arena) -> None:
    for _ in range(ROUNDS):
        member, path = await an_open_hold(arena)
        friend = await arena.rich(10)
        closing, spend, hold, gift, capture, again = await arena.race(
            ("desk", f"/v1/members/{member['id']}/close", {}),
            ("pos", "/v1/redemptions", a_redemption(member, 50)),
            ("pos", "/v1/holds", a_hold(member, 50)),
            ("app", "/v1/transfers", a_transfer(friend, member, 10)),
            ("pos", f"{path}/capture", {}),
            ("desk", f"/v1/members/{member['id']}/close", {}),
        )
        assert outcomes([closing, again]) == {"yes": 1, "member_closed": 1}
        assert set(outcomes([spend, hold, gift])) <= {"yes", "member_closed"}
        assert set(outcomes([capture])) <= {"yes", "hold_resolved"}
        assert await four(arena.shop, member) == (0, 0, 0, 0), "nothing is left, whoever came first"
        [closed] = [answer.json() for answer in (closing, again) if answer.status_code == 201]
        won = {name: answer.status_code == 201 for name, answer in (("s", spend), ("g", gift), ("c", capture))}
        assert closed["forfeited"]["points"] == 500 - 50 * won["s"] + 10 * won["g"] - 100 * won["c"]


async def audit(owner: AsyncEngine, shop: Shop) -> None:
    """Every query finds what contradicts the numbered invariant; none may find anything.

    A hold that ended by itself was released, and may still be captured within the grace: one entry of each kind.
    """
    async with owner.connect() as connection:
        for invariant, query in CONTRADICTIONS.items():
            found = (await connection.execute(text(query), {"it": shop.programme.id})).all()
            assert found == [], f"invariant {invariant}"


_DEBITS = " + ".join(account for account in ACCOUNTS if account in DEBIT_NORMAL)
_CREDITS = " + ".join(account for account in ACCOUNTS if account not in DEBIT_NORMAL)
_BALANCES = ", ".join(f"('{name}', {'-' if name in DEBIT_NORMAL else ''}b.{name})" for name in ACCOUNTS)
CONTRADICTIONS = {
    "1": f"select 1 from book where programme_id = :it having sum({_DEBITS}) <> sum({_CREDITS})",
    "2": """
        select 1 from book where programme_id = :it
        and (least(pending, available, held, owed) < 0 or (owed > 0 and available > 0))
    """,
    "3, lots": """
        select b.member_id from book b left join (
            select member_id, wallet, sum(remaining) filter (where state = 'pending') as pending,
                   sum(remaining) filter (where state = 'available') as available
              from lot where programme_id = :it group by member_id, wallet
        ) l using (member_id, wallet)
        where b.programme_id = :it and (b.pending, b.available)
           is distinct from (coalesce(l.pending, 0)::bigint, coalesce(l.available, 0)::bigint)
    """,
    "3, holds": """
        select b.member_id from book b left join (
            select h.member_id, d.wallet, sum(d.points) as held
              from hold h join draw d on d.programme_id = h.programme_id and d.entry_id = h.id
             where h.programme_id = :it and h.status = 'open' group by h.member_id, d.wallet
        ) h using (member_id, wallet)
        where b.programme_id = :it and b.held <> coalesce(h.held, 0)
    """,
    "4": f"""
        select b.member_id, a.account from book b cross join lateral (values {_BALANCES}) a (account, points)
        left join (
            select member_id, wallet, account, sum(points) as points from (
                select member_id, wallet, credit as account, points from posting where programme_id = :it
                union all
                select member_id, wallet, debit, -points from posting where programme_id = :it
            ) moves group by member_id, wallet, account
        ) m on m.member_id = b.member_id and m.wallet = b.wallet and m.account = a.account
        where b.programme_id = :it and a.points <> coalesce(m.points, 0)
    """,
    "5": """
        select l.id from lot l left join (
            select lot_id, sum(points) as net from draw where programme_id = :it group by lot_id
        ) d on d.lot_id = l.id
        where l.programme_id = :it and l.drawn - l.restored <> coalesce(d.net, 0)
    """,
    "8": """
        select calculation->>'of' from entry
         where programme_id = :it and kind in ('capture', 'release') group by 1, kind having count(*) > 1
    """,
    "9": "select 1 from book where programme_id = :it group by wallet having sum(transferred) <> 0",
    "12": """
        select m.id from member m left join (
            select member_id, count(*) as entries, max(sequence) as last
              from entry where programme_id = :it group by member_id
        ) e on e.member_id = m.id
        where m.programme_id = :it and (m.sequence, m.sequence)
           is distinct from (coalesce(e.entries, 0), coalesce(e.last, 0))
    """,
}
