"""Members to measure with: known by card number, with points to spend."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import uuid_utils

FIRST_CARD = 600_000_000_000
LOTS = 6
POINTS_OF_LOT = 100
"""Each member has this many lots of this many points available, as if granted; no entries tell of it."""
ENROLLED_AGO = timedelta(days=30)
FIRST_EXPIRY = timedelta(days=365)

_BOOKS = f"""
insert into book
select bucket, programme_id, id, 'points', 0, {LOTS * POINTS_OF_LOT}, 0, 0, {LOTS * POINTS_OF_LOT}, 0, 0, 0, 0, 0
  from member where programme_id = $1
"""
_OPEN_LOTS = f"""
insert into lot (bucket, programme_id, id, member_id, wallet, state, points, drawn, restored,
                 earned_at, expires_at, entry_id)
select m.bucket, m.programme_id, (left(uuidv7()::text, 34) || right(m.id::text, 2))::uuid, m.id, 'points', 'available',
       {POINTS_OF_LOT}, 0, 0, m.enrolled_at, m.due_at + (n - 1) * interval '30 days', m.id
  from member m, generate_series(1, {LOTS}) n
 where m.programme_id = $1
"""


def card(number: int) -> str:
    """The card number of the n-th member."""
    return str(FIRST_CARD + number)


async def load_members(connection: asyncpg.Connection, programme_id: int, count: int) -> list[str]:
    """Create the members, as the owner, in the store's own formats; their ids, in the order of their cards."""
    enrolled_at = datetime.now(UTC) - ENROLLED_AGO
    ids = [uuid_utils.uuid7().hex for _ in range(count)]
    await _copy_members(connection, programme_id, ids, enrolled_at)
    await _copy_cards(connection, programme_id, ids, enrolled_at)
    for statement in (_BOOKS, _OPEN_LOTS):
        await connection.execute(statement, programme_id)
    return ids


async def _copy_members(
    connection: asyncpg.Connection, programme_id: int, ids: Sequence[str], enrolled_at: datetime
) -> None:
    head, due_at = bytes(32), enrolled_at + FIRST_EXPIRY
    await connection.copy_records_to_table(
        "member",
        records=(
            (
                *(int(id_[30:], 16), programme_id, uuid.UUID(id_), card(n), "active", "SH-001", enrolled_at),
                *(0, head, enrolled_at, enrolled_at, due_at, "member", enrolled_at, None, False),
            )
            for n, id_ in enumerate(ids)
        ),
    )


async def _copy_cards(
    connection: asyncpg.Connection, programme_id: int, ids: Sequence[str], bound_at: datetime
) -> None:
    await connection.copy_records_to_table(
        "identity",
        records=(
            (
                bucket_of_card(card(n)),
                programme_id,
                *("programme", "number", card(n).encode(), uuid.UUID(id_)),
                *(bound_at, True),
            )
            for n, id_ in enumerate(ids)
        ),
    )


def bucket_of_card(number: str) -> int:
    """As `store/claims.py` has it, written once more: a yardstick must not bend with what it measures."""
    key = "\x1f".join(("programme", "number", number.encode().hex()))
    return hashlib.blake2b(key.encode(), digest_size=1).digest()[0]
