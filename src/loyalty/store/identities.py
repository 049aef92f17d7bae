"""Identities: whose each is. Their bucket comes from their own key, so that nobody else can bind one meanwhile."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.identities import CARD_CHANNEL, IDENTITIES, IDENTITIES_OF, Binding, Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.state import State
from loyalty.store.database import fetch_one
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BOOLEAN, BYTEA, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

identity = ledger_table(
    "identity", channel=TEXT, type=TEXT, lookup=BYTEA, member_id=UUID, bound_at=TIMESTAMPTZ, proven=BOOLEAN
)

_INSERT = Insert(identity, claim=True, row_type="identity_row_2")
_UPDATE = Update(
    identity,
    key=["channel", "type", "lookup"],
    changed=["member_id", "bound_at", "proven"],
    row_type="identity_change_2",
    unless_changed={"member_id": "was_member_id"},
)

_KEYS = keys(bucket="identity_buckets", channel="identity_channels", type="identity_types", lookup="identity_lookups")
_COLUMNS = ["i.channel", "i.type", "i.lookup", "i.member_id", "i.bound_at", "i.proven"]
_FOUND = f"""from {_KEYS}
        join identity i on i.bucket = k.bucket and i.programme_id = k.programme_id
         and i.channel = k.channel and i.type = k.type and i.lookup = k.lookup"""
_LOAD = rows_of(_COLUMNS, _FOUND)
_LOAD_OF = rows_of(
    _COLUMNS,
    # Member by member, each by the index: no bucket says where a member's identities lie.
    f"""from {keys(member_id="identity_members")}
        cross join lateral (
              select i.* from identity i
               where i.programme_id = k.programme_id and i.member_id = k.member_id
               offset 0) i""",  # noqa: S608 - only our own constants
)


def load(wanted: Sequence[Identity]) -> Load:
    """Whose the identities are."""
    return Load(
        _LOAD,
        {
            "identity_buckets": ([one.bucket for one in wanted], SMALLINT.array),
            "identity_channels": ([one.channel for one in wanted], TEXT.array),
            "identity_types": ([one.type for one in wanted], TEXT.array),
            "identity_lookups": ([one.lookup for one in wanted], BYTEA.array),
        },
    )


def load_of(members: Sequence[MemberId]) -> Load:
    """What the members are known by."""
    return Load(_LOAD_OF, {"identity_members": (list(members), UUID.array)})


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        identity_, binding = _from_row(row)
        into.put(IDENTITIES, identity_, binding)


def place_of(rows: Iterable[Sequence[Any]], into: State) -> None:
    found: dict[MemberId, list[Identity]] = {}
    for row in rows:
        identity_, binding = _from_row(row)
        assert binding.member_id is not None, "it was found by its member"
        found.setdefault(binding.member_id, []).append(identity_)
        into.put(IDENTITIES, identity_, binding)
    for member_id, theirs in found.items():
        into.put(IDENTITIES_OF, member_id, tuple(sorted(theirs)))


def write(
    new: Sequence[tuple[Identity, Binding]], changed: Sequence[tuple[Identity, Binding]], seen: State
) -> Iterable[Write]:
    """Claim the identities, in sorted order: those that nobody had bound, and those that are still whose was `seen`."""
    if new:
        yield _INSERT.write([(one.bucket, *one, *binding) for one, binding in sorted(new)])
    if changed:
        was = {one: binding.member_id for one, binding in seen.own(IDENTITIES)}
        yield _UPDATE.write([(one.bucket, *one, *binding, was[one]) for one, binding in sorted(changed)])


def _holders_of(source: str) -> str:
    """The rows of the identities with their holders, and whether it is the holder's own card; left open at its end."""
    rows = rows_of(
        ["i.channel", "i.type", "i.lookup", "i.member_id", "m.id is not null"],
        f"""{source}
        left join member m on m.bucket = get_byte(uuid_send(i.member_id), 15) and m.programme_id = i.programme_id
         and m.id = i.member_id and convert_to(m.number, 'UTF8') = i.lookup""",
    )
    return rows.removesuffix(")")


_HOLDERS = text(
    # The wall goes up within the statement, so that it needs no transaction around it: one round trip. Should it ever
    # be looked at before it stands, the policy fails loudly.
    f"""
    with wall as materialized (select set_config('loyalty.programme_id', cast(:{PROGRAMME} as text), true) as programme)
    select {_holders_of(_FOUND)} where wall.programme is not null) from wall
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("identity_buckets", type_=SMALLINT.array),
    bindparam("identity_channels", type_=TEXT.array),
    bindparam("identity_types", type_=TEXT.array),
    bindparam("identity_lookups", type_=BYTEA.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


class Holder(NamedTuple):
    """Who is known by an identity."""

    member_id: MemberId
    by_own_card: bool
    """It is the card number that the member was given, and not one of whom it absorbed."""


async def holders(connection: AsyncConnection, programme_id: int, wanted: Sequence[Identity]) -> dict[Identity, Holder]:
    """The members that are known by the identities, outside the door and any transaction. Locks nothing."""
    values = {name: value for name, (value, _) in load(wanted).binds.items()}
    (rows,) = await fetch_one(connection, _HOLDERS, {**values, PROGRAMME: programme_id})
    return {
        Identity(channel, type_, lookup): Holder(MemberId(member_id.hex), by_own_card and channel == CARD_CHANNEL)
        for channel, type_, lookup, member_id, by_own_card in rows or ()
        if member_id is not None
    }


async def of_member(connection: AsyncConnection, programme_id: int, member_id: MemberId) -> dict[Identity, Binding]:
    """What the member is known by, by channel and type. Locks nothing."""
    rows = await look_up(connection, programme_id, load_of([member_id]))
    return dict(sorted(map(_from_row, rows)))


def _from_row(row: Sequence[Any]) -> tuple[Identity, Binding]:
    channel, type_, lookup, member_id, *rest = row
    return Identity(channel, type_, lookup), Binding(None if member_id is None else MemberId(member_id.hex), *rest)
