"""How much of its caps a member has used."""

from collections.abc import Iterable, Sequence
from typing import Any

from loyalty.domain.caps import CAP_USE, USED_CAPS, CapKey
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, SMALLINT, TEXT, UUID, ledger_table

cap_use = ledger_table("cap_use", member_id=UUID, cap=TEXT, over=TEXT, points=BIGINT)

_INSERT = Insert(cap_use)
_UPDATE = Update(cap_use, key=["member_id", "cap", "over"], changed=["points"])
_LOAD = rows_of(
    ["c.member_id", "c.cap", "c.over", "c.points"],
    f"""from {keys(bucket="cap_buckets", member_id="cap_members", cap="cap_names", over="cap_times")}
        join cap_use c on c.bucket = k.bucket and c.programme_id = k.programme_id
         and c.member_id = k.member_id and c.cap = k.cap and c.over = k.over""",
)

_LOAD_OF = rows_of(
    ["c.member_id", "c.cap", "c.over", "c.points"],
    f"""from {keys(bucket="used_buckets", member_id="used_members")}
        join cap_use c on c.bucket = k.bucket and c.programme_id = k.programme_id and c.member_id = k.member_id""",
)


def load(wanted: Sequence[CapKey]) -> Load:
    """The use of these caps."""
    return Load(
        _LOAD,
        {
            "cap_buckets": ([bucket_of(one.member_id) for one in wanted], SMALLINT.array),
            "cap_members": ([one.member_id for one in wanted], UUID.array),
            "cap_names": ([one.cap for one in wanted], TEXT.array),
            "cap_times": ([one.over for one in wanted], TEXT.array),
        },
    )


def load_of(ids: Sequence[MemberId]) -> Load:
    """All that the members have used of caps."""
    return Load(
        _LOAD_OF,
        {
            "used_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "used_members": (list(ids), UUID.array),
        },
    )


def place_of(rows: Iterable[Sequence[Any]], into: State) -> None:
    found: dict[MemberId, list[CapKey]] = {}
    for member_id, cap, over, points in rows:
        key = CapKey(MemberId(member_id.hex), cap, over)
        into.put(CAP_USE, key, points)
        found.setdefault(key.member_id, []).append(key)
    for id_, keys_ in found.items():
        into.put(USED_CAPS, id_, tuple(keys_))


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for member_id, cap, over, points in rows:
        into.put(CAP_USE, CapKey(MemberId(member_id.hex), cap, over), points)


def write(new: Sequence[tuple[CapKey, int]], changed: Sequence[tuple[CapKey, int]]) -> Iterable[Write]:
    """The part of the write that the use of caps contributes."""
    if new:
        yield _INSERT.write([(bucket_of(key.member_id), *key, points) for key, points in new])
    if changed:
        yield _UPDATE.write([(bucket_of(key.member_id), *key, points) for key, points in changed])
