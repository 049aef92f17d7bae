"""Identifiers: UUIDv7 kept as 32 hexadecimal digits, and the bucket that their last byte names.

Layout of an id, in hexadecimal digits: 12 for the millisecond, 14 of randomness (version and variant
included), 4 for the ordinal within its fact, 2 for the bucket. A fact is drawn once, outside; every id a
command needs follows from it (`Mint`), so the same command with the same fact writes the same history.
"""

import hashlib
from typing import NewType

FactId = NewType("FactId", str)
MemberId = NewType("MemberId", str)
EntryId = NewType("EntryId", str)
LotId = NewType("LotId", str)
ReviewId = NewType("ReviewId", str)

BUCKETS = 256
MAX_ORDINAL = 0xFFFF
"""Most ids one fact can mint. Nothing cuts a settlement that needs more: its command fails loudly."""


class Mint:
    """Coins the ids of one command out of its fact, in order: at most `MAX_ORDINAL` of them."""

    __slots__ = ("_ordinal", "_stem")

    def __init__(self, fact: FactId) -> None:
        self._stem = fact[:26]
        self._ordinal = 0

    def next(self, owner: MemberId) -> str:
        """The next id, in the bucket of `owner`. Raises OverflowError past `MAX_ORDINAL`."""
        self._ordinal += 1
        if self._ordinal > MAX_ORDINAL:
            raise OverflowError("one command cannot mint more than 65,535 ids")
        return f"{self._stem}{self._ordinal:04x}{owner[30:]}"


def bucket_of(id_: str) -> int:
    """The bucket (0-255) an id lives in: its last byte."""
    return int(id_[30:], 16)


def bucket_of_key(*parts: str) -> int:
    """The bucket of a claim, from its own key: never the member's, or one receipt could be claimed twice."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=1).digest()[0]
