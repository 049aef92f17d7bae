"""What a member is called for the earning rules: staff, reseller ..."""

from datetime import datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS, Member, Status, existing
from loyalty.domain.refusals import MemberClosed
from loyalty.domain.state import Draft, Need
from loyalty.domain.tags import TAGS, set_tags, tags_of
from loyalty.operations.command import Receipt


class Tagged(NamedTuple):
    """A member and its tags."""

    member: Member
    tags: tuple[str, ...]


class SetTags(NamedTuple):
    """Give a member these tags and no others."""

    member_id: MemberId
    tags: tuple[str, ...]
    reason: str
    by: str
    """The API client."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id), Need(TAGS, self.member_id))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """What is bought from now on earns by them. Raises MemberNotFound, MemberClosed, TooManyTags."""
        member = existing(draft, self.member_id)
        if member.status == Status.CLOSED:
            raise MemberClosed("The member has closed its account.")
        set_tags(draft, self.member_id, self.tags, reason=self.reason, by=self.by)
        return Receipt(self.member_id, (), Tagged(member, tags_of(draft, self.member_id)))
