"""Lots: loaded by need, never all of them. The index `lot_due` is both the due list and the draw order."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from loyalty.domain.ids import EntryId, LotId, MemberId, bucket_of
from loyalty.domain.lots import LOTS, OPEN_LOTS, UNSEEN_DUE, Lot, LotState
from loyalty.domain.state import State
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

lot = ledger_table(
    "lot",
    id=UUID,
    member_id=UUID,
    wallet=TEXT,
    state=TEXT,
    points=BIGINT,
    drawn=BIGINT,
    restored=BIGINT,
    earned_at=TIMESTAMPTZ,
    matures_at=TIMESTAMPTZ,
    expires_at=TIMESTAMPTZ,
    entry_id=UUID,
    source=TEXT,
    store=TEXT,
    funder=TEXT,
    lapsed=BIGINT,
)
COLUMNS = [f"l.{name}" for name in Lot._fields]

_INSERT = Insert(lot, row_type="lot_row_2")
_UPDATE = Update(lot, key=["id"], changed=["state", "drawn", "restored", "lapsed"], row_type="lot_change_2")

_OPEN = f"""from lot l
    where l.open and l.bucket = k.bucket and l.programme_id = :{PROGRAMME}
      and l.member_id = k.member_id and l.wallet = k.wallet and l.state = k.state"""
_LOAD = rows_of(
    COLUMNS,
    f"""from unnest(:lot_buckets, :lot_members, :lot_wallets, :lot_states, :lot_until, :lot_ahead)
          as k (bucket, member_id, wallet, state, until, ahead)
        cross join lateral (
          (select l.* {_OPEN} and l.due_at <= k.until)
          union all
          (select l.* {_OPEN} and l.due_at > k.until order by l.due_at, l.earned_at, l.id limit k.ahead)
        ) l""",
)


_LOAD_BY_ID = rows_of(
    COLUMNS,
    f"""from {keys(bucket="lot_id_buckets", id="lot_ids")}
        join lot l on l.bucket = k.bucket and l.programme_id = k.programme_id and l.id = k.id""",
)


class Reach(NamedTuple):
    """How far into the open lots of a book, in one state, a batch may come."""

    member_id: MemberId
    wallet: str
    state: str
    until: datetime
    """Everything due by then is loaded ..."""
    ahead: int
    """... and this many lots beyond it, in draw order."""


def load(reaches: Sequence[Reach]) -> Load:
    """The open lots within reach."""
    return Load(
        _LOAD,
        {
            "lot_buckets": ([bucket_of(r.member_id) for r in reaches], SMALLINT.array),
            "lot_members": ([r.member_id for r in reaches], UUID.array),
            "lot_wallets": ([r.wallet for r in reaches], TEXT.array),
            "lot_states": ([r.state for r in reaches], TEXT.array),
            "lot_until": ([r.until for r in reaches], TIMESTAMPTZ.array),
            "lot_ahead": ([r.ahead for r in reaches], BIGINT.array),
        },
    )


def load_by_id(ids: Sequence[LotId]) -> Load:
    """The lots of these ids, as far as they exist."""
    return Load(
        _LOAD_BY_ID,
        {
            "lot_id_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "lot_ids": (list(ids), UUID.array),
        },
    )


def place_by_id(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the lots found on the state. Whether they are open lots of a book that may be drawn is not said."""
    for row in rows:
        one = from_row(row)
        into.put(LOTS, one.id, one)


def from_row(row: Sequence[Any]) -> Lot:
    """A lot from the columns in `COLUMNS`."""
    id_, member_id, *middle, entry_id, source, store, funder, lapsed = row
    return Lot._make(
        (LotId(id_.hex), MemberId(member_id.hex), *middle, EntryId(entry_id.hex), source, store, funder, lapsed)
    )


def place(rows: Iterable[Sequence[Any]], reaches: Sequence[Reach], into: State) -> None:
    """Put the lots found on the state, and say from when on there may be others that were not loaded."""
    found: dict[tuple[MemberId, str], dict[LotId, None]] = {}
    for r in reaches:
        known = into.get(OPEN_LOTS, (r.member_id, r.wallet))
        found[r.member_id, r.wallet] = dict.fromkeys(known or ())
    beyond: dict[tuple[MemberId, str, str], list[Lot]] = {}
    until: Mapping[tuple[MemberId, str, str], Reach] = {(r.member_id, r.wallet, r.state): r for r in reaches}
    for row in rows:
        one = from_row(row)
        into.put(LOTS, one.id, one)
        found[one.member_id, one.wallet][one.id] = None
        place_ = (one.member_id, one.wallet, one.state)
        if one.due_at is None or one.due_at > until[place_].until:
            beyond.setdefault(place_, []).append(one)
    for book, ids in found.items():
        into.put(OPEN_LOTS, book, tuple(ids))
    for key, lots in beyond.items():
        if len(lots) >= until[key].ahead:
            last = max((one.due_at for one in lots if one.due_at is not None), default=None)
            _unseen(into, key[0], last)


def _unseen(into: State, member_id: MemberId, due_at: datetime | None) -> None:
    """Lower the moment from which lots that were not loaded may fall due."""
    known = into.get(UNSEEN_DUE, member_id)
    moments = [moment for moment in (known, due_at) if moment is not None]
    if moments:
        into.put(UNSEEN_DUE, member_id, min(moments))


def short_of(into: State, reach: Reach, points: int) -> bool:
    """Whether more lots must be loaded to cover `points`: too little is known, and there is more."""
    ids = into.get(OPEN_LOTS, (reach.member_id, reach.wallet)) or ()
    lots = [one for id_ in ids if (one := into.get(LOTS, id_)) is not None]
    ahead = [
        one for one in lots if one.state == LotState.AVAILABLE and (one.due_at is None or one.due_at > reach.until)
    ]
    return len(ahead) >= reach.ahead and sum(one.remaining for one in ahead) < points


def write(new: Sequence[Lot], changed: Sequence[Lot]) -> Iterable[Write]:
    """The part of the write that lots contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.id), *one) for one in new])
    if changed:
        yield _UPDATE.write(
            [(bucket_of(one.id), one.id, one.state, one.drawn, one.restored, one.lapsed) for one in changed]
        )
