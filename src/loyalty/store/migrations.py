"""Applying migrations as the owner, making the login roles, and telling whether a database is ready.

Whoever waits for a table makes everybody wait who comes later. So a revision waits for its lock hardly at all, and
tries again after a while: requests stand still for moments, and somebody's long transaction holds up nobody but us.
"""

import asyncio
import io
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

TIMEOUTS = {"lock_timeout": "300ms", "statement_timeout": "10min"}
"""How long a revision waits for a table, and how long its longest statement may take."""
PATIENT = {**TIMEOUTS, "lock_timeout": "1200ms"}
"""For every fifth attempt. Only when somebody has waited for a second does Postgres ask an autovacuum to make way; and
a request waits for up to two before it is turned away."""
PATIENT_EVERY = 5
PAUSE_S = 2.0
"""Between two attempts: all who had to wait have been served by then."""
ATTEMPTS = 40

_NO_LOCK = {"55P03", "40P01"}
"""Lock not available, deadlock."""


ONE_AT_A_TIME = 0x6C6F79616C7479
"""The advisory lock that a migration holds: another would take its unfinished index for one that was left behind."""


class Locked(Exception):
    """Somebody was in the way each time; says who. Revisions that were done stay done: try again later."""


def _config(also: Path | None = None) -> Config:
    """Alembic's configuration: the migrations beside the sources or inside the installed wheel, and those in `also`."""
    shipped = Path(str(files("loyalty"))) / "migrations"
    beside = Path(__file__).parents[3] / "migrations"
    config = Config()
    config.attributes["timeouts"] = TIMEOUTS
    config.set_main_option("script_location", str(shipped if shipped.is_dir() else beside))
    config.set_main_option("path_separator", "newline")
    if also is not None:
        versions = Path(config.get_main_option("script_location") or "") / "versions"
        config.set_main_option("version_locations", f"{versions}\n{also}")
    return config


def newest_revision() -> str:
    """The revision this version of the service was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there are migrations"
    return head


def upgrade_sql() -> str:
    """The SQL of all migrations, for those who run it themselves and for the linter."""
    config = _config()
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    return config.output_buffer.getvalue()


async def upgrade(owner_url: str, *logins: tuple[str, str], also: Path | None = None, attempts: int = ATTEMPTS) -> None:
    """Migrate to the newest revision; afterwards each (group, url) login exists and belongs to its group.

    `owner_url` must own the tables and be allowed to create roles. A login's password is set when its URL has
    one; a login that exists already keeps what it has otherwise. `also`: a directory of further revisions. A service
    may be at work meanwhile. Raises Locked.
    """
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        await _upgrade_when_unlocked(engine, _config(also), attempts)
        async with engine.begin() as connection:
            for group, url in logins:
                await _ensure_login(connection, group, url)
    finally:
        await engine.dispose()


async def _upgrade_when_unlocked(engine: AsyncEngine, config: Config, attempts: int) -> None:
    """Attempt what is left of the upgrade until nobody stands in its way. Raises Locked."""
    for attempt in range(1, attempts + 1):
        config.attributes["timeouts"] = TIMEOUTS if attempt % PATIENT_EVERY else PATIENT
        try:
            async with engine.connect() as connection:
                if await _alone(connection):
                    await connection.run_sync(_upgrade, config)
                    await connection.commit()
                    return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _NO_LOCK:
                raise
        if attempt < attempts:
            await asyncio.sleep(PAUSE_S)
    raise Locked(f"its tables were in use, or another migration was running, {attempts} times; {await _whose(engine)}")


async def _alone(connection: AsyncConnection) -> bool:
    """Whether no other migration is running; none begins while this connection lasts."""
    alone = bool(await connection.scalar(text("select pg_try_advisory_lock(:the_lock)"), {"the_lock": ONE_AT_A_TIME}))
    await connection.commit()
    return alone


def _upgrade(connection: Connection, config: Config) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _whose(engine: AsyncEngine) -> str:
    """Who has had a transaction open for longest: the likeliest to stand in the way."""
    async with engine.connect() as connection:
        found = await connection.execute(_OLDEST)
        row = found.one_or_none()
    return (
        "nobody's transaction is open now"
        if row is None
        else "the oldest transaction is of {} ({}), since {}".format(*row)
    )


_OLDEST = text(
    """
    select a.usename, 'process ' || a.pid, a.xact_start
      from pg_stat_activity a
     where a.datname = current_database() and a.xact_start is not null and a.pid <> pg_backend_pid()
     order by a.xact_start limit 1
    """
)


async def _ensure_login(connection: AsyncConnection, group: str, url: str) -> None:
    """The role that `url` logs in as, a member of `group` and of nothing stronger."""
    login = make_url(url)
    if login.username is None:
        return
    name = {"the_name": login.username}
    exists = await connection.scalar(text("select 1 from pg_roles where rolname = :the_name"), name)
    if not exists:
        await _run_formatted(connection, "create role %I login", login.username)
    if login.password:
        await _run_formatted(connection, "alter role %I password %L", login.username, str(login.password))
    await _run_formatted(connection, f"grant {group} to %I", login.username)


async def _run_formatted(connection: AsyncConnection, template: str, *arguments: str) -> None:
    """Run a statement that takes no parameters, its names and literals quoted by Postgres itself."""
    places = ", ".join(f"cast(:argument_{n} as text)" for n in range(len(arguments)))
    values: dict[str, Any] = {f"argument_{n}": value for n, value in enumerate(arguments)}
    values["the_template"] = template
    quoted = await connection.scalar(text(f"select format(:the_template, {places})"), values)
    await connection.exec_driver_sql(str(quoted))


async def current_revision(engine: AsyncEngine) -> str | None:
    """The revision the database is at; None when it was never migrated."""
    async with engine.connect() as connection:
        if not await connection.scalar(text("select to_regclass('alembic_version')")):
            return None
        return str(await connection.scalar(text("select version_num from alembic_version")))
