"""One member whose own history is very long: made through the door, and asked for what a member is asked for."""

import json
import secrets
import statistics
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import uuid_utils

from bench.lives import say_nothing
from bench.members import FIRST_CARD
from loyalty.domain.claims import ReferenceKind, reference_key
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.accrue import Grant
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Submission, commit_batch
from loyalty.operations.enrol import Enrol
from loyalty.operations.lanes import MAX_BATCH
from loyalty.operations.redeem import Redeem
from loyalty.store.database import Database

DEEP_CARD: Final = str(FIRST_CARD - 1)
GRANTED: Final = 5
SPENT: Final = 10
"""Points of each lot and of each redemption: of ten entries seven give and three spend, a seventh of the lots stay."""
LONG_AGO: Final = timedelta(days=300)
REPEATED: Final = 15
"""How often each question is asked; the median answer counts."""


async def live_deeply(runner_url: str, programme: Programme, *, entries: int) -> str:
    """Give the programme a member with so many entries, evenly over the last months; its id."""
    member_id = MemberId(uuid_utils.uuid7().hex)
    ends_at = datetime.now(UTC) - timedelta(days=1)
    begins_at = ends_at - LONG_AGO
    database = Database(runner_url)
    try:
        joining = Enrol(member_id, DEEP_CARD, None, (), None, (), frozenset())
        await commit_batch(database, [_ask(programme, joining, begins_at)])
        for start in range(0, entries, MAX_BATCH):
            numbers = range(start, min(start + MAX_BATCH, entries))
            moments = [begins_at + (ends_at - begins_at) * (n / entries) for n in numbers]
            asks = [
                _ask(programme, _command(programme, member_id, n, at), at)
                for n, at in zip(numbers, moments, strict=True)
            ]
            answers = await commit_batch(database, asks)
            assert all(isinstance(one.outcome, Receipt) for one in answers), "a long life is never refused"
    finally:
        await database.close()
    return member_id


def _command(programme: Programme, member_id: MemberId, number: int, at: datetime) -> Command:
    wallet, day = next(iter(programme.wallets)), programme.calendar.business_date(at)
    spends = number % 10 in (4, 7, 9)
    kind = ReferenceKind.REDEMPTION if spends else ReferenceKind.ACCRUAL
    key = reference_key(programme, kind, source="deep", reference=f"D-{number}", day=day)
    because = Because("deep", f"D-{number}", None, None if spends else "deep")
    if spends:
        return Redeem(member_id, SPENT, wallet, because, key, day)
    return Grant(member_id, GRANTED, wallet, because, key, day)


def _ask(programme: Programme, command: Command, at: datetime) -> Submission:
    return Submission(programme, command, Moment(FactId(uuid_utils.uuid7().hex), at, datetime.now(UTC)), say_nothing)


class Asked(NamedTuple):
    """How long a member with a long history, and an ordinary one, waited for an answer: the median, in milliseconds."""

    what: str
    deep_ms: float
    ordinary_ms: float


def ask_both(port: int, token: str, *, deep_member: str, ordinary: str) -> list[Asked]:
    """Ask the service everything of both members, one after the other, over one connection's worth of load."""
    till = _Till(f"http://127.0.0.1:{port}", token)
    return [
        Asked(what, _median_ms(ask, till, f"mem_{deep_member}"), _median_ms(ask, till, f"mem_{ordinary}"))
        for what, ask in QUESTIONS.items()
    ]


def _median_ms(ask: "Question", till: "_Till", member: str) -> float:
    taken = []
    for _ in range(REPEATED):
        began = time.perf_counter()
        ask(till, member)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


class _Till:
    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def get(self, path: str) -> Any:
        return self._send(urllib.request.Request(self._url + path, headers=self._headers))  # noqa: S310 - our own

    def post(self, path: str, body: dict[str, Any]) -> Any:
        headers = {**self._headers, "Idempotency-Key": secrets.token_hex(8)}
        request = urllib.request.Request(self._url + path, json.dumps(body).encode(), headers)  # noqa: S310 - our own
        return self._send(request)

    def _send(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own address
            return json.load(answer)


Question = Callable[[_Till, str], Any]


def _origin() -> dict[str, str]:
    return {"source": "deep", "reference": f"Q-{secrets.token_hex(8)}"}


def _ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def _statement(days: int) -> Question:
    def ask(till: _Till, member: str) -> Any:
        return till.get(
            f"/v1/members/{member}/statement?from={_ago(days=days):%Y-%m-%d}&to={_ago(days=1):%Y-%m-%d}&limit=200"
        )

    return ask


def _balance_as_of(days: int) -> Question:
    def ask(till: _Till, member: str) -> Any:
        return till.get(f"/v1/members/{member}/balance?as_of={_ago(days=days):%Y-%m-%dT%H:%M:%SZ}")

    return ask


QUESTIONS: Final[dict[str, Question]] = {
    "accrual": lambda till, member: till.post(
        "/v1/accruals", {"member": {"id": member}, "points": 1, "reason": "deep", **_origin()}
    ),
    "redemption": lambda till, member: till.post(
        "/v1/redemptions", {"member": {"id": member}, "points": 1, **_origin()}
    ),
    "balance": lambda till, member: till.get(f"/v1/members/{member}/balance"),
    "a page of 200 entries": lambda till, member: till.get(f"/v1/members/{member}/entries?limit=200"),
    "a page of 200 lots": lambda till, member: till.get(f"/v1/members/{member}/lots?limit=200"),
    "statement of a month": _statement(30),
    "statement of a year": _statement(365),
    "balance as of yesterday": _balance_as_of(1),
    "balance as of 30 days ago": _balance_as_of(30),
    "balance as of 200 days ago": _balance_as_of(200),
}
