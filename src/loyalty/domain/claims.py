"""Claims: what may be taken once. A key replays its answer for a while; a reference is taken for ever.

Scope of a key: programme, API client (not its API key, so that a rotation need not change it; no command rotates
yet), subject (for members' own tokens; '' until there are any), key.
Scope of a reference: programme, source, reference and kind, and the business date where a source's receipt
numbers begin again.
"""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.entries import Kind
from loyalty.domain.ids import EntryId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import KeyReused, ReferenceTaken
from loyalty.domain.state import Draft, Shelf


class ReplayKey(NamedTuple):
    """Under which an answer is kept."""

    client_id: str
    subject: str
    key: str


class Replay(NamedTuple):
    """The frozen answer: the same status and the same bytes for the same request."""

    fingerprint: bytes
    status: int
    body: bytes


class Claim(NamedTuple):
    """An idempotency key and the fingerprint (SHA-256) of the request that came with it."""

    key: ReplayKey
    fingerprint: bytes


class ReferenceKind(StrEnum):
    """What a source numbers: each kind by itself, so that a refund may bear the number of its sale."""

    ACCRUAL = "accrual"
    REDEMPTION = "redemption"
    HOLD = "hold"
    RETURN = "return"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    TRANSFER = "transfer"
    REASSIGNMENT = "reassignment"


TAKEN_BY: Final[Mapping[str, ReferenceKind]] = {
    Kind.EARN: ReferenceKind.ACCRUAL,
    Kind.SPEND: ReferenceKind.REDEMPTION,
    Kind.HOLD: ReferenceKind.HOLD,
    Kind.RESERVE: ReferenceKind.RETURN,
    Kind.RETURN: ReferenceKind.RETURN,
    Kind.UNSPEND: ReferenceKind.REFUND,
    Kind.ADJUST: ReferenceKind.ADJUSTMENT,
    Kind.TRANSFER: ReferenceKind.TRANSFER,
    Kind.REASSIGN: ReferenceKind.REASSIGNMENT,
}
"""The kind of reference that an entry from outside has taken, by the entry's kind.

Of the two entries of a reassignment, the one that takes back: the other stands under the receipt of its purchase.
"""


class ReferenceKey(NamedTuple):
    """A business reference. `business_date` is '' unless the source's numbers begin again."""

    source: str
    reference: str
    kind: str
    business_date: str = ""


REPLAYS: Shelf[ReplayKey, Replay] = Shelf("replay")
REFERENCES: Shelf[ReferenceKey, EntryId] = Shelf("reference")


def reference_key(programme: Programme, kind: str, *, source: str, reference: str, day: date) -> ReferenceKey:
    """The claim that a reference of this source makes."""
    restarts = source in programme.restarting_sources
    return ReferenceKey(source, reference, kind, day.isoformat() if restarts else "")


def take_reference(draft: Draft, key: ReferenceKey, entry_id: EntryId) -> None:
    """Take the reference for the entry (invariant 7). Raises ReferenceTaken, naming the earlier entry."""
    check_free(draft, key)
    draft.put(REFERENCES, key, entry_id)


def check_free(draft: Draft, key: ReferenceKey) -> None:
    """Whether the reference can still be taken. Raises ReferenceTaken, naming the earlier entry."""
    earlier = draft.get(REFERENCES, key)
    if earlier is not None:
        raise ReferenceTaken(
            f"The reference {key.reference!r} of source {key.source!r} was used before.",
            source=key.source,
            reference=key.reference,
            entry=earlier,
        )


def replayed(kept: Replay, claim: Claim) -> Replay:
    """The frozen answer, if it was given to this very request. Raises KeyReused."""
    if kept.fingerprint != claim.fingerprint:
        raise KeyReused("This Idempotency-Key came with a different request before; take a new key.")
    return kept
