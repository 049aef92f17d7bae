"""Tiers: what was counted towards them, by member and bucket; grants; and the steps of a member's tier history.

Net spend has a table of its own: it is counted in every programme, whatever its tiers go by.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from loyalty.domain.climbing import Judged, Tenure
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.ladder import NET_SPEND
from loyalty.domain.state import State
from loyalty.domain.tiers import COUNTS, GRANTS, HAS_BOUGHT, Buckets, TierGrant, TierStep
from loyalty.store.parts import Insert, Load, Update, Write, keys, rows_of
from loyalty.store.schema import BIGINT, BOOLEAN, DATE, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

net_spend = ledger_table("net_spend", member_id=UUID, month=DATE, amount=BIGINT)
tier_count = ledger_table("tier_count", member_id=UUID, metric=TEXT, first_day=DATE, amount=BIGINT)
tier_grant = ledger_table(
    "tier_grant",
    member_id=UUID,
    tier=TEXT,
    until=TIMESTAMPTZ,
    locked=BOOLEAN,
    earned_tier=TEXT,
    earned_since=TIMESTAMPTZ,
    earned_until=TIMESTAMPTZ,
)
tier_step = ledger_table(
    "tier_step",
    id=UUID,
    member_id=UUID,
    from_tier=TEXT,
    to_tier=TEXT,
    occurred_at=TIMESTAMPTZ,
    recorded_at=TIMESTAMPTZ,
    entry_id=UUID,
    window_from=DATE,
    window_ends=DATE,
    score=BIGINT,
    needed=BIGINT,
)

_INSERT_SPEND = Insert(net_spend)
_UPDATE_SPEND = Update(net_spend, key=["member_id", "month"], changed=["amount"])
_INSERT_COUNT = Insert(tier_count)
_UPDATE_COUNT = Update(tier_count, key=["member_id", "metric", "first_day"], changed=["amount"])
_INSERT_GRANT = Insert(tier_grant)
_UPDATE_GRANT = Update(
    tier_grant,
    key=["member_id"],
    changed=["tier", "until", "locked", "earned_tier", "earned_since", "earned_until"],
)
_INSERT_STEP = Insert(tier_step, row_type="tier_step_row_2")

_LOAD_SPEND = rows_of(
    ["s.member_id", f"'{NET_SPEND}'", "s.month", "s.amount"],
    f"""from {keys(bucket="spend_buckets", member_id="spend_members", first="spend_from")}
        join net_spend s on s.bucket = k.bucket and s.programme_id = k.programme_id
         and s.member_id = k.member_id and s.month >= k.first""",
)
_LOAD_COUNTS = rows_of(
    ["c.member_id", "c.metric", "c.first_day", "c.amount"],
    f"""from {keys(bucket="count_buckets", member_id="count_members", metric="count_metrics", first="count_from")}
        join tier_count c on c.bucket = k.bucket and c.programme_id = k.programme_id
         and c.member_id = k.member_id and c.metric = k.metric and c.first_day >= k.first""",
)
_LOAD_GRANTS = rows_of(
    ["g.member_id", "g.tier", "g.until", "g.locked", "g.earned_tier", "g.earned_since", "g.earned_until"],
    f"""from {keys(bucket="grant_buckets", member_id="grant_members")}
        join tier_grant g on g.bucket = k.bucket and g.programme_id = k.programme_id and g.member_id = k.member_id""",
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


def load_spend(since: Mapping[MemberId, date]) -> Load:
    """The members' net spend, from the day given for each."""
    ids = list(since)
    return Load(
        _LOAD_SPEND,
        {
            "spend_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "spend_members": (ids, UUID.array),
            "spend_from": (list(since.values()), DATE.array),
        },
    )


def load_counts(since: Mapping[MemberId, date], metrics: Sequence[str]) -> Load:
    """What was counted of the members' metrics, from the day given for each."""
    wanted = [(id_, metric, first) for id_, first in since.items() for metric in metrics]
    return Load(
        _LOAD_COUNTS,
        {
            "count_buckets": ([bucket_of(id_) for id_, _, _ in wanted], SMALLINT.array),
            "count_members": ([id_ for id_, _, _ in wanted], UUID.array),
            "count_metrics": ([metric for _, metric, _ in wanted], TEXT.array),
            "count_from": ([first for _, _, first in wanted], DATE.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the buckets found on the state."""
    found: dict[tuple[Any, str], list[tuple[date, int]]] = {}
    for member_id, metric, first, amount in rows:
        found.setdefault((member_id, metric), []).append((first, amount))
    for (member_id, metric), buckets in found.items():
        id_ = MemberId(member_id.hex)
        into.put(COUNTS, (id_, metric), tuple(sorted(buckets)))
        if metric == NET_SPEND:
            into.put(HAS_BOUGHT, id_, True)


def load_grants(ids: Sequence[MemberId]) -> Load:
    """The newest grant of each member."""
    return Load(
        _LOAD_GRANTS,
        {
            "grant_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "grant_members": (list(ids), UUID.array),
        },
    )


def place_grants(rows: Iterable[Sequence[Any]], into: State) -> None:
    for member_id, *row in rows:
        into.put(GRANTS, MemberId(member_id.hex), grant_from_row(row))


def grant_from_row(row: Sequence[Any]) -> TierGrant:
    """A grant from its columns after the member's."""
    tier, until, locked, *earned = row
    return TierGrant(tier, until, locked, Tenure(*earned))


def write(changed: Iterable[tuple[tuple[MemberId, str], Buckets]], seen: State) -> Iterable[Write]:
    """The part of the write that counts contribute: the buckets that are not as they were `seen`."""
    rows: dict[Insert | Update, list[tuple[Any, ...]]] = {}
    for (member_id, metric), buckets in changed:
        known: Buckets = seen.get(COUNTS, (member_id, metric)) or ()
        before = dict(known)
        for first, amount in buckets:
            if before.get(first) != amount:
                is_new = first not in before
                if metric == NET_SPEND:
                    piece: Insert | Update = _INSERT_SPEND if is_new else _UPDATE_SPEND
                    row: tuple[Any, ...] = (bucket_of(member_id), member_id, first, amount)
                else:
                    piece = _INSERT_COUNT if is_new else _UPDATE_COUNT
                    row = (bucket_of(member_id), member_id, metric, first, amount)
                rows.setdefault(piece, []).append(row)
    for piece, of_piece in sorted(rows.items(), key=lambda one: one[0].name):  # alike, or statements would be many
        yield piece.write(of_piece)


def write_grants(
    new: Sequence[tuple[MemberId, TierGrant]], changed: Sequence[tuple[MemberId, TierGrant]]
) -> Iterable[Write]:
    """The part of the write that grants contribute."""
    if new:
        yield _INSERT_GRANT.write([_grant_row(*one) for one in new])
    if changed:
        yield _UPDATE_GRANT.write([_grant_row(*one) for one in changed])


def _grant_row(member_id: MemberId, grant: TierGrant) -> tuple[Any, ...]:
    return (bucket_of(member_id), member_id, grant.tier, grant.until, grant.locked, *grant.earned)


def write_steps(steps: Sequence[TierStep]) -> Iterable[Write]:
    """The part of the write that tier history contributes."""
    if steps:
        yield _INSERT_STEP.write([_step_row(step) for step in steps])


def _step_row(step: TierStep) -> tuple[Any, ...]:
    *facts, judged = step
    return (bucket_of(step.member_id), *facts, *(judged or (None,) * len(Judged._fields)))


def judged_from(row: Sequence[Any]) -> Judged | None:
    """What decided a step; None where nothing is kept."""
    return None if all(value is None for value in row) else Judged._make(row)
