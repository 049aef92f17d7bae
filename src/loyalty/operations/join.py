"""Joining and leaving on a channel. The channel vouches for its own identities; leaving it closes nothing."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.events import EventType, tell
from loyalty.domain.identities import CARD_CHANNEL, IDENTITIES, IDENTITIES_OF, PHONE, Identity, unbind
from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS, existing
from loyalty.domain.refusals import IdentityTaken
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt
from loyalty.operations.enrol import Enrol, Enrolled, Rejoin, needs_of_holder
from loyalty.operations.identify import make_known


class Join(NamedTuple):
    """Somebody joins on a channel: as whoever is known by `led_by`, or as somebody new."""

    joining: Enrol
    """Who they are if nobody is known by any of it."""
    own: Identity
    """What the channel will speak of them by. It is among those of `joining`."""
    holder: MemberId | None = None
    led_by: Identity | None = None
    """What led to the holder: one of the channel's identities, or a phone that the platform has proven."""

    @property
    def member_id(self) -> MemberId:
        return self.holder or self.joining.member_id

    def needs(self) -> tuple[Need, ...]:
        if self.holder is None:
            return self.joining.needs()
        return (*needs_of_holder(self.holder), *self.joining.needs())

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The member is known by the channel's own identity, and by all else that nothing speaks against.

        Raises as `Enrol` and `Rejoin`; IdentityTaken also where `led_by` leads to somebody else by now. `said` is
        Enrolled: told again, somebody is new who was new when the channel's identity was bound.
        """
        if self.holder is None or self.led_by is None:
            return self._joining(draft).decide(draft, at)
        if self.led_by.channel == PHONE:
            return Rejoin(self.holder, self.led_by, self._joining(draft)).decide(draft, at)
        binding = draft.get(IDENTITIES, self.led_by)
        if binding is None or binding.member_id != self.holder:
            channel, type_, _ = self.led_by
            raise IdentityTaken("The identity is somebody else's by now.", channel=channel, identity_type=type_)
        was_new = self._was_new(draft)
        make_known(draft, self.own, self.holder)
        for identity in self._more(draft):
            make_known(draft, identity, self.holder)
        return Receipt(self.holder, (), Enrolled(existing(draft, self.holder), is_new=was_new))

    def _more(self, draft: Draft) -> list[Identity]:
        """What else the holder may be known by: what is nobody's, of a kind that they have none of, and proven."""
        kinds = {identity[:2] for identity in draft.get(IDENTITIES_OF, self.member_id) or ()}
        unproven = () if self.joining.phone_proven else (PHONE,)
        return [
            one
            for one in self.joining.identities
            if one.channel not in (CARD_CHANNEL, *unproven) and _is_free(draft, one, kinds)
        ]

    def _joining(self, draft: Draft) -> Enrol:
        """Without what would only be nice to know them by, and is somebody's, or of a kind that the holder has."""
        theirs = draft.get(IDENTITIES_OF, self.holder) or () if self.holder is not None else ()
        kinds = {identity[:2] for identity in theirs}
        kept = tuple(one for one in self.joining.identities if self._is_asked_for(one) or _is_free(draft, one, kinds))
        return self.joining._replace(identities=kept)

    def _is_asked_for(self, identity: Identity) -> bool:
        """Whether nobody joins without it: their card, the channel's own identity, a phone that is proven."""
        if identity.channel == PHONE:
            return self.joining.phone_proven
        return identity.channel == CARD_CHANNEL or identity == self.own

    def _was_new(self, draft: Draft) -> bool:
        """Whether the channel's identity was bound in the moment in which the member got its card."""
        own, theirs = draft.get(IDENTITIES, self.own), draft.get(IDENTITIES_OF, self.member_id) or ()
        card = next(draft.get(IDENTITIES, one) for one in theirs if one.channel == CARD_CHANNEL)
        return own is not None and card is not None and own.since == card.since


class Leave(NamedTuple):
    """Somebody leaves a channel: it knows them no longer. Points, tier and all else stay."""

    member_id: MemberId
    channel: str

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id), Need(IDENTITIES_OF, self.member_id))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """None of the channel's identities is theirs. Raises MemberNotFound. `said` is the member."""
        member = existing(draft, self.member_id)
        theirs = draft.get(IDENTITIES_OF, self.member_id) or ()
        left = [identity for identity in theirs if identity.channel == self.channel]
        for identity in left:
            unbind(draft, identity, self.member_id)
        if left:
            tell(draft, self.member_id, EventType.IDENTITY_UNBOUND)
        return Receipt(self.member_id, (), member)


def _is_free(draft: Draft, identity: Identity, kinds: set[tuple[str, str]]) -> bool:
    binding = draft.get(IDENTITIES, identity)
    return identity[:2] not in kinds and (binding is None or binding.member_id is None)
