"""Channels that programmes are connected to: found by their name, locked while they change."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.channels import CHANNELS, Channel, ChannelSettings
from loyalty.domain.ids import bucket_of_key
from loyalty.domain.state import State
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Update, Write, keys
from loyalty.store.schema import BOOLEAN, BYTEA, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, ledger_table

channel = ledger_table(
    "channel",
    name=TEXT,
    adapter=TEXT,
    points_master=TEXT,
    wallet=TEXT,
    points_per_unit=INTEGER,
    phones_verified=BOOLEAN,
    secret=BYTEA,
    secret_since=TIMESTAMPTZ,
    former_secret=BYTEA,
    former_until=TIMESTAMPTZ,
    connected_at=TIMESTAMPTZ,
    connected_by=TEXT,
)
_CHANGED = (*ChannelSettings._fields, "secret", "secret_since", "former_secret", "former_until")
_COLUMNS = ", ".join(f"c.{one.name}" for one in channel.columns if one.name not in ("bucket", "programme_id"))

_INSERT = Insert(channel, claim=True)
_UPDATE = Update(channel, key=["name"], changed=_CHANGED)

_BY_NAME = f"""
    select {_COLUMNS}
      from {keys(bucket="channel_buckets", name="channel_names")}
      join channel c on c.bucket = k.bucket and c.programme_id = k.programme_id and c.name = k.name
     order by c.bucket, c.name
"""  # noqa: S608 - only our own constants
_KEYS = (
    bindparam("channel_buckets", type_=SMALLINT.array),
    bindparam("channel_names", type_=TEXT.array),
    bindparam(PROGRAMME, type_=INTEGER),
)
_FIND = text(_BY_NAME).bindparams(*_KEYS)
_LOCK = text(f"{_BY_NAME} for no key update of c").bindparams(*_KEYS)
_PAGE = text(
    f"""
    select {_COLUMNS} from channel c
     where c.programme_id = :{PROGRAMME} and c.name > :after
     order by c.name limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER), bindparam("after", type_=TEXT), bindparam("at_most", type_=INTEGER))


async def lock(connection: AsyncConnection, programme_id: int, names: Iterable[str], into: State) -> None:
    """Put the channels on the state, each locked FOR NO KEY UPDATE, in the order of bucket and name."""
    for row in await fetch(connection, _LOCK, _by_name(programme_id, list(set(names)))):
        one = _from_row(row)
        into.put(CHANNELS, one.name, one)


def write(new: Sequence[Channel], changed: Sequence[Channel]) -> Iterable[Write]:
    """The part of the write that channels contribute: a name is claimed, for another may connect it meanwhile."""
    if new:
        yield _INSERT.write([_row(one) for one in sorted(new)])
    if changed:
        yield _UPDATE.write(
            [
                (
                    *(_bucket(one.name), one.name, *one.settings),
                    *(one.secret, one.secret_since, one.former_secret, one.former_until),
                )
                for one in changed
            ]
        )


async def find(connection: AsyncConnection, programme_id: int, name: str) -> Channel | None:
    """The channel of a name. Locks nothing."""
    rows = await fetch(connection, _FIND, _by_name(programme_id, [name]))
    return _from_row(rows[0]) if rows else None


async def page(connection: AsyncConnection, programme_id: int, *, after: str, limit: int) -> list[Channel]:
    """Channels by name, those after `after`. Locks nothing."""
    values = {PROGRAMME: programme_id, "after": after, "at_most": limit}
    return [_from_row(row) for row in await connection.execute(_PAGE, values)]


def _bucket(name: str) -> int:
    return bucket_of_key("channel", name)


def _by_name(programme_id: int, names: Sequence[str]) -> dict[str, Any]:
    return {"channel_buckets": [_bucket(name) for name in names], "channel_names": names, PROGRAMME: programme_id}


def _row(one: Channel) -> tuple[Any, ...]:
    return (_bucket(one.name), one.name, one.adapter, *one.settings, *one[3:])


def _from_row(row: Sequence[Any]) -> Channel:
    name, adapter, *rest = row
    settings = len(ChannelSettings._fields)
    return Channel(name, adapter, ChannelSettings(*rest[:settings]), *rest[settings:])
