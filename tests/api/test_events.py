"""Everything that happened: each event once, none lost, a member's own in the order of its sequence."""

import asyncio
import base64
from collections import defaultdict
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from loyalty.api.service import Service
from loyalty.store import events as store
from loyalty.store.database import Database, fetch
from loyalty.store.parts import PROGRAMME
from tests.api.conftest import Client, Shop, a_grant, accepted, refused
from tests.plans import plan


class Follower:
    """Asks for what follows, again and again."""

    def __init__(self, client: Client, *, limit: int = 7) -> None:
        self._client = client
        self._limit = limit
        self.cursor: str | None = None
        self.seen: list[dict[str, Any]] = []

    async def polls(self) -> int:
        """One page; how many events there were."""
        page = accepted(await self._client.get("/v1/events", after=self.cursor, limit=self._limit))
        assert len(page["items"]) <= self._limit
        if not page["items"]:
            assert page["next_cursor"] == self.cursor, "an empty page gives back the cursor it was asked with"
        self.cursor = page["next_cursor"]
        self.seen += page["items"]
        return len(page["items"])

    async def catches_up(self, *, to: int) -> None:
        """Until so many were seen: what is committed may wait for an older transaction, of other tests too."""
        async with asyncio.timeout(20):
            while len(self.seen) < to:
                if not await self.polls():
                    await asyncio.sleep(0.01)
        await self.polls()
        assert len(self.seen) == to

    def sequences(self) -> dict[str, list[int]]:
        """By member, the sequence of each of its events."""
        found: dict[str, list[int]] = defaultdict(list)
        for one in self.seen:
            found[one["member"]].append(one["sequence"])
        return found


def follower(shop: Shop, **how: Any) -> Follower:
    return Follower(shop.client("finance"), **how)


@pytest.fixture
def database(app: FastAPI) -> Database:
    service: Service = app.state.service
    return service.database


async def test_what_happened_is_told_in_order_with_the_entry_it_was(shop: Shop) -> None:
    member = await shop.enrols()
    earned = await shop.gives(member, 100)
    await shop.sells(member, 6_000_00)
    spent = await shop.redeems(member, 40)
    follows = follower(shop)
    await follows.catches_up(to=5)
    told = [(one["type"], one["sequence"]) for one in follows.seen]
    assert told == [
        ("member.enrolled", 0),
        ("entry.earn", 1),
        ("entry.earn", 2),
        ("member.tier_changed", 2),
        ("entry.spend", 3),
    ]
    assert {one["member"] for one in follows.seen} == {member["id"]}
    assert [one["entry"] for one in follows.seen if one["type"] != "entry.earn"] == [None, None, spent["entry"]["id"]]
    assert follows.seen[1]["entry"] == earned["entry"]["id"]
    assert follows.seen[1]["recorded_at"] == earned["entry"]["recorded_at"]
    assert len({one["id"] for one in follows.seen}) == 5
    assert all(one["id"].startswith("evt_") for one in follows.seen)


async def test_a_programme_without_events_has_no_cursor_yet(shop: Shop) -> None:
    answer = accepted(await shop.client("admin").get("/v1/events"))
    assert answer == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_pages_of_any_size_tell_the_same(shop: Shop, limit: int) -> None:
    member = await shop.enrols()
    for _ in range(4):
        await shop.gives(member, 1)
    whole, follows = follower(shop, limit=100), follower(shop, limit=limit)
    await whole.catches_up(to=5)
    await follows.catches_up(to=5)
    assert follows.seen == whole.seen


async def test_a_follower_of_busy_tills_sees_each_event_once_and_none_is_lost(shop: Shop, database: Database) -> None:
    """Tills write one by one and in bulk, over the same members, while an older transaction is open."""
    members = [await shop.enrols() for _ in range(6)]
    follows = follower(shop)
    await follows.catches_up(to=6)
    total = 6 + 4 * 12 * 2 + 2 * 3 * 40

    async def follow() -> None:
        while len(follows.seen) < total:
            await follows.polls()

    async def till(number: int) -> None:
        for turn in range(12):
            member = members[(number + turn) % 6]
            await shop.gives(member, 2)
            await shop.redeems(member, 1)

    async def file(number: int) -> None:
        for _ in range(3):
            items = [a_grant(members[(number + turn) % 6]) for turn in range(40)]
            accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))

    following = asyncio.create_task(follow())
    async with database.transaction(shop.programme.id) as older:
        await fetch(older, text("select pg_current_xact_id()::text"), {})
        await asyncio.gather(*(till(number) for number in range(4)), *(file(number) for number in range(2)))
        await asyncio.sleep(0.05)
        held_back = len(follows.seen)
    async with asyncio.timeout(20):
        await following
    assert held_back == 6, "nothing younger is told while the older transaction may still write"
    assert len({one["id"] for one in follows.seen}) == len(follows.seen) == total
    for sequences in follows.sequences().values():
        assert sequences == list(range(len(sequences)))


_INSERT = text(
    """
    insert into event (bucket, programme_id, id, member_id, sequence, type, recorded_at)
    select get_byte(id, 15), current_setting('loyalty.programme_id')::integer,
           encode(set_byte(uuid_send(gen_random_uuid()), 15, get_byte(id, 15)), 'hex')::uuid,
           cast(:the_member as uuid), cast(:the_sequence as bigint), :the_type, now()
      from uuid_send(cast(:the_member as uuid)) as id
    """
)
_LOCK = text(
    """
    select from member where programme_id = current_setting('loyalty.programme_id')::integer
       and id = cast(:the_member as uuid) for no key update
    """
)


def _writes(member: dict[str, Any], sequence: int, type_: str = "entry.earn") -> dict[str, Any]:
    return {"the_member": member["id"][4:], "the_sequence": sequence, "the_type": type_}


async def test_a_transaction_that_waited_for_a_member_comes_after_the_one_it_waited_for(
    shop: Shop, database: Database
) -> None:
    """The older one has taken its xid with its first lock, and waits for its second, whom the younger one has."""
    first, second = await shop.enrols(), await shop.enrols()
    one, other = {"the_member": first["id"][4:]}, {"the_member": second["id"][4:]}
    async with database.transaction(shop.programme.id) as older:
        await fetch(older, _LOCK, one)
        async with database.transaction(shop.programme.id) as younger:
            await fetch(younger, _LOCK, other)
            await fetch(younger, _INSERT, _writes(second, 1))
        await fetch(older, _LOCK, other)
        await fetch(older, _INSERT, _writes(first, 1))
        await fetch(older, _INSERT, _writes(second, 2))
    follows = follower(shop)
    await follows.catches_up(to=5)
    assert follows.sequences() == {first["id"]: [0, 1], second["id"]: [0, 1, 2]}


async def test_within_a_transaction_an_entry_comes_before_what_follows_from_it(shop: Shop, database: Database) -> None:
    """Whatever their ids: they come from several facts."""
    member = await shop.enrols()
    async with database.transaction(shop.programme.id) as connection:
        for sequence in range(1, 9):
            for type_ in ("member.tier_changed", "entry.expire", "entitlement.ended"):
                await fetch(connection, _INSERT, _writes(member, sequence, type_))
    follows = follower(shop)
    await follows.catches_up(to=1 + 24)
    assert follows.sequences()[member["id"]] == [0, *(1 + n // 3 for n in range(24))]
    assert {one["type"] for one in follows.seen[1::3]} == {"entry.expire"}


STRANGE: list[Any] = [{}, "x", None, [], [1], [1, "0" * 32, 0, False, "x" * 32], [-1, "0" * 32, 0, False, "0" * 32]]
STRANGE += [[2**63, "0" * 32, 0, False, "0" * 32], [1, "0" * 32, 2**63, False, "0" * 32]]
STRANGE += [[True, "0" * 32, 0, False, "0" * 32], [1, "0" * 32, 0, 0, "0" * 32], [1, "0" * 31, 0, True, "0" * 32]]


@pytest.mark.parametrize("place", STRANGE)
async def test_a_cursor_that_is_not_ours_is_refused(shop: Shop, place: Any) -> None:
    cursor = base64.urlsafe_b64encode(orjson.dumps(place)).decode()
    refused(await shop.client("finance").get("/v1/events", after=cursor), 400, "invalid_cursor")


async def test_events_come_in_the_order_of_their_index(shop: Shop, database: Database) -> None:
    values = {
        PROGRAMME: shop.programme.id,
        "after_xid": "0",
        "after_member": "0" * 32,
        "after_sequence": 0,
        "after_beside": False,
        "after_id": "0" * 32,
        "at_most": 50,
    }
    async with database.snapshot(shop.programme.id) as connection:
        steps = await plan(connection, store._EVENTS, values)
    assert "Sort" not in {step.type for step in steps}
    [walk] = [step for step in steps if step.over]
    assert walk.over == "event_order"
    assert "ROW(" in walk.condition, "a page begins where the one before it ended"
