"""One member's accounts in one wallet, and how a posting moves them."""

from typing import Final, NamedTuple

from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import AmountOutOfRange
from loyalty.domain.state import Shelf, State

DEBIT_NORMAL: Final = frozenset({"owed", "issued"})
"""Accounts that a debit increases: what members owe and what the programme has issued."""


class Balance(NamedTuple):
    """What a member sees of a book, in points; none of the four is ever negative."""

    pending: int = 0
    available: int = 0
    held: int = 0
    owed: int = 0


class Book(NamedTuple):
    """A member's own accounts and the programme's side of them. Debit-normal and credit-normal sums agree."""

    pending: int = 0
    available: int = 0
    held: int = 0
    owed: int = 0
    issued: int = 0
    redeemed: int = 0
    expired: int = 0
    forfeited: int = 0
    adjusted: int = 0
    transferred: int = 0

    @property
    def balance(self) -> Balance:
        return Balance(self.pending, self.available, self.held, self.owed)


ACCOUNTS: Final = Book._fields
_PLACE: Final = {account: place for place, account in enumerate(ACCOUNTS)}
_OWN_ACCOUNTS: Final = len(Balance._fields)
_POINTS: Final = frozenset({"pending", "available", "held"})
_OF_POINTS: Final = len(_POINTS)
"""They come first."""
_BOUND: Final = tuple(_PLACE[account] for account in ("owed", "issued", "adjusted", "transferred"))
"""The accounts that points come from."""

BOOKS: Shelf[tuple[MemberId, str], Book] = Shelf("book")
EMPTY: Final = Book()


def book_of(state: State, member_id: MemberId, wallet: str) -> Book:
    """The member's book in the wallet, empty if nothing was ever posted to it."""
    return state.get(BOOKS, (member_id, wallet)) or EMPTY


def move(book: Book, *, debit: str, credit: str, points: int) -> Book:
    """The book after a posting. Raises AmountOutOfRange; asserts invariant 2 for the member's accounts.

    It is raised where points come to be the member's or are owed, and by what they came from: never where they ripen,
    are released or expire, for what falls due cannot be refused. What they went to is bound by that too.
    """
    balances = list(book)
    balances[_PLACE[debit]] += points if debit in DEBIT_NORMAL else -points
    balances[_PLACE[credit]] += -points if credit in DEBIT_NORMAL else points
    grown = credit in _POINTS and debit not in _POINTS and sum(balances[:_OF_POINTS]) > MAX_POINTS
    if grown or any(abs(balances[place]) > MAX_POINTS for place in _BOUND):
        raise AmountOutOfRange("The balance would leave the range the ledger can hold.", maximum=MAX_POINTS)
    assert min(balances[:_OWN_ACCOUNTS]) >= 0, "invariant 2: a member's account would be negative"
    return Book._make(balances)
