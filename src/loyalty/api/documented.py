"""What the OpenAPI says of an endpoint: the scope it asks for, its answers and the problems it may give."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from loyalty.api.answers import Answer, ProblemAnswer
from loyalty.api.lean import DRY_RUN
from loyalty.api.problems import MEDIA_TYPE
from loyalty.api.writing import MAX_KEY

ONE_KEY = "Required unless dry_run is true. The same key and request replay the same answer."
KEY_PER_ITEM = "Not needed: every item has a key of its own, and a retry of the call replays item by item."
_ALWAYS = (401, 403, 422, 500, 503)
_WITH_BODY = (400, 408, 413, 415, 429)


def reads(scope: str, answer: type[Answer], *problems: int) -> dict[str, Any]:
    """Keyword arguments of a route that reads."""
    return {"openapi_extra": _extra(scope), "responses": _responses(200, answer, (*_ALWAYS, 400, *problems))}


def shows(scope: str, media_type: str, *problems: int) -> dict[str, Any]:
    """Keyword arguments of a route that reads an image."""
    responses = _responses(200, Answer, (*_ALWAYS, 400, *problems))
    drawn = {"description": "The image.", "content": {media_type: {"schema": {"type": "string"}}}}
    return {"openapi_extra": _extra(scope), "responses": {**responses, 200: drawn}, "response_class": Response}


def asks(scope: str, answer: type[Answer], *problems: int) -> dict[str, Any]:
    """Keyword arguments of a route that reads what a body asks for: what is personal does not belong into a path."""
    return reads(scope, answer, *_WITH_BODY, *problems)


def writes(
    scope: str,
    status: int,
    answer: type[Answer],
    *problems: int,
    key: str = ONE_KEY,
    replayed: bool = True,
    otherwise: tuple[int, type[Answer], str] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a route that goes through the door.

    `key`: what its Idempotency-Key is for. `otherwise`: with what else it says yes, and when.
    """
    parameters = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": key,
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
        },
        {
            "name": DRY_RUN,
            "in": "query",
            "required": False,
            "description": "Decide and answer as usual, then drop it: nothing is written, no key is taken.",
            "schema": {"type": "boolean", "default": False},
        },
    ]
    responses = _responses(status, answer, (*_ALWAYS, *_WITH_BODY, *problems), replayed=replayed)
    if otherwise is not None:
        other, model, when = otherwise
        responses = {**responses, other: {"model": model, "description": when}}
    return {
        "status_code": status,
        "openapi_extra": {**_extra(scope), "parameters": parameters},
        "responses": responses,
    }


def _extra(scope: str) -> dict[str, Any]:
    return {"x-scope": scope, "security": [{"key": []}]}


def _responses(
    status: int, answer: type[Answer], problems: tuple[int, ...], *, replayed: bool = False
) -> Mapping[int, dict[str, Any]]:
    accepted: dict[str, Any] = {"model": answer}
    if replayed:
        accepted["headers"] = {
            "Idempotency-Replayed": {
                "description": "true when this is the answer to an earlier request with the same key.",
                "schema": {"type": "string"},
            }
        }
    refused = {
        "description": "A problem (RFC 9457).",
        "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}}},
    }
    return {status: accepted, **dict.fromkeys(sorted(set(problems)), refused)}
