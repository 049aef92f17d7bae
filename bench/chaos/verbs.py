"""What the clients ask for: a table of verbs. To add one, write what it sends and how its entry is told.

The clients draw from `VERBS` by weight; the checker asks the same table what an entry must have moved.
"""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

Body = dict[str, Any]

BULK = "/v1/accruals/bulk"
DRY_RUN = "dry-run"
"""The source of whatever must never reach the journal."""

COMMON_REFUSALS = frozenset({"reference_taken"})
TOO_EARLY = "occurred_at_in_future"


class Person(NamedTuple):
    """A member as clients name it."""

    id: str
    number: str


class Cast:
    """Who and what requests are about; clocks that can be put wrong."""

    def __init__(self, chance: random.Random, *, most_members: int) -> None:
        self.chance = chance
        self.members: list[Person] = []
        self.most_members = most_members
        self.redemptions: list[str] = []
        self.holds: list[str] = []
        """What can be refunded, captured or released: by id, as it was answered."""
        self.skewed = False
        """Whether the clients' clocks are wrong at present."""
        self._count = self._turn = 0

    def somebody(self) -> dict[str, str]:
        """A member, by its id or its card."""
        person = self.chance.choice(self.members)
        return self.chance.choice(({"id": person.id}, {"number": person.number}))

    def next_one(self) -> dict[str, str]:
        """Every member in turn."""
        self._turn += 1
        return {"id": self.members[self._turn % len(self.members)].id}

    def origin(self) -> dict[str, str]:
        """A source, and a reference that nobody has used."""
        self._count += 1
        return {"source": f"till-{self.chance.randrange(4)}", "reference": f"R-{self._count}"}

    def when(self) -> dict[str, str]:
        """When it happened by the client's clock; mostly it does not say."""
        if self.skewed:
            behind, ahead = timedelta(days=-40 * self.chance.random()), timedelta(minutes=2 * self.chance.random())
            beyond = timedelta(minutes=self.chance.uniform(10, 60))
            return {"occurred_at": self.at(self.chance.choice((behind, ahead, beyond)))}
        if self.chance.random() < 0.3:
            return {"occurred_at": self.at(timedelta(seconds=-self.chance.uniform(0, 60)))}
        return {}

    def soon(self, least: float, most: float) -> str:
        """A moment in so many seconds."""
        return self.at(timedelta(seconds=self.chance.uniform(least, most)))

    def at(self, away: timedelta) -> str:
        return (datetime.now(UTC) + away).isoformat()


class Verb(NamedTuple):
    """A kind of request."""

    name: str
    weight: float
    """How often it is drawn; 0: never, the clients have their own reasons."""
    path: str
    """Where it is sent; `{id}` stands for what `about` chooses."""
    make: Callable[[Cast], Body]
    kind: str | None = None
    """The kind of the one entry that carries its reference; None: it writes none."""
    moved: Callable[[Body], Mapping[str, int]] = lambda body: {}
    """The points by wallet that its entry moves out of the account `debit`."""
    debit: str = ""
    refusals: frozenset[str] = frozenset()
    """The codes it may be refused with."""
    learn: Callable[[Cast, Any], None] | None = None
    """Remember what its answer said."""
    in_files: bool = False
    """Whether it may also be an item of a bulk call."""
    about: Callable[[Cast], list[str]] = lambda cast: []
    """The ids that the path may name; nothing is sent while there are none."""

    def where(self, cast: Cast) -> str:
        """The path of a request."""
        return self.path.format(id=cast.chance.choice(self.about(cast))) if "{id}" in self.path else self.path


def _purchase(cast: Cast) -> Body:
    amount = cast.chance.randrange(1, 30_000)
    lines = [{"line_id": "1", "sku": "LEGO-1", "quantity": 1, "amount": amount}]
    return {"member": cast.somebody(), **cast.origin(), **cast.when(), "currency": "CNY", "lines": lines}


def _purchased(body: Body) -> Mapping[str, int]:
    """The programme of `site.py`: a point per 1.00, a coin per 10.00."""
    spent = sum(line["amount"] for line in body["lines"])
    return {wallet: points for wallet, points in (("points", spent // 100), ("coins", spent // 1_000)) if points}


def _grant(cast: Cast) -> Body:
    points, wallet = cast.chance.randrange(1, 300), cast.chance.choice(("points", "points", "coins"))
    return {
        "member": cast.somebody(),
        "points": points,
        "wallet": wallet,
        "reason": "chaos",
        **cast.origin(),
        **cast.when(),
    }


def _pending_grant(cast: Cast) -> Body:
    return {**_grant(cast), "pending_until": cast.soon(0.5, 3)}


def _expiring_grant(cast: Cast) -> Body:
    return {**_grant(cast), "expires_at": cast.soon(1, 4)}


def _settling_grant(cast: Cast) -> Body:
    return {"member": cast.next_one(), "points": 1, "reason": "closing", **cast.origin()}


def _points(body: Body) -> Mapping[str, int]:
    return {body.get("wallet", "points"): body["points"]}


def _redemption(cast: Cast) -> Body:
    discount = {"as_discount": {"currency": "CNY"}} if cast.chance.random() < 0.5 else {}
    return {"member": cast.somebody(), "points": cast.chance.randrange(1, 250), **cast.origin(), **discount}


def _hold(cast: Cast) -> Body:
    lasts = cast.chance.choice((1, 2, 5, 600))
    return {"member": cast.somebody(), "points": cast.chance.randrange(1, 120), "expires_in": lasts, **cast.origin()}


def _capture(cast: Cast) -> Body:
    return {"points": cast.chance.randrange(1, 60)} if cast.chance.random() < 0.5 else {}


def _release(_: Cast) -> Body:
    return {}


def _refund(cast: Cast) -> Body:
    return {"points": cast.chance.randrange(1, 40), **cast.origin()}


def _enrolment(cast: Cast) -> Body:
    """One of a few phones: whoever comes second is refused."""
    return {"phone": f"+861380013{cast.chance.randrange(cast.most_members * 2):04}"}


def _remember_redemption(cast: Cast, answer: Any) -> None:
    cast.redemptions.append(answer["redemption"]["id"])


def _remember_hold(cast: Cast, answer: Any) -> None:
    cast.holds.append(answer["hold"]["id"])


def _join(cast: Cast, answer: Any) -> None:
    person = Person(answer["id"], answer["number"])
    if len(cast.members) < cast.most_members and person not in cast.members:
        cast.members.append(person)


_ACCRUAL = "/v1/accruals"
_EARNS = COMMON_REFUSALS | {TOO_EARLY}

_TABLE = (
    Verb("purchase", 6, _ACCRUAL, _purchase, "earn", _purchased, "issued", _EARNS, in_files=True),
    Verb("grant", 3, _ACCRUAL, _grant, "earn", _points, "issued", _EARNS, in_files=True),
    Verb("pending_grant", 2, _ACCRUAL, _pending_grant, "earn", _points, "issued", _EARNS, in_files=True),
    Verb(
        *("expiring_grant", 2, _ACCRUAL, _expiring_grant, "earn", _points, "issued"),
        refusals=_EARNS | {"dates_contradict"},
        in_files=True,
    ),
    Verb(
        *("redemption", 6, "/v1/redemptions", _redemption, "spend", _points, "available"),
        refusals=COMMON_REFUSALS | {"insufficient_points"},
        learn=_remember_redemption,
    ),
    Verb(
        *("refund", 2, "/v1/redemptions/{id}/refund", _refund, "unspend", _points, "redeemed"),
        refusals=COMMON_REFUSALS | {"exceeds_redemption"},
        about=lambda cast: cast.redemptions,
    ),
    Verb(
        *("hold", 3, "/v1/holds", _hold, "hold", _points, "available"),
        refusals=COMMON_REFUSALS | {"insufficient_points", "too_many_holds"},
        learn=_remember_hold,
    ),
    Verb(
        *("capture", 1.5, "/v1/holds/{id}/capture", _capture),
        refusals=frozenset({"exceeds_hold", "hold_resolved", "hold_expired"}),
        about=lambda cast: cast.holds,
    ),
    Verb(
        *("release", 1, "/v1/holds/{id}/release", _release),
        refusals=frozenset({"hold_resolved", "hold_expired"}),
        about=lambda cast: cast.holds,
    ),
    Verb("settling", 0, _ACCRUAL, _settling_grant, "earn", _points, "issued", COMMON_REFUSALS),
    Verb("enrolment", 0.2, "/v1/members", _enrolment, refusals=frozenset({"identity_taken"}), learn=_join),
)
VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _TABLE}
"""By name."""


def drawn(cast: Cast, *, for_file: bool = False) -> Verb:
    """A verb, by weight."""
    can = [verb for verb in _TABLE if "{id}" not in verb.path or verb.about(cast)]
    verbs = [verb for verb in can if verb.in_files or not for_file]
    return cast.chance.choices(verbs, [verb.weight for verb in verbs])[0]
