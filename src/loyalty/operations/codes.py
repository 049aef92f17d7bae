"""A command that names a member by the code its app shows: done as asked, and the code is used up with it."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from loyalty.domain.codes import CODE_USE, use_code
from loyalty.domain.ids import MemberId
from loyalty.domain.members import MEMBERS
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Command, Receipt, serves_merged


class ByCode(NamedTuple):
    """The command, and whose code of which step it came with. Refused, it leaves the code as it was."""

    asked: Command
    whose: MemberId
    step: int

    @property
    def serves_merged(self) -> Collection[MemberId]:
        return serves_merged(self.asked)

    @property
    def member_id(self) -> MemberId:
        return self.asked.member_id

    def needs(self) -> tuple[Need, ...]:
        return (*self.asked.needs(), Need(MEMBERS, self.whose), Need(CODE_USE, self.whose))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """As asked. Raises CodeUsed before anything else."""
        use_code(draft, self.whose, self.step)
        return self.asked.decide(draft, at)
