"""Many writes in one call: each is decided by itself, under a key of its own, and one that fails disturbs no other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.responses import Response

from loyalty.api import problems
from loyalty.api.lean import Call
from loyalty.api.problems import Problem
from loyalty.api.writing import learn
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Overloaded
from loyalty.operations.retry import Unavailable

Ask = Submission | tuple[int, bytes]
"""An item as the door takes it; or its answer, where it never comes that far."""


async def answered(
    call: Call, asks: Sequence[Ask], *, again: Callable[[int], Awaitable[Ask]] | None = None
) -> Response:
    """Every item's answer, in the order of the items. Raises Problem where there is no room for all of them.

    `again`: how to ask once more for the item in a place, whose member turned out to be merged into another.
    """
    results = await _in_order(call, asks)
    if again is not None:
        merged = [n for n, one in enumerate(results) if isinstance(one, Answer) and learn(call, one.outcome)]
        later = await _in_order(call, [await again(n) for n in merged]) if merged else []
        for n, result in zip(merged, later, strict=True):
            results[n] = result
    parts = (b'{"status":%d,"body":%b}' % _told(call, result) for result in results)
    return Response(b'{"results":[' + b",".join(parts) + b"]}", media_type="application/json")


def check_room(call: Call, items: int) -> None:
    """Raises Problem `overloaded` before anything is looked up."""
    if items > call.service.lanes.room():
        raise Problem("overloaded", "There is no room for all of the items; none was taken.")


async def _in_order(call: Call, asks: Sequence[Ask]) -> list[Any]:
    """What came of every item: the door's answer, an error, or what was said before the door."""
    try:
        waiting = call.service.lanes.submit_bulk([ask for ask in asks if isinstance(ask, Submission)])
    except Overloaded as error:
        raise Problem("overloaded", f"{error} None of the items was taken.") from None
    decided = iter(await asyncio.gather(*waiting, return_exceptions=True))
    return [next(decided) if isinstance(ask, Submission) else ask for ask in asks]


def _told(call: Call, result: Any) -> tuple[int, bytes]:
    """One item's status and body."""
    if isinstance(result, Answer):
        return result.status, result.body
    if isinstance(result, tuple):
        status, body = result
        return status, body
    code = "unavailable" if isinstance(result, Unavailable | Overloaded) else "internal_error"
    status, title = problems.TITLES[code]
    detail = "The item could not be decided; whether it took effect, its key tells."
    return status, problems.body_of(status, code, title, detail, {}, call.request_id)
