"""Merging two members who are one person, reversing it, and doing to the absorbed member what still comes."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.caps import USED_CAPS
from loyalty.domain.carrying import carry_on, lapsed_since, lend, part, recall
from loyalty.domain.drift import OPEN_DIFFERENCES, settle_differences
from loyalty.domain.entries import Because, Entry
from loyalty.domain.events import EventType, tell
from loyalty.domain.holds import HoldStatus
from loyalty.domain.identities import CARD_CHANNEL, IDENTITIES, IDENTITIES_OF, MOST_OF_A_MEMBER, Identity
from loyalty.domain.ids import LotId, MemberId
from loyalty.domain.ladder import EVER
from loyalty.domain.lots import EVERYTHING, LOTS, OPEN_LOTS
from loyalty.domain.members import MEMBERS, Status, existing, who_may_spend
from loyalty.domain.merges import ABSORBED, MERGES, Carried, Merge, as_text, carried
from loyalty.domain.refusals import (
    IdentityConflict,
    MemberAbsorbs,
    MemberClosed,
    MergeChanged,
    MergeNotFound,
    MergeNotLast,
    Refusal,
    SameMember,
)
from loyalty.domain.reservations import open_plans
from loyalty.domain.returns import LAPSED_ELSEWHERE, own_lots, planned
from loyalty.domain.settle import settle
from loyalty.domain.state import Draft, Need
from loyalty.domain.tags import TAGS, set_tags, tags_of
from loyalty.domain.tiers import COUNTS, GRANTS, Brought, climber_of, given, granted
from loyalty.operations.codes import ByCode
from loyalty.operations.command import Command, Receipt, serves_merged
from loyalty.operations.hold import Capture
from loyalty.operations.membership import forfeit
from loyalty.operations.park import Cure
from loyalty.operations.reassign import Reassign
from loyalty.operations.reserve import Confirm, Reserve
from loyalty.operations.returns import Return


class MergeInto(NamedTuple):
    """One member is absorbed by another: both were the same person."""

    survivor: MemberId
    absorbed: MemberId
    wallets: tuple[str, ...]
    because: Because
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.survivor

    def needs(self) -> tuple[Need, ...]:
        return (
            *_needs(self.absorbed, self.survivor, self.wallets),
            *(Need(ABSORBED, id_) for id_ in (self.absorbed, self.survivor)),
            Need(IDENTITIES_OF, self.absorbed),
            Need(IDENTITIES_OF, self.survivor),
            Need(OPEN_DIFFERENCES, self.absorbed),
            Need(TAGS, self.absorbed),
            Need(TAGS, self.survivor),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The survivor has what both had, and is known by what both were.

        Raises MemberNotFound, MemberFrozen, MemberEarnsOnly, MemberClosed for either of them, SameMember,
        MemberAbsorbs, TooManyTags, and IdentityConflict where a channel knows them as two. `said` is the survivor.
        """
        who_may_spend(draft, self.survivor)
        if self.absorbed == self.survivor:
            raise SameMember("A member cannot be merged into itself.")
        absorbed = who_may_spend(draft, self.absorbed)
        if draft.get(ABSORBED, self.absorbed):
            raise MemberAbsorbs("Others were merged into the member: it can only be the survivor.")
        moving = self._take_identities(draft)
        settle_differences(draft, self.absorbed)
        added = self._take_tags(draft)
        survivor = existing(draft, self.survivor)
        before, theirs = (climber_of(draft, draft.programme, one).tenure for one in (survivor, absorbed))
        own, brings = (given(granted(draft, one)) for one in (survivor, absorbed))
        brought = Brought(theirs.tier, theirs.since, brings)
        what = Carried({}, {}, [], [one.id for one in moving], before, theirs.until, own=own, theirs=brings, tags=added)
        merge = Merge(self.absorbed, self.survivor, draft.moment.recorded_at, as_text(what))
        entries = carry_on(draft, merge, because=self.because, business_date=self.business_date, brought=brought)
        draft.put(MEMBERS, self.absorbed, existing(draft, self.absorbed)._replace(status=Status.MERGED.value))
        draft.put(ABSORBED, self.survivor, (*(draft.get(ABSORBED, self.survivor) or ()), self.absorbed))
        tell(draft, self.absorbed, EventType.STATUS_CHANGED)
        return Receipt(self.survivor, tuple(reversed(entries)), existing(draft, self.survivor))

    def _take_identities(self, draft: Draft) -> Sequence[Identity]:
        """The survivor is known by all of them from now on; of cards it may have several. Raises IdentityConflict."""
        theirs = draft.get(IDENTITIES_OF, self.absorbed) or ()
        own = draft.get(IDENTITIES_OF, self.survivor) or ()
        kinds = {one[:2] for one in own}
        for one in theirs:
            if one.channel != CARD_CHANNEL and one[:2] in kinds:
                raise IdentityConflict(
                    "Both members are known by an identity of that channel and type; unbind one of them first.",
                    channel=one.channel,
                    identity_type=one.type,
                )
        if len(own) + len(theirs) > MOST_OF_A_MEMBER:
            raise IdentityConflict(f"A member has at most {MOST_OF_A_MEMBER} identities.", maximum=MOST_OF_A_MEMBER)
        hand_identities(draft, theirs, self.absorbed, self.survivor)
        return theirs

    def _take_tags(self, draft: Draft) -> Sequence[str]:
        """Whoever is staff on one card is staff. Those that are new to the survivor. Raises TooManyTags."""
        own = tags_of(draft, self.survivor)
        added = [tag for tag in tags_of(draft, self.absorbed) if tag not in own]
        set_tags(draft, self.survivor, (*own, *added), reason=self.because.reason, by=None)
        return added


class Unmerge(NamedTuple):
    """Reverse a merge: they were two people after all."""

    merge: Merge
    """As it was found."""
    wallets: tuple[str, ...]
    because: Because
    business_date: date

    @property
    def serves_merged(self) -> Collection[MemberId]:
        return (self.merge.absorbed,)

    @property
    def member_id(self) -> MemberId:
        return self.merge.absorbed

    def needs(self) -> tuple[Need, ...]:
        lots = carried(self.merge).lots
        return (
            *_needs(self.merge.absorbed, self.merge.survivor, self.wallets),
            *(Need(LOTS, id_) for pair in lots.items() for id_ in pair),
            Need(IDENTITIES_OF, self.merge.survivor),
            Need(IDENTITIES_OF, self.merge.absorbed),
            Need(TAGS, self.merge.survivor),
            Need(ABSORBED, self.merge.survivor),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The absorbed member is itself again, with what remains of what it brought. What was spent of it is gone.

        Raises MergeNotFound, MergeChanged, MergeNotLast, MemberClosed where the survivor has left. `said` is who was
        absorbed.
        """
        merge = in_force(draft, self.merge)
        *earlier, last = draft.get(ABSORBED, merge.survivor) or (merge.absorbed,)
        if last != merge.absorbed:
            raise MergeNotLast("Another member was merged into the survivor later; reverse that first.", absorbed=last)
        draft.put(ABSORBED, merge.survivor, tuple(earlier))
        if existing(draft, merge.survivor).status == Status.CLOSED:
            raise MemberClosed("The survivor has closed its account.")
        brought = set(carried(merge).identities)
        theirs = [one for one in draft.get(IDENTITIES_OF, merge.survivor) or () if one.id in brought]
        left = (tag for tag in tags_of(draft, merge.survivor) if tag not in carried(merge).tags)
        set_tags(draft, merge.survivor, left, reason=self.because.reason, by=None)
        entries = part(draft, merge, because=self.because, business_date=self.business_date)
        _put_status(draft, merge.absorbed, existing(draft, merge.survivor).status)  # it lifts no freeze
        member = existing(draft, merge.absorbed)
        tell(draft, merge.absorbed, EventType.STATUS_CHANGED)
        hand_identities(draft, theirs, merge.survivor, merge.absorbed)
        return Receipt(merge.absorbed, tuple(reversed(entries)), member)


class Through(NamedTuple):
    """A command on what belongs to a member who was merged: done there, and what it leaves is carried on."""

    asked: Command
    merge: Merge
    """As it was found."""
    wallets: tuple[str, ...]
    business_date: date
    draws_on: tuple[LotId, ...] = ()
    """Lots of the absorbed member's that the command draws on first."""

    @property
    def serves_merged(self) -> Collection[MemberId]:
        return (self.merge.absorbed, *serves_merged(self.asked))

    @property
    def member_id(self) -> MemberId:
        return self.asked.member_id

    def needs(self) -> tuple[Need, ...]:
        wanted = set(self.draws_on)
        back = [pair for pair in carried(self.merge).lots.items() if pair[1] in wanted]
        return (
            *self.asked.needs(),
            *_needs(self.merge.absorbed, self.merge.survivor, self.wallets),
            *(Need(LOTS, id_) for pair in back for id_ in pair),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """As asked of the survivor, whose status decides what may be done; a closed one is given nothing.

        Raises MergeNotFound, MergeChanged before anything else.
        """
        merge, because = in_force(draft, self.merge), Because()
        called = recall(draft, merge, self.draws_on, because=because, business_date=self.business_date)
        settle(draft, merge.absorbed, at)  # what came back may have ripened meanwhile
        status = existing(draft, merge.survivor).status
        _put_status(draft, merge.absorbed, status)
        for lot_id, points in lapsed_since(draft, merge).items():
            draft.put(LAPSED_ELSEWHERE, lot_id, points)
        called += lend(draft, merge, self._lacking(draft), because=because, business_date=self.business_date)
        receipt = self.asked.decide(draft, at)
        settle(draft, merge.absorbed, at)
        _put_status(draft, merge.absorbed, Status.MERGED)
        went = []
        if status == Status.CLOSED:
            _, gone = forfeit(draft, merge.absorbed, self.wallets, because=because, business_date=self.business_date)
            went += [] if gone is None else [gone]
        went += carry_on(draft, merge, because=because, business_date=self.business_date)
        return receipt._replace(entries=(*receipt.entries, *called, *went))

    def _lacking(self, draft: Draft) -> dict[str, int]:
        """Points by wallet that a purchase's own lots do not have any more of what it is to give back."""
        asked = self.asked.asked if isinstance(self.asked, ByCode | Cure) else self.asked
        if not isinstance(asked, Return | Reserve | Reassign):
            return {}
        lines = None if isinstance(asked, Reassign) else asked.lines
        try:
            plan = planned(draft, asked.purchase, lines, reserved=open_plans(draft, asked.purchase))
        except Refusal:
            return {}  # the command says so itself, after what it looks at first
        had: dict[str, int] = {}
        for lot in own_lots(draft, asked.purchase):
            had[lot.wallet] = had.get(lot.wallet, 0) + lot.remaining
        return {name: max(0, wanted - had.get(name, 0)) for name, wanted in plan.points.items()}


def through(asked: Command, merge: Merge, *, wallets: tuple[str, ...], business_date: date) -> Through:
    """The command, for a member who was merged: what it takes back, it takes from the purchase's own lots first."""
    return Through(asked, merge, wallets, business_date, _lots_of(asked))


def _lots_of(command: Command) -> tuple[LotId, ...]:
    """The lots that a command draws on first: its purchase's; or the hold's, where that has ended by itself."""
    asked = command.asked if isinstance(command, ByCode | Cure) else command
    if isinstance(asked, Capture) and asked.hold.status != HoldStatus.OPEN:
        return tuple(draw.lot_id for draw in asked.hold.draws)
    purchase = purchase_of(asked)
    return () if purchase is None else tuple(birth.lot_id for birth in purchase.births)


def purchase_of(command: Command) -> Entry | None:
    """The purchase that a command takes back."""
    asked = command.asked if isinstance(command, ByCode | Cure) else command
    return asked.purchase if isinstance(asked, Return | Reserve | Confirm | Reassign) else None


def _put_status(draft: Draft, member_id: MemberId, status: str) -> None:
    draft.put(MEMBERS, member_id, existing(draft, member_id)._replace(status=status))


def in_force(draft: Draft, found: Merge) -> Merge:
    """The merge as it is. Raises MergeNotFound, MergeChanged where it is not as it was found."""
    merge = draft.get(MERGES, found.absorbed)
    if merge is None or existing(draft, found.absorbed).status != Status.MERGED:
        raise MergeNotFound("The member is not merged into another.")
    if merge != found:
        raise MergeChanged("More was carried to the survivor meanwhile. Try again.")
    return merge


def hand_identities(draft: Draft, theirs: Sequence[Identity], giver: MemberId, taker: MemberId) -> None:
    """They are the other member's from now on."""
    for one in theirs:
        binding = draft.get(IDENTITIES, one)
        assert binding is not None, "a member's identities are loaded with their bindings"
        draft.put(IDENTITIES, one, binding._replace(member_id=taker, since=draft.moment.recorded_at))
    left = tuple(one for one in draft.get(IDENTITIES_OF, giver) or () if one not in set(theirs))
    draft.put(IDENTITIES_OF, giver, left)
    draft.put(IDENTITIES_OF, taker, (*(draft.get(IDENTITIES_OF, taker) or ()), *theirs))


def _needs(absorbed: MemberId, survivor: MemberId, wallets: tuple[str, ...]) -> tuple[Need, ...]:
    """All that both have."""
    return (
        Need(MERGES, absorbed),
        *(Need(MEMBERS, id_) for id_ in (absorbed, survivor)),
        *(Need(COUNTS, (id_, EVER)) for id_ in (absorbed, survivor)),
        *(Need(GRANTS, id_) for id_ in (absorbed, survivor)),
        *(Need(USED_CAPS, id_) for id_ in (absorbed, survivor)),
        *(Need(OPEN_LOTS, (id_, wallet), EVERYTHING) for id_ in (absorbed, survivor) for wallet in wallets),
    )
