"""Differences between what channels show and what members have: the last of each is loaded, open ones are listed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.drift import (
    DIFFERENCES,
    LAST_DIFFERENCES,
    OPEN_DIFFERENCES,
    Difference,
    DifferenceId,
    DifferenceStatus,
    Figures,
)
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

difference = ledger_table(
    "difference",
    id=UUID,
    channel=TEXT,
    member_id=UUID,
    points_master=TEXT,
    shown_points=BIGINT,
    shown_tier=TEXT,
    our_points=BIGINT,
    our_tier=TEXT,
    as_of=TIMESTAMPTZ,
    found_at=TIMESTAMPTZ,
    status=TEXT,
    ended_at=TIMESTAMPTZ,
)
_COLUMNS = [f"d.{one.name}" for one in difference.columns if one.name not in ("bucket", "programme_id")]
_INSERT = Insert(difference)
_UPDATE = Update(difference, key=["id"], changed=["status", "ended_at"])

AFTER_ALL_DIFFERENCES = DifferenceId("f" * 32)

_LOAD_OPEN = rows_of(
    _COLUMNS,
    f"""from {keys(bucket="difference_buckets", member_id="difference_members", channel="difference_channels")}
        join difference d on d.bucket = k.bucket and d.programme_id = k.programme_id
         and d.member_id = k.member_id and d.channel = k.channel and d.status = '{DifferenceStatus.OPEN}'""",
)
_LOAD_OPEN_OF = rows_of(
    _COLUMNS,
    f"""from {keys(bucket="differing_buckets", member_id="differing_members")}
        join difference d on d.bucket = k.bucket and d.programme_id = k.programme_id
         and d.member_id = k.member_id and d.status = '{DifferenceStatus.OPEN}'""",
)
_LOAD_BY_ID = rows_of(
    _COLUMNS,
    f"""from {keys(bucket="difference_buckets", id="difference_ids")}
        join difference d on d.bucket = k.bucket and d.programme_id = k.programme_id and d.id = k.id""",
)
_PAGE = text(
    f"""
    select {", ".join(_COLUMNS)} from difference d
     where d.programme_id = :{PROGRAMME} and d.channel = :the_channel
       and d.status = '{DifferenceStatus.OPEN}' and d.id < :before
     order by d.id desc limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_channel", type_=TEXT),
    bindparam("before", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)
_TIERS = text(
    # The last step by then says it; before the first, where that began; and who never took one is where it is.
    f"""
    select k.member_id, k.moment, coalesce(
           (select s.to_tier from tier_step s
             where s.bucket = k.bucket and s.programme_id = k.programme_id and s.member_id = k.member_id
               and s.occurred_at <= k.moment
             order by s.occurred_at desc, s.id desc limit 1),
           (select s.from_tier from tier_step s
             where s.bucket = k.bucket and s.programme_id = k.programme_id and s.member_id = k.member_id
             order by s.occurred_at, s.id limit 1),
           (select m.tier from member m
             where m.bucket = k.bucket and m.programme_id = k.programme_id and m.id = k.member_id))
      from {keys(bucket="tier_buckets", member_id="tier_members", moment="tier_moments")}
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("tier_buckets", type_=SMALLINT.array),
    bindparam("tier_members", type_=UUID.array),
    bindparam("tier_moments", type_=TIMESTAMPTZ.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


def load_last(wanted: Sequence[tuple[str, MemberId]]) -> Load:
    """What is open, by channel and member."""
    return Load(
        _LOAD_OPEN,
        {
            "difference_buckets": ([bucket_of(member_id) for _, member_id in wanted], SMALLINT.array),
            "difference_members": ([member_id for _, member_id in wanted], UUID.array),
            "difference_channels": ([channel for channel, _ in wanted], TEXT.array),
        },
    )


def place_last(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        one = _from_row(row)
        into.put(DIFFERENCES, one.id, one)
        into.put(LAST_DIFFERENCES, (one.channel, one.member_id), one.id)


def load_open(ids: Sequence[MemberId]) -> Load:
    """What is open of the members, on all channels."""
    return Load(
        _LOAD_OPEN_OF,
        {
            "differing_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "differing_members": (list(ids), UUID.array),
        },
    )


def place_open(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        one = _from_row(row)
        into.put(DIFFERENCES, one.id, one)
        into.put(OPEN_DIFFERENCES, one.member_id, (*(into.get(OPEN_DIFFERENCES, one.member_id) or ()), one.id))


def write(new: Sequence[Difference], changed: Sequence[Difference]) -> Iterable[Write]:
    """The part of the write that differences contribute."""
    if new:
        yield _INSERT.write([_row(one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, one.status, one.ended_at) for one in changed])


async def find(connection: AsyncConnection, programme_id: int, id_: DifferenceId) -> Difference | None:
    """One difference. Locks nothing."""
    wanted = {"difference_buckets": ([bucket_of(id_)], SMALLINT.array), "difference_ids": ([id_], UUID.array)}
    rows = await look_up(connection, programme_id, Load(_LOAD_BY_ID, wanted))
    return _from_row(rows[0]) if rows else None


async def open_page(
    connection: AsyncConnection, programme_id: int, *, channel: str, before: DifferenceId, limit: int
) -> list[Difference]:
    """What is open between a channel and us, the last found first, those before `before`. Locks nothing."""
    values = {PROGRAMME: programme_id, "the_channel": channel, "before": before, "at_most": limit}
    return [_from_row(row) for row in await connection.execute(_PAGE, values)]


async def tiers_as_of(
    connection: AsyncConnection, programme_id: int, wanted: Sequence[tuple[MemberId, datetime]]
) -> Mapping[tuple[MemberId, datetime], str]:
    """The tiers that members were in at moments. Locks nothing."""
    values = {
        "tier_buckets": [bucket_of(member_id) for member_id, _ in wanted],
        "tier_members": [member_id for member_id, _ in wanted],
        "tier_moments": [moment for _, moment in wanted],
        PROGRAMME: programme_id,
    }
    return {(MemberId(row[0].hex), row[1]): row[2] for row in await fetch(connection, _TIERS, values)}


def _row(one: Difference) -> tuple[Any, ...]:
    id_, channel, member_id, points_master, shown, ours, *rest = one
    return (bucket_of(id_), id_, channel, member_id, points_master, *shown, *ours, *rest)


def _from_row(row: Sequence[Any]) -> Difference:
    id_, channel, member_id, points_master, shown_points, shown_tier, our_points, our_tier, *rest = row
    return Difference(
        DifferenceId(id_.hex),
        channel,
        MemberId(member_id.hex),
        points_master,
        Figures(shown_points, shown_tier),
        Figures(our_points, our_tier),
        *rest,
    )
