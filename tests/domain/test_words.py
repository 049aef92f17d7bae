"""Words that are stored, published or sent: whoever has read one must be able to read it for ever."""

from enum import StrEnum

import pytest

from loyalty.domain.adjustments import Decision
from loyalty.domain.channels import PointsMaster
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.drift import DifferenceStatus, Verdict
from loyalty.domain.events import OF_ENTRIES, EventType
from loyalty.domain.holds import HoldStatus
from loyalty.domain.identities import RESERVED_CHANNELS
from loyalty.domain.lots import LotState
from loyalty.domain.members import Status
from loyalty.domain.parked import ParkedStatus
from loyalty.domain.reviews import ReviewKind, ReviewStatus


@pytest.mark.parametrize(
    ("words", "published"),
    [
        (Status, "active earn_only frozen closed merged"),
        (LotState, "pending available"),
        (HoldStatus, "open captured released expired"),
        (ReferenceKind, "accrual redemption hold return refund adjustment transfer reassignment"),
        (Decision, "awaiting_approval approved rejected"),
        (ParkedStatus, "waiting cured refused lapsed"),
        (ReviewKind, "redemption.not_covered parked.refused parked.lapsed"),
        (ReviewStatus, "open resolved"),
        (PointsMaster, "ours channel"),
        (Verdict, "agrees rounded later_entries differs"),
        (DifferenceStatus, "open settled replaced"),
        (
            EventType,
            "member.enrolled member.status_changed member.closed member.identity_bound member.identity_unbound"
            " member.tier_changed member.tags_changed adjustment.awaiting_approval redemption.not_covered"
            " channel.balance_differs",
        ),
    ],
)
def test_the_words_of_states_and_kinds_are_as_published(words: type[StrEnum], published: str) -> None:
    assert list(words) == published.split()


def test_the_event_of_an_entry_says_so() -> None:
    assert OF_ENTRIES == "entry."


def test_nobody_binds_a_card_number_or_a_phone_as_a_channel_of_its_own() -> None:
    assert {"programme", "phone"} == RESERVED_CHANNELS
