"""Events, read back in one order for the whole programme: by the place their transaction took.

No two events change places, none comes in before one that was shown, and a member's own follow its sequence. A
transaction that is still running may yet write events: none is shown from the place of the oldest one on.
"""

from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.events import Event
from loyalty.domain.ids import MemberId
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, UUID, Plain


class EventPlace(NamedTuple):
    """Where an event lies in the order of all."""

    xid: int
    """At least its transaction's; see `migrations/versions/0002_reading.py`."""
    member_id: MemberId
    sequence: int
    beside: bool
    """What is not an entry itself comes after the entry of the same sequence."""
    id: str


BEFORE_ALL = EventPlace(0, MemberId("0" * 32), 0, False, "0" * 32)

_BESIDE = "not starts_with(v.type, 'entry.')"
_EVENTS = text(
    f"""
    select v.id, v.member_id, v.sequence, v.type, v.recorded_at, v.xid::text::bigint, {_BESIDE}
      from event v
     where v.programme_id = :{PROGRAMME}
       and v.xid < pg_snapshot_xmin(pg_current_snapshot())
       and (v.xid, v.member_id, v.sequence, ({_BESIDE}), v.id)
         > (cast(:after_xid as text)::xid8, :after_member, :after_sequence, :after_beside, :after_id)
     order by v.xid, v.member_id, v.sequence, ({_BESIDE}), v.id
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("after_xid"),
    bindparam("after_member", type_=UUID),
    bindparam("after_sequence", type_=BIGINT),
    bindparam("after_beside", type_=Plain("boolean")),
    bindparam("after_id", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)


async def events(
    connection: AsyncConnection, programme_id: int, *, after: EventPlace, limit: int
) -> list[tuple[Event, EventPlace]]:
    """What happened next, in order, as far as nothing can come in before it any more. Locks nothing."""
    rows = await connection.execute(
        _EVENTS,
        {
            PROGRAMME: programme_id,
            "after_xid": str(after.xid),
            "after_member": after.member_id,
            "after_sequence": after.sequence,
            "after_beside": after.beside,
            "after_id": after.id,
            "at_most": limit,
        },
    )
    found = []
    for id_, member_id, sequence, type_, recorded_at, xid, beside in rows:
        member = MemberId(member_id.hex)
        event = Event(id_.hex, member, sequence, type_, recorded_at)
        found.append((event, EventPlace(xid, member, sequence, beside, id_.hex)))
    return found
