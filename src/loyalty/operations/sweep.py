"""Settling in bulk: what every command does for its own member, for those that nobody asks about."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS, existing
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Settle(NamedTuple):
    """Bring one member up to date. The door has done it before this decides: there is nothing left to do."""

    member_id: MemberId

    @property
    def serves_merged(self) -> Collection[MemberId]:
        return (self.member_id,)

    def needs(self) -> tuple[Need, ...]:
        return (Need(MEMBERS, self.member_id),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """Raises MemberNotFound."""
        existing(draft, self.member_id)
        return Receipt(self.member_id, (), None)
