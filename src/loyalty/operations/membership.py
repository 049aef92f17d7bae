"""What may be done with a member as a whole: change its status, or close it and forfeit what it has."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.credit import release
from loyalty.domain.entries import Because, Draw, Entry, Kind, Posting
from loyalty.domain.events import EventType, tell
from loyalty.domain.holds import OPEN_HOLDS, HoldStatus, open_holds
from loyalty.domain.identities import CARD_CHANNEL, IDENTITIES_OF, unbind
from loyalty.domain.ids import MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import EVERYTHING, OPEN_LOTS, LotState, all_open, let_lapse, moved
from loyalty.domain.members import MEMBERS, Status, existing
from loyalty.domain.refusals import MemberClosed
from loyalty.domain.settle import settle
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class SetStatus(NamedTuple):
    """Freeze a member, let it earn only, or make it active again."""

    member_id: MemberId
    status: Status

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The member has the status. Raises MemberNotFound, MemberClosed: what is closed stays closed."""
        member = existing(draft, self.member_id)
        if member.status == Status.CLOSED:
            raise MemberClosed("The member has closed its account.")
        changed = member._replace(status=self.status.value)
        if changed != member:
            draft.put(MEMBERS, member.id, changed)
            tell(draft, self.member_id, EventType.STATUS_CHANGED)
        return Receipt(self.member_id, (), changed)


class Close(NamedTuple):
    """End a membership for good: holds are released, and all points are forfeited."""

    member_id: MemberId
    wallets: tuple[str, ...]
    because: Because
    business_date: date

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(OPEN_HOLDS, self.member_id),
            Need(IDENTITIES_OF, self.member_id),
            *(Need(OPEN_LOTS, (self.member_id, wallet), EVERYTHING) for wallet in self.wallets),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """Nothing is left, and whoever it was may join anew. What a member merged into it holds ends by itself.

        Raises MemberNotFound, MemberClosed. `said` is the points forfeited, by wallet.
        """
        if existing(draft, self.member_id).status == Status.CLOSED:
            raise MemberClosed("The member has closed its account.")
        entries = [
            release(
                draft,
                hold,
                HoldStatus.RELEASED,
                occurred_at=draft.moment.occurred_at,
                accounting_date=self.business_date,
                because=self.because,
            )
            for hold in open_holds(draft, self.member_id)
        ]
        settle(draft, self.member_id, at)  # what a hold gave back may have expired while it was held
        forfeited, entry = forfeit(
            draft, self.member_id, self.wallets, because=self.because, business_date=self.business_date
        )
        if entry is not None:
            entries.append(entry)
        for identity in draft.get(IDENTITIES_OF, self.member_id) or ():
            if identity.channel != CARD_CHANNEL:
                unbind(draft, identity, self.member_id)
        member = existing(draft, self.member_id)
        draft.put(MEMBERS, member.id, member._replace(status=Status.CLOSED.value))
        tell(draft, self.member_id, EventType.CLOSED)
        return Receipt(self.member_id, tuple(entries), forfeited)


def forfeit(
    draft: Draft, member_id: MemberId, wallets: Iterable[str], *, because: Because, business_date: date
) -> tuple[dict[str, int], Entry | None]:
    """Take all the points that the member has; how many, by wallet. All its open lots are known."""
    forfeited: dict[str, int] = {}
    postings: list[Posting] = []
    draws: list[Draw] = []
    for wallet in wallets:
        lots = all_open(draft, member_id, wallet)
        for state in LotState:
            postings += moved([lot for lot in lots if lot.state == state], debit=state, credit="forfeited")
        forfeited[wallet] = sum(lot.remaining for lot in lots)
        draws += [let_lapse(draft, lot) for lot in lots]
    if not postings:
        return forfeited, None
    entry = write_entry(
        draft,
        member_id,
        Kind.FORFEIT,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=postings,
        draws=draws,
    )
    return forfeited, entry
