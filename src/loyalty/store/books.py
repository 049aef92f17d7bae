"""Books: one row for each member and wallet, loaded whole (a programme has few wallets)."""

from collections.abc import Iterable, Sequence
from typing import Any

from loyalty.domain.books import ACCOUNTS, BOOKS, Book
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, SMALLINT, TEXT, UUID, ledger_table

book = ledger_table("book", member_id=UUID, wallet=TEXT, **dict.fromkeys(ACCOUNTS, BIGINT))

_INSERT = Insert(book)
_UPDATE = Update(book, key=["member_id", "wallet"], changed=ACCOUNTS)
_LOAD = rows_of(
    ["b.member_id", "b.wallet", *(f"b.{account}" for account in ACCOUNTS)],
    f"""from {keys(bucket="book_buckets", member_id="book_members")}
        join book b on b.bucket = k.bucket and b.programme_id = k.programme_id and b.member_id = k.member_id""",
)


def load(member_ids: Iterable[MemberId]) -> Load:
    """All books of the members."""
    ids = list(member_ids)
    return Load(
        _LOAD,
        {
            "book_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "book_members": (ids, UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the books found on the state."""
    for member_id, wallet, *balances in rows:
        into.put(BOOKS, (MemberId(member_id.hex), wallet), Book._make(balances))


def write(
    new: Sequence[tuple[tuple[MemberId, str], Book]], changed: Sequence[tuple[tuple[MemberId, str], Book]]
) -> Iterable[Write]:
    """The part of the write that books contribute."""
    if new:
        yield _INSERT.write([(bucket_of(key[0]), *key, *row) for key, row in new])
    if changed:
        yield _UPDATE.write([(bucket_of(key[0]), *key, *row) for key, row in changed])
