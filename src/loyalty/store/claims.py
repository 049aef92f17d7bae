"""Claims: replays (a while) and references (for ever). Their bucket comes from their own key."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.claims import REFERENCES, REPLAYS, ReferenceKey, Replay, ReplayKey
from loyalty.domain.ids import EntryId, bucket_of_key
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Write, keys, look_up, rows_of
from loyalty.store.schema import BYTEA, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

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

_INSERT_REPLAY = Insert(replay, claim=True)
_INSERT_REFERENCE = Insert(reference, claim=True)

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


def replay_bucket(key: ReplayKey) -> int:
    return bucket_of_key(*key)


def reference_bucket(key: ReferenceKey) -> int:
    return bucket_of_key(*key)


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


def write_replays(new: Sequence[tuple[ReplayKey, Replay]], recorded_at: datetime) -> Iterable[Write]:
    """Claim the keys, in sorted order, with their answers."""
    if new:
        yield _INSERT_REPLAY.write([(replay_bucket(key), *key, *kept, recorded_at) for key, kept in sorted(new)])


def write_references(new: Sequence[tuple[ReferenceKey, EntryId]]) -> Iterable[Write]:
    """Claim the references, in sorted order, for their entries."""
    if new:
        yield _INSERT_REFERENCE.write([(reference_bucket(key), *key, id_) for key, id_ in sorted(new)])


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
