"""Keyset pages: a limit, and an opaque cursor that says where the last page ended."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Query

from loyalty.api.problems import Problem
from loyalty.domain.texts import is_plain

MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most items on the page.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


def page(items: Sequence[Any], limit: int, place: Callable[[Any], list[Any]]) -> dict[str, Any]:
    """The page, given one item more than it may hold; `place` says where an item lies in the order."""
    shown = list(items[:limit])
    more = len(items) > limit
    return {"items": shown, "next_cursor": sealed(place(shown[-1])) if more else None}


def opened(cursor: str | None, *types: Any) -> list[Any] | None:
    """The place a cursor names. Raises Problem `invalid_cursor` when it is not one of ours."""
    if cursor is None:
        return None
    try:
        place = orjson.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, binascii.Error):
        raise _not_ours() from None
    if not isinstance(place, list) or len(place) != len(types):
        raise _not_ours()
    if not all(isinstance(part, type_) for part, type_ in zip(place, types, strict=True)):
        raise _not_ours()
    return place


def number(cursor: str | None, *, start: int) -> int:
    """The place of a list that is ordered by one number."""
    place = opened(cursor, int)
    found = start if place is None else place[0]
    if isinstance(found, bool) or not 0 <= found <= start:
        raise _not_ours()
    return int(found)


def whole(number: int) -> int:
    """A number inside a cursor: none is negative, or larger than Postgres can count."""
    if isinstance(number, bool) or not 0 <= number < 2**63:
        raise _not_ours()
    return number


def instant(text: str) -> datetime:
    """A moment inside a cursor."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _not_ours()


def word(text: str) -> str:
    """The name of a wallet or a state inside a cursor."""
    if not text.isascii() or not text.isidentifier():
        raise _not_ours()
    return text


def label(text: str) -> str:
    """A name that machines compare, inside a cursor."""
    if not is_plain(text):
        raise _not_ours()
    return text


def digits(text: str) -> str:
    """An id inside a cursor."""
    if len(text) != 32 or text.strip("0123456789abcdef"):
        raise _not_ours()
    return text


def sealed(place: list[Any]) -> str:
    """The cursor that names a place."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def _not_ours() -> Problem:
    return Problem("invalid_cursor", "Use the next_cursor of an earlier page as it is.")
