"""Commands that nobody asked for: they take the lanes of files, under no key, and nobody hears of them."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import uuid_utils

from loyalty.domain.ids import FactId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import Refusal
from loyalty.domain.state import Moment
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes


def unasked(programme: Programme, command: Command, *, occurred_at: datetime, recorded_at: datetime) -> Submission:
    """The command as a fact of its own."""
    moment = Moment(FactId(uuid_utils.uuid7().hex), occurred_at, recorded_at)
    return Submission(programme, command, moment, _say_nothing)


async def decided(lanes: Lanes, asks: Sequence[Submission]) -> list[bool]:
    """Send the commands, at most as many as may wait, and see of each whether it was accepted.

    Those that are refused or fail are left to the next round; the lanes have logged what failed.
    """
    results = await asyncio.gather(*lanes.submit_bulk(asks), return_exceptions=True)
    return [isinstance(result, Answer) and isinstance(result.outcome, Receipt) for result in results]


def _say_nothing(_: Receipt | Refusal) -> tuple[int, bytes]:
    return 200, b""
