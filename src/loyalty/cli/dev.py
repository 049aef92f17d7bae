"""`loyalty dev`: everything in one command, on an embedded Postgres that lives in the data directory."""

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import quote, urlsplit

import orjson
import typer
import uvicorn
import uvloop
from rich.console import Console

from loyalty.api.access import SCOPES_OF_ROLE, new_key
from loyalty.api.app import create_app
from loyalty.cli.ending import Stop, ends_clearly
from loyalty.cli.import_ import import_file
from loyalty.cli.migrate import migrate_database
from loyalty.cli.serve import bound, configuration, stopping_visibly
from loyalty.cli.verify import tell, verify_ledger
from loyalty.config import ConfigurationError, Settings, load_settings
from loyalty.demo import DEMO, REAL_YEAR
from loyalty.embedded import EmbeddedPostgres
from loyalty.memory import relax_collector
from loyalty.store import seeding
from loyalty.store.sealing import Sealer
from loyalty.telemetry import configure_logging
from loyalty.worker.worker import run_worker

RUNNER, CLEANER = "loyalty_runner", "loyalty_cleaner"

console = Console(highlight=False, soft_wrap=True)


class Urls(NamedTuple):
    """The same database as the role that owns, the one that runs and the one that cleans."""

    owner: str
    runner: str
    cleaner: str


@ends_clearly
def dev(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where the database, keys and secret are kept.")] = Path(".loyalty"),
    database_url: Annotated[
        str | None, typer.Option(help="Use this Postgres (as its owner) instead of the embedded one.")
    ] = None,
    basket_file: Annotated[
        Path | None, typer.Option(help="First import this basket file into the programme real-year, and verify it.")
    ] = None,
) -> None:
    """Start everything: Postgres, migrations, a demo programme with keys, API, docs and worker.

    Listens on 127.0.0.1 until Ctrl-C; the data stays for the next time. The keys are printed, and kept in
    credentials.json in the data directory; beside it, `env` is what other commands need (LOYALTY_ENV_FILE).
    """
    configure_logging("warning", human=True)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"--data-dir {data_dir}: {error.strerror}.") from None
    with bound("127.0.0.1", port) as listener, _database(data_dir, database_url) as urls:
        settings = load_settings(
            database_url=urls.runner,
            migration_url=urls.owner,
            cleaner_url=urls.cleaner,
            secret=_kept_secret(data_dir / "secret"),
        )
        _keep_environment(settings, data_dir / "env")
        relax_collector()
        uvloop.run(_prepare_and_serve(settings, data_dir, listener, basket_file))


async def _prepare_and_serve(
    settings: Settings, data_dir: Path, listener: socket.socket, basket_file: Path | None
) -> None:
    await migrate_database(settings)
    keys = await _kept_keys(settings, data_dir / "credentials.json")
    if basket_file is not None:
        await _live_the_year(settings, basket_file)
    _greet(f"http://127.0.0.1:{listener.getsockname()[1]}", keys, data_dir)
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(settings, stop))
    try:
        server = uvicorn.Server(configuration(lambda: stopping_visibly(create_app(settings)), settings, factory=True))
        await server.serve(sockets=[listener])
    finally:
        stop.set()
        await working


async def _live_the_year(settings: Settings, basket_file: Path) -> None:
    """Import the year into a programme of its own, whose clock stands at its end, and recompute it from the journal."""
    assert settings.migration_url is not None, "dev owns its database"
    await seeding.ensure_programme(settings.migration_url, REAL_YEAR)
    console.print(f"Importing {basket_file} into the programme {REAL_YEAR.code} ...")
    await import_file(settings, REAL_YEAR.code, basket_file, enrol=True)
    for report in await verify_ledger(settings, REAL_YEAR.code):
        tell(report)


@contextmanager
def _database(data_dir: Path, database_url: str | None) -> Iterator[Urls]:
    """The embedded database of the data directory, or the one whose owner's URL is given."""
    if database_url is not None:
        passwords = _kept_passwords(data_dir / "passwords.json")
        yield Urls(database_url, *(_as_role(database_url, role, passwords[role]) for role in (RUNNER, CLEANER)))
        return
    with EmbeddedPostgres.start(data_dir / "postgres") as postgres:
        yield Urls(postgres.url(), postgres.url(RUNNER), postgres.url(CLEANER))


def _as_role(url: str, role: str, password: str) -> str:
    """The same database, logged in as another role."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{quote(password)}@{place}").geturl()


async def _kept_keys(settings: Settings, path: Path) -> dict[str, str]:
    """A key for each role of the demo programme: those of the last time, or new ones."""
    assert settings.migration_url is not None, "dev owns its database"
    programme = await seeding.ensure_programme(settings.migration_url, DEMO)
    kept = _read_json(path)
    if await seeding.knows_keys(settings.migration_url, programme, kept.values()):
        return kept
    sealer = Sealer(settings.secret.get_secret_value().encode())
    made = {role: new_key(sealer, programme.id, role) for role in SCOPES_OF_ROLE}
    await seeding.add_keys(settings.migration_url, [key for _, key in made.values()])
    tokens = {role: token for role, (token, _) in made.items()}
    _write_private(path, orjson.dumps(tokens, option=orjson.OPT_INDENT_2))
    return tokens


def _kept_secret(path: Path) -> str:
    """The secret of this data directory, made the first time."""
    if not path.exists():
        _write_private(path, secrets.token_hex(32).encode())
    return path.read_text().strip()


def _kept_passwords(path: Path) -> dict[str, str]:
    """Passwords of the roles that `dev` makes in a database that is not its own."""
    if not path.exists():
        _write_private(path, orjson.dumps({role: secrets.token_urlsafe(24) for role in (RUNNER, CLEANER)}))
    return _read_json(path)


def _read_json(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Stop(f"{path} is not JSON any more; delete it to make new ones.") from None
    return found


def _keep_environment(settings: Settings, path: Path) -> None:
    """Leave what other commands need beside the data: `LOYALTY_ENV_FILE=.loyalty/env loyalty verify demo`."""
    lines = {
        "LOYALTY_DATABASE_URL": settings.database_url,
        "LOYALTY_MIGRATION_URL": settings.migration_url,
        "LOYALTY_CLEANER_URL": settings.cleaner_url,
        "LOYALTY_SECRET": settings.secret.get_secret_value(),
    }
    _write_private(path, "".join(f"{name}={value}\n" for name, value in lines.items()).encode())


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _greet(address: str, keys: dict[str, str], data_dir: Path) -> None:
    """Where everything is, the keys, and one line to try."""
    console.print(f"\nAPI      {address}/v1    docs {address}/docs")
    console.print(f"keys     also in {data_dir / 'credentials.json'}")
    for role, token in keys.items():
        console.print(f"  {role:<10}{token}")
    console.print("\nEnrol a member:\n")
    console.print(
        f"  curl -s {address}/v1/members -H 'Authorization: Bearer {keys['pos']}' -H 'Idempotency-Key: demo-1' \\\n"
        '    -H \'Content-Type: application/json\' -d \'{"phone": "+8613800138099", "name": "Han Meimei"}\'\n'
    )
    console.print("Ctrl-C ends it; the data stays.\n")
