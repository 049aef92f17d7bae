"""What-ifs: asked through the door, worked off outside it. They move no points, and no member's lock guards them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, column, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.publishing import RulesId
from loyalty.domain.state import State
from loyalty.domain.what_ifs import UNFINISHED, WhatIf, WhatIfId, WhatIfStatus
from loyalty.store.parts import PROGRAMME, Insert, Load, Write
from loyalty.store.schema import DATE, INTEGER, JSON, TEXT, TIMESTAMPTZ, UUID

what_if = table(
    "what_if",
    column("programme_id", INTEGER),
    column("id", UUID),
    column("draft_id", UUID),
    column("begins", DATE),
    column("ends", DATE),
    column("asked_at", TIMESTAMPTZ),
    column("asked_by", TEXT),
    column("status", TEXT),
    column("done", INTEGER),
    column("report", JSON),
    column("claimed_until", TIMESTAMPTZ),
)
_INSERT = Insert(what_if)
_OPEN: Final = f"('{WhatIfStatus.WAITING}', '{WhatIfStatus.RUNNING}')"
_LOAD_UNFINISHED = (
    f"(select array[row(count(*))] from what_if w where w.programme_id = :{PROGRAMME} and w.status in {_OPEN})"  # noqa: S608 - only our own constants
)
_COLUMNS: Final = (
    "w.id, w.draft_id, w.begins, w.ends, w.asked_at, w.asked_by, w.status, w.done, w.report::text, w.claimed_until"
)


def load_unfinished(_: Sequence[None]) -> Load:
    """How many of the programme's are not done."""
    return Load(_LOAD_UNFINISHED, {})


def place_unfinished(rows: Iterable[Sequence[Any]], into: State) -> None:
    for (number,) in rows:
        into.put(UNFINISHED, None, number)


def write(asked: Sequence[WhatIf]) -> Iterable[Write]:
    """The part of the write that what-ifs contribute."""
    if asked:
        yield _INSERT.write([tuple(one) for one in asked])


_FIND = text(
    f"select {_COLUMNS} from what_if w where w.programme_id = :{PROGRAMME} and w.id = :the_id"  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER), bindparam("the_id", type_=UUID))
_CLAIM = text(
    f"""
    update what_if w set status = '{WhatIfStatus.RUNNING}', done = 0, claimed_until = :the_end
     where w.programme_id = :{PROGRAMME} and w.id = (
           select o.id from what_if o
            where o.programme_id = :{PROGRAMME} and o.status in {_OPEN}
              and coalesce(o.claimed_until, '-infinity') < :the_moment
            order by o.id limit 1
              for update skip locked)
    returning {_COLUMNS}
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_moment", type_=TIMESTAMPTZ),
    bindparam("the_end", type_=TIMESTAMPTZ),
)
_TELL = text(
    f"""
    update what_if set status = :the_status, done = :the_done, report = cast(:the_report as json),
                       claimed_until = :the_end
     where programme_id = :{PROGRAMME} and id = :the_id and claimed_until is not distinct from :was_claimed
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_id", type_=UUID),
    bindparam("the_status", type_=TEXT),
    bindparam("the_done", type_=INTEGER),
    bindparam("the_report", type_=TEXT),
    bindparam("the_end", type_=TIMESTAMPTZ),
    bindparam("was_claimed", type_=TIMESTAMPTZ),
)


async def find(connection: AsyncConnection, programme_id: int, id_: WhatIfId) -> WhatIf | None:
    """One of the programme's. Locks nothing."""
    row = (await connection.execute(_FIND, {PROGRAMME: programme_id, "the_id": id_})).one_or_none()
    return None if row is None else _from_row(row)


async def claim(connection: AsyncConnection, programme_id: int, *, moment: datetime, until: datetime) -> WhatIf | None:
    """Take the oldest that nobody works on, from its beginning: a worker that was killed left nothing half done."""
    values = {PROGRAMME: programme_id, "the_moment": moment, "the_end": until}
    row = (await connection.execute(_CLAIM, values)).one_or_none()
    return None if row is None else _from_row(row)


async def tell(connection: AsyncConnection, programme_id: int, now: WhatIf, *, claimed: datetime | None) -> bool:
    """Keep how far it has come, unless another worker has taken it meanwhile; whether it was kept."""
    told = await connection.execute(
        _TELL,
        {
            PROGRAMME: programme_id,
            "the_id": now.id,
            "the_status": now.status,
            "the_done": now.done,
            "the_report": now.report,
            "the_end": now.claimed_until,
            "was_claimed": claimed,
        },
    )
    return bool(told.rowcount)


def _from_row(row: Sequence[Any]) -> WhatIf:
    id_, draft_id, *rest = row
    return WhatIf(WhatIfId(id_.hex), RulesId(draft_id.hex), *rest)
