"""Persons and their consents: the only tables that hold personal data, and they hold it sealed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.persons import BIRTHDAYS, Consent, Person, birthday_on
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Write, keys, rows_of
from loyalty.store.schema import BYTEA, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table
from loyalty.store.sealing import Sealer

person = ledger_table("person", member_id=UUID, sealed=BYTEA)
consent = ledger_table("consent", id=UUID, member_id=UUID, purpose=TEXT, text_version=TEXT, given_at=TIMESTAMPTZ)

_INSERT_PERSON = Insert(person)
_INSERT_CONSENT = Insert(consent)
_LOAD = rows_of(
    ["p.member_id", "p.sealed"],
    f"""from {keys(bucket="person_buckets", member_id="person_members")}
        join person p on p.bucket = k.bucket and p.programme_id = k.programme_id and p.member_id = k.member_id""",
)


def load(ids: Sequence[MemberId]) -> Load:
    """The sealed persons behind members."""
    return Load(
        _LOAD,
        {
            "person_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "person_members": (list(ids), UUID.array),
        },
    )


def place_birthdays(
    rows: Iterable[Sequence[Any]], days: Mapping[MemberId, Iterable[date]], sealer: Sealer, into: State
) -> None:
    """Put what business days are to members on the state: what is opened for it goes no further than this."""
    for row in rows:
        member_id = MemberId(row[0].hex)
        born = sealer.open(member_id, row[1]).get("birthday")
        if born is not None:
            for day in days[member_id]:
                into.put(BIRTHDAYS, (member_id, day), birthday_on(date.fromisoformat(born), day))


def write_persons(persons: Sequence[Person]) -> Iterable[Write]:
    """The part of the write that sealed persons contribute."""
    if persons:
        yield _INSERT_PERSON.write([(bucket_of(p.member_id), *p) for p in persons])


def write_consents(consents: Sequence[Consent]) -> Iterable[Write]:
    """The part of the write that consents contribute."""
    if consents:
        yield _INSERT_CONSENT.write([(bucket_of(c.member_id), *c) for c in consents])
