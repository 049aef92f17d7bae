"""The one way an entry comes to be: its postings move the books, its hash extends the member's chain."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from loyalty.domain.books import BOOKS, Balance, book_of, move
from loyalty.domain.calculations import Calculation, as_text
from loyalty.domain.entries import NO_CAUSE, Because, Birth, Draw, Entry, Kind, Posting, sealed
from loyalty.domain.events import OF_ENTRIES, Event
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.members import MEMBERS, existing
from loyalty.domain.sliding import slide
from loyalty.domain.state import Draft


def write_entry(
    draft: Draft,
    member_id: MemberId,
    kind: Kind,
    *,
    id_: EntryId | None = None,
    occurred_at: datetime,
    accounting_date: date,
    because: Because = NO_CAUSE,
    postings: Sequence[Posting],
    draws: Sequence[Draw] = (),
    births: Sequence[Birth] = (),
    calculation: Calculation | None = None,
) -> Entry:
    """Append an entry to the member's history in the draft. Raises AmountOutOfRange.

    Afterwards the books carry the postings, the member's sequence and head have moved on, and neither
    `effective_at` nor `recorded_at` has run backwards.
    """
    assert occurred_at.tzinfo is UTC, "times are in UTC, or the same instant would hash differently"
    member = existing(draft, member_id)
    for p in postings:
        book = book_of(draft, member_id, p.wallet)
        draft.put(BOOKS, (member_id, p.wallet), move(book, debit=p.debit, credit=p.credit, points=p.points))
    entry = sealed(
        draft.programme.id,
        Entry(
            id=id_ or EntryId(draft.mint.next(member_id)),
            member_id=member_id,
            sequence=member.sequence + 1,
            kind=kind.value,
            fact_id=draft.moment.fact,
            occurred_at=occurred_at,
            effective_at=max(draft.programme.reached(occurred_at, draft.moment.recorded_at), member.effective_at),
            recorded_at=max(draft.moment.recorded_at, member.recorded_at),
            accounting_date=accounting_date,
            because=because,
            postings=tuple(postings),
            draws=tuple(draws),
            births=tuple(births),
            balances=balances(draft, member_id),
            calculation=None if calculation is None else as_text(calculation),
        ),
        head=member.head,
    )
    draft.put(
        MEMBERS,
        member_id,
        member._replace(
            sequence=entry.sequence,
            head=entry.hash,
            effective_at=entry.effective_at,
            recorded_at=entry.recorded_at,
        ),
    )
    event = Event(entry.id, member_id, entry.sequence, OF_ENTRIES + entry.kind, entry.recorded_at)
    draft.record(entry, event)
    slide(draft, entry)
    return entry


def balances(draft: Draft, member_id: MemberId) -> dict[str, Balance]:
    """The member's balances by wallet, as the draft stands."""
    return {wallet: book_of(draft, member_id, wallet).balance for wallet in draft.programme.wallets}
