"""What the clients ask for: a table of verbs. To add one, write what it sends and how its entry is told.

The clients draw from `VERBS` by weight; the checker asks the same table what an entry must have moved.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bench.chaos.cast import Cast, Line, Person, Sale
from bench.chaos.history import Ask

Body = dict[str, Any]
Moved = Mapping[str, int]
"""Points by wallet."""

BULK = "/v1/accruals/bulk"
DESK = "desk"
"""The source that reassigns purchases, and nothing else: what it moves stands under the source of the purchase."""
OFFLINE = "offline-till"
"""The source that may force a redemption."""
LIMIT = 100
"""Points above which an adjustment needs a second person; see the programme of `site.py`."""
UNITS = {"points": 100, "coins": 1_000}
"""Minor currency units that earn one point, by wallet; see the programme of `site.py`."""

TOO_EARLY = "occurred_at_in_future"
_TAKEN = frozenset({"reference_taken"})
_MAY_EARN = frozenset({"member_frozen", "member_closed"})
_MAY_SPEND = _MAY_EARN | {"member_earn_only"}
_COVERED = frozenset({"insufficient_points"})


class Verb(NamedTuple):
    """A kind of request."""

    name: str
    weight: float
    """How often it is drawn; 0: never, the clients have their own reasons."""
    path: str
    """Where it is sent; `{id}` stands for one of those that it can be `about`."""
    make: Callable[[Cast], Body]
    kind: str | None = None
    """The kind of the one entry that carries its reference; None: it takes none."""
    account: str = ""
    """The account that its entries move, and that its figures are held against."""
    moved: Callable[[Body, Any], Moved | None] = lambda body, answer: None
    """What they credit to the account, by the request and its answer (None: nobody was told); None: not to be known."""
    refusals: frozenset[str] = frozenset()
    """The codes it may be refused with."""
    yes: frozenset[int] = frozenset({201})
    """The statuses that say that it happened, or (202) that it waits."""
    learn: Callable[[Cast, Ask, Any], None] | None = None
    """Remember what its answer said."""
    about: Callable[[Cast], Sequence[Any]] | None = None
    """What it can be about, where it is about something earlier; nothing is sent while there is none."""
    in_files: bool = False
    """Whether it may also be an item of a bulk call."""
    role: str = "pos"
    """Of the key that it is sent with."""
    method: str = "POST"

    def where(self, cast: Cast) -> str:
        """The path of a request."""
        return self.path.format(id=cast.recent(self.about(cast))) if self.about and "{id}" in self.path else self.path


def earned_by(amount: int) -> dict[str, int]:
    """The rule of the programme of `site.py`."""
    return {wallet: amount // unit for wallet, unit in UNITS.items()}


def spent(body: Body) -> int:
    """What a purchase costs, in minor units."""
    return sum(line["amount"] for line in body["lines"])


# --- what is sent ------------------------------------------------------------------------------------------


def _lines(cast: Cast) -> list[Line]:
    count = cast.chance.randrange(1, 4)
    amounts = [cast.chance.randrange(1, 30_000) // count for _ in range(count)]
    return [
        {"line_id": str(number), "sku": "LEGO-1", "quantity": cast.chance.randrange(1, 5), "amount": amount}
        for number, amount in enumerate(amounts)
    ]


def _purchase(cast: Cast) -> Body:
    return _a_purchase(cast, Sale(cast.origin(), _lines(cast)))


def _late_purchase(cast: Cast) -> Body:
    """One whose return was there before it."""
    return _a_purchase(cast, cast.awaited.pop(0))


def _early_purchase(cast: Cast) -> Body:
    """Of somebody whom nobody knows yet, and who then joins."""
    identity = cast.stranger()
    return {**_a_purchase(cast, Sale(cast.origin(), _lines(cast))), "member": {"identity": identity}}


def _a_purchase(cast: Cast, sale: Sale) -> Body:
    return {"member": cast.somebody(), **sale.origin, **cast.when(), "currency": "CNY", "lines": sale.lines}


def _grant(cast: Cast) -> Body:
    points, wallet = cast.chance.randrange(1, 300), cast.chance.choice(("points", "points", "coins"))
    about = {"member": cast.somebody(), "points": points, "wallet": wallet, "reason": "chaos"}
    return {**about, **cast.origin(), **cast.when()}


def _pending_grant(cast: Cast) -> Body:
    return {**_grant(cast), "pending_until": cast.soon(0.5, 3)}


def _expiring_grant(cast: Cast) -> Body:
    return {**_grant(cast), "expires_at": cast.soon(1, 4)}


def _settling_grant(cast: Cast) -> Body:
    return {"member": cast.next_one(), "points": 1, "reason": "closing", **cast.origin()}


def _redemption(cast: Cast) -> Body:
    discount = {"as_discount": {"currency": "CNY"}} if cast.chance.random() < 0.5 else {}
    return {"member": cast.somebody(), "points": cast.chance.randrange(1, 250), **cast.origin(), **discount}


def _forced_redemption(cast: Cast) -> Body:
    body = {"member": cast.somebody(), "points": cast.chance.randrange(1, 400), "forced": True}
    return {**body, **cast.origin(), "source": OFFLINE, **cast.when()}


def _refund(cast: Cast) -> Body:
    """A part, or all that is left."""
    part = {"points": cast.chance.randrange(1, 40)} if cast.chance.random() < 0.7 else {}
    return {**part, **cast.origin()}


def _hold(cast: Cast) -> Body:
    lasts = cast.chance.choice((1, 2, 5, 600))
    return {"member": cast.somebody(), "points": cast.chance.randrange(1, 120), "expires_in": lasts, **cast.origin()}


def _capture(cast: Cast) -> Body:
    return {"points": cast.chance.randrange(1, 60)} if cast.chance.random() < 0.5 else {}


def _return(cast: Cast) -> Body:
    return _a_return(cast, cast.recent(cast.sales))


def _early_return(cast: Cast) -> Body:
    """Before its sale has been reported, which then happens."""
    sale = Sale(cast.origin(), _lines(cast))
    cast.awaited.append(sale)
    return _a_return(cast, sale)


def _a_return(cast: Cast, sale: Sale) -> Body:
    """Everything that is left, or some of some lines: now and then more than there was."""
    body = {"accrual": sale.origin, **cast.origin(), **cast.when()}
    if cast.chance.random() < 0.3:
        return {**body, "full": True}
    chosen = cast.chance.sample(sale.lines, cast.chance.randrange(1, len(sale.lines) + 1))
    return {**body, "lines": [_part_of(cast, line) for line in chosen]}


def _reservation(cast: Cast) -> Body:
    """Of some lines: of all that is left nobody could tell later how much that was."""
    sale = cast.recent(cast.sales)
    chosen = cast.chance.sample(sale.lines, cast.chance.randrange(1, len(sale.lines) + 1))
    lasts = cast.chance.choice((1, 2, 5, 600))
    lines = [_part_of(cast, line) for line in chosen]
    return {"accrual": sale.origin, "lines": lines, "expires_in": lasts, **cast.origin()}


def _reassignment(cast: Cast) -> Body:
    about = {"accrual": cast.recent(cast.sales).origin, "to": cast.somebody(), "reason": "wrong card"}
    return {**about, **cast.origin(), "source": DESK}


def _part_of(cast: Cast, line: Line) -> Line:
    part = cast.chance.choice((0.2, 0.3, 0.5, 1.0))
    quantity = cast.chance.choice((0, round(line["quantity"] * part)))
    return {"line_id": line["line_id"], "quantity": quantity, "amount": max(1, round(line["amount"] * part))}


def _transfer(cast: Cast) -> Body:
    points, wallet = cast.chance.randrange(1, 60), cast.chance.choice(("points", "points", "coins"))
    return {"from": cast.somebody(), "to": cast.somebody(), "points": points, "wallet": wallet, **cast.origin()}


def _adjustment(cast: Cast) -> Body:
    points = cast.chance.randrange(1, LIMIT * 2) * cast.chance.choice((1, -1))
    wallet = cast.chance.choice(("points", "points", "coins"))
    return {"member": cast.somebody(), "points": points, "wallet": wallet, "reason": "chaos", **cast.origin()}


def _status(cast: Cast) -> Body:
    return {"status": cast.chance.choice(("active", "active", "active", "earn_only", "frozen"))}


def _enrolment(cast: Cast) -> Body:
    """One of a few phones: whoever comes second is refused."""
    return {"phone": cast.phone()}


def _late_enrolment(cast: Cast) -> Body:
    """Of somebody who has bought before."""
    return {"identities": [cast.strangers.pop(0)]}


def _resolution(_: Cast) -> Body:
    return {"reason": "chaos"}


def _nothing(_: Cast) -> Body:
    return {}


# --- what it must have moved -------------------------------------------------------------------------------


def _purchased(body: Body, _: Any) -> Moved:
    return {wallet: -points for wallet, points in earned_by(spent(body)).items()}


def _given(body: Body, _: Any) -> Moved:
    return {body.get("wallet", "points"): -body["points"]}


def _taken(body: Body, _: Any) -> Moved:
    return {body.get("wallet", "points"): body["points"]}


def _refunded(body: Body, answer: Any) -> Moved | None:
    points = body.get("points", answer and answer["points"])
    return None if points is None else {"points": -points}


def _captured(body: Body, answer: Any) -> Moved | None:
    return None if answer is None else {answer["hold"]["wallet"]: body.get("points", answer["hold"]["points"])}


def _released(_: Body, answer: Any) -> Moved | None:
    return None if answer is None else {answer["hold"]["wallet"]: -answer["hold"]["points"]}


def _reserved(_: Body, answer: Any) -> Moved | None:
    return None if answer is None else Counter(answer["points_by_wallet"]) - Counter(answer["owed_by_wallet"])


def _returned(_: Body, answer: Any) -> Moved | None:
    return None if answer is None else Counter(answer["points_by_wallet"])


def _forfeited(_: Body, answer: Any) -> Moved | None:
    return None if answer is None else Counter(answer["forfeited"])


# --- what is remembered ------------------------------------------------------------------------------------


def _remember_sale(cast: Cast, ask: Ask, _: Any) -> None:
    body = ask.body
    cast.sales.append(Sale({"source": body["source"], "reference": body["reference"]}, body["lines"]))


def _remember_redemption(cast: Cast, _: Ask, answer: Any) -> None:
    cast.redemptions.append(answer["redemption"]["id"])


def _remember_debt(cast: Cast, ask: Ask, answer: Any) -> None:
    _remember_redemption(cast, ask, answer)
    if any(posting["debit"] == "owed" for posting in answer["entry"]["postings"]):
        cast.reviews.append(f"rev_{answer['entry']['id'].removeprefix('ent_')}")


def _remember_capture(cast: Cast, _: Ask, answer: Any) -> None:
    cast.redemptions.append(answer["redemption"])


def _remember_hold(cast: Cast, _: Ask, answer: Any) -> None:
    cast.holds.append(answer["hold"]["id"])


def _remember_reservation(cast: Cast, _: Ask, answer: Any) -> None:
    cast.reservations.append(answer["reservation"]["id"])


def _remember_adjustment(cast: Cast, _: Ask, answer: Any) -> None:
    if answer["status"] == "awaiting_approval":
        cast.adjustments.append(answer["adjustment"])


def _join(cast: Cast, _: Ask, answer: Any) -> None:
    cast.joined(Person(answer["id"], answer["number"]))


def _leave(cast: Cast, ask: Ask, _: Any) -> None:
    cast.leaves(ask.about)


_ACCRUAL, _RETURN = "/v1/accruals", "/v1/returns"
_EARNS = _TAKEN | _MAY_EARN | {TOO_EARLY}
_OF_SALE = frozenset({"exceeds_purchase", "return_reserved", "purchase_reassigned"})
_RETURNS = _TAKEN | _OF_SALE | {TOO_EARLY}
_RESERVED_ENDED = frozenset({"reservation_resolved", "reservation_expired"})
_HOLD_ENDED = frozenset({"hold_resolved", "hold_expired"})
_DECIDED = frozenset({"adjustment_decided"})
_JOINED = frozenset({"identity_taken"})

_TABLE = (
    Verb(
        *("purchase", 6, _ACCRUAL, _purchase, "earn", "issued", _purchased, _EARNS),
        learn=_remember_sale,
        in_files=True,
    ),
    Verb(
        *("late_purchase", 2, _ACCRUAL, _late_purchase, "earn", "issued", _purchased, _EARNS),
        learn=_remember_sale,
        about=lambda cast: cast.awaited,
    ),
    Verb(
        *("early_purchase", 0.4, _ACCRUAL, _early_purchase, "earn", "issued", _purchased, _EARNS),
        yes=frozenset({201, 202}),
    ),
    Verb("grant", 3, _ACCRUAL, _grant, "earn", "issued", _given, _EARNS, in_files=True),
    Verb("pending_grant", 2, _ACCRUAL, _pending_grant, "earn", "issued", _given, _EARNS, in_files=True),
    Verb(
        *("expiring_grant", 2, _ACCRUAL, _expiring_grant, "earn", "issued", _given),
        refusals=_EARNS | {"dates_contradict"},
        in_files=True,
    ),
    Verb("settling", 0, _ACCRUAL, _settling_grant, "earn", "issued", _given, _TAKEN | _MAY_EARN),
    Verb(
        *("redemption", 5, "/v1/redemptions", _redemption, "spend", "redeemed", _taken),
        refusals=_TAKEN | _MAY_SPEND | _COVERED,
        learn=_remember_redemption,
    ),
    Verb(
        *("forced_redemption", 1, "/v1/redemptions", _forced_redemption, "spend", "redeemed", _taken),
        refusals=_TAKEN | _MAY_SPEND | {TOO_EARLY},
        learn=_remember_debt,
    ),
    Verb(
        *("refund", 2, "/v1/redemptions/{id}/refund", _refund, "unspend", "redeemed", _refunded),
        refusals=_TAKEN | _MAY_EARN | {"exceeds_redemption"},
        about=lambda cast: cast.redemptions,
    ),
    Verb(
        *("hold", 3, "/v1/holds", _hold, "hold", "held", _taken),
        refusals=_TAKEN | _MAY_SPEND | _COVERED | {"too_many_holds"},
        learn=_remember_hold,
    ),
    Verb(
        *("capture", 2, "/v1/holds/{id}/capture", _capture, None, "redeemed", _captured),
        refusals=_HOLD_ENDED | _MAY_SPEND | {"exceeds_hold"},
        learn=_remember_capture,
        about=lambda cast: cast.holds,
    ),
    Verb(
        *("release", 1, "/v1/holds/{id}/release", _nothing, None, "held", _released, _HOLD_ENDED),
        about=lambda cast: cast.holds,
    ),
    Verb("return", 4, _RETURN, _return, "return", "issued", _returned, _RETURNS, about=lambda cast: cast.sales),
    Verb(
        *("early_return", 1, _RETURN, _early_return, "return", "issued", _returned, _RETURNS),
        yes=frozenset({201, 202}),
    ),
    Verb(
        *("reservation", 2, "/v1/returns/reserve", _reservation, "reserve", "held", _reserved),
        refusals=_TAKEN | _OF_SALE | {"too_many_holds"},
        learn=_remember_reservation,
        about=lambda cast: cast.sales,
    ),
    Verb(
        *("confirmation", 1.5, "/v1/returns/{id}/confirm", _nothing, None, "issued", _returned, _RESERVED_ENDED),
        about=lambda cast: cast.reservations,
    ),
    Verb(
        *("cancellation", 0.7, "/v1/returns/{id}/cancel", _nothing),
        refusals=_RESERVED_ENDED,
        about=lambda cast: cast.reservations,
    ),
    Verb(
        *("reassignment", 1, "/v1/reassignments", _reassignment, "reassign", "issued", _returned),
        refusals=_TAKEN | _OF_SALE | _MAY_EARN | {"same_member", "reassigned_too_often"},
        about=lambda cast: cast.sales,
        role="desk",
    ),
    Verb(
        *("transfer", 2, "/v1/transfers", _transfer, "transfer", "transferred", _taken),
        refusals=_TAKEN | _MAY_SPEND | _COVERED | {"same_member"},
        role="app",
    ),
    Verb(
        *("adjustment", 2, "/v1/adjustments", _adjustment, "adjust", "adjusted", _given),
        refusals=_TAKEN | _MAY_SPEND | _COVERED,
        yes=frozenset({201, 202}),
        learn=_remember_adjustment,
        role="desk",
    ),
    Verb(
        *("approval", 0.7, "/v1/adjustments/{id}/approve", _nothing),
        refusals=_DECIDED | _MAY_SPEND | _COVERED,
        about=lambda cast: cast.adjustments,
        role="finance",
    ),
    Verb(
        *("rejection", 0.3, "/v1/adjustments/{id}/reject", _nothing),
        refusals=_DECIDED,
        about=lambda cast: cast.adjustments,
        role="finance",
    ),
    Verb(
        *("own_approval", 0.1, "/v1/adjustments/{id}/approve", _nothing),
        refusals=_DECIDED | {"second_person_required"},
        yes=frozenset(),
        about=lambda cast: cast.adjustments,
        role="desk",
    ),
    Verb(
        *("status", 0.5, "/v1/members/{id}", _status),
        refusals=frozenset({"member_closed"}),
        yes=frozenset({200}),
        about=lambda cast: cast.moody(),
        role="desk",
        method="PATCH",
    ),
    Verb(
        *("closing", 0.15, "/v1/members/{id}/close", _nothing, None, "forfeited", _forfeited),
        refusals=frozenset({"member_closed"}),
        learn=_leave,
        about=lambda cast: cast.leavers(),
        role="desk",
    ),
    Verb("enrolment", 0.4, "/v1/members", _enrolment, refusals=_JOINED, learn=_join),
    Verb(
        *("late_enrolment", 0.8, "/v1/members", _late_enrolment),
        refusals=_JOINED,
        learn=_join,
        about=lambda cast: cast.strangers,
    ),
    Verb(
        *("resolution", 0.5, "/v1/reviews/{id}/resolve", _resolution),
        refusals=frozenset({"review_resolved"}),
        about=lambda cast: cast.reviews,
        role="desk",
    ),
)
VERBS: Mapping[str, Verb] = {verb.name: verb for verb in _TABLE}
"""By name."""
READER = "admin"
"""The role of whoever only reads."""


def drawn(cast: Cast, *, for_file: bool = False) -> Verb:
    """A verb, by weight."""
    can = [verb for verb in _TABLE if verb.about is None or verb.about(cast)]
    verbs = [verb for verb in can if verb.in_files or not for_file]
    return cast.chance.choices(verbs, [verb.weight for verb in verbs])[0]
