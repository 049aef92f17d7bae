"""From what a message means to a verb, and from what the verb said to what the platform is told."""

from datetime import datetime
from typing import Final

import uuid_utils

from loyalty.channels.connections import Connected
from loyalty.channels.messages import Joined, KnownBy, Left, Meaning, Outcome, PointsChanged, Verdict
from loyalty.domain.channels import CHANNEL_SOURCE
from loyalty.domain.claims import ReferenceKind, reference_key
from loyalty.domain.entries import Because
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE, PHONE, Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.parked import AskedPoints, ParkedEvent
from loyalty.domain.persons import Person
from loyalty.domain.refusals import MemberNotFound, ReferenceTaken, Refusal
from loyalty.operations.accrue import Grant
from loyalty.operations.command import Command, Receipt
from loyalty.operations.enrol import Enrol, Enrolled, new_card_number
from loyalty.operations.join import Join, Leave
from loyalty.operations.park import Park
from loyalty.operations.redeem import Redeem
from loyalty.operations.resolve import Resolver
from loyalty.store import parked
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

EARLIER_ONES_WAIT: Final = "earlier_ones_wait"
UNKNOWN_YET: Final = "member_not_found"


class NotYet(Exception):
    """What the message needs has not come: the platform sends it again."""


class Commands:
    """Makes the verb that a message asks for: members found, what is personal blinded or sealed."""

    def __init__(self, database: Database, sealer: Sealer, resolver: Resolver) -> None:
        self._database = database
        self._sealer = sealer
        self._resolver = resolver

    async def command(self, to: Connected, meaning: Meaning, at: datetime) -> Command | None:
        """None: it is so already. Raises NotYet."""
        match meaning:
            case PointsChanged():
                return await self._points(to, meaning, at)
            case Joined():
                return await self._join(to, meaning)
            case Left():
                holder = await self._holder(to, self._identity(to, meaning.own))
                return None if holder is None else Leave(holder, to.channel.name)

    async def _points(self, to: Connected, change: PointsChanged, at: datetime) -> Command:
        """A credit for nobody yet is parked. A debit waits for whoever it is, and for what was credited before."""
        identity = self._identity(to, change.who)
        holder = await self._holder(to, identity)
        wallet, source = to.channel.settings.wallet, CHANNEL_SOURCE + to.channel.name
        because = Because(source, change.record, None, change.reason)
        kind = ReferenceKind.ACCRUAL if change.points > 0 else ReferenceKind.REDEMPTION
        day = to.programme.calendar.business_date(at)
        reference = reference_key(to.programme, kind, source=source, reference=change.record, day=day)
        if change.points > 0:
            if holder is None:
                asked = AskedPoints(change.points, wallet, None, None)
                return Park(identity, asked, because, reference, MemberId(_new_id()))
            return Grant(holder, change.points, wallet, because, reference, day, None, None)
        if holder is None:
            raise NotYet(UNKNOWN_YET)
        async with self._database.snapshot(to.programme.id) as connection:
            if await parked.waits(connection, to.programme.id, identity):
                raise NotYet(EARLIER_ONES_WAIT)
        return Redeem(holder, -change.points, wallet, because, reference, day)

    async def _join(self, to: Connected, joined: Joined) -> Join:
        """As whoever is known by it: by what the platform calls them, else by a phone that it vouches for."""
        verified = to.channel.settings.phones_verified
        own = self._identity(to, joined.own)
        sealed = None if joined.sealed_phone is None else self._identity(to, joined.sealed_phone)
        phone = None if joined.phone is None else self._blind(PHONE, PHONE, joined.phone)
        joining = self._enrolment(to, joined, phone, sealed)
        for led_by in (own, *((sealed, phone) if verified else ())):
            holder = None if led_by is None else await self._holder(to, led_by)
            if holder is not None:
                return Join(joining, own, holder, led_by)
        return Join(joining, own)

    def _enrolment(self, to: Connected, joined: Joined, phone: Identity | None, sealed: Identity | None) -> Enrol:
        """Who they are if they are somebody new."""
        id_, number = MemberId(_new_id()), new_card_number()
        known: dict[str, object] = {"phone": joined.phone, "birthday": joined.birthday}
        known = {name: value for name, value in known.items() if value is not None}
        others = (self._identity(to, one) for one in joined.others)
        named = (self._identity(to, joined.own), *others, sealed, phone)
        return Enrol(
            member_id=id_,
            number=number,
            store=None,
            identities=(Identity(CARD_CHANNEL, CARD_TYPE, number.encode()), *(one for one in named if one is not None)),
            person=Person(id_, self._sealer.seal(id_, known)) if known else None,
            consents=(),
            given=frozenset(known),
            birthday=joined.birthday,
            phone_proven=phone is not None and to.channel.settings.phones_verified,
        )

    def _identity(self, to: Connected, known_by: KnownBy) -> Identity:
        return self._blind(to.channel.name, known_by.type, known_by.value)

    def _blind(self, channel: str, type_: str, value: str) -> Identity:
        return Identity(channel, type_, self._sealer.lookup(channel, type_, value))

    async def _holder(self, to: Connected, identity: Identity) -> MemberId | None:
        try:
            return await self._resolver.member(to.programme, identity)
        except MemberNotFound:
            return None


def outcome_of(to: Connected, said: Receipt | Refusal) -> Outcome:
    """What the platform is told."""
    if isinstance(said, ReferenceTaken):  # by this very record: only its answer was forgotten since
        return Outcome(Verdict.DONE)
    if isinstance(said, Refusal):
        return Outcome(Verdict.RETRY if said.curable else Verdict.REFUSED, said.code)
    if isinstance(said.said, ParkedEvent):
        return Outcome(Verdict.WAITS)
    balance = said.balances.get(to.channel.settings.wallet)
    points = None if balance is None else balance.available
    if isinstance(said.said, Enrolled):
        level = to.programme.ladder.place(said.said.member.tier) + 1
        return Outcome(Verdict.DONE, points=points, level=level, is_new=said.said.is_new)
    return Outcome(Verdict.DONE, points=points)


def _new_id() -> str:
    """The id of a fact, or of a member, that begins now (UUIDv7)."""
    return uuid_utils.uuid7().hex
