"""Asking what other rules would have given: the answer is worked out in the background."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.publishing import DRAFTED, RulesId
from loyalty.domain.refusals import RulesNotFound, TooManyWhatIfs
from loyalty.domain.state import Draft, Need
from loyalty.domain.what_ifs import MOST_WAITING, UNFINISHED, WHAT_IFS, WhatIf, WhatIfId, WhatIfStatus
from loyalty.operations.command import Receipt


class AskWhatIf(NamedTuple):
    """What if these rules had held over these business days."""

    draft_id: RulesId
    begins: date
    ends: date
    by: str

    @property
    def member_id(self) -> MemberId:
        return MemberId(self.draft_id)

    def needs(self) -> tuple[Need, ...]:
        return (Need(DRAFTED, self.draft_id), Need(UNFINISHED, None))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It waits for a worker. Raises RulesNotFound, TooManyWhatIfs."""
        if draft.get(DRAFTED, self.draft_id) is None:
            raise RulesNotFound("There are no such earning rules in this programme.")
        waiting = draft.get(UNFINISHED, None) or 0
        if waiting >= MOST_WAITING:
            raise TooManyWhatIfs("Wait until one of those that were asked is done.", maximum=MOST_WAITING)
        id_ = WhatIfId(draft.moment.fact)
        status = WhatIfStatus.WAITING.value
        asked = WhatIf(
            id_, self.draft_id, self.begins, self.ends, draft.moment.recorded_at, self.by, status, 0, None, None
        )
        draft.put(WHAT_IFS, id_, asked)
        draft.put(UNFINISHED, None, waiting + 1)
        return Receipt(self.member_id, (), asked)
