"""Connections: who we are to Postgres, how a transaction begins, and what its errors mean.

Two pools under the same running role. The door's is tuned for statements that reach every row by its key;
the reads' leaves the planner alone.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy import ClauseElement, Dialect, text
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from loyalty.store.sealing import Sealer

LOCK_TIMEOUT_MS = 1_500
HASTY_LOCK_TIMEOUT_MS = 50
"""For the halves of a batch that has met a locked member: its lane has waited long enough."""
STATEMENT_TIMEOUT_MS = 30_000
POOL_WAIT_S = 5.0

_BY_KEY = {
    # The door's statements reach every row by its key. A generic plan made while a table was still empty
    # would otherwise scan it until the next autovacuum.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "lock_timeout": str(LOCK_TIMEOUT_MS),
}


class Fault(Enum):
    """What a database error means for the batch that met it."""

    RESTART = auto()
    """Begin again from the start: deadlock, serialization failure, a lost connection, no room for another one."""
    BUSY = auto()
    """A row is locked elsewhere: find whose it is, with little patience, for its neighbours must not wait."""
    SPLIT = auto()
    """Find the culprit: it will never pass by itself."""


_RESTARTS = {"40001", "40P01", "57P01", "57P02", "57P03", "25P03", "25006"}
_RESTARTING_CLASSES = {"08", "53"}
"""Connection exceptions, and resources (connections, memory, disk) that are used up."""
_LOCK_NOT_AVAILABLE = "55P03"


def fault_of(error: Exception) -> Fault:
    """What to do about the batch after this error."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError):
            return Fault.RESTART
        return _fault_of_state(getattr(error.orig, "sqlstate", None))
    if isinstance(error, asyncpg.PostgresError):
        return _fault_of_state(error.sqlstate)
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return Fault.SPLIT  # a value the driver cannot encode: nothing of it has left us
    if isinstance(error, OSError | PoolTimeout | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Fault.RESTART
    return Fault.SPLIT


def _fault_of_state(sqlstate: str | None) -> Fault:
    if sqlstate == _LOCK_NOT_AVAILABLE:
        return Fault.BUSY
    if sqlstate is not None and (sqlstate in _RESTARTS or sqlstate[:2] in _RESTARTING_CLASSES):
        return Fault.RESTART
    return Fault.SPLIT


def took_too_long(error: Exception) -> bool:
    """Whether Postgres gave the statement up at `STATEMENT_TIMEOUT_MS`."""
    return getattr(getattr(error, "orig", None) or error, "sqlstate", None) == "57014"


def reason(error: Exception) -> str:
    """The driver's own words for an error: one line, without SQLAlchemy's frame or a trailing stop."""
    origin = getattr(error, "orig", None) or error
    first = next(iter(str(origin).splitlines()), "") or type(origin).__name__
    return first.rpartition(">: ")[2].rstrip(".")


class Database:
    """The running role's connections. `door_size` and `reads_size` bound them.

    `sealer`: opens what is sealed there, for those who decide on purchases: rules may ask for a birthday.
    """

    def __init__(self, url: str, *, sealer: Sealer | None = None, door_size: int = 4, reads_size: int = 4) -> None:
        self.sealer = sealer
        self.door = _engine(url, door_size, _BY_KEY).execution_options(isolation_level="AUTOCOMMIT")
        self.reads = _engine(url, reads_size, {})
        self.resting: list[AsyncConnection] = []
        """Connections of the door between two batches."""

    async def close(self) -> None:
        await self._rest_no_more()
        await self.door.dispose()
        await self.reads.dispose()

    async def answers(self) -> bool:
        """Whether the database answers now."""
        try:
            async with self.reads.connect() as connection:
                await connection.execute(text("select 1"))
        except (DBAPIError, OSError, PoolTimeout):
            return False
        return True

    @asynccontextmanager
    async def transaction(self, programme_id: int, *, hasty: bool = False) -> AsyncIterator[AsyncConnection]:
        """A READ COMMITTED transaction of the door, behind the programme's wall.

        It is begun and ended here, not by SQLAlchemy: so the wall goes up in the round trip that begins it. Its
        connection rests between two batches, outside the pool: handing it in and out costs a sixth of a lone command.
        """
        connection = await self._rested()
        try:
            driver = driver_of(connection)
            patience = f"; set local lock_timeout = {HASTY_LOCK_TIMEOUT_MS:d}" if hasty else ""
            await driver.execute(f"begin; set local loyalty.programme_id = '{programme_id:d}'{patience}")
            yield connection
            await driver.execute("commit")
        except Exception:
            if not await _roll_back(connection):
                await self._rest_no_more()  # the others are probably as dead
            raise
        except BaseException:
            await _give_up(connection)
            raise
        self.resting.append(connection)

    @asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection of the door for one statement that is its own transaction and opens the wall by itself."""
        connection = await self._rested()
        try:
            yield connection
        except BaseException:
            await _give_up(connection)
            raise
        self.resting.append(connection)

    async def _rested(self) -> AsyncConnection:
        """A connection of the door that rests, or a new one."""
        return self.resting.pop() if self.resting else await self.door.connect()

    async def _rest_no_more(self) -> None:
        """Give up every connection that rests."""
        while self.resting:
            await _give_up(self.resting.pop())

    @asynccontextmanager
    async def snapshot(self, programme_id: int) -> AsyncIterator[AsyncConnection]:
        """A read-only transaction in which every statement sees the same committed state."""
        async with self.reads.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            await enter_programme(connection, programme_id)
            yield connection


def _engine(url: str, size: int, settings: Mapping[str, str]) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        hide_parameters=True,
        connect_args={
            "timeout": POOL_WAIT_S,
            "max_cacheable_statement_size": 0,
            "max_cached_statement_lifetime": 0,
            "server_settings": {
                "application_name": "loyalty",
                "timezone": "UTC",
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MS),
                **settings,
            },
        },
    )


_ENTER = text("select set_config('loyalty.programme_id', :the_programme, true)")


async def enter_programme(connection: AsyncConnection, programme_id: int) -> None:
    """Open the wall of one programme for the rest of the transaction (row-level security)."""
    await connection.execute(_ENTER, {"the_programme": str(programme_id)})


async def fetch(connection: AsyncConnection, statement: ClauseElement, values: Mapping[str, Any]) -> Sequence[Any]:
    """The statement's rows, inside a transaction that has begun.

    SQLAlchemy builds the statement, once; the driver runs it, which costs a third of the way through both.
    """
    sql, names = _compiled(statement)
    rows: Sequence[Any] = await driver_of(connection).fetch(sql, *[values[name] for name in names])
    return rows


async def fetch_one(connection: AsyncConnection, statement: ClauseElement, values: Mapping[str, Any]) -> Any:
    """The statement's single row."""
    (row,) = await fetch(connection, statement, values)
    return row


_DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]


@lru_cache(maxsize=1_024)
def _compiled(statement: ClauseElement) -> tuple[str, tuple[str, ...]]:
    """The statement's text with `$1`, `$2` ..., and the names of its binds in that order."""
    compiled: Any = statement.compile(dialect=_DIALECT)
    return str(compiled), tuple(compiled.positiontup)


def driver_of(connection: AsyncConnection) -> Any:
    """The asyncpg connection beneath."""
    assert connection.sync_connection is not None, "the connection is open"
    return connection.sync_connection.connection.driver_connection


async def _roll_back(connection: AsyncConnection) -> bool:
    """End the transaction and hand the connection back; False when it cannot do even that and is given up."""
    try:
        await driver_of(connection).execute("rollback")
        await connection.close()
    except Exception:  # noqa: BLE001 - whatever it is, the connection is of no more use
        await _give_up(connection)
        return False
    return True


async def _give_up(connection: AsyncConnection) -> None:
    """Close the connection for good, whatever state it is in."""
    with suppress(Exception):
        await connection.invalidate()
    with suppress(Exception):
        await connection.close()
