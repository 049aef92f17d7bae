"""A hammer: three processes beat the same four members with the same keys and references, all at once."""

import asyncio
import json
import multiprocessing
import random
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.domain.books import ACCOUNTS
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ids import FactId
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes, Overloaded
from loyalty.operations.retry import Unavailable
from loyalty.operations.sweep import Settle
from loyalty.store.database import Database
from tests import laws
from tests.conftest import ProgrammeFactory, Urls
from tests.makers import (
    a_claim,
    a_fact,
    a_member_id,
    a_wallet,
    at,
    buying,
    days,
    enrolling,
    granting,
    redeeming,
    rendered,
)

PROCESSES = 3
COMMANDS = 300
AT_ONCE = 24
MEMBERS = 4
KEYS = 120
REFERENCES = 90
TRIES = 20


class Heard(NamedTuple):
    """An answer as it leaves a process."""

    key: int | None
    reference: str
    status: int
    body: bytes
    replayed: bool


async def test_whatever_races_every_sum_and_every_law_holds(
    urls: Urls, owner: AsyncEngine, programme: ProgrammeFactory, lanes: Lanes
) -> None:
    struck = await programme(
        a_wallet("points", pending=days(7), expiry=Expiry(Lifespan.YEAR_END, 1)),
        a_wallet("coins", points=2, expiry=Expiry(Lifespan.MONTHS, 1)),
        ladder=Ladder((Rung("member", 0), Rung("silver", 2_000_00), Rung("gold", 10_000_00))),
    )
    begin = at("2026-01-01")
    for n in range(MEMBERS):
        moment = Moment(a_fact(n + 1), begin, begin)
        await lanes.submit(Submission(struck, enrolling(a_member_id(n)), moment, rendered))

    heard = await asyncio.to_thread(_hammer, urls.running, struck)

    assert len(heard) == PROCESSES * COMMANDS
    _same_bytes_for_the_same_key(heard)
    await _sums_agree(owner, struck, heard)
    async with owner.connect() as connection:
        records = await laws.of_database(connection, struck)
    laws.check(records)
    assert {"earn", "mature", "spend", "expire"} <= {entry.kind for entry in records.entries}


def _hammer(url: str, programme: Programme) -> list[Heard]:
    """What every process heard."""
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        working = [pool.submit(strike, url, programme, seed) for seed in range(PROCESSES)]
        return [heard for process in working for heard in process.result()]


def strike(url: str, programme: Programme, seed: int) -> list[Heard]:
    """One process: a few hundred random commands through its own lanes."""
    return asyncio.run(_strike(url, programme, random.Random(seed)))


async def _strike(url: str, programme: Programme, chance: random.Random) -> list[Heard]:
    database = Database(url)
    lanes = Lanes(database, count=2)
    lanes.start()
    room = asyncio.Semaphore(AT_ONCE)

    async def send(number: int) -> Heard:
        key = chance.randrange(KEYS) if chance.random() < 0.6 else None
        # A key always comes with the same request, from whichever process; without one, anything goes.
        how = random.Random(key) if key is not None else chance
        who, reference, command, moment = _command(programme, how, chance)
        claim = None if key is None else a_claim(f"key-{key}", f"{who} {reference}")
        async with room:
            answer = await _until_heard(lanes, Submission(programme, command, moment, rendered, claim))
        return Heard(key, reference, answer.status, answer.body, answer.replayed)

    try:
        return list(await asyncio.gather(*(send(number) for number in range(COMMANDS))))
    finally:
        assert await lanes.drain(20)
        await database.close()


def _command(programme: Programme, how: random.Random, chance: random.Random) -> tuple[int, str, Command, Moment]:
    who = how.randrange(MEMBERS)
    member_id, reference = a_member_id(who), f"r-{how.randrange(REFERENCES)}"
    when = at("2026-01-02") + timedelta(hours=how.randrange(24 * 120))
    moment = Moment(FactId(f"{chance.getrandbits(48):012x}7{chance.getrandbits(12):03x}8{chance.getrandbits(60):015x}"),
                    when, at("2026-06-01"))  # fmt: skip
    wallet = how.choice(["points", "coins"])
    verb, points = how.choice(["purchase", "purchase", "grant", "redeem", "redeem", "settle"]), how.randrange(1, 200)
    command: Command
    if verb == "purchase":
        command = buying(programme, member_id, points * 100, when, reference=reference, source="till")
    elif verb == "grant":
        command = granting(programme, member_id, points, when, reference=reference, source="till", wallet=wallet)
    elif verb == "redeem":
        command = redeeming(programme, member_id, points // 4 + 1, when, reference=reference, wallet=wallet)
    else:
        command = Settle(member_id)
    return who, reference, command, moment


async def _until_heard(lanes: Lanes, ask: Submission) -> Answer:
    """The answer; a command that found no room or no database is sent again, as a client would."""
    for _ in range(TRIES):
        try:
            return await lanes.submit(ask)
        except (Overloaded, Unavailable):
            continue
    raise AssertionError("the ledger never answered")


def _same_bytes_for_the_same_key(heard: list[Heard]) -> None:
    """Invariant 7: whoever sends a key hears the same; it happened once."""
    by_key: dict[int, list[Heard]] = defaultdict(list)
    for one in heard:
        if one.key is not None:
            by_key[one.key].append(one)
    assert sum(len(answers) > 1 for answers in by_key.values()) > KEYS / 2, "they did race"
    for key, answers in by_key.items():
        assert len({(one.status, one.body) for one in answers}) == 1, f"key {key} was answered in two ways"
        assert sum(not one.replayed for one in answers) == 1, f"key {key} was decided more than once"


async def _sums_agree(owner: AsyncEngine, programme: Programme, heard: list[Heard]) -> None:
    """Every query finds what contradicts the numbered law; none may find anything."""
    async with owner.connect() as connection:
        for law, query in CONTRADICTIONS.items():
            found = (await connection.execute(text(query), {"it": programme.id})).all()
            assert found == [], law
        taken = await connection.scalar(
            text("select count(*) from reference where programme_id = :it"), {"it": programme.id}
        )
    accepted = [json.loads(one.body)["entries"] for one in heard if one.status == 201 and not one.replayed]
    written = Counter(entry for entries in accepted for entry in entries)
    assert set(written.values()) == {1}
    assert len(written) == taken, "an entry for each reference that was taken"


_MOVES = """
    select member_id, wallet, account, sum(points) as points from (
        select member_id, wallet, credit as account, points from posting where programme_id = :it
        union all
        select member_id, wallet, debit, -points from posting where programme_id = :it
    ) moves group by member_id, wallet, account
"""
_BALANCES = ", ".join(f"('{name}', {'-' if name in ('owed', 'issued') else ''}b.{name})" for name in ACCOUNTS)

CONTRADICTIONS = {
    "1: the trial balance": """
        select 1 from book where programme_id = :it
        having sum(owed + issued)
            <> sum(pending + available + held + redeemed + expired + forfeited + adjusted + transferred)
    """,
    "1: postings": "select 1 from posting where programme_id = :it and (debit = credit or points <= 0)",
    "2: negative, or owed beside available": """
        select 1 from book where programme_id = :it
        and (least(pending, available, held, owed) < 0 or (owed > 0 and available > 0))
    """,
    "3: lots cover the balances": """
        select b.member_id from book b left join (
            select member_id, wallet, sum(remaining) filter (where state = 'pending') as pending,
                   sum(remaining) filter (where state = 'available') as available
              from lot where programme_id = :it group by member_id, wallet
        ) l using (member_id, wallet)
        where b.programme_id = :it and (b.pending, b.available)
           is distinct from (coalesce(l.pending, 0)::bigint, coalesce(l.available, 0)::bigint)
    """,
    "4: balances are the sums of postings": f"""
        select b.member_id, a.account from book b cross join lateral (values {_BALANCES}) a (account, points)
        left join ({_MOVES}) m on m.member_id = b.member_id and m.wallet = b.wallet and m.account = a.account
        where b.programme_id = :it and a.points <> coalesce(m.points, 0)
    """,
    "5: lots count their draws": """
        select l.id from lot l left join (
            select lot_id, sum(points) filter (where points > 0) as drawn
              from draw where programme_id = :it group by lot_id
        ) d on d.lot_id = l.id
        where l.programme_id = :it and (l.drawn <> coalesce(d.drawn, 0) or l.restored <> 0)
    """,
    "7: a reference has one entry of its own": """
        select e.id from entry e full join reference r
            on r.entry_id = e.id and r.source = e.source and r.reference = e.reference
           and r.programme_id = e.programme_id
        where coalesce(e.programme_id, r.programme_id) = :it and (r.entry_id is null) = (e.reference is not null)
    """,
    "12: sequences without gaps": """
        select m.id from member m left join (
            select member_id, count(*) as entries, max(sequence) as last
              from entry where programme_id = :it group by member_id
        ) e on e.member_id = m.id
        where m.programme_id = :it and (m.sequence, m.sequence)
           is distinct from (coalesce(e.entries, 0), coalesce(e.last, 0))
    """,
    "12: the head is the last hash": """
        select m.id from member m join entry e on e.member_id = m.id and e.programme_id = m.programme_id
           and e.sequence = m.sequence where m.programme_id = :it and e.hash <> m.head
    """,
}
