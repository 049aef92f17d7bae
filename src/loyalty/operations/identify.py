"""Identities of a member that has joined: bind one more, or unbind one. Leaving a channel closes nothing."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.events import EventType, tell
from loyalty.domain.identities import IDENTITIES, IDENTITIES_OF, PHONE, Binding, Identity, bind, unbind
from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS, Status, existing
from loyalty.domain.refusals import MemberClosed, PhoneNotVerified
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Bound(NamedTuple):
    """An identity, and whose it is or was."""

    identity: Identity
    binding: Binding


class Bind(NamedTuple):
    """Let a member be known by one more identity."""

    member_id: MemberId
    identity: Identity
    verified: bool = True
    """Whether they have proven to hold it. Only a phone has to be: phones change hands."""

    def needs(self) -> tuple[Need, ...]:
        return _needs(self.member_id, self.identity)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """Its binding; the earlier one if it is theirs already.

        Raises MemberNotFound, MemberClosed, PhoneNotVerified, and as `bind`.
        """
        existing(draft, self.member_id)
        if self.identity.channel == PHONE and not self.verified:
            raise PhoneNotVerified("Send a code to the phone first: it joins a member only when it is verified.")
        binding = make_known(draft, self.identity, self.member_id)
        return Receipt(self.member_id, (), Bound(self.identity, binding))


class Unbind(NamedTuple):
    """Let a member be known by an identity no longer; its other identities, points and tier stay."""

    member_id: MemberId
    identity: Identity

    def needs(self) -> tuple[Need, ...]:
        return _needs(self.member_id, self.identity)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It is nobody's. Raises MemberNotFound, IdentityNotFound, CardNumberStays. `said` is how it was bound."""
        existing(draft, self.member_id)
        binding = unbind(draft, self.identity, self.member_id)
        tell(draft, self.member_id, EventType.IDENTITY_UNBOUND)
        return Receipt(self.member_id, (), Bound(self.identity, binding))


def make_known(draft: Draft, identity: Identity, member_id: MemberId) -> Binding:
    """Its binding to a member; the earlier one if it is theirs already. Raises MemberClosed, and as `bind`."""
    if existing(draft, member_id).status == Status.CLOSED:
        raise MemberClosed("The member has closed its account.")
    binding = draft.get(IDENTITIES, identity)
    if binding is None or binding.member_id != member_id:
        binding = bind(draft, identity, member_id)
        tell(draft, member_id, EventType.IDENTITY_BOUND)
    return binding


def _needs(member_id: MemberId, identity: Identity) -> tuple[Need, ...]:
    return (Need(MEMBERS, member_id), Need(IDENTITIES, identity), Need(IDENTITIES_OF, member_id))
