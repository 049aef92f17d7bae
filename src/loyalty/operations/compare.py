"""A channel's own copy of what a member has, held against ours. It moves no points."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.channels import Channel
from loyalty.domain.drift import (
    LAST_DIFFERENCES,
    Difference,
    Figures,
    Verdict,
    find_difference,
    judge,
    settle_difference,
)
from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS, existing
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Compared(NamedTuple):
    """What came of it."""

    member_id: MemberId
    shown: Figures
    ours: Figures
    verdict: Verdict
    difference: Difference | None
    """What is open between the two now."""


class Compare(NamedTuple):
    """Hold a copy against what the member had then, and has now."""

    member_id: MemberId
    channel: Channel
    shown: Figures
    then: Figures
    """Ours, as of the copy."""
    now: Figures
    as_of: datetime
    """When the copy was taken."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id), Need(LAST_DIFFERENCES, (self.channel.name, self.member_id)))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The verdict; a difference is open, or what was open is settled. Raises MemberNotFound, OccursInFuture."""
        existing(draft, self.member_id)
        draft.programme.check_not_ahead(self.as_of, draft.moment.recorded_at)
        settings = self.channel.settings
        verdict = judge(self.shown, then=self.then, now=self.now, points_per_unit=settings.points_per_unit)
        said = Compared(self.member_id, self.shown, self.then, verdict, self._kept(draft, verdict))
        return Receipt(self.member_id, (), said)

    def _kept(self, draft: Draft, verdict: Verdict) -> Difference | None:
        if verdict != Verdict.DIFFERS:
            settle_difference(draft, self.channel, self.member_id, as_of=self.as_of)
            return None
        return find_difference(draft, self.channel, self.member_id, shown=self.shown, ours=self.then, as_of=self.as_of)
