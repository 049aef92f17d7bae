"""Applying migrations as the owner, making the login roles, and telling whether a database is ready."""

import io
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool


def _config() -> Config:
    """Alembic's configuration: the migrations beside the sources, or inside the installed wheel."""
    shipped = Path(str(files("loyalty"))) / "migrations"
    beside = Path(__file__).parents[3] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(shipped if shipped.is_dir() else beside))
    config.set_main_option("path_separator", "os")
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


async def upgrade(owner_url: str, *logins: tuple[str, str]) -> None:
    """Migrate to the newest revision; afterwards each (group, url) login exists and belongs to its group.

    `owner_url` must own the tables and be allowed to create roles. A login's password is set when its URL has
    one; a login that exists already keeps what it has otherwise.
    """
    engine = create_async_engine(owner_url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
        async with engine.begin() as connection:
            for group, url in logins:
                await _ensure_login(connection, group, url)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
