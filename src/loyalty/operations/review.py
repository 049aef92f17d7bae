"""A review item is resolved: somebody has looked at what happened, and says what came of it."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import ReviewNotFound, ReviewResolved
from loyalty.domain.reviews import REVIEWS, Review, ReviewStatus
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Resolve(NamedTuple):
    """Say what came of a review item. It moves no points: who corrects a balance adjusts it."""

    review: Review
    """As it was found: only what never changes of it is relied on."""
    reason: str
    resolved_by: str

    @property
    def member_id(self) -> MemberId:
        """Any id: it may be about nobody, and changes no member."""
        return MemberId(self.review.id)

    def needs(self) -> tuple[Need, ...]:
        return (Need(REVIEWS, self.review.id),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It is resolved, once. Raises ReviewResolved."""
        found = draft.get(REVIEWS, self.review.id)
        if found is None:
            raise ReviewNotFound("There is no such review item in this programme.")
        if found.status == ReviewStatus.RESOLVED:
            raise ReviewResolved("The review item was resolved before.", resolved_at=found.resolved_at)
        resolved = found._replace(
            status=ReviewStatus.RESOLVED.value,
            resolved_by=self.resolved_by,
            reason=self.reason,
            resolved_at=draft.moment.recorded_at,
        )
        draft.put(REVIEWS, resolved.id, resolved)
        return Receipt(self.member_id, (), resolved)
