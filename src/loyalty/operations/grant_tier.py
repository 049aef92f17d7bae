"""Tiers given by hand: at least a tier, or exactly that one where it is locked; and taking them back."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain import tiers
from loyalty.domain.calculations import Appointed
from loyalty.domain.entries import Because, Entry, Kind
from loyalty.domain.ids import MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.members import MEMBERS, Member, Status, existing
from loyalty.domain.refusals import DatesContradict, MemberClosed, NoTierGranted, UnknownTier
from loyalty.domain.state import Draft, Need
from loyalty.domain.tiers import COUNTS, GRANTS
from loyalty.operations.command import Receipt


class GrantTier(NamedTuple):
    """Give a member a tier, whatever it has earned; it replaces what was given before."""

    member_id: MemberId
    tier: str
    until: datetime | None
    """First instant at which what is earned counts alone again; None: until it is taken back."""
    locked: bool
    """Whether it holds both ways: not even what is earned lifts the member above it."""
    approved_by: str
    fires_benefits: bool
    """False for what another system granted before: the members have had their gifts."""
    because: Because
    business_date: date

    def needs(self) -> tuple[Need, ...]:
        return _needs(self.member_id, self.business_date)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The member has the tier. Raises MemberNotFound, MemberClosed, UnknownTier, DatesContradict."""
        _check_open(draft, self.member_id)
        known = [rung.tier for rung in draft.programme.ladder.rungs]
        if self.tier not in known:
            raise UnknownTier(f"This programme has no tier {self.tier!r}.", tier=self.tier, tiers=known)
        if self.until is not None and self.until <= at:
            raise DatesContradict("The tier would end before it begins.", until=self.until, begins=at)
        stored = Appointed(
            tier=self.tier,
            until=None if self.until is None else self.until.isoformat(),
            locked=self.locked,
            approved_by=self.approved_by,
            fires_benefits=self.fires_benefits,
        )
        entry = _write(draft, self.member_id, self.because, self.business_date, stored)
        tiers.appoint(draft, self.member_id, self.tier, until=self.until, locked=self.locked, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), existing(draft, self.member_id))


class EndTierGrant(NamedTuple):
    """Take back a tier that was given by hand."""

    member_id: MemberId
    approved_by: str
    because: Because
    business_date: date

    def needs(self) -> tuple[Need, ...]:
        return _needs(self.member_id, self.business_date)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """What is earned counts alone. Raises MemberNotFound, MemberClosed, NoTierGranted."""
        if not _check_open(draft, self.member_id).tier_granted:
            raise NoTierGranted("No tier was given to the member by hand, or it has ended.")
        stored = Appointed(tier=None, until=None, locked=False, approved_by=self.approved_by)
        entry = _write(draft, self.member_id, self.because, self.business_date, stored)
        tiers.dismiss(draft, self.member_id, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), existing(draft, self.member_id))


def _needs(member_id: MemberId, day: date) -> tuple[Need, ...]:
    return (Need(MEMBERS, member_id), Need(COUNTS, (member_id, day)), Need(GRANTS, member_id))


def _check_open(draft: Draft, member_id: MemberId) -> Member:
    """The member. Raises MemberNotFound, MemberClosed."""
    member = existing(draft, member_id)
    if member.status == Status.CLOSED:
        raise MemberClosed("The member has closed its account.")
    return member


def _write(draft: Draft, member_id: MemberId, because: Because, business_date: date, stored: Appointed) -> Entry:
    """The entry that says so: it moves no points, and stands in the chain."""
    return write_entry(
        draft,
        member_id,
        Kind.TIER,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=(),
        calculation=stored,
    )
