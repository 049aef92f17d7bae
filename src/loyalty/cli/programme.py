"""`loyalty programme`: a programme of one's own and a key to begin with."""

import asyncio
from pathlib import Path
from typing import Annotated

import orjson
import typer

from loyalty.api.access import SCOPES_OF_ROLE, new_key
from loyalty.cli.ending import Stop, ends_clearly
from loyalty.cli.settings_file import BadSettings, read_settings
from loyalty.config import Settings, load_settings
from loyalty.demo import DEMO
from loyalty.domain.programme import PROGRAMME_CODE, Programme
from loyalty.store import seeding
from loyalty.store.database import reason
from loyalty.store.programmes import settings_json
from loyalty.store.sealing import Sealer


@ends_clearly
def programme(
    code: Annotated[str, typer.Argument(help="Its name in commands and logs, such as 'acme-rewards'.")] = "",
    settings_file: Annotated[
        Path | None, typer.Option("--settings", help="Its settings as JSON; the demo's when absent.")
    ] = None,
    role: Annotated[str, typer.Option(help=f"The role of the key: {', '.join(SCOPES_OF_ROLE)}.")] = "admin",
    show: Annotated[bool, typer.Option("--show-settings", help="Print the demo's settings as JSON, and end.")] = False,
) -> None:
    """Create a programme unless it exists, and print a new API key for it: shown once, kept only as a keyed hash.

    Needs LOYALTY_MIGRATION_URL (the role that owns), LOYALTY_DATABASE_URL and LOYALTY_SECRET. Start from
    --show-settings; docs/settings.md tells every choice. The settings of a programme that exists stay as they are.
    """
    if show:
        typer.echo(orjson.dumps(orjson.loads(settings_json(DEMO)), option=orjson.OPT_INDENT_2))
        return
    if not PROGRAMME_CODE.fullmatch(code):
        raise Stop("Name the programme in 1 to 63 lower-case letters, digits and hyphens, such as 'acme-rewards'.")
    if role not in SCOPES_OF_ROLE:
        raise Stop(f"There is no role {role!r}; choose one of {', '.join(SCOPES_OF_ROLE)}.")
    wanted = _read(code, settings_file)
    typer.echo(asyncio.run(_create(load_settings(), wanted, role, as_written=settings_file is not None)))


def _read(code: str, settings_file: Path | None) -> Programme:
    """The programme as the file describes it. Raises Stop."""
    if settings_file is None:
        return DEMO._replace(code=code)
    try:
        return read_settings(code, settings_file)
    except OSError as error:
        raise Stop(f"{settings_file} cannot be read: {error.strerror}.") from None
    except BadSettings as error:
        raise Stop(f"{settings_file} does not describe a programme.\n{error}\nSee --show-settings.") from None


async def _create(settings: Settings, wanted: Programme, role: str, *, as_written: bool) -> str:
    """A key for the programme, which exists afterwards, with these settings if they were `as_written`. Raises Stop."""
    if settings.migration_url is None:
        raise Stop("LOYALTY_MIGRATION_URL must name the database as the role that owns it.")
    try:
        made = await seeding.ensure_programme(settings.migration_url, wanted)
        if as_written and settings_json(made) != settings_json(wanted):
            raise Stop(f"{made.code} exists with other settings, and they stay as they are.")
        token, key = new_key(Sealer(settings.secret.get_secret_value().encode()), made.id, role)
        await seeding.add_keys(settings.migration_url, [key])
    except Stop:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is ends the command in a sentence
        raise Stop(f"The programme could not be created: {reason(error)}.") from None
    return token
