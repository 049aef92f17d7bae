"""What the handlers share: the parts of one running process, made in `create_app` and nowhere else."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

import uuid_utils

from loyalty.api.access import Keys
from loyalty.api.guesses import Guesses
from loyalty.channels.inbound import Inbound
from loyalty.config import Settings
from loyalty.domain.ids import FactId, MemberId
from loyalty.operations.lanes import BULK_LANES, Lanes
from loyalty.operations.resolve import Resolver
from loyalty.store.balances import BalanceReader
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer


@dataclass
class Service:
    """One process of the service over one database."""

    settings: Settings
    database: Database
    sealer: Sealer
    keys: Keys
    lanes: Lanes
    resolver: Resolver
    balances: BalanceReader
    inbound: Inbound
    guesses: Guesses = field(default_factory=Guesses)
    sums: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Sums over a whole ledger take turns: they may take long, and tills must not wait for a connection."""
    ready: bool = field(default=False)
    """Whether new requests should be sent here; False before start and while draining."""

    @classmethod
    def over(cls, settings: Settings) -> "Service":
        """The service with its connections, not yet started."""
        sealer = Sealer(settings.secret.get_secret_value().encode())
        database = Database(settings.database_url, sealer=sealer, door_size=settings.lanes + BULK_LANES + 1)
        lanes, resolver = Lanes(database, count=settings.lanes), Resolver(database)
        return cls(
            settings=settings,
            database=database,
            sealer=sealer,
            keys=Keys(database, sealer),
            lanes=lanes,
            resolver=resolver,
            balances=BalanceReader(database),
            inbound=Inbound(database, sealer, lanes, resolver),
        )


def wall_clock() -> datetime:
    """Now, in UTC: the only clock of the API."""
    return datetime.now(UTC)


def new_fact() -> FactId:
    """The id of a fact that begins now (UUIDv7)."""
    return FactId(uuid_utils.uuid7().hex)


def new_member_id() -> MemberId:
    """The id of a member that joins now (UUIDv7); its last byte, a random one, is the member's bucket."""
    return MemberId(uuid_utils.uuid7().hex)
