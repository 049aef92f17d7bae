"""Tiers: net spend by member and month, and the steps of a member's tier history."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.domain.tiers import HAS_BOUGHT, TierStep, add_net_spend
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, DATE, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

net_spend = ledger_table("net_spend", member_id=UUID, month=DATE, amount=BIGINT)
tier_step = ledger_table(
    "tier_step",
    id=UUID,
    member_id=UUID,
    from_tier=TEXT,
    to_tier=TEXT,
    occurred_at=TIMESTAMPTZ,
    recorded_at=TIMESTAMPTZ,
    entry_id=UUID,
)

_INSERT = Insert(net_spend)
_UPDATE = Update(net_spend, key=["member_id", "month"], changed=["amount"])
_INSERT_STEP = Insert(tier_step)
_LOAD = rows_of(
    ["s.member_id", "s.month", "s.amount"],
    f"""from {keys(bucket="spend_buckets", member_id="spend_members", first="spend_from")}
        join net_spend s on s.bucket = k.bucket and s.programme_id = k.programme_id
         and s.member_id = k.member_id and s.month >= k.first""",
)


_WHETHER_BOUGHT = rows_of(
    ["k.member_id"],
    # The first row of each is enough, whatever they have bought since.
    f"""from {keys(bucket="bought_buckets", member_id="bought_members")}
        cross join lateral (
              select from net_spend s
               where s.bucket = k.bucket and s.programme_id = k.programme_id and s.member_id = k.member_id
               limit 1) found""",
)


def load_whether_bought(ids: Sequence[MemberId]) -> Load:
    """Which of the members have ever bought anything."""
    return Load(
        _WHETHER_BOUGHT,
        {
            "bought_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "bought_members": (list(ids), UUID.array),
        },
    )


def place_whether_bought(rows: Iterable[Sequence[Any]], into: State) -> None:
    for (member_id,) in rows:
        into.put(HAS_BOUGHT, MemberId(member_id.hex), True)


def load(first_years: Mapping[MemberId, int]) -> Load:
    """The members' net spend, from January of the year given for each."""
    ids = list(first_years)
    return Load(
        _LOAD,
        {
            "spend_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "spend_members": (ids, UUID.array),
            "spend_from": ([date(year, 1, 1) for year in first_years.values()], DATE.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the months found on the state."""
    for member_id, month, amount in rows:
        add_net_spend(into, MemberId(member_id.hex), month, amount)


def write(
    new: Sequence[tuple[tuple[MemberId, date], int]], changed: Sequence[tuple[tuple[MemberId, date], int]]
) -> Iterable[Write]:
    """The part of the write that net spend contributes."""
    if new:
        yield _INSERT.write([(bucket_of(key[0]), *key, amount) for key, amount in new])
    if changed:
        yield _UPDATE.write([(bucket_of(key[0]), *key, amount) for key, amount in changed])


def write_steps(steps: Sequence[TierStep]) -> Iterable[Write]:
    """The part of the write that tier history contributes."""
    if steps:
        yield _INSERT_STEP.write([(bucket_of(step.member_id), *step) for step in steps])
