"""What the OpenAPI says of an endpoint: the scope it asks for, its answers and the problems it may give."""

from collections.abc import Mapping
from typing import Any

from loyalty.api.answers import Answer, ProblemAnswer
from loyalty.api.problems import MEDIA_TYPE
from loyalty.api.writing import WRITES

_ALWAYS = (401, 403, 422, 500, 503)
_WITH_BODY = (400, 413, 415)


def reads(scope: str, answer: type[Answer], *problems: int) -> dict[str, Any]:
    """Keyword arguments of a route that reads."""
    return {"openapi_extra": _extra(scope), "responses": _responses(200, answer, (*_ALWAYS, 400, *problems))}


def writes(scope: str, status: int, answer: type[Answer], *problems: int) -> dict[str, Any]:
    """Keyword arguments of a route that goes through the door."""
    return {
        "status_code": status,
        "openapi_extra": {**_extra(scope), **WRITES},
        "responses": _responses(status, answer, (*_ALWAYS, *_WITH_BODY, *problems), replayed=True),
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
