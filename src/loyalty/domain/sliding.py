"""Sliding expiry: points without a date of their own last for so long after the member's last activity in the wallet.

An activity moves the end of the whole book, never back. No lot changes: a lot without a date ends with its book.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from loyalty.domain.entries import Entry, Kind
from loyalty.domain.expiry import RenewedBy
from loyalty.domain.ids import MemberId
from loyalty.domain.lots import Lot, LotState, known_lots
from loyalty.domain.members import watch
from loyalty.domain.programme import Programme
from loyalty.domain.state import Draft, Shelf, State
from loyalty.domain.terms import Term, renewed_end


class Slide(NamedTuple):
    """From an entry on, the points of a book last until `ends_at`, or longer. Never changes."""

    member_id: MemberId
    wallet: str
    sequence: int
    """Of the entry."""
    ends_at: datetime


SLIDES: Shelf[tuple[MemberId, str], Slide] = Shelf("slide")
"""The newest of each book whose points slide. Not a table: slides are facts."""


def renewals(programme: Programme, entry: Entry) -> dict[str, datetime]:
    """Until when an entry makes the points of its wallets last at least, where they slide.

    Points that slide are earned, given or credited; or points are redeemed, where that counts too.
    """
    found: dict[str, datetime] = {}
    for birth in entry.births:
        if birth.expires_at is None:
            _renew(found, programme, birth.wallet, birth.earned_at, no_earlier_than=birth.matures_at)
    if entry.kind in (Kind.SPEND, Kind.CAPTURE):
        for posting in entry.postings:
            wallet = programme.wallets.get(posting.wallet)
            spends = wallet is not None and wallet.expiry.renewed_by == RenewedBy.EARNING_AND_SPENDING
            if spends and posting.credit == "redeemed":
                _renew(found, programme, posting.wallet, entry.occurred_at)
    return found


def slide(draft: Draft, entry: Entry) -> None:
    """The books that an entry is an activity in last longer from now on; one that is late may be past its end."""
    for wallet, ends_at in renewals(draft.programme, entry).items():
        before = book_end(draft, entry.member_id, wallet)
        if before is None or before < ends_at:
            slid = Slide(entry.member_id, wallet, entry.sequence, ends_at)
            draft.put(SLIDES, (entry.member_id, wallet), slid)
            draft.record(slid)
        watch(draft, entry.member_id, book_end(draft, entry.member_id, wallet))


def book_end(state: State, member_id: MemberId, wallet: str) -> datetime | None:
    """When the points of a book that slide expire unless something is done; None: there are none so far."""
    newest = state.get(SLIDES, (member_id, wallet))
    return None if newest is None else newest.ends_at


def end_of(state: State, lot: Lot) -> datetime | None:
    """When the lot expires: on its own date, or with its book; None: never."""
    return lot.expires_at or book_end(state, lot.member_id, lot.wallet)


def due_of(state: State, lot: Lot) -> datetime | None:
    """When something next happens to the lot by itself: it matures or it expires; None: never."""
    return lot.matures_at if lot.state == LotState.PENDING else end_of(state, lot)


def sliding_books(draft: Draft, member_id: MemberId) -> Iterator[tuple[str, datetime]]:
    """The wallets in which the member's points slide, each with its end."""
    for name, wallet in draft.programme.wallets.items():
        if wallet.expiry.slides and (ends_at := book_end(draft, member_id, name)) is not None:
            yield name, ends_at


def undated(state: State, member_id: MemberId, wallet: str) -> list[Lot]:
    """The available lots of a book that end with it, as far as the batch knows of them."""
    lots = known_lots(state, member_id, wallet)
    return [lot for lot in lots if lot.expires_at is None and lot.state == LotState.AVAILABLE]


def as_of_now(state: State, member_id: MemberId, wallet: str, term: Term) -> Term:
    """The term of points as it is shown: until their book ends, where they slide."""
    return term._replace(expires_at=term.expires_at or book_end(state, member_id, wallet))


def _renew(
    found: dict[str, datetime],
    programme: Programme,
    wallet: str,
    active_at: datetime,
    *,
    no_earlier_than: datetime | None = None,
) -> None:
    if wallet not in programme.wallets:
        return
    ends_at = renewed_end(programme.calendar, programme.wallets[wallet], active_at, no_earlier_than=no_earlier_than)
    if ends_at is not None:
        found[wallet] = max(ends_at, found.get(wallet, ends_at))
