"""What-ifs: what other rules would have given, asked for by somebody and worked off in the background."""

from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from loyalty.domain.publishing import RulesId
from loyalty.domain.state import Shelf

WhatIfId = NewType("WhatIfId", str)
MOST_WAITING: Final = 10
"""Of a programme, at a time."""


class WhatIfStatus(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class WhatIf(NamedTuple):
    """Which rules, over which business days, and how far it has come."""

    id: WhatIfId
    draft_id: RulesId
    begins: date
    ends: date
    """The first day after the last."""
    asked_at: datetime
    asked_by: str
    status: str
    done: int
    """Of 256 parts."""
    report: str | None
    """JSON text, once it is done."""
    claimed_until: datetime | None
    """A worker has it until then, and goes on claiming it while it works."""


WHAT_IFS: Shelf[WhatIfId, WhatIf] = Shelf("what-if")
UNFINISHED: Shelf[None, int] = Shelf("what-ifs that are not done")
"""How many the programme has; not a table."""
