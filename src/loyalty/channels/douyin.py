"""Douyin (抖音生活服务会员): a join that is answered with points, level and whether they are new; and a leaving.

After the public documents of its open platform: the merchant gets `open_id`, `account_id` and `mobile` by a POST and
answers `data` with an `error_code` (0: done; 100: an error of ours, sent again up to five times a day; 200: final), a
`description` and `point_amount_cent`, a hundred for each point; levels are 1 to 10 (`user_level`). The signature
(`x-life-sign`) is the SHA-256 of the secret, the sorted query without `sign`, and the body as it came. `mobile` may be
encrypted: then only the platform can read it.

Ours, for the public documents do not show it: the name `is_new_member`, and `birthday`, which a merchant may agree
upon. A join bears no number: told again later, it is a message of its own, and finds who is known by the open id.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from loyalty.channels.messages import Joined, KnownBy, Left, Meaning, Outcome, Received, Signature, Verdict
from loyalty.channels.reading import Birthday, Id, Message, asked, e164, fitted, milliseconds

JOIN: Final = "join"
LEAVE: Final = "leave"
MESSAGES: Final = frozenset({JOIN, LEAVE})

_CENTS: Final = 100
_HIGHEST_LEVEL: Final = 10
_CODES: Final = {Verdict.DONE: 0, Verdict.WAITS: 0, Verdict.RETRY: 100, Verdict.REFUSED: 200}


class _Leave(Message):
    open_id: Id


class _Join(_Leave):
    mobile: Id | None = None
    birthday: Birthday | None = None


def signature(received: Received) -> Signature:
    return Signature(received.headers.get("x-life-sign", ""), milliseconds(asked(received, "timestamp")))


def sign(received: Received, secret: str) -> str:
    # What is appended to the body would still be signed by such a hash; but it would be no JSON any more.
    query = "".join(f"&{name}={value}" for name, value in sorted(received.query.items()) if name != "sign")
    return hashlib.sha256(f"{secret}{query}&http_body=".encode() + received.body).hexdigest()


def read(name: str, body: Any) -> Meaning:
    if name == LEAVE:
        return Left(KnownBy("open_id", fitted(_Leave, body).open_id))
    join = fitted(_Join, body)
    phone = None if join.mobile is None else e164(join.mobile, country="CN")
    sealed = KnownBy("mobile", join.mobile) if join.mobile is not None and phone is None else None
    return Joined(KnownBy("open_id", join.open_id), sealed_phone=sealed, phone=phone, birthday=join.birthday)


def say(name: str, body: Any, outcome: Outcome) -> tuple[int, Mapping[str, Any]]:
    data: dict[str, Any] = {
        "error_code": _CODES[outcome.verdict],
        "description": outcome.code or "success",
    }
    if outcome.level is not None:
        data["point_amount_cent"] = (outcome.points or 0) * _CENTS
        data["user_level"] = min(outcome.level, _HIGHEST_LEVEL)
        data["is_new_member"] = outcome.is_new
    return 200, {"data": data}
