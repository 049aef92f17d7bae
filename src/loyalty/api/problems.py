"""Problems (RFC 9457): the status of every refusal and of everything that goes wrong before the door.

This is the one table of codes that the API can answer with; `openapi/loyalty.json` and the documentation are
made from it.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from loyalty.domain import refusals
from loyalty.domain.refusals import Refusal, vocabulary

MEDIA_TYPE = "application/problem+json"

STATUS_OF_REFUSAL: Mapping[type[Refusal], int] = {
    refusals.MemberNotFound: 404,
    refusals.EntryNotFound: 404,
    refusals.HoldNotFound: 404,
    refusals.RedemptionNotFound: 404,
    refusals.AdjustmentNotFound: 404,
    refusals.ReservationNotFound: 404,
    refusals.ParkedNotFound: 404,
    refusals.ReviewNotFound: 404,
    refusals.IdentityNotFound: 404,
    refusals.RulesNotFound: 404,
    refusals.MergeNotFound: 404,
    refusals.WhatIfNotFound: 404,
    refusals.ChannelNotFound: 404,
    refusals.DifferenceNotFound: 404,
    refusals.CodeNotValid: 422,
    refusals.CodeUsed: 409,
    refusals.InsufficientPoints: 409,
    refusals.ReferenceTaken: 409,
    refusals.IdentityTaken: 409,
    refusals.IdentityConflict: 409,
    refusals.PhoneNotVerified: 409,
    refusals.CardNumberStays: 409,
    refusals.MemberFrozen: 409,
    refusals.MemberClosed: 409,
    refusals.MemberEarnsOnly: 409,
    refusals.HoldResolved: 409,
    refusals.HoldExpired: 409,
    refusals.TooManyHolds: 409,
    refusals.ExceedsHold: 409,
    refusals.ExceedsRedemption: 409,
    refusals.ExceedsPurchase: 409,
    refusals.ReservationResolved: 409,
    refusals.ReservationExpired: 409,
    refusals.ReturnReserved: 409,
    refusals.PurchaseReassigned: 409,
    refusals.ReassignedTooOften: 409,
    refusals.NotAPurchase: 409,
    refusals.TransfersNotAllowed: 409,
    refusals.AdjustmentDecided: 409,
    refusals.ParkedDecided: 409,
    refusals.TooManyTags: 409,
    refusals.TooManyParked: 409,
    refusals.ReviewResolved: 409,
    refusals.ApproverNotSecond: 409,
    refusals.ChannelConnected: 409,
    refusals.RulesPublished: 409,
    refusals.NoTierGranted: 409,
    refusals.TooManyWhatIfs: 409,
    refusals.MemberMerged: 409,
    refusals.MergeChanged: 409,
    refusals.MergeNotLast: 409,
    refusals.MemberAbsorbs: 409,
    refusals.RulesTooMany: 409,
    refusals.KeyReused: 422,
    refusals.LineUnknown: 422,
    refusals.SameMember: 422,
    refusals.SourceMayNotForce: 422,
    refusals.OccursInFuture: 422,
    refusals.UnknownWallet: 422,
    refusals.UnknownTier: 422,
    refusals.CurrencyNotAccepted: 422,
    refusals.DatesContradict: 422,
    refusals.AmountOutOfRange: 422,
    refusals.UnderAge: 422,
    refusals.FieldRequired: 422,
    refusals.RulesUnsound: 422,
    refusals.MemberCodeRequired: 422,
    refusals.RulesTooSoon: 422,
    refusals.RulesNotInForce: 422,
}

TITLES: Mapping[str, tuple[int, str]] = {
    "malformed_json": (400, "The body is not valid JSON"),
    "idempotency_key_missing": (400, "The request needs an Idempotency-Key"),
    "idempotency_key_invalid": (400, "The Idempotency-Key cannot be used"),
    "invalid_cursor": (400, "The cursor is not one of ours"),
    "malformed_request": (400, "The request cannot be read"),
    "too_many_guesses": (429, "Too many wrong codes came from this client"),
    "unauthenticated": (401, "The request carries no valid key"),
    "forbidden": (403, "The key may not do this"),
    "not_found": (404, "There is nothing here"),
    "method_not_allowed": (405, "This cannot be done here"),
    "too_slow": (408, "The body took too long to arrive"),
    "not_settled_yet": (409, "What was known then is not settled yet"),
    "too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be application/json"),
    "invalid_request": (422, "The request does not fit its schema"),
    "internal_error": (500, "Something went wrong on our side"),
    "overloaded": (503, "There is more to do than can be taken"),
    "unavailable": (503, "The ledger cannot be reached"),
}
"""Status and title of what is answered outside the door. None of it is ever frozen under a key."""

RETRY_AFTER_S: Mapping[int, int] = {429: 60, 503: 1}
"""Seconds, by status."""


def published() -> list[dict[str, Any]]:
    """Every code the API can answer with, its status and title, sorted by status and code."""
    codes = [(STATUS_OF_REFUSAL[kind], kind.code, kind.title) for kind in vocabulary()]
    codes.extend((status, code, title) for code, (status, title) in TITLES.items())
    return [{"status": status, "code": code, "title": title} for status, code, title in sorted(codes)]


class Problem(Exception):
    """Something that ends a request before or beside the door. Raise it anywhere below `api/`."""

    def __init__(self, code: str, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts
        self.status, self.title = TITLES[code]


def body_of(status: int, code: str, title: str, detail: str, facts: Mapping[str, Any], request_id: str | None) -> bytes:
    """The problem document."""
    document = {
        "type": f"urn:loyalty:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": status in (429, 503),
        **facts,
    }
    if request_id is not None:
        document["request_id"] = request_id
    return orjson.dumps(document, option=orjson.OPT_UTC_Z)


_IDS: Mapping[str, str] = {"entry": "ent", "absorbed": "mem", "survivor": "mem"}
"""What stands before an id among the facts of a refusal."""


def body_of_refusal(refusal: Refusal, request_id: str | None) -> tuple[int, bytes]:
    """Status and problem document of a refusal. An id among its facts gets its public prefix."""
    status = STATUS_OF_REFUSAL[type(refusal)]
    facts = {name: f"{_IDS[name]}_{value}" if name in _IDS else value for name, value in refusal.facts.items()}
    return status, body_of(status, refusal.code, refusal.title, refusal.detail, facts, request_id)


def response_to_problem(problem: Problem, request_id: str | None) -> Response:
    """The answer to a problem, with the headers its status asks for."""
    headers = {}
    if problem.status in RETRY_AFTER_S:
        headers["Retry-After"] = str(RETRY_AFTER_S[problem.status])
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = body_of(problem.status, problem.code, problem.title, problem.detail, problem.facts, request_id)
    return Response(body, problem.status, headers, MEDIA_TYPE)
