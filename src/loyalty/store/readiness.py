"""Whether a process may serve from a database: reachable, fully migrated, and in a role that is weak enough."""

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.store.database import Database, reason
from loyalty.store.migrations import current_revision, newest_revision


class NotServable(Exception):
    """Says in one sentence why this database cannot be served from, and what mends it."""


async def check_servable(database: Database) -> None:
    """Raises NotServable."""
    try:
        revision = await current_revision(database.reads)
        stronger = None if revision is None else await _too_strong(database.reads)
    except (DBAPIError, OSError) as error:
        raise NotServable(f"The database cannot be used: {reason(error)}.") from None
    if revision != newest_revision():
        found = "was never migrated" if revision is None else f"is at revision {revision}"
        raise NotServable(f"The database {found} and this version needs {newest_revision()}: run `loyalty migrate`.")
    if stronger:
        raise NotServable(
            f"LOYALTY_DATABASE_URL logs in as a role that {stronger}; serve as one that only belongs to loyalty_run."
        )


async def _too_strong(engine: AsyncEngine) -> str | None:
    """What the role may that a running service must not; None when it is weak enough."""
    async with engine.connect() as connection:
        row = (await connection.execute(_POWERS)).one()
    powers = (
        "is a superuser",
        "bypasses row-level security",
        "may create roles",
        "owns the tables",
        "may change the journal",
    )
    return next((power for power, holds in zip(powers, row, strict=True) if holds), None)


_POWERS = text(
    """
    select bool_or(r.rolsuper),
           bool_or(r.rolbypassrls),
           bool_or(r.rolcreaterole),
           bool_or(pg_has_role(current_user, c.relowner, 'member')),
           bool_or(has_any_column_privilege(c.oid, 'update') or has_table_privilege(c.oid, 'delete')
                   or has_table_privilege(c.oid, 'truncate'))
      from pg_roles r, pg_class c
     where r.rolname = current_user
       and c.oid in ('entry'::regclass, 'posting'::regclass, 'draw'::regclass, 'event'::regclass,
                     'reference'::regclass, 'tier_step'::regclass, 'consent'::regclass)
    """
)
