"""Reversals: how much of a purchase or a redemption was taken back, a row for each that ever was."""

from collections.abc import Iterable, Sequence
from typing import Any

from loyalty.domain.ids import EntryId, MemberId, bucket_of
from loyalty.domain.reversals import REVERSALS, Reversal
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, JSON, SMALLINT, UUID, ledger_table

reversal = ledger_table("reversal", entry_id=UUID, member_id=UUID, points=BIGINT, done=JSON)

_INSERT = Insert(reversal)
_UPDATE = Update(reversal, key=["entry_id"], changed=["points", "done"])
_LOAD = rows_of(
    ["r.entry_id", "r.member_id", "r.points", "r.done::text"],
    f"""from {keys(bucket="reversal_buckets", entry_id="reversal_entries")}
        join reversal r on r.bucket = k.bucket and r.programme_id = k.programme_id and r.entry_id = k.entry_id""",
)


def load(ids: Sequence[EntryId]) -> Load:
    """What was taken back of the entries."""
    return Load(
        _LOAD,
        {
            "reversal_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "reversal_entries": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the reversals found on the state."""
    for entry_id, member_id, points, done in rows:
        one = Reversal(EntryId(entry_id.hex), MemberId(member_id.hex), points, done)
        into.put(REVERSALS, one.entry_id, one)


def write(new: Sequence[Reversal], changed: Sequence[Reversal]) -> Iterable[Write]:
    """The part of the write that reversals contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.entry_id), *one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.entry_id), one.entry_id, one.points, one.done) for one in changed])
