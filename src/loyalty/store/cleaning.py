"""Deleting what may be deleted, as the role that cleans: replays whose time is over, and nothing else."""

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from loyalty.store.database import enter_programme
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, TIMESTAMPTZ

_DELETE = text(
    f"""
    delete from replay
     where ctid in (
           select ctid from replay
            where programme_id = :{PROGRAMME} and recorded_at < :the_moment limit :at_most)
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_moment", type_=TIMESTAMPTZ),
    bindparam("at_most", type_=BIGINT),
)


class Cleaner:
    """Connections of the cleaning role; one at a time, when needed."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(url, poolclass=NullPool)

    async def delete_replays(self, programme_id: int, *, before: datetime, at_most: int) -> int:
        """Delete at most so many replays recorded before the moment; how many were."""
        async with self._engine.begin() as connection:
            await enter_programme(connection, programme_id)
            values = {PROGRAMME: programme_id, "the_moment": before, "at_most": at_most}
            return int((await connection.execute(_DELETE, values)).rowcount)
