"""Many writes in one call: each is decided by itself, under a key of its own, and one that fails disturbs no other."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from loyalty.api import problems
from loyalty.api.lean import Call
from loyalty.api.problems import Problem
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Overloaded
from loyalty.operations.retry import Unavailable

Ask = Submission | tuple[int, bytes]
"""An item as the door takes it; or its answer, where it never comes that far."""


async def answered(call: Call, asks: Sequence[Ask]) -> Response:
    """Every item's answer, in the order of the items. Raises Problem where there is no room for all of them."""
    parts = (b'{"status":%d,"body":%b}' % result for result in await _in_order(call, asks))
    return Response(b'{"results":[' + b",".join(parts) + b"]}", media_type="application/json")


def check_room(call: Call, items: int) -> None:
    """Raises Problem `overloaded` before anything is looked up."""
    if items > call.service.lanes.room():
        raise Problem("overloaded", "There is no room for all of the items; none was taken.")


async def _in_order(call: Call, asks: Sequence[Ask]) -> list[tuple[int, bytes]]:
    try:
        waiting = call.service.lanes.submit_bulk([ask for ask in asks if isinstance(ask, Submission)])
    except Overloaded as error:
        raise Problem("overloaded", f"{error} None of the items was taken.") from None
    decided = iter(await asyncio.gather(*waiting, return_exceptions=True))
    return [_told(call, next(decided)) if isinstance(ask, Submission) else ask for ask in asks]


def _told(call: Call, result: Any) -> tuple[int, bytes]:
    """One item's status and body."""
    if not isinstance(result, BaseException):
        return result.status, result.body
    code = "unavailable" if isinstance(result, Unavailable | Overloaded) else "internal_error"
    status, title = problems.TITLES[code]
    detail = "The item could not be decided; whether it took effect, its key tells."
    return status, problems.body_of(status, code, title, detail, {}, call.request_id)
