"""Balances and tiers as a member sees them: the last committed state, read in one snapshot, settled virtually."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import BOOKS, EMPTY, Balance
from loyalty.domain.calendar import FOREVER
from loyalty.domain.climbing import Climber
from loyalty.domain.holds import HOLDS, OPEN_HOLDS, Hold
from loyalty.domain.ids import FactId, MemberId, Mint, bucket_of
from loyalty.domain.journal import balances
from loyalty.domain.lots import LOTS, OPEN_LOTS, Lot, LotState, in_draw_order
from loyalty.domain.members import MEMBERS, Member, existing
from loyalty.domain.programme import Programme
from loyalty.domain.settle import settle
from loyalty.domain.sliding import due_of, end_of, sliding_books
from loyalty.domain.state import Draft, Moment, Need, Shelf, State
from loyalty.domain.tiers import COUNTS, TierGrant, TierStep, climber_of, granted
from loyalty.store import members, past, shelves, sliding
from loyalty.store.coalesce import Coalescer
from loyalty.store.database import Database
from loyalty.store.parts import PROGRAMME, keys
from loyalty.store.past import Left
from loyalty.store.schema import INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID

EXPIRING_SHOWN = 12
"""How many of the next expiry dates a balance names."""
INSTANTS_READ = 100
"""How many different moments of expiry are read to name them."""

_NO_FACT = FactId("0" * 32)
"""A read writes nothing, so the ids it mints on the way are never seen."""


class Expiring(NamedTuple):
    """Points that can be spent through this business day."""

    valid_through: date
    points: int


class Standing(NamedTuple):
    """A member as of a moment: its row, balances by wallet, next expiries by wallet, and its place on the ladder."""

    member: Member
    balances: dict[str, Balance]
    expiring: dict[str, list[Expiring]]
    climber: Climber
    """By what was earned."""
    grant: TierGrant | None
    """In force."""
    at: datetime
    unwritten: tuple[TierStep, ...]
    """The steps of reviews that are due, and that nobody has written so far."""


class Past(NamedTuple):
    """What a member had: balances by wallet and the expiries that were next, by wallet."""

    balances: dict[str, Balance]
    expiring: dict[str, list[Expiring]]


class BalanceReader:
    """Reads the standing of members; what is asked for at the same time is read in one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._standings = Coalescer(self._fetch)

    async def standing(self, programme: Programme, member_id: MemberId, at: datetime) -> Standing | None:
        """The member as of `at`, as if everything due by then were settled. None: no such member."""
        return await self._standings.get(programme, (member_id, at))

    async def _fetch(
        self, programme: Programme, asked: list[tuple[MemberId, datetime]]
    ) -> dict[tuple[MemberId, datetime], Standing]:
        ids = list({member_id for member_id, _ in asked})
        at = max(moment for _, moment in asked)
        async with self._database.snapshot(programme.id) as connection:
            standings = await read_standings(connection, programme, ids, at)
        return {key: standings[key[0]] for key in asked if key[0] in standings}


async def read_standings(
    connection: AsyncConnection, programme: Programme, ids: Sequence[MemberId], at: datetime
) -> dict[MemberId, Standing]:
    """The members' standings as of `at`. Locks nothing."""
    loaded = State()
    today = programme.calendar.business_date(at)
    needs: dict[Shelf[Any, Any], list[Need]] = {
        MEMBERS: [Need(MEMBERS, id_) for id_ in ids],
        COUNTS: [Need(COUNTS, (id_, today)) for id_ in ids],
    }
    await shelves.find(connection, programme, needs, loaded)
    found = dict(loaded.own(MEMBERS))
    until = {id_: max(at, member.effective_at) for id_, member in found.items()}
    await shelves.load(connection, shelves.Asked(programme, needs, until, loaded), loaded)
    expiring = await _expiring(connection, programme, until)
    await _add_undated(connection, programme, until, expiring)
    return {id_: _settled(programme, loaded, id_, until[id_], expiring.get(id_, {})) for id_ in found}


async def read_past(
    connection: AsyncConnection, programme: Programme, member_id: MemberId, *, as_of: datetime, known_at: datetime
) -> Past | None:
    """The member after the last entry recorded by `known_at` and effective by `as_of`, then settled up to `as_of`.

    The same for ever, once no entry can be recorded by `known_at` any more. None: no such member. Locks nothing.
    """
    last = await past.last_entry(connection, programme.id, member_id, effective_at=as_of, recorded_at=known_at)
    if last is None:
        return None
    left = await past.left_by(connection, programme.id, member_id, last)
    if left is None:
        return Past({wallet: Balance() for wallet in programme.wallets}, {wallet: [] for wallet in programme.wallets})
    loaded = State()
    await members.find(connection, programme.id, [member_id], loaded)
    await sliding.find(connection, programme, member_id, loaded, upto=left.sequence)
    held = await past.holds_left_by(connection, programme.id, member_id, left)
    lots = await past.lots_left_by(connection, programme.id, member_id, left, held)
    _put_back(loaded, member_id, left, lots, held)
    draft = Draft(loaded, programme, Moment(_NO_FACT, as_of, as_of), Mint(_NO_FACT))
    settle(draft, member_id, as_of)
    shown = {wallet: _by_day(programme, _instants(draft, member_id, wallet)) for wallet in programme.wallets}
    return Past(balances(draft, member_id), shown)


def _put_back(into: State, member_id: MemberId, left: Left, lots: Sequence[Lot], held: Sequence[Hold]) -> None:
    """The member, its books, lots and holds as the entry left them. A tier's term has no bearing on points."""
    due = [moment for lot in lots if lot.remaining and (moment := due_of(into, lot)) is not None]
    member = existing(into, member_id)._replace(
        sequence=left.sequence,
        effective_at=left.effective_at,
        recorded_at=left.recorded_at,
        due_at=min((*due, *(hold.expires_at for hold in held)), default=None),
        tier_until=None,
    )
    into.put(MEMBERS, member_id, member)
    for wallet, balance in left.balances.items():
        into.put(BOOKS, (member_id, wallet), EMPTY._replace(**balance._asdict()))
        of_wallet = [lot for lot in lots if lot.wallet == wallet]
        into.put(OPEN_LOTS, (member_id, wallet), tuple(lot.id for lot in of_wallet))
        for state in LotState:
            remaining = sum(lot.remaining for lot in of_wallet if lot.state == state)
            assert remaining == getattr(balance, state), f"invariant 3: {state} is what the lots of the state hold"
    for lot in lots:
        into.put(LOTS, lot.id, lot)
    for hold in held:
        into.put(HOLDS, hold.id, hold)
    into.put(OPEN_HOLDS, member_id, tuple(hold.id for hold in held))


def _instants(draft: Draft, member_id: MemberId, wallet: str) -> dict[datetime, int]:
    """Points that can be spent by their expiry, the next `INSTANTS_READ` of them."""
    instants: dict[datetime, int] = {}
    for lot in in_draw_order(draft, member_id, wallet):
        if (end := end_of(draft, lot)) is not None:
            instants[end] = instants.get(end, 0) + lot.remaining
    return dict(sorted(instants.items())[:INSTANTS_READ])


def _settled(
    programme: Programme,
    loaded: State,
    member_id: MemberId,
    at: datetime,
    expiring: dict[str, dict[datetime, int]],
) -> Standing:
    """The member's standing after a settlement that nobody writes."""
    draft = Draft(loaded, programme, Moment(_NO_FACT, at, at), Mint(_NO_FACT))
    settle(draft, member_id, at)
    for _, lot in draft.own(LOTS):
        before, ending = loaded.get(LOTS, lot.id), expiring.setdefault(lot.wallet, {})
        if before is None or (lot.expires_at is None and not programme.wallets[lot.wallet].expiry.slides):
            continue
        # What a ripe lot repaid of `owed` is gone; what a hold gave back is there, though its lot was empty.
        end, more = lot.expires_at or FOREVER, lot.remaining - before.remaining
        if end in ending or (more > 0 and (len(ending) < INSTANTS_READ or end < max(ending))):
            ending[end] = ending.get(end, 0) + more
    _slide(draft, member_id, expiring)
    member = draft.get(MEMBERS, member_id)
    assert member is not None, "settling removes nobody"
    shown = {wallet: _by_day(programme, expiring.get(wallet, {})) for wallet in programme.wallets}
    climber = climber_of(draft, programme, member)
    unwritten = tuple(fact for fact in draft.facts if isinstance(fact, TierStep))
    return Standing(member, balances(draft, member_id), shown, climber, granted(draft, member), at, unwritten)


def _slide(draft: Draft, member_id: MemberId, expiring: dict[str, dict[datetime, int]]) -> None:
    """What has no date of its own expires when its book ends, as far as that is not beyond what was read."""
    for wallet, ends_at in sliding_books(draft, member_id):
        instants = expiring.get(wallet, {})
        points = instants.pop(FOREVER, 0)
        if len(instants) < INSTANTS_READ or ends_at < max(instants):
            instants[ends_at] = instants.get(ends_at, 0) + points


def _by_day(programme: Programme, instants: dict[datetime, int]) -> list[Expiring]:
    """Points by their last valid day, the next days first. A day that was not read whole is left out."""
    days: dict[date, int] = {}
    for expires_at, points in sorted(instants.items()):
        day = programme.calendar.last_valid_date(expires_at)
        days[day] = days.get(day, 0) + points
    if len(instants) >= INSTANTS_READ:
        days.popitem()
    return [Expiring(day, points) for day, points in days.items() if points][:EXPIRING_SHOWN]


_EXPIRING = text(
    f"""
    select k.member_id, k.wallet, l.expires_at, l.points
      from unnest(:the_buckets, :the_members, :the_moments) as m (bucket, member_id, moment)
     cross join unnest(:the_wallets) as w (wallet)
     cross join lateral (select m.bucket, m.member_id, m.moment, w.wallet) k
     cross join lateral (
           select o.expires_at, sum(o.remaining)::bigint as points
             from lot o
            where o.open and o.bucket = k.bucket and o.programme_id = :{PROGRAMME}
              and o.member_id = k.member_id and o.wallet = k.wallet
              and (o.state = 'available' or o.due_at <= k.moment)
              and o.expires_at > k.moment
            group by o.expires_at
            order by o.expires_at
            limit {INSTANTS_READ}
           ) l
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_buckets", type_=SMALLINT.array),
    bindparam("the_members", type_=UUID.array),
    bindparam("the_wallets", type_=TEXT.array),
    bindparam("the_moments", type_=TIMESTAMPTZ.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


async def _expiring(
    connection: AsyncConnection, programme: Programme, until: Mapping[MemberId, datetime]
) -> dict[MemberId, dict[str, dict[datetime, int]]]:
    """Points by member, wallet and expiry that can be spent as of each member's moment, the next expiries of each."""
    values: dict[str, Any] = {
        "the_buckets": [bucket_of(id_) for id_ in until],
        "the_members": list(until),
        "the_wallets": list(programme.wallets),
        "the_moments": list(until.values()),
        PROGRAMME: programme.id,
    }
    found: dict[MemberId, dict[str, dict[datetime, int]]] = {}
    for member_id, wallet, expires_at, points in await connection.execute(_EXPIRING, values):
        wallets = found.setdefault(MemberId(member_id.hex), {})
        wallets.setdefault(wallet, {})[expires_at] = points
    return found


_UNDATED = text(
    f"""
    select k.member_id, k.wallet, sum(o.remaining)::bigint
      from {keys(bucket="the_buckets", member_id="the_members", wallet="the_wallets", moment="the_moments")}
      join lot o on o.open and o.bucket = k.bucket and o.programme_id = k.programme_id
       and o.member_id = k.member_id and o.wallet = k.wallet
       and (o.state = 'available' or o.due_at <= k.moment) and o.expires_at is null
     group by k.member_id, k.wallet
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_buckets", type_=SMALLINT.array),
    bindparam("the_members", type_=UUID.array),
    bindparam("the_wallets", type_=TEXT.array),
    bindparam("the_moments", type_=TIMESTAMPTZ.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


async def _add_undated(
    connection: AsyncConnection,
    programme: Programme,
    until: Mapping[MemberId, datetime],
    expiring: dict[MemberId, dict[str, dict[datetime, int]]],
) -> None:
    """Add, under FOREVER, the points without a date of their own, where points slide. They end with their book."""
    books = sliding.books_of(programme, until)
    if not books:
        return
    values: dict[str, Any] = {
        "the_buckets": [bucket_of(id_) for id_, _ in books],
        "the_members": [id_ for id_, _ in books],
        "the_wallets": [wallet for _, wallet in books],
        "the_moments": [until[id_] for id_, _ in books],
        PROGRAMME: programme.id,
    }
    for member_id, wallet, points in await connection.execute(_UNDATED, values):
        expiring.setdefault(MemberId(member_id.hex), {}).setdefault(wallet, {})[FOREVER] = points
