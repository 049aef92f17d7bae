"""Postings and books: an unbalanced entry cannot be written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.books import ACCOUNTS, DEBIT_NORMAL, EMPTY, Balance, Book, move
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.entries import posting
from loyalty.domain.refusals import AmountOutOfRange


@pytest.mark.parametrize(
    ("debit", "credit", "points"),
    [
        ("available", "available", 1),
        ("issued", "available", 0),
        ("issued", "available", -1),
        ("issued", "available", 1.0),
        ("issued", "available", True),
        ("issued", "elsewhere", 1),
        ("nowhere", "available", 1),
    ],
)
def test_a_posting_has_two_known_accounts_and_a_positive_integer(debit: str, credit: str, points: int) -> None:
    with pytest.raises(AssertionError):
        posting("points", debit=debit, credit=credit, points=points)


@pytest.mark.parametrize(
    ("before", "debit", "credit", "after"),
    [
        (Book(), "issued", "pending", Book(pending=10, issued=10)),
        (Book(), "issued", "available", Book(available=10, issued=10)),
        (Book(pending=10, issued=10), "pending", "available", Book(available=10, issued=10)),
        (Book(available=10, issued=10), "available", "redeemed", Book(redeemed=10, issued=10)),
        (Book(available=10, issued=10), "available", "expired", Book(expired=10, issued=10)),
        (Book(available=10, issued=10), "available", "held", Book(held=10, issued=10)),
        (Book(), "owed", "issued", Book(owed=10, issued=-10)),
        (Book(available=10, owed=10), "available", "owed", Book()),
        (Book(), "adjusted", "available", Book(available=10, adjusted=-10)),
    ],
)
def test_a_posting_moves_points_between_two_accounts(before: Book, debit: str, credit: str, after: Book) -> None:
    assert move(before, debit=debit, credit=credit, points=10) == after


@pytest.mark.parametrize("account", Balance._fields)
def test_no_account_of_a_member_becomes_negative(account: str) -> None:
    sides = {"debit": "redeemed", "credit": "owed"} if account == "owed" else {"debit": account, "credit": "redeemed"}
    with pytest.raises(AssertionError, match="invariant 2"):
        move(EMPTY, **sides, points=1)


def test_a_book_refuses_more_points_than_json_can_carry() -> None:
    full = Book(available=MAX_POINTS, issued=MAX_POINTS)
    with pytest.raises(AmountOutOfRange) as caught:
        move(full, debit="issued", credit="pending", points=1)
    assert caught.value.facts == {"maximum": MAX_POINTS}


@given(
    st.lists(
        st.tuples(st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.integers(1, 10**6)).filter(
            lambda move: move[0] != move[1]
        ),
        max_size=20,
    )
)
def test_whatever_is_posted_the_two_sides_of_a_book_agree(moves: list[tuple[str, str, int]]) -> None:
    book = Book(*[10**9] * 4)._replace(issued=2 * 10**9)
    for debit, credit, points in moves:
        book = move(book, debit=debit, credit=credit, points=points)
    sides = {account: points if account in DEBIT_NORMAL else -points for account, points in book._asdict().items()}
    assert sum(sides.values()) == 0


@pytest.mark.parametrize(("debit", "credit", "side"), [("adjusted", "available", -1), ("issued", "pending", 1)])
def test_the_programmes_side_of_a_book_has_the_same_range(debit: str, credit: str, side: int) -> None:
    nearly = EMPTY._replace(**{debit: side * (MAX_POINTS - 1)})
    full = move(nearly, debit=debit, credit=credit, points=1)
    assert getattr(full, debit) == side * MAX_POINTS
    with pytest.raises(AmountOutOfRange):
        move(full, debit=debit, credit=credit, points=1)


@pytest.mark.parametrize(
    ("debit", "credit"),
    [("pending", "available"), ("held", "available"), ("available", "held"), ("held", "issued"), ("owed", "redeemed")],
)
def test_only_what_adds_to_a_member_s_points_can_be_too_much(debit: str, credit: str) -> None:
    """What falls due moves within a book or leaves it, and is never refused, however much there is."""
    full = Book(pending=MAX_POINTS, available=1, held=MAX_POINTS, issued=MAX_POINTS, adjusted=-MAX_POINTS)
    assert sum(move(full, debit=debit, credit=credit, points=1)[:3]) <= 2 * MAX_POINTS + 1
    with pytest.raises(AmountOutOfRange):
        move(full, debit="redeemed", credit="available", points=1)
