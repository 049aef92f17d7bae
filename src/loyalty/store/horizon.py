"""How far the past is closed: the moment before which no entry can be recorded any more.

`docs/decisions/0012-what-is-certainly-known.md` proves it. In short: a batch records nothing before the moment it
began, read from the database's clock when it had its xid (`store/members.py`); so what is still to come is recorded
after the oldest transaction that has an xid began, and in any case after now.
"""

from datetime import datetime

from sqlalchemy import text

from loyalty.store.database import Database

_HORIZON = text(
    # `now()` is the beginning of this transaction: before it looks at the others. Who hides when it began, because it
    # runs under another role or does not tell its activities, has begun since the server was started.
    """
    select least(now(), min(
               case when a.state = 'disabled' or not pg_has_role(a.usesysid, 'usage') then pg_postmaster_start_time()
                    else coalesce(a.xact_start, now()) end))
      from pg_stat_activity a
     where a.datname = current_database() and a.backend_xid is not null
    """
)


async def horizon(database: Database) -> datetime:
    """Every entry recorded before this moment is visible to each snapshot taken from now on. Locks nothing."""
    async with database.reads.connect() as connection:
        found: datetime = (await connection.execute(_HORIZON)).scalar_one()
    return found
