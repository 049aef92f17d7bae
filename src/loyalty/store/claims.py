"""Claims: replays (a while), references (for ever) and identities. Their bucket comes from their own key."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.claims import IDENTITIES, REFERENCES, REPLAYS, ReferenceKey, Replay, ReplayKey
from loyalty.domain.ids import EntryId, MemberId, bucket_of_key
from loyalty.domain.persons import Identity
from loyalty.domain.state import State
from loyalty.store.database import fetch_one
from loyalty.store.parts import PROGRAMME, Insert, Load, Write, keys, look_up, rows_of
from loyalty.store.schema import BYTEA, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

replay = ledger_table(
    "replay",
    client_id=TEXT,
    subject=TEXT,
    key=TEXT,
    fingerprint=BYTEA,
    status=SMALLINT,
    body=BYTEA,
    recorded_at=TIMESTAMPTZ,
)
reference = ledger_table("reference", source=TEXT, reference=TEXT, kind=TEXT, business_date=TEXT, entry_id=UUID)
identity = ledger_table("identity", channel=TEXT, type=TEXT, lookup=BYTEA, member_id=UUID, bound_at=TIMESTAMPTZ)

_INSERT_REPLAY = Insert(replay, claim=True)
_INSERT_REFERENCE = Insert(reference, claim=True)
_INSERT_IDENTITY = Insert(identity, claim=True)

_REPLAY_KEYS = keys(bucket="replay_buckets", client_id="replay_clients", subject="replay_subjects", key="replay_keys")
_LOAD_REPLAYS = rows_of(
    ["r.client_id", "r.subject", "r.key", "r.fingerprint", "r.status", "r.body"],
    f"""from {_REPLAY_KEYS}
        join replay r on r.bucket = k.bucket and r.programme_id = k.programme_id
         and r.client_id = k.client_id and r.subject = k.subject and r.key = k.key""",
)
_REFERENCE_KEYS = keys(
    bucket="ref_buckets",
    source="ref_sources",
    reference="ref_references",
    kind="ref_kinds",
    business_date="ref_dates",
)
_LOAD_REFERENCES = rows_of(
    ["r.source", "r.reference", "r.kind", "r.business_date", "r.entry_id"],
    f"""from {_REFERENCE_KEYS}
        join reference r on r.bucket = k.bucket and r.programme_id = k.programme_id
         and r.source = k.source and r.reference = k.reference and r.kind = k.kind
         and r.business_date = k.business_date""",
)
_IDENTITY_KEYS = keys(
    bucket="identity_buckets", channel="identity_channels", type="identity_types", lookup="identity_lookups"
)
_LOAD_IDENTITIES = rows_of(
    ["i.channel", "i.type", "i.lookup", "i.member_id"],
    f"""from {_IDENTITY_KEYS}
        join identity i on i.bucket = k.bucket and i.programme_id = k.programme_id
         and i.channel = k.channel and i.type = k.type and i.lookup = k.lookup""",
)


def replay_bucket(key: ReplayKey) -> int:
    return bucket_of_key(*key)


def reference_bucket(key: ReferenceKey) -> int:
    return bucket_of_key(*key)


def identity_bucket(key: tuple[str, str, bytes]) -> int:
    channel, type_, lookup = key
    return bucket_of_key(channel, type_, lookup.hex())


def load_replays(keys: Sequence[ReplayKey]) -> Load:
    """The answers that were given under the keys."""
    return Load(
        _LOAD_REPLAYS,
        {
            "replay_buckets": ([replay_bucket(key) for key in keys], SMALLINT.array),
            "replay_clients": ([key.client_id for key in keys], TEXT.array),
            "replay_subjects": ([key.subject for key in keys], TEXT.array),
            "replay_keys": ([key.key for key in keys], TEXT.array),
        },
    )


def place_replays(rows: Iterable[Sequence[Any]], into: State) -> None:
    for client_id, subject, key, fingerprint, status, body in rows:
        into.put(REPLAYS, ReplayKey(client_id, subject, key), Replay(fingerprint, status, body))


def load_references(keys: Sequence[ReferenceKey]) -> Load:
    """The entries that took the references."""
    return Load(
        _LOAD_REFERENCES,
        {
            "ref_buckets": ([reference_bucket(key) for key in keys], SMALLINT.array),
            "ref_sources": ([key.source for key in keys], TEXT.array),
            "ref_references": ([key.reference for key in keys], TEXT.array),
            "ref_kinds": ([key.kind for key in keys], TEXT.array),
            "ref_dates": ([key.business_date for key in keys], TEXT.array),
        },
    )


def place_references(rows: Iterable[Sequence[Any]], into: State) -> None:
    for *key, entry_id in rows:
        into.put(REFERENCES, ReferenceKey(*key), EntryId(entry_id.hex))


def load_identities(keys: Sequence[tuple[str, str, bytes]]) -> Load:
    """The members that answer to the identities."""
    return Load(
        _LOAD_IDENTITIES,
        {
            "identity_buckets": ([identity_bucket(key) for key in keys], SMALLINT.array),
            "identity_channels": ([key[0] for key in keys], TEXT.array),
            "identity_types": ([key[1] for key in keys], TEXT.array),
            "identity_lookups": ([key[2] for key in keys], BYTEA.array),
        },
    )


def place_identities(rows: Iterable[Sequence[Any]], into: State) -> None:
    for channel, type_, lookup, member_id in rows:
        into.put(IDENTITIES, (channel, type_, lookup), MemberId(member_id.hex))


def write_replays(new: Sequence[tuple[ReplayKey, Replay]], recorded_at: datetime) -> Iterable[Write]:
    """Claim the keys, in sorted order, with their answers."""
    if new:
        yield _INSERT_REPLAY.write([(replay_bucket(key), *key, *kept, recorded_at) for key, kept in sorted(new)])


def write_references(new: Sequence[tuple[ReferenceKey, EntryId]]) -> Iterable[Write]:
    """Claim the references, in sorted order, for their entries."""
    if new:
        yield _INSERT_REFERENCE.write([(reference_bucket(key), *key, id_) for key, id_ in sorted(new)])


def write_identities(new: Sequence[tuple[tuple[str, str, bytes], MemberId]], bound_at: datetime) -> Iterable[Write]:
    """Claim the identities, in sorted order, for their members."""
    if new:
        yield _INSERT_IDENTITY.write([(identity_bucket(key), *key, id_, bound_at) for key, id_ in sorted(new)])


_FIND_IDENTITIES = text(
    # The wall goes up within the statement, so that it needs no transaction around it: one round trip. Should it ever
    # be looked at before it stands, the policy fails loudly.
    f"""
    with wall as materialized (select set_config('loyalty.programme_id', cast(:{PROGRAMME} as text), true) as programme)
    select {_LOAD_IDENTITIES.removesuffix(")")} where wall.programme is not null) from wall
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("identity_buckets", type_=SMALLINT.array),
    bindparam("identity_channels", type_=TEXT.array),
    bindparam("identity_types", type_=TEXT.array),
    bindparam("identity_lookups", type_=BYTEA.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


async def find_identities(
    connection: AsyncConnection, programme_id: int, identities: Sequence[Identity]
) -> dict[Identity, MemberId]:
    """The members that answer to the identities, outside the door and any transaction. Locks nothing."""
    wanted = load_identities([(one.channel, one.type, one.lookup) for one in identities])
    values = {name: value for name, (value, _) in wanted.binds.items()}
    (rows,) = await fetch_one(connection, _FIND_IDENTITIES, {**values, PROGRAMME: programme_id})
    return {Identity(*key): MemberId(member_id.hex) for *key, member_id in rows or ()}


async def find_references(
    connection: AsyncConnection, programme_id: int, keys: Sequence[ReferenceKey]
) -> dict[ReferenceKey, EntryId]:
    """Which entries took the references. Locks nothing."""
    if not keys:
        return {}
    rows = await look_up(connection, programme_id, load_references(keys))
    into = State()
    place_references(rows, into)
    return dict(into.own(REFERENCES))


async def find_replay(connection: AsyncConnection, programme_id: int, key: ReplayKey) -> Replay | None:
    """The answer that was given under the key, outside the door. Locks nothing."""
    rows = await look_up(connection, programme_id, load_replays([key]))
    return Replay(*rows[0][3:]) if rows else None
