"""`loyalty migrate` and `loyalty schema`: the database's shape."""

import asyncio
import difflib
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import Settings, load_settings
from loyalty.embedded import EmbeddedPostgres
from loyalty.store import migrations
from loyalty.store.database import reason

GROUP_RUN, GROUP_CLEAN = "loyalty_run", "loyalty_clean"
SCHEMA_FILE = Path("migrations/schema.sql")
_RESTRICT_KEY = "loyalty"  # version 18 of pg_dump writes a random line otherwise


@ends_clearly
def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of all migrations and change nothing.")] = False,
) -> None:
    """Bring the database to the newest revision, and make the login roles that run and clean.

    Needs LOYALTY_MIGRATION_URL (the role that owns), LOYALTY_DATABASE_URL and LOYALTY_SECRET; --sql needs none. Creates
    or keeps the roles that LOYALTY_DATABASE_URL and LOYALTY_CLEANER_URL log in as, with the passwords in these URLs.
    """
    if sql:
        typer.echo(migrations.upgrade_sql())
        return
    asyncio.run(migrate_database(load_settings()))
    typer.echo(f"The database is at revision {migrations.newest_revision()}.")


async def migrate_database(settings: Settings) -> None:
    """Migrate, and make the roles that run and clean. Raises Stop."""
    if settings.migration_url is None:
        raise Stop("LOYALTY_MIGRATION_URL must name the database as the role that owns it.")
    logins = [(GROUP_RUN, settings.database_url)]
    if settings.cleaner_url:
        logins.append((GROUP_CLEAN, settings.cleaner_url))
    try:
        await migrations.upgrade(settings.migration_url, *logins)
    except Exception as error:  # noqa: BLE001 - whatever it is ends the command in a sentence
        raise Stop(f"The database could not be migrated: {reason(error)}.") from None


@ends_clearly
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail when the file differs.")] = False,
) -> None:
    """Dump the sum of all migrations to migrations/schema.sql, from an embedded Postgres of its own."""
    dumped = _dump()
    if not check:
        SCHEMA_FILE.write_text(dumped)
        return
    kept = SCHEMA_FILE.read_text() if SCHEMA_FILE.exists() else ""
    if kept != dumped:
        difference = difflib.unified_diff(kept.splitlines(), dumped.splitlines(), "schema.sql", "migrations")
        raise Stop(
            "migrations/schema.sql is not the sum of the migrations; run `make schema`:\n" + "\n".join(difference)
        )


def _dump() -> str:
    with tempfile.TemporaryDirectory(prefix="loyalty-schema-") as directory:
        postgres = EmbeddedPostgres.start(Path(directory), durable=False)
        try:
            asyncio.run(migrations.upgrade(postgres.url()))
            return postgres.run("pg_dump", "--schema-only", "--no-owner", f"--restrict-key={_RESTRICT_KEY}", "postgres")
        finally:
            postgres.discard()
