"""Review items: found by their id, listed by when they were opened, locked while they are resolved."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.ids import MemberId, ReviewId, bucket_of
from loyalty.domain.reviews import REVIEWS, Review
from loyalty.domain.state import State
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Update, Write, keys
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

review = ledger_table(
    "review",
    id=UUID,
    kind=TEXT,
    member_id=UUID,
    wallet=TEXT,
    points=BIGINT,
    source=TEXT,
    reference=TEXT,
    opened_at=TIMESTAMPTZ,
    status=TEXT,
    resolved_by=TEXT,
    reason=TEXT,
    resolved_at=TIMESTAMPTZ,
)
_COLUMNS = ", ".join(f"v.{name}" for name in Review._fields)
_CHANGED = ("status", "resolved_by", "reason", "resolved_at")

_INSERT = Insert(review)
_UPDATE = Update(review, key=["id"], changed=_CHANGED)


class ReviewPlace(NamedTuple):
    """Where a page of review items ended."""

    opened_at: datetime
    id: ReviewId


AFTER_ALL_REVIEWS = ReviewPlace(datetime(9999, 1, 1, tzinfo=UTC), ReviewId("f" * 32))

_KEYS = (
    bindparam("review_buckets", type_=SMALLINT.array),
    bindparam("review_ids", type_=UUID.array),
    bindparam(PROGRAMME, type_=INTEGER),
)
_BY_ID = f"""
    select {_COLUMNS}
      from {keys(bucket="review_buckets", id="review_ids")}
      join review v on v.bucket = k.bucket and v.programme_id = k.programme_id and v.id = k.id
     order by v.bucket, v.id
"""  # noqa: S608 - only our own constants
_FIND = text(_BY_ID).bindparams(*_KEYS)
_LOCK = text(f"{_BY_ID} for no key update of v").bindparams(*_KEYS)
_PAGE = text(
    # Each status by itself, in the order of its index: no filter has to pass over what is of another.
    f"""
    select {_COLUMNS}
      from unnest(:the_statuses) s (status)
     cross join lateral (
           select * from review v
            where v.programme_id = :{PROGRAMME} and v.status = s.status
              and (v.opened_at, v.id) < (:before, :before_id)
            order by v.opened_at desc, v.id desc limit :at_most) v
     order by v.opened_at desc, v.id desc limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_statuses", type_=TEXT.array),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("before", type_=TIMESTAMPTZ),
    bindparam("before_id", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)


async def lock(connection: AsyncConnection, programme_id: int, ids: Iterable[ReviewId], into: State) -> None:
    """Put the review items on the state, each locked FOR NO KEY UPDATE, in the order of bucket and id."""
    for row in await fetch(connection, _LOCK, _by_id(programme_id, list(set(ids)))):
        one = _from_row(row)
        into.put(REVIEWS, one.id, one)


def write(new: Sequence[Review], changed: Sequence[Review]) -> Iterable[Write]:
    """The part of the write that review items contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.id), *one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, *one[-4:]) for one in changed])


async def find(connection: AsyncConnection, programme_id: int, id_: ReviewId) -> Review | None:
    """One review item, outside the door. Locks nothing: only what never changes of it may be relied on."""
    rows = await fetch(connection, _FIND, _by_id(programme_id, [id_]))
    return _from_row(rows[0]) if rows else None


async def page(
    connection: AsyncConnection, programme_id: int, *, statuses: Iterable[str], before: ReviewPlace, limit: int
) -> list[Review]:
    """Review items of these statuses, the newest first, those before `before`. Locks nothing."""
    values = {
        "the_statuses": list(statuses),
        PROGRAMME: programme_id,
        "before": before.opened_at,
        "before_id": before.id,
        "at_most": limit,
    }
    return [_from_row(row) for row in await connection.execute(_PAGE, values)]


def _by_id(programme_id: int, ids: Sequence[ReviewId]) -> dict[str, Any]:
    return {"review_buckets": [bucket_of(id_) for id_ in ids], "review_ids": ids, PROGRAMME: programme_id}


def _from_row(row: Sequence[Any]) -> Review:
    id_, kind, member_id, *rest = row
    return Review(ReviewId(id_.hex), kind, None if member_id is None else MemberId(member_id.hex), *rest)
