"""Persons and their consents: the only tables that hold personal data, and they hold it sealed."""

from collections.abc import Iterable, Sequence

from loyalty.domain.ids import bucket_of
from loyalty.domain.persons import Consent, Person
from loyalty.store.parts import Insert, Write
from loyalty.store.schema import BYTEA, TEXT, TIMESTAMPTZ, UUID, ledger_table

person = ledger_table("person", member_id=UUID, sealed=BYTEA)
consent = ledger_table("consent", id=UUID, member_id=UUID, purpose=TEXT, text_version=TEXT, given_at=TIMESTAMPTZ)

_INSERT_PERSON = Insert(person)
_INSERT_CONSENT = Insert(consent)


def write_persons(persons: Sequence[Person]) -> Iterable[Write]:
    """The part of the write that sealed persons contribute."""
    if persons:
        yield _INSERT_PERSON.write([(bucket_of(p.member_id), *p) for p in persons])


def write_consents(consents: Sequence[Consent]) -> Iterable[Write]:
    """The part of the write that consents contribute."""
    if consents:
        yield _INSERT_CONSENT.write([(bucket_of(c.member_id), *c) for c in consents])
