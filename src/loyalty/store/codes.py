"""Which member code of each member was used last."""

from collections.abc import Iterable, Sequence
from typing import Any

from loyalty.domain.codes import CODE_USE
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, SMALLINT, UUID, ledger_table

code_use = ledger_table("code_use", member_id=UUID, step=BIGINT)

_INSERT = Insert(code_use)
_UPDATE = Update(code_use, key=["member_id"], changed=["step"])
_LOAD = rows_of(
    ["c.member_id", "c.step"],
    f"""from {keys(bucket="code_buckets", member_id="code_members")}
        join code_use c on c.bucket = k.bucket and c.programme_id = k.programme_id and c.member_id = k.member_id""",
)


def load(ids: Sequence[MemberId]) -> Load:
    """The last step of each member."""
    return Load(
        _LOAD,
        {
            "code_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "code_members": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for member_id, step in rows:
        into.put(CODE_USE, MemberId(member_id.hex), step)


def write(new: Sequence[tuple[MemberId, int]], changed: Sequence[tuple[MemberId, int]]) -> Iterable[Write]:
    """The part of the write that used codes contribute. The member's lock guards them."""
    if new:
        yield _INSERT.write([(bucket_of(id_), id_, step) for id_, step in new])
    if changed:
        yield _UPDATE.write([(bucket_of(id_), id_, step) for id_, step in changed])
