"""Tmall (会员通): points changes that are repeated until they are answered, and joins that are filled in afterwards.

After the public documents of the Taobao open platform: a points change bears a record id, and its answer names that
record, `result` 0 or 1, an `error_code` and the points (`tmall.mei.crm.callback.point.change`); somebody who joins
while the platform is in its flight mode is a member there first and told to us later, up to ten times in a day;
answers are expected within 1.2 s; `ouid` names a buyer in the shop, `omid` in the brand, `mix_mobile` is a phone that
only the platform can read; a join is answered `SUC`, or `E04` for what may be repeated. The signature is the
platform's usual one (HMAC-SHA256 over the sorted query and the body, in capitals).

Ours, for the public documents do not say: that it is pushed to us as a POST (the platform lets one subscribe to it),
the names of the fields of a points change other than the record's, `deduct-fail:` and `add-fail:` with our own code
for all but `point-no-enough`, and 503 for whatever is to be sent again.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, field_validator

from loyalty.channels.messages import (
    Joined,
    KnownBy,
    Malformed,
    Meaning,
    Outcome,
    PointsChanged,
    Received,
    Signature,
    Verdict,
)
from loyalty.channels.reading import Id, Message, Points, Record, Words, asked, chinese_time, e164, fitted, milliseconds
from loyalty.domain.refusals import InsufficientPoints

POINTS: Final = "points"
REGISTER: Final = "register"
MESSAGES: Final = frozenset({POINTS, REGISTER})

_DEBIT: Final = 1
_NOT_ENOUGH: Final = "point-no-enough"
_ONCE_MORE: Final = "E04"
_FINAL: Final = "E05"
_LONGEST_RECORD: Final = 64


class _Buyer(Message):
    ouid: Id | None = None
    omid: Id | None = None
    mix_mobile: Id | None = None

    def known_by(self) -> list[KnownBy]:
        """What the platform knows them by, in the shop first. Raises Malformed."""
        named = (("ouid", self.ouid), ("omid", self.omid))
        found = [KnownBy(type_, value) for type_, value in named if value is not None]
        if not found:
            raise Malformed("ouid: nobody is named")
        return found


class _PointChange(_Buyer):
    record_id: Record
    point: Points
    type: Literal[0, 1] = Field(description="0: points are added; 1: deducted.")
    desc: Words | None = None
    time: int | None = Field(default=None, ge=0, lt=10**15, description="Milliseconds.")

    @field_validator("record_id", mode="before")
    @classmethod
    def _a_number_too(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class _Register(_Buyer):
    mobile: Words | None = None


def signature(received: Received) -> Signature:
    return Signature(asked(received, "sign"), chinese_time(asked(received, "timestamp")))


def sign(received: Received, secret: str) -> str:
    signed = "".join(name + value for name, value in sorted(received.query.items()) if name != "sign")
    return hmac.new(secret.encode(), signed.encode() + received.body, hashlib.sha256).hexdigest().upper()


def read(name: str, body: Any) -> Meaning:
    if name == POINTS:
        change = fitted(_PointChange, body)
        return PointsChanged(
            record=change.record_id,
            who=change.known_by()[0],
            points=-change.point if change.type == _DEBIT else change.point,
            reason=change.desc,
            occurred_at=None if change.time is None else milliseconds(str(change.time)),
        )
    if isinstance(body, dict) and "record_id" in body:  # its signature would do for a join as well
        raise Malformed("record_id: a join bears none")
    buyer = fitted(_Register, body)
    own, *others = buyer.known_by()
    return Joined(
        own=own,
        others=tuple(others),
        sealed_phone=None if buyer.mix_mobile is None else KnownBy("mix_mobile", buyer.mix_mobile),
        phone=None if buyer.mobile is None else e164(buyer.mobile, country="CN"),
    )


def say(name: str, body: Any, outcome: Outcome) -> tuple[int, Mapping[str, Any]]:
    status = 503 if outcome.verdict == Verdict.RETRY else 200
    if name != POINTS:
        code = {Verdict.REFUSED: _FINAL, Verdict.RETRY: _ONCE_MORE}.get(outcome.verdict, "SUC")
        member = None if outcome.level is None else {"point": outcome.points, "level": outcome.level}
        return status, {"register_code": code, "error_code": outcome.code, "member": member}
    fields = body if isinstance(body, dict) else {}
    failed = outcome.verdict in (Verdict.REFUSED, Verdict.RETRY)
    return status, {
        "record_id": _named(fields.get("record_id")),
        "result": int(failed),
        "error_code": _error_code(fields, outcome) if failed else "",
        "point": outcome.points,
    }


def _named(record: object) -> int | str | None:
    """The record as it was named, whatever is wrong with the rest of the message."""
    return record if isinstance(record, int | str) and len(str(record)) <= _LONGEST_RECORD else None


def _error_code(fields: Mapping[str, Any], outcome: Outcome) -> str:
    if outcome.verdict == Verdict.RETRY:
        return _ONCE_MORE
    what = "deduct" if fields.get("type") == _DEBIT else "add"
    why = _NOT_ENOUGH if outcome.code == InsufficientPoints.code else outcome.code.replace("_", "-")
    return f"{what}-fail:{why}"
