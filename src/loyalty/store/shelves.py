"""The one registry of shelves and journals: what a batch locks, loads and writes, in this order.

Adding a noun takes a domain file, a store file and its lines here: what it wants, how it is placed, what it writes.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.adjustments import ADJUSTMENTS
from loyalty.domain.books import BOOKS
from loyalty.domain.caps import CAP_USE, USED_CAPS
from loyalty.domain.channels import CHANNELS
from loyalty.domain.claims import REFERENCES, REPLAYS
from loyalty.domain.codes import CODE_USE
from loyalty.domain.drift import DIFFERENCES, LAST_DIFFERENCES, OPEN_DIFFERENCES
from loyalty.domain.entries import Entry
from loyalty.domain.events import Event
from loyalty.domain.holds import HOLDS, OPEN_HOLDS
from loyalty.domain.identities import IDENTITIES, IDENTITIES_OF
from loyalty.domain.ids import MemberId
from loyalty.domain.lots import EVERYTHING, LOTS, OPEN_LOTS, UNSEEN_DUE, LotState
from loyalty.domain.members import MEMBERS, Member, Status
from loyalty.domain.merges import ABSORBED, MERGES
from loyalty.domain.parked import PARKED, WAITING_FOR
from loyalty.domain.persons import BIRTHDAYS, Consent, Person
from loyalty.domain.programme import Programme
from loyalty.domain.publishing import DRAFTED, LAST_VERSIONS, VERSIONS
from loyalty.domain.reversals import REVERSALS
from loyalty.domain.reviews import REVIEWS
from loyalty.domain.sliding import SLIDES, Slide
from loyalty.domain.state import Need, Shelf, State
from loyalty.domain.tags import TAGS, TagChange
from loyalty.domain.tiers import COUNTS, GRANTS, HAS_BOUGHT, TierStep
from loyalty.domain.what_ifs import UNFINISHED, WHAT_IFS
from loyalty.store import (
    adjustments,
    books,
    caps,
    channels,
    claims,
    codes,
    drift,
    holds,
    identities,
    journal,
    lots,
    members,
    merges,
    parked,
    persons,
    reversals,
    reviews,
    rules,
    sliding,
    tags,
    tiers,
    what_ifs,
)
from loyalty.store.database import fetch_one
from loyalty.store.parts import PROGRAMME, Load, Write, load_statement, write_statement
from loyalty.store.schema import INTEGER, Plain
from loyalty.store.sealing import Sealer

AHEAD = 8
"""Open lots loaded beyond what is due, at first; each further helping is `MORE` times larger."""
MORE = 8
HELPINGS = 7
"""Most helpings of lots for one batch: 8 x 8^6, more than two million lots."""


class LostClaim(Exception):
    """Another batch took one of our claims between our load and our write."""


class Asked(NamedTuple):
    """What a batch needs: keys by shelf, and how far into time it may settle each member."""

    programme: Programme
    needs: Mapping[Shelf[Any, Any], Sequence[Need]]
    until: Mapping[MemberId, datetime]
    locked: State
    sealer: Sealer | None = None
    """Opens what is sealed; None: nobody needs that here."""


Place = Callable[[Iterable[Sequence[Any]], State], None]
Wanted = tuple[Load, Place] | None


async def lock(
    connection: AsyncConnection, programme: Programme, needs: Mapping[Shelf[Any, Any], Sequence[Need]], into: State
) -> datetime:
    """Lock every shared row the batch will change, in the registry's order, and put it on the state.

    Returns the database's time before the first lock.
    """
    began = await members.lock(connection, programme.id, (need.key for need in needs.get(MEMBERS, ())), into)
    for shelf, lock_ in _ALSO_LOCKED:
        if shelf in needs:
            await lock_(connection, programme.id, (need.key for need in needs[shelf]), into)
    return began


_ALSO_LOCKED: tuple[tuple[Shelf[Any, Any], Callable[..., Awaitable[None]]], ...] = (
    (PARKED, parked.lock),
    (REVIEWS, reviews.lock),
    (CHANNELS, channels.lock),
)
"""Rows that belong to no member, so that no member's lock guards them; in this order, after the members."""


async def find(
    connection: AsyncConnection, programme: Programme, needs: Mapping[Shelf[Any, Any], Sequence[Need]], into: State
) -> None:
    """As `lock`, without locking: for decisions that will be dropped."""
    await members.find(connection, programme.id, (need.key for need in needs.get(MEMBERS, ())), into)


async def load(connection: AsyncConnection, asked: Asked, into: State) -> None:
    """Put all that the batch needs on the state, in one statement; more lots follow where they are short."""
    wanted = [found for want in _WANTS if (found := want(asked)) is not None]
    await _load(connection, asked.programme.id, wanted, into)
    await _load_more_lots(connection, asked, into)


async def _load(
    connection: AsyncConnection, programme_id: int, wanted: Sequence[tuple[Load, Place]], into: State
) -> None:
    if not wanted:
        return
    values: dict[str, Any] = {PROGRAMME: programme_id}
    binds: list[tuple[str, Plain]] = [(PROGRAMME, INTEGER)]
    for part, _ in wanted:
        for name, (value, type_) in part.binds.items():
            values[name] = value
            binds.append((name, type_))
    statement = load_statement(tuple(part.sql for part, _ in wanted), tuple(binds))
    arrays = await fetch_one(connection, statement, values)
    for (_, place), rows in zip(wanted, arrays, strict=True):
        if rows:
            place(rows, into)


# --- what each shelf wants to load -------------------------------------------------------------------------


def _keyed(shelf: Shelf[Any, Any], load_: Callable[[list[Any]], Load], place: Place) -> Callable[[Asked], Wanted]:
    """What a shelf wants whose needs are nothing but its rows' keys."""

    def want(asked: Asked) -> Wanted:
        found = list(dict.fromkeys(need.key for need in asked.needs.get(shelf, ())))
        return (load_(found), place) if found else None

    return want


def _want_books(asked: Asked) -> Wanted:
    """Those of every member: settling moves them, whatever else a command does."""
    found = list(dict.fromkeys(need.key for need in asked.needs.get(MEMBERS, ())))
    return (books.load(found), books.place) if found else None


def _want_spend(asked: Asked) -> Wanted:
    since = _counted_since(asked)
    return (tiers.load_spend(since), tiers.place) if since else None


def _want_counts(asked: Asked) -> Wanted:
    metrics = asked.programme.ladder.beside_net_spend
    since = _counted_since(asked) if metrics else {}
    return (tiers.load_counts(since, metrics), tiers.place) if since else None


def _counted_since(asked: Asked) -> dict[MemberId, date]:
    """From which day counts matter: of members for whom something is counted, or whose tier may be reviewed."""
    ladder, calendar = asked.programme.ladder, asked.programme.calendar
    first: dict[MemberId, date] = {}
    for need in asked.needs.get(COUNTS, ()):
        member_id, day = need.key
        first[member_id] = min(day, first.get(member_id, day))
    for member_id, member in asked.locked.own(MEMBERS):
        for moment in (member.tier_until, member.due_at if ladder.counts_what_matures else None):
            if moment is not None and moment <= asked.until[member_id]:
                day = calendar.business_date(moment)
                first[member_id] = min(day, first.get(member_id, day))
    return {member_id: ladder.since(day) for member_id, day in first.items()}


def _want_grants(asked: Asked) -> Wanted:
    """Of members who have one, and of those who may be given one."""
    found = {need.key: None for need in asked.needs.get(GRANTS, ())}
    found.update((member_id, None) for member_id, member in asked.locked.own(MEMBERS) if member.tier_granted)
    return (tiers.load_grants(list(found)), tiers.place_grants) if found else None


def _want_merges(asked: Asked) -> Wanted:
    """Of members who were merged into others, and of those who may be."""
    found = {need.key: None for need in asked.needs.get(MERGES, ())}
    found.update((id_, None) for id_, member in asked.locked.own(MEMBERS) if member.status == Status.MERGED)
    return (merges.load(list(found)), merges.place) if found else None


def _want_slides(asked: Asked) -> Wanted:
    """Of every member, where points slide: settling lets them end."""
    books = sliding.books_of(asked.programme, dict.fromkeys(need.key for need in asked.needs.get(MEMBERS, ())))
    return (sliding.load(books), sliding.place) if books else None


def _want_birthdays(asked: Asked) -> Wanted:
    """Of those whose birthday a rule asks for, and of nobody else."""
    days: dict[MemberId, list[date]] = {}
    for member_id, day in dict.fromkeys(need.key for need in asked.needs.get(BIRTHDAYS, ())):
        days.setdefault(member_id, []).append(day)
    if not days:
        return None
    sealer = asked.sealer
    assert sealer is not None, "who decides on purchases was given the secret"
    return persons.load(list(days)), lambda rows, into: persons.place_birthdays(rows, days, sealer, into)


def _want_lots(asked: Asked) -> Wanted:
    reaches = _reaches(asked, AHEAD)
    if not reaches:
        return None
    return lots.load(reaches), lambda rows, into: lots.place(rows, reaches, into)


def _want_open_holds(asked: Asked) -> Wanted:
    holders = _holders(asked)
    return (holds.load_open(holders), holds.place_open) if holders else None


def _want_lots_of_open_holds(asked: Asked) -> Wanted:
    holders = _holders(asked)
    return (holds.load_lots_of_open(holders), lots.place_by_id) if holders else None


def _holders(asked: Asked) -> list[MemberId]:
    """Whose open holds matter: of members for whom something is due, and of those a command asks for."""
    found = {need.key: None for need in asked.needs.get(OPEN_HOLDS, ())}
    for member_id, member in asked.locked.own(MEMBERS):
        if _is_due(member, asked.until[member_id]):
            found[member_id] = None
    return list(found)


_WANTS = (
    _keyed(REPLAYS, claims.load_replays, claims.place_replays),
    _keyed(REFERENCES, claims.load_references, claims.place_references),
    _keyed(IDENTITIES, identities.load, identities.place),
    _keyed(IDENTITIES_OF, identities.load_of, identities.place_of),
    _want_books,
    _want_slides,
    _keyed(LOTS, lots.load_by_id, lots.place_by_id),
    _want_lots_of_open_holds,
    _want_lots,
    _keyed(HOLDS, holds.load_by_id, holds.place),
    _want_open_holds,
    _keyed(REVERSALS, reversals.load, reversals.place),
    _keyed(ADJUSTMENTS, adjustments.load, adjustments.place),
    _keyed(WAITING_FOR, parked.load_waiting, parked.place_waiting),
    _want_spend,
    _want_counts,
    _want_grants,
    _want_merges,
    _keyed(ABSORBED, merges.load_absorbed, merges.place_absorbed),
    _keyed(HAS_BOUGHT, tiers.load_whether_bought, tiers.place_whether_bought),
    _keyed(CAP_USE, caps.load, caps.place),
    _keyed(USED_CAPS, caps.load_of, caps.place_of),
    _keyed(CODE_USE, codes.load, codes.place),
    _keyed(TAGS, tags.load, tags.place),
    _want_birthdays,
    _keyed(DRAFTED, rules.load_drafts, rules.place_drafts),
    _keyed(UNFINISHED, what_ifs.load_unfinished, what_ifs.place_unfinished),
    _keyed(LAST_VERSIONS, rules.load_versions, rules.place_versions),
    _keyed(LAST_DIFFERENCES, drift.load_last, drift.place_last),
    _keyed(OPEN_DIFFERENCES, drift.load_open, drift.place_open),
)


# --- lots, by need -----------------------------------------------------------------------------------------


def _reaches(asked: Asked, ahead: int) -> list[lots.Reach]:
    """Everything due for the members that have something due, and lots ahead for those that spend."""
    reaches: dict[tuple[MemberId, str, str], lots.Reach] = {}
    for member_id, member in asked.locked.own(MEMBERS):
        if _is_due(member, asked.until[member_id]):
            for wallet in asked.programme.wallets:
                for state in LotState:
                    reach = lots.Reach(member_id, wallet, state.value, asked.until[member_id], 1)
                    reaches[member_id, wallet, state.value] = reach
    for (member_id, wallet), points in _spent(asked).items():
        if member_id in asked.until:
            every = points >= EVERYTHING
            for state in LotState if every else (LotState.AVAILABLE,):
                reach = lots.Reach(
                    member_id, wallet, state.value, asked.until[member_id], EVERYTHING if every else ahead
                )
                reaches[member_id, wallet, state.value] = reach
    return list(reaches.values())


def _is_due(member: Member, until: datetime) -> bool:
    return member.due_at is not None and member.due_at <= until


def _spent(asked: Asked) -> dict[tuple[MemberId, str], int]:
    """How many points of each book the batch may spend, all commands together."""
    spent: dict[tuple[MemberId, str], int] = {}
    for need in asked.needs.get(OPEN_LOTS, ()):
        spent[need.key] = spent.get(need.key, 0) + need.points
    return spent


async def _load_more_lots(connection: AsyncConnection, asked: Asked, into: State) -> None:
    """Load further lots of the books that the first helping does not cover."""
    for member_id, member in asked.locked.own(MEMBERS):
        if member.due_at is not None and not _is_due(member, asked.until[member_id]):
            into.put(UNSEEN_DUE, member_id, member.due_at)
    if ended := _ended(asked, into):
        await _load_lots(connection, asked, ended, into)
    ahead = AHEAD
    short = {book: points for book, points in _spent(asked).items() if points < EVERYTHING}
    for _ in range(HELPINGS):
        short = {
            book: points
            for book, points in short.items()
            if book[0] in asked.until and lots.short_of(into, _reach(asked, book, ahead), points)
        }
        if not short:
            return
        ahead *= MORE
        await _load_lots(connection, asked, [_reach(asked, book, ahead) for book in short], into)


async def _load_lots(connection: AsyncConnection, asked: Asked, reaches: list[lots.Reach], into: State) -> None:
    wanted = (lots.load(reaches), lambda rows, into: lots.place(rows, reaches, into))
    await _load(connection, asked.programme.id, [wanted], into)


def _ended(asked: Asked, known: State) -> list[lots.Reach]:
    """All lots of the books that end by themselves within the batch: such lots have no date to be found by."""
    members = dict(asked.locked.own(MEMBERS))
    return [
        lots.Reach(id_, wallet, LotState.AVAILABLE.value, asked.until[id_], EVERYTHING)
        for (id_, wallet), slide in known.own(SLIDES)
        if slide.ends_at <= asked.until[id_] and _is_due(members[id_], asked.until[id_])
    ]


def _reach(asked: Asked, book: tuple[MemberId, str], ahead: int) -> lots.Reach:
    member_id, wallet = book
    return lots.Reach(member_id, wallet, LotState.AVAILABLE.value, asked.until[member_id], ahead)


# --- writing -----------------------------------------------------------------------------------------------


async def write(
    connection: AsyncConnection, programme: Programme, batch: State, loaded: State, recorded_at: datetime
) -> None:
    """Write all that the batch changed and recorded, in one statement. Raises LostClaim."""
    writes = list(_writes(batch, loaded, recorded_at))
    if not writes:
        return
    values: dict[str, Any] = {PROGRAMME: programme.id}
    for one in writes:
        values[one.piece.name] = one.rows
    statement = write_statement(tuple(one.piece for one in writes), tuple(one.claims is not None for one in writes))
    _, *taken = await fetch_one(connection, statement, values)
    if taken != [one.claims for one in writes if one.claims is not None]:
        raise LostClaim


def _writes(batch: State, loaded: State, recorded_at: datetime) -> Iterable[Write]:
    """Every table's part, claims first."""
    rows: dict[Shelf[Any, Any], tuple[list[Any], list[Any]]] = {}
    for (shelf, key), row in batch.rows.items():
        new, changed = rows.setdefault(shelf, ([], []))
        (changed if (shelf, key) in loaded.rows else new).append((key, row))
    nothing: tuple[list[Any], list[Any]] = ([], [])

    def of(shelf: Shelf[Any, Any]) -> tuple[list[Any], list[Any]]:
        return rows.get(shelf, nothing)

    facts: dict[type, list[Any]] = {}
    for fact in batch.facts:
        facts.setdefault(type(fact), []).append(fact)

    yield from claims.write_replays(of(REPLAYS)[0], recorded_at)
    yield from claims.write_references(of(REFERENCES)[0])
    yield from identities.write(*of(IDENTITIES), seen=loaded)
    yield from what_ifs.write(_values(of(WHAT_IFS))[0])
    yield from rules.write(_values(of(DRAFTED))[0], _values(of(VERSIONS))[0])
    yield from channels.write(*_values(of(CHANNELS)))
    yield from members.write(*_values(of(MEMBERS)))
    yield from books.write(*of(BOOKS))
    yield from lots.write(*_values(of(LOTS)))
    yield from holds.write(*_values(of(HOLDS)))
    yield from reversals.write(*_values(of(REVERSALS)))
    yield from adjustments.write(*_values(of(ADJUSTMENTS)))
    yield from parked.write(*_values(of(PARKED)))
    yield from reviews.write(*_values(of(REVIEWS)))
    yield from drift.write(*_values(of(DIFFERENCES)))
    yield from merges.write(*_values(of(MERGES)))
    yield from tiers.write(batch.own(COUNTS), loaded)
    yield from tiers.write_grants(*of(GRANTS))
    yield from caps.write(*of(CAP_USE))
    yield from codes.write(*of(CODE_USE))
    yield from journal.write_entries(facts.get(Entry, ()))
    yield from tiers.write_steps(facts.get(TierStep, ()))
    yield from sliding.write(facts.get(Slide, ()))
    yield from tags.write(facts.get(TagChange, ()))
    yield from persons.write_persons(facts.get(Person, ()))
    yield from persons.write_consents(facts.get(Consent, ()))
    yield from journal.write_events(facts.get(Event, ()))


def _values(pairs: tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]) -> tuple[list[Any], list[Any]]:
    """The rows of (new, changed) pairs without their keys."""
    return [row for _, row in pairs[0]], [row for _, row in pairs[1]]
