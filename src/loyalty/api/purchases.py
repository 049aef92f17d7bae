"""Naming a purchase, by its entry or by its receipt."""

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from loyalty.api.bodies import AnySource, Body, Day, Reference, parse_id
from loyalty.api.lean import Call
from loyalty.api.problems import Problem
from loyalty.api.writing import Find
from loyalty.domain.claims import ReferenceKey, ReferenceKind, reference_key
from loyalty.domain.entries import Entry
from loyalty.domain.ids import EntryId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import EntryNotFound
from loyalty.store import claims, purchases


class PurchaseName(Body):
    """A purchase, by its entry or by the source and reference it was reported under."""

    entry: Annotated[str | None, Field(max_length=40, examples=["ent_019a"])] = None
    source: AnySource | None = None
    reference: Reference | None = None
    business_date: Annotated[
        Day | None, Field(description="Of a source whose numbers begin again: the day of the purchase.")
    ] = None

    @model_validator(mode="after")
    def _named_once(self) -> "PurchaseName":
        by_reference = self.source is not None and self.reference is not None
        if (self.entry is not None) == (self.source is not None or self.reference is not None):
            raise ValueError("name the purchase either by entry or by source and reference")
        if self.entry is None and not by_reference:
            raise ValueError("a source and a reference go together")
        if self.entry is not None:
            parse_id("ent", self.entry)
        return self


def find_purchase(name: PurchaseName) -> Find[Entry]:
    """Finds the entry of a purchase that must be there. Raises EntryNotFound."""

    async def find(call: Call) -> Entry:
        entry = await find_purchase_if_known(name)(call)
        if entry is None:
            raise _not_found()
        return entry

    return find


def find_purchase_if_known(name: PurchaseName) -> Find[Entry | None]:
    """Finds the entry of a purchase; None while nobody has taken its reference. Raises EntryNotFound."""

    async def find(call: Call) -> Entry | None:
        programme = call.caller.programme
        async with call.service.database.snapshot(programme.id) as connection:
            if name.entry is not None:
                id_: EntryId | None = EntryId(parse_id("ent", name.entry))
            else:
                key = reference_of(programme, name)
                id_ = (await claims.find_references(connection, programme.id, [key])).get(key)
            if id_ is None:
                return None
            entry = await purchases.find(connection, programme.id, id_)
        if entry is None:
            raise _not_found()
        return entry

    return find


def reference_of(programme: Programme, name: PurchaseName) -> ReferenceKey:
    """The reference that the purchase took. Raises Problem `invalid_request` where it needs its day."""
    source, reference = name.source or "", name.reference or ""
    if source in programme.restarting_sources and name.business_date is None:
        detail = "The numbers of this source begin again: say the business_date of the purchase."
        raise Problem("invalid_request", detail, errors=[{"field": "body.accrual.business_date", "problem": detail}])
    day = name.business_date or date.min
    return reference_key(programme, ReferenceKind.ACCRUAL, source=source, reference=reference, day=day)


def _not_found() -> EntryNotFound:
    return EntryNotFound("There is no such purchase in this programme.")
