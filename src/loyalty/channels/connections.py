"""Which channel a message came for: its programme, its settings, and the secrets that its platform may sign with."""

import asyncio
import re
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from loyalty.domain.channels import CHANNEL_NAME, Channel
from loyalty.domain.programme import Programme
from loyalty.domain.texts import is_plain
from loyalty.store import channels, programmes
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

REMEMBERED_S: Final = 5.0
"""How long a channel is believed to be as it was read: so long a change takes to be heard of by every process."""
REMEMBERED: Final = 10_000
"""Names that nobody has."""
_LONGEST_CODE: Final = 64

log = structlog.get_logger()


class Connected(NamedTuple):
    """A channel and whose it is."""

    programme: Programme
    channel: Channel


class Connections:
    """Finds channels by the code of their programme and their name, remembering what it found."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._known: dict[tuple[str, str], tuple[Connected, float]] = {}
        """The channels there are, each until when it is believed: as many as are connected."""
        self._unknown: dict[tuple[str, str], float] = {}
        """Names under which there is none."""
        self._reading = asyncio.Lock()
        """One reads at a time: whoever waits for the same finds it remembered."""
        self._guessing = asyncio.Lock()
        """Those that were never there have a queue of their own: nobody who guesses names holds up a platform."""

    async def find(self, code: str, name: str) -> Connected | None:
        """None: there is no such channel."""
        if not re.fullmatch(CHANNEL_NAME, name) or not is_plain(code) or len(code) > _LONGEST_CODE:
            return None
        asked = (code, name)
        if self._is_remembered(asked):
            return self._remembered(asked)
        async with self._reading if asked in self._known else self._guessing:
            return self._remembered(asked) if self._is_remembered(asked) else await self._read(asked)

    def forget(self) -> None:
        """Read every channel again. Other processes do so within `REMEMBERED_S`."""
        self._known = {asked: (found, 0.0) for asked, (found, _) in self._known.items()}
        self._unknown.clear()

    def secrets(self, of: Connected) -> list[str]:
        """What a message of now may be signed with. One that cannot be unsealed is logged, and signs nothing."""
        found = []
        for sealed in of.channel.secrets_at(datetime.now(UTC)):
            secret = self._sealer.open_secret(of.programme.id, of.channel.name, sealed)
            if secret is None:
                log.error("channel_secret_unreadable", programme=of.programme.code, channel=of.channel.name)
            else:
                found.append(secret)
        return found

    def _is_remembered(self, asked: tuple[str, str]) -> bool:
        _, until = self._known.get(asked, (None, self._unknown.get(asked, 0.0)))
        return until > time.monotonic()

    def _remembered(self, asked: tuple[str, str]) -> Connected | None:
        found, _ = self._known.get(asked, (None, 0.0))
        return found

    async def _read(self, asked: tuple[str, str]) -> Connected | None:
        code, name = asked
        found = None
        programme = await programmes.read(self._database.reads, code)
        if programme is not None:
            async with self._database.snapshot(programme.id) as connection:
                channel = await channels.find(connection, programme.id, name)
            found = None if channel is None else Connected(programme, channel)
        until = time.monotonic() + REMEMBERED_S
        if found is not None:
            self._known[asked] = (found, until)
            return found
        self._known.pop(asked, None)
        if len(self._unknown) >= REMEMBERED:
            self._unknown.clear()
        self._unknown[asked] = until
        return None
