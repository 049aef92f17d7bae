"""What a till or a desk may ask for in vain: each ask has one documented refusal, and nothing has changed after it.

One scene serves all cases of a worker: were anything changed by one of them, the next would notice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.demo import DEMO
from loyalty.domain.holds import MOST_OPEN
from tests.api.conftest import (
    Contract,
    Shop,
    ShopFactory,
    a_hold,
    a_reassignment,
    a_redemption,
    a_refund,
    a_return,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    contents,
    keys_for,
    patched,
    refused,
    whom,
)
from tests.conftest import kept_programme

MOST = 2**53 - 1
NOBODY = {"id": f"mem_{'0' * 32}"}
MONTH_S = 30 * 24 * 3600


class Scene(NamedTuple):
    """A shop in which something of everything has happened, and another shop of another programme."""

    shop: Shop
    other: Shop
    rich: dict[str, Any]
    """500 points left to spend."""
    poor: dict[str, Any]
    full: dict[str, Any]
    """Holds as many points as a book can."""
    frozen: dict[str, Any]
    closed: dict[str, Any]
    earning: dict[str, Any]
    hoarder: dict[str, Any]
    """Has as many open holds as a member may."""
    foreign: dict[str, Any]
    """A member of the other programme."""
    ids: dict[str, str]
    taken: dict[str, Any]
    """The order of the purchase that everything is returned of."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(owner: AsyncEngine, http: httpx2.AsyncClient, contract: Contract) -> Scene:
    async def a_shop() -> Shop:
        programme = await kept_programme(owner, DEMO._replace(adjustment_limit=100, currency="CNY"))
        return Shop(programme, http, contract, await keys_for(owner, programme))

    shop, other = await a_shop(), await a_shop()
    names = ("rich", "poor", "full", "frozen", "closed", "earning", "hoarder", "returner", "spender")
    members = {name: await shop.enrols() for name in names}
    foreign = await other.enrols()
    for member in (members["rich"], members["spender"], members["earning"], members["hoarder"]):
        await shop.gives(member, 500)
    await other.gives(foreign, 500)
    await shop.gives(members["full"], MOST)
    for _ in range(MOST_OPEN):
        accepted(await shop.till.post("/v1/holds", a_hold(members["hoarder"], 1)))
    ids = {**await _asked_for(shop, members["spender"], members["earning"]), **await _returned(shop, members)}
    ids |= {f"foreign {name}": id_ for name, id_ in (await _asked_for(other, foreign, foreign)).items()}
    taken = an_order(members["returner"], 199_99)
    ids["purchase"] = accepted(await shop.till.post("/v1/accruals", taken))["entry"]["id"]
    desk = shop.client("desk")
    for name, status in (("frozen", "frozen"), ("earning", "earn_only")):
        accepted(await patched(desk, f"/v1/members/{members[name]['id']}", {"status": status}))
    accepted(await desk.post(f"/v1/members/{members['closed']['id']}/close", {}))
    plain = {name: members[name] for name in ("rich", "poor", "full", "frozen", "closed", "earning", "hoarder")}
    return Scene(shop, other, foreign=foreign, ids=ids, taken=taken, **plain)


async def _asked_for(shop: Shop, member: dict[str, Any], restricted: dict[str, Any]) -> dict[str, str]:
    """An open hold, a resolved one, a redemption with 60 points left, an adjustment that waits, two review items."""
    till, desk = shop.till, shop.client("desk")
    open_ = accepted(await till.post("/v1/holds", a_hold(member, 100)))["hold"]["id"]
    resolved = accepted(await till.post("/v1/holds", a_hold(member, 10)))["hold"]["id"]
    accepted(await till.post(f"/v1/holds/{resolved}/release", {}))
    spent = await shop.redeems(member, 100)
    redemption = spent["redemption"]["id"]
    accepted(await till.post(f"/v1/redemptions/{redemption}/refund", a_refund(points=40)))
    undone = (await shop.redeems(member, 5))["redemption"]["id"]
    accepted(await till.post(f"/v1/redemptions/{undone}/refund", a_refund()))
    waiting = (await desk.post("/v1/adjustments", an_adjustment(member, 101))).json()["adjustment"]
    decided = (await desk.post("/v1/adjustments", an_adjustment(member, 101))).json()["adjustment"]
    accepted(await shop.client("finance").post(f"/v1/adjustments/{decided}/reject", {}))
    too_much = (await desk.post("/v1/adjustments", an_adjustment(restricted, -5000))).json()["adjustment"]
    debtor = await shop.enrols()
    for _ in range(2):
        accepted(await till.post("/v1/redemptions", forced(debtor)))
    reviewed, review = [one["review"] for one in accepted(await desk.get("/v1/reviews"))["items"]]
    accepted(await desk.post(f"/v1/reviews/{reviewed}/resolve", {"reason": "repaid"}))
    return {
        "review": review,
        "reviewed": reviewed,
        "open hold": open_,
        "resolved hold": resolved,
        "redemption": redemption,
        "undone": undone,
        "waiting": waiting,
        "decided": decided,
        "too much": too_much,
        "spend": spent["entry"]["id"],
        "grant": (await shop.gives(member, 1))["entry"]["id"],
    }


async def _returned(shop: Shop, members: dict[str, Any]) -> dict[str, str]:
    """A purchase all of which has come back, and one of two lines of which one has."""
    whole = await shop.sells(members["returner"], 50_00)
    accepted(await shop.till.post("/v1/returns", a_return({"entry": whole["entry"]["id"]}, full=True)))
    line = an_order(members["returner"])["lines"][0]
    lines = [{**line, "quantity": 2, "amount": 20_00}, {**line, "line_id": "2", "amount": 0}]
    halved = await shop.sells(members["returner"], 0, lines=lines)
    parts = [{"line_id": "1", "quantity": 1, "amount": 10_00}]
    accepted(await shop.till.post("/v1/returns", a_return({"entry": halved["entry"]["id"]}, lines=parts)))
    return {"returned": whole["entry"]["id"], "halved": halved["entry"]["id"]}


def returning(purchase: str, *lines: tuple[str, int, int]) -> tuple[str, str, dict[str, Any]]:
    wanted = [{"line_id": id_, "quantity": quantity, "amount": amount} for id_, quantity, amount in lines]
    return "pos", "/v1/returns", a_return({"entry": purchase}, lines=wanted)


def _reserve(ask: tuple[str, str, Any], **more: Any) -> tuple[str, str, Any]:
    """What is asked of a return, in two steps."""
    role, _, body = ask
    return role, "/v1/returns/reserve", {**body, **more}


Ask = Callable[[Scene], tuple[str, str, Any]]
"""Who asks, where, and for what."""


def at_path(role: str, path: str, id_: Callable[[Scene], str], body: Any = None) -> Ask:
    """Asks with an id of the scene in the path."""
    return lambda scene: (role, path.format(id_(scene)), body or {})


def in_two_steps(ask: Ask) -> Ask:
    """Asks for a return in two steps."""
    return lambda scene: _reserve(ask(scene))


def reassigning(purchase: Callable[[Scene], dict[str, Any]], to: Callable[[Scene], dict[str, Any]]) -> Ask:
    """Asks to credit a purchase of the scene to a member of it."""
    return lambda scene: ("desk", "/v1/reassignments", a_reassignment(purchase(scene), to(scene)))


INVALID, MISSING = (422, "invalid_request"), (404, "member_not_found")

HOLDS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "more than there is": (
        lambda s: ("pos", "/v1/holds", a_hold(s.rich, 501)),
        (409, "insufficient_points"),
    ),
    "the most there can be": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, MOST)), (409, "insufficient_points")),
    "more than there can be": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, MOST + 1)), INVALID),
    "nothing": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, 0)), INVALID),
    "less than nothing": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, -1)), INVALID),
    "half a point": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, 0.5)), INVALID),  # type: ignore[arg-type]
    "for longer than 30 days": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, expires_in=MONTH_S + 1)), INVALID),
    "for no time": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, expires_in=0)), INVALID),
    "for a past time": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, expires_in=-600)), INVALID),
    "of an unknown wallet": (
        lambda s: ("pos", "/v1/holds", a_hold(s.rich, wallet="miles")),
        (422, "unknown_wallet"),
    ),
    "of no wallet's name": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, wallet="MILES")), INVALID),
    "of nobody": (lambda s: ("pos", "/v1/holds", a_hold(NOBODY)), MISSING),
    "of an unknown card": (
        lambda s: ("pos", "/v1/holds", {**a_hold(s.rich), "member": {"number": "6000000000"}}),
        MISSING,
    ),
    "of a malformed id": (lambda s: ("pos", "/v1/holds", a_hold({"id": "mem_1"})), INVALID),
    "of the id of something else": (lambda s: ("pos", "/v1/holds", a_hold({"id": s.ids["open hold"]})), INVALID),
    "of a member named twice": (
        lambda s: ("pos", "/v1/holds", {**a_hold(s.rich), "member": {"id": s.rich["id"], "number": s.rich["number"]}}),
        INVALID,
    ),
    "of another programme's member": (lambda s: ("pos", "/v1/holds", a_hold(s.foreign)), MISSING),
    "of a frozen member": (lambda s: ("pos", "/v1/holds", a_hold(s.frozen)), (409, "member_frozen")),
    "of a closed member": (lambda s: ("pos", "/v1/holds", a_hold(s.closed)), (409, "member_closed")),
    "of one who only earns": (lambda s: ("pos", "/v1/holds", a_hold(s.earning)), (409, "member_earn_only")),
    "one too many": (lambda s: ("pos", "/v1/holds", a_hold(s.hoarder)), (409, "too_many_holds")),
    "with an unknown field": (lambda s: ("pos", "/v1/holds", a_hold(s.rich, expires_at="2030-01-01")), INVALID),
    "capture more than was held": (
        lambda s: ("pos", f"/v1/holds/{s.ids['open hold']}/capture", {"points": 101}),
        (409, "exceeds_hold"),
    ),
    "capture nothing": (lambda s: ("pos", f"/v1/holds/{s.ids['open hold']}/capture", {"points": 0}), INVALID),
    "capture beyond bounds": (
        lambda s: ("pos", f"/v1/holds/{s.ids['open hold']}/capture", {"points": MOST + 1}),
        INVALID,
    ),
    "capture what was released": (
        lambda s: ("pos", f"/v1/holds/{s.ids['resolved hold']}/capture", {}),
        (409, "hold_resolved"),
    ),
    "capture too much of what was released": (
        lambda s: ("pos", f"/v1/holds/{s.ids['resolved hold']}/capture", {"points": MOST}),
        (409, "hold_resolved"),
    ),
    "release what was released": (
        lambda s: ("pos", f"/v1/holds/{s.ids['resolved hold']}/release", {}),
        (409, "hold_resolved"),
    ),
    "release a part": (lambda s: ("pos", f"/v1/holds/{s.ids['open hold']}/release", {"points": 1}), INVALID),
    "capture by another role": (
        lambda s: ("finance", f"/v1/holds/{s.ids['open hold']}/capture", {}),
        (403, "forbidden"),
    ),
    **{
        f"{verb} {what}": (at_path("pos", "/v1/holds/{}/" + verb, id_), (404, "hold_not_found"))
        for verb in ("capture", "release")
        for what, id_ in {
            "another programme's": lambda s: s.ids["foreign open hold"],
            "what never was": lambda s: f"hld_{'0' * 32}",
            "a malformed id": lambda s: "hld_1",
            "an id in capitals": lambda s: s.ids["open hold"].upper(),
            "the id of a redemption": lambda s: s.ids["redemption"].replace("red_", "hld_"),
            "an id with the wrong prefix": lambda s: s.ids["open hold"].replace("hld_", "ent_"),
        }.items()
    },
}

REDEMPTIONS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "spend of another programme's member": (
        lambda s: ("pos", "/v1/redemptions", a_redemption(whom(s.foreign))),
        MISSING,
    ),
    "spend in an unknown currency": (
        lambda s: ("pos", "/v1/redemptions", a_redemption(whom(s.rich), as_discount={"currency": "XXX"})),
        (422, "currency_not_accepted"),
    ),
    "spend in no currency's code": (
        lambda s: ("pos", "/v1/redemptions", a_redemption(whom(s.rich), as_discount={"currency": "yuan"})),
        INVALID,
    ),
    "spend from an unknown wallet as a discount": (
        lambda s: (
            "pos",
            "/v1/redemptions",
            a_redemption(whom(s.rich), as_discount={"currency": "CNY"}, wallet="miles"),
        ),
        (422, "unknown_wallet"),
    ),
    "spend what is there, later": (
        lambda s: ("pos", "/v1/redemptions", a_redemption(whom(s.rich), occurred_at="2026-01-01T00:00:00Z")),
        INVALID,
    ),
    "force from a source that may not": (
        lambda s: ("pos", "/v1/redemptions", a_redemption(whom(s.poor), forced=True)),
        (422, "source_may_not_force"),
    ),
    "force in the future": (
        lambda s: ("pos", "/v1/redemptions", forced(s.poor, occurred_at="2199-01-01T00:00:00Z")),
        (422, "occurred_at_in_future"),
    ),
    "force before our days": (
        lambda s: ("pos", "/v1/redemptions", forced(s.poor, occurred_at="1999-12-31T23:59:59Z")),
        INVALID,
    ),
    "force a debt without bounds": (
        lambda s: ("pos", "/v1/redemptions", {**forced(s.poor), "points": MOST + 1}),
        INVALID,
    ),
    "force with a word": (lambda s: ("pos", "/v1/redemptions", forced(s.poor, forced="true")), INVALID),
    "force of a closed member": (lambda s: ("pos", "/v1/redemptions", forced(s.closed)), (409, "member_closed")),
    "refund more than is left": (
        lambda s: ("pos", f"/v1/redemptions/{s.ids['redemption']}/refund", a_refund(points=61)),
        (409, "exceeds_redemption"),
    ),
    "refund what was refunded": (
        lambda s: ("pos", f"/v1/redemptions/{s.ids['undone']}/refund", a_refund()),
        (409, "exceeds_redemption"),
    ),
    "refund nothing": (
        lambda s: ("pos", f"/v1/redemptions/{s.ids['redemption']}/refund", a_refund(points=0)),
        INVALID,
    ),
    "refund beyond bounds": (
        lambda s: ("pos", f"/v1/redemptions/{s.ids['redemption']}/refund", a_refund(points=MOST + 1)),
        INVALID,
    ),
    "refund without a reference": (
        lambda s: ("pos", f"/v1/redemptions/{s.ids['redemption']}/refund", {"source": "pos"}),
        INVALID,
    ),
    **{
        f"refund {what}": (
            at_path("pos", "/v1/redemptions/{}/refund", id_, a_refund()),
            (404, "redemption_not_found"),
        )
        for what, id_ in {
            "another programme's": lambda s: s.ids["foreign redemption"],
            "what never was": lambda s: f"red_{'0' * 32}",
            "a malformed id": lambda s: "red_",
            "an entry's id": lambda s: s.ids["spend"],
            "a purchase": lambda s: s.ids["purchase"].replace("ent_", "red_"),
            "an open hold": lambda s: s.ids["open hold"].replace("hld_", "red_"),
        }.items()
    },
}

RETURNS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "all of what was returned": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["returned"]}, full=True)),
        (409, "exceeds_purchase"),
    ),
    "a line that was returned": (lambda s: returning(s.ids["returned"], ("1", 1, 50_00)), (409, "exceeds_purchase")),
    "more pieces than are left": (lambda s: returning(s.ids["halved"], ("1", 2, 10_00)), (409, "exceeds_purchase")),
    "more money than is left": (lambda s: returning(s.ids["halved"], ("1", 1, 10_01)), (409, "exceeds_purchase")),
    "more of another line": (
        lambda s: returning(s.ids["halved"], ("1", 1, 10_00), ("2", 1, 1)),
        (409, "exceeds_purchase"),
    ),
    "an unknown line": (lambda s: returning(s.ids["purchase"], ("7", 1, 1)), (422, "unknown_line")),
    "a line and an unknown one": (
        lambda s: returning(s.ids["purchase"], ("1", 1, 199_99), ("7", 1, 1)),
        (422, "unknown_line"),
    ),
    "a line twice": (lambda s: returning(s.ids["purchase"], ("1", 1, 1), ("1", 0, 1)), INVALID),
    "neither a piece nor money": (lambda s: returning(s.ids["purchase"], ("1", 0, 0)), INVALID),
    "no lines": (lambda s: returning(s.ids["purchase"]), INVALID),
    "too many lines": (lambda s: returning(s.ids["purchase"], *((str(n), 1, 1) for n in range(501))), INVALID),
    "a negative piece": (lambda s: returning(s.ids["purchase"], ("1", -1, 1)), INVALID),
    "negative money": (lambda s: returning(s.ids["purchase"], ("1", 1, -1)), INVALID),
    "pieces beyond bounds": (lambda s: returning(s.ids["purchase"], ("1", 10**9 + 1, 1)), INVALID),
    "money beyond bounds": (lambda s: returning(s.ids["purchase"], ("1", 1, 10**12 + 1)), INVALID),
    "neither lines nor all": (lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["purchase"]})), INVALID),
    "lines and all": (
        lambda s: ("pos", "/v1/returns", {**returning(s.ids["purchase"], ("1", 1, 1))[2], "full": True}),
        INVALID,
    ),
    "not all": (lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["purchase"]}, full=False)), INVALID),
    "a redemption": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["spend"]}, full=True)),
        (409, "not_a_purchase"),
    ),
    "explicit points": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["grant"]}, full=True)),
        (409, "not_a_purchase"),
    ),
    "another programme's grant": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["foreign grant"]}, full=True)),
        (404, "entry_not_found"),
    ),
    "an entry that never was": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": f"ent_{'0' * 32}"}, full=True)),
        (404, "entry_not_found"),
    ),
    "a malformed entry": (lambda s: ("pos", "/v1/returns", a_return({"entry": "ent_1"}, full=True)), INVALID),
    "a redemption's id": (
        lambda s: ("pos", "/v1/returns", a_return({"entry": s.ids["redemption"]}, full=True)),
        INVALID,
    ),
    "a source without a reference": (lambda s: ("pos", "/v1/returns", a_return({"source": "x"}, full=True)), INVALID),
    "an entry and a reference": (
        lambda s: (
            "pos",
            "/v1/returns",
            a_return({"entry": s.ids["purchase"], "source": "x", "reference": "y"}, full=True),
        ),
        INVALID,
    ),
    "nothing in particular": (lambda s: ("pos", "/v1/returns", a_return({}, full=True)), INVALID),
    "in the future": (
        lambda s: (
            "pos",
            "/v1/returns",
            a_return({"entry": s.ids["purchase"]}, full=True, occurred_at="2199-01-01T00:00:00Z"),
        ),
        (422, "occurred_at_in_future"),
    ),
    "after our days": (
        lambda s: (
            "pos",
            "/v1/returns",
            a_return({"entry": s.ids["purchase"]}, full=True, occurred_at="2200-01-01T00:00:00Z"),
        ),
        INVALID,
    ),
    "by a role that may not": (
        lambda s: ("app", "/v1/returns", a_return({"entry": s.ids["purchase"]}, full=True)),
        (403, "forbidden"),
    ),
}

RESERVATIONS: dict[str, tuple[Ask, tuple[int, str]]] = {
    **{f"a return of {what}": (in_two_steps(ask), refusal) for what, (ask, refusal) in RETURNS.items()},
    "for no time": (lambda s: _reserve(returning(s.ids["purchase"], ("1", 1, 1)), expires_in=0), INVALID),
    "for too long": (lambda s: _reserve(returning(s.ids["purchase"], ("1", 1, 1)), expires_in=MONTH_S + 1), INVALID),
    "for half a second": (lambda s: _reserve(returning(s.ids["purchase"], ("1", 1, 1)), expires_in=0.5), INVALID),
    "a sale that is not there yet": (
        lambda s: ("pos", "/v1/returns/reserve", a_return({"source": "pos", "reference": "not yet"}, full=True)),
        (404, "entry_not_found"),
    ),
    **{
        f"{how} {what}": (at_path("pos", "/v1/returns/{}/" + how, id_), (404, "reservation_not_found"))
        for how in ("confirm", "cancel")
        for what, id_ in {
            "what never was": lambda s: f"rsv_{'0' * 32}",
            "a malformed id": lambda s: "rsv_1",
            "a hold": lambda s: s.ids["open hold"].replace("hld_", "rsv_"),
            "a purchase": lambda s: s.ids["purchase"].replace("ent_", "rsv_"),
        }.items()
    },
}

REASSIGNMENTS: dict[str, tuple[Ask, tuple[int, str]]] = {
    what: (reassigning(name, to), refusal)
    for what, name, to, refusal in (
        ("to nobody", lambda s: {"entry": s.ids["purchase"]}, lambda s: NOBODY, MISSING),
        ("to another programme's", lambda s: {"entry": s.ids["purchase"]}, lambda s: s.foreign, MISSING),
        ("to a closed one", lambda s: {"entry": s.ids["purchase"]}, lambda s: s.closed, (409, "member_closed")),
        ("to a frozen one", lambda s: {"entry": s.ids["purchase"]}, lambda s: s.frozen, (409, "member_frozen")),
        ("of what came back", lambda s: {"entry": s.ids["returned"]}, lambda s: s.poor, (409, "exceeds_purchase")),
        ("of a grant", lambda s: {"entry": s.ids["grant"]}, lambda s: s.poor, (409, "not_a_purchase")),
        ("of a redemption", lambda s: {"entry": s.ids["spend"]}, lambda s: s.poor, (409, "not_a_purchase")),
        ("of another's", lambda s: {"entry": s.ids["foreign grant"]}, lambda s: s.poor, (404, "entry_not_found")),
        ("of nothing", lambda s: {"entry": f"ent_{'0' * 32}"}, lambda s: s.poor, (404, "entry_not_found")),
        ("not yet", lambda s: {"source": "pos", "reference": "no"}, lambda s: s.poor, (404, "entry_not_found")),
        ("of what has no name", lambda s: {}, lambda s: s.poor, INVALID),
        (
            "to a book that is full",
            lambda s: {"entry": s.ids["purchase"]},
            lambda s: s.full,
            (422, "amount_out_of_range"),
        ),
    )
}

TRANSFERS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "to oneself": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.rich)), (422, "same_member")),
    "to oneself by card": (
        lambda s: ("app", "/v1/transfers", {**a_transfer(s.rich, s.rich), "to": {"number": s.rich["number"]}}),
        (422, "same_member"),
    ),
    "more than there is to oneself": (
        lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.rich, 501)),
        (422, "same_member"),
    ),
    "more than there is": (
        lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.poor, 501)),
        (409, "insufficient_points"),
    ),
    "nothing": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.poor, 0)), INVALID),
    "beyond bounds": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.poor, MOST + 1)), INVALID),
    "to one who is full": (
        lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.full, 1)),
        (422, "amount_out_of_range"),
    ),
    "to a closed member": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.closed)), (409, "member_closed")),
    "to a frozen member": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.frozen)), (409, "member_frozen")),
    "from a closed member": (lambda s: ("app", "/v1/transfers", a_transfer(s.closed, s.rich)), (409, "member_closed")),
    "from a frozen member": (lambda s: ("app", "/v1/transfers", a_transfer(s.frozen, s.rich)), (409, "member_frozen")),
    "from one who only earns": (
        lambda s: ("app", "/v1/transfers", a_transfer(s.earning, s.rich)),
        (409, "member_earn_only"),
    ),
    "to another programme": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.foreign)), MISSING),
    "from another programme": (lambda s: ("app", "/v1/transfers", a_transfer(s.foreign, s.rich)), MISSING),
    "to another programme's card": (
        lambda s: ("app", "/v1/transfers", {**a_transfer(s.rich, s.poor), "to": {"number": s.foreign["number"]}}),
        MISSING,
    ),
    "to nobody": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, NOBODY)), MISSING),
    "from nobody": (lambda s: ("app", "/v1/transfers", a_transfer(NOBODY, s.rich)), MISSING),
    "to a malformed id": (lambda s: ("app", "/v1/transfers", a_transfer(s.rich, {"id": "mem_x"})), INVALID),
    "of an unknown wallet": (
        lambda s: ("app", "/v1/transfers", a_transfer(s.rich, s.poor, wallet="miles")),
        (422, "unknown_wallet"),
    ),
    "without a giver": (
        lambda s: ("app", "/v1/transfers", {k: v for k, v in a_transfer(s.rich, s.poor).items() if k != "from"}),
        INVALID,
    ),
    "in Python's words": (
        lambda s: ("app", "/v1/transfers", {**a_transfer(s.rich, s.poor), "from_": whom(s.rich)}),
        INVALID,
    ),
    "by a role that may not": (lambda s: ("pos", "/v1/transfers", a_transfer(s.rich, s.poor)), (403, "forbidden")),
}

ADJUSTMENTS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "by nothing": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, 0)), INVALID),
    "more than can be given": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, MOST + 1)), INVALID),
    "more than can be taken": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, -MOST - 1)), INVALID),
    "more than there is": (
        lambda s: ("desk", "/v1/adjustments", an_adjustment(s.poor, -1)),
        (409, "insufficient_points"),
    ),
    "more than a book holds": (
        lambda s: ("desk", "/v1/adjustments", an_adjustment(s.full, 1)),
        (422, "amount_out_of_range"),
    ),
    "without a reason": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, reason="")), INVALID),
    "of another programme's member": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.foreign)), MISSING),
    "of nobody, above the limit": (lambda s: ("desk", "/v1/adjustments", an_adjustment(NOBODY, 101)), MISSING),
    "of an unknown wallet": (
        lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, wallet="miles")),
        (422, "unknown_wallet"),
    ),
    "of an unknown wallet, above the limit": (
        lambda s: ("desk", "/v1/adjustments", an_adjustment(s.rich, 101, wallet="miles")),
        (422, "unknown_wallet"),
    ),
    "of a frozen member": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.frozen)), (409, "member_frozen")),
    "of a closed member": (lambda s: ("desk", "/v1/adjustments", an_adjustment(s.closed)), (409, "member_closed")),
    "less, of one who only earns": (
        lambda s: ("desk", "/v1/adjustments", an_adjustment(s.earning, -1)),
        (409, "member_earn_only"),
    ),
    "by a till": (lambda s: ("pos", "/v1/adjustments", an_adjustment(s.rich)), (403, "forbidden")),
    "approve one's own": (
        lambda s: ("desk", f"/v1/adjustments/{s.ids['waiting']}/approve", {}),
        (409, "second_person_required"),
    ),
    "reject one's own": (
        lambda s: ("desk", f"/v1/adjustments/{s.ids['waiting']}/reject", {}),
        (409, "second_person_required"),
    ),
    "approve what was rejected": (
        lambda s: ("finance", f"/v1/adjustments/{s.ids['decided']}/approve", {}),
        (409, "adjustment_decided"),
    ),
    "approve one's own that was rejected": (
        lambda s: ("desk", f"/v1/adjustments/{s.ids['decided']}/approve", {}),
        (409, "adjustment_decided"),
    ),
    "approve what cannot be taken": (
        lambda s: ("finance", f"/v1/adjustments/{s.ids['too much']}/approve", {}),
        (409, "member_earn_only"),
    ),
    "approve with words": (
        lambda s: ("finance", f"/v1/adjustments/{s.ids['waiting']}/approve", {"points": 1}),
        INVALID,
    ),
    "approve as a till": (lambda s: ("pos", f"/v1/adjustments/{s.ids['waiting']}/approve", {}), (403, "forbidden")),
    **{
        f"{verb} {what}": (
            at_path("finance", "/v1/adjustments/{}/" + verb, id_),
            (404, "adjustment_not_found"),
        )
        for verb in ("approve", "reject")
        for what, id_ in {
            "another programme's": lambda s: s.ids["foreign waiting"],
            "what never was": lambda s: f"adj_{'0' * 32}",
            "a malformed id": lambda s: "adj_zz",
            "an entry": lambda s: s.ids["spend"].replace("ent_", "adj_"),
        }.items()
    },
}

REVIEWS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "resolve what was resolved": (
        at_path("finance", "/v1/reviews/{}/resolve", lambda s: s.ids["reviewed"], {"reason": "waived"}),
        (409, "review_resolved"),
    ),
    "resolve without a reason": (at_path("desk", "/v1/reviews/{}/resolve", lambda s: s.ids["review"]), INVALID),
    "resolve with too long a reason": (
        at_path("desk", "/v1/reviews/{}/resolve", lambda s: s.ids["review"], {"reason": "x" * 201}),
        INVALID,
    ),
    "resolve as a till": (
        at_path("pos", "/v1/reviews/{}/resolve", lambda s: s.ids["review"], {"reason": "repaid"}),
        (403, "forbidden"),
    ),
    **{
        f"resolve {what}": (at_path("desk", "/v1/reviews/{}/resolve", id_, {"reason": "r"}), (404, "review_not_found"))
        for what, id_ in {
            "another programme's": lambda s: s.ids["foreign review"],
            "what never was": lambda s: f"rev_{'0' * 32}",
            "a malformed id": lambda s: "rev_zz",
            "a redemption that was covered": lambda s: s.ids["redemption"].replace("red_", "rev_"),
        }.items()
    },
}

MEMBERS: dict[str, tuple[Ask, tuple[int, str]]] = {
    "close what is closed": (lambda s: ("desk", f"/v1/members/{s.closed['id']}/close", {}), (409, "member_closed")),
    "close another programme's": (lambda s: ("desk", f"/v1/members/{s.foreign['id']}/close", {}), MISSING),
    "close nobody": (lambda s: ("desk", f"/v1/members/{NOBODY['id']}/close", {}), MISSING),
    "close a malformed id": (lambda s: ("desk", "/v1/members/me/close", {}), MISSING),
    "close with too long a reason": (
        lambda s: ("desk", f"/v1/members/{s.rich['id']}/close", {"reason": "x" * 201}),
        INVALID,
    ),
    "close as a till": (lambda s: ("pos", f"/v1/members/{s.rich['id']}/close", {}), (403, "forbidden")),
}

CASES = {
    f"{verb}: {name}": case
    for verb, cases in {
        "hold": HOLDS,
        "redemption": REDEMPTIONS,
        "return": RETURNS,
        "reserve": RESERVATIONS,
        "reassignment": REASSIGNMENTS,
        "transfer": TRANSFERS,
        "adjustment": ADJUSTMENTS,
        "review": REVIEWS,
        "member": MEMBERS,
    }.items()
    for name, case in cases.items()
}


def forced(member: dict[str, Any], **more: Any) -> dict[str, Any]:
    return a_redemption(whom(member), **{"source": "pos-offline", "forced": True, **more})


@pytest.mark.parametrize("case", CASES)
async def test_what_cannot_be_is_refused_and_changes_nothing(scene: Scene, owner: AsyncEngine, case: str) -> None:
    ask, (status, code) = CASES[case]
    role, path, body = ask(scene)
    client = scene.shop.client(role)
    before = await contents(owner, scene.shop, scene.other, but="replay")
    refused(await client.post(path, body, key=None, dry_run="true"), status, code)
    refused(await client.post(path, body), status, code)
    assert await contents(owner, scene.shop, scene.other, but="replay") == before


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        ("closed", {"status": "active"}, (409, "member_closed")),
        ("rich", {"status": "closed"}, INVALID),
        ("rich", {"status": "vip"}, INVALID),
        ("rich", {}, INVALID),
        ("foreign", {"status": "frozen"}, MISSING),
    ],
)
async def test_a_status_that_cannot_be_is_refused(
    scene: Scene, owner: AsyncEngine, status: str, body: Any, expected: tuple[int, str]
) -> None:
    before = await contents(owner, scene.shop, scene.other, but="replay")
    path = f"/v1/members/{getattr(scene, status)['id']}"
    refused(await patched(scene.shop.client("desk"), path, body), *expected)
    assert await contents(owner, scene.shop, scene.other, but="replay") == before


async def test_a_debt_stays_within_what_a_book_can_hold(shop: Shop, owner: AsyncEngine) -> None:
    member = await shop.enrols()
    accepted(await shop.till.post("/v1/redemptions", {**forced(member), "points": MOST}))
    before = await contents(owner, shop, but="replay")
    refused(await shop.till.post("/v1/redemptions", forced(member, as_discount=None)), 422, "amount_out_of_range")
    assert await contents(owner, shop, but="replay") == before
    assert (await shop.balance(member))["owed"] == MOST


async def test_a_purchase_that_earned_nothing_can_be_returned_once(shop: Shop) -> None:
    bought = await shop.sells(await shop.enrols(), 99)
    purchase = {"entry": bought["entry"]["id"]}
    assert accepted(await shop.till.post("/v1/returns", a_return(purchase, full=True)))["points"] == 0
    refused(await shop.till.post("/v1/returns", a_return(purchase, full=True)), 409, "exceeds_purchase")


async def test_an_approval_that_comes_too_late_is_refused_and_the_adjustment_waits_on(a_shop: ShopFactory) -> None:
    shop = await a_shop(adjustment_limit=10)
    member, desk, finance = await shop.enrols(), shop.client("desk"), shop.client("finance")
    await shop.gives(member, 20)
    waiting = (await desk.post("/v1/adjustments", an_adjustment(member, -20))).json()["adjustment"]
    await shop.redeems(member, 1)
    path = f"/v1/adjustments/{waiting}/approve"
    problem = refused(await finance.post(path, {}), 409, "insufficient_points")
    assert (problem["available"], problem["required"]) == (19, 20)
    await shop.gives(member, 1)
    assert accepted(await finance.post(path, {}))["balances"]["points"]["available"] == 0


async def test_a_programme_without_transfers_allows_none(a_shop: ShopFactory, owner: AsyncEngine) -> None:
    shop = await a_shop(transfers=False)
    giver, taker = await shop.enrols(), await shop.enrols()
    await shop.gives(giver, 10)
    before = await contents(owner, shop, but="replay")
    refused(await shop.client("app").post("/v1/transfers", a_transfer(giver, taker)), 409, "transfers_not_allowed")
    assert await contents(owner, shop, but="replay") == before


async def test_a_return_from_a_source_whose_numbers_restart_names_the_day(a_shop: ShopFactory) -> None:
    shop = await a_shop(restarting_sources=frozenset({"till"}))
    member = await shop.enrols()
    noon = "2026-11-01T12:00:00+08:00"
    await shop.sells(member, 100_00, source="till", reference="1", occurred_at=noon)
    accrual = {"source": "till", "reference": "1"}
    refused(await shop.till.post("/v1/returns", a_return(accrual, full=True)), *INVALID)
    other_day = a_return({**accrual, "business_date": "2026-11-02"}, full=True)
    assert (await shop.till.post("/v1/returns", other_day)).status_code == 202, "that day's sale may still come"
    that_day = a_return({**accrual, "business_date": "2026-11-01"}, full=True)
    assert accepted(await shop.till.post("/v1/returns", that_day))["points"] == 100


async def test_a_refusal_says_what_is_left(scene: Scene) -> None:
    path = f"/v1/redemptions/{scene.ids['redemption']}/refund"
    problem = refused(await scene.shop.till.post(path, a_refund(points=61)), 409, "exceeds_redemption")
    assert problem["refundable"] == 60
    hold = f"/v1/holds/{scene.ids['open hold']}/capture"
    problem = refused(await scene.shop.till.post(hold, {"points": 101}), 409, "exceeds_hold")
    assert (problem["held"], problem["required"]) == (100, 101)
    problem = refused(await scene.shop.till.post("/v1/holds", a_hold(scene.rich, 501)), 409, "insufficient_points")
    assert (problem["available"], problem["required"]) == (500, 501)


def test_every_case_has_a_documented_code(contract: Contract) -> None:
    documented = {(one["status"], one["code"]) for one in contract.document["x-problems"]}
    assert {expected for _, expected in CASES.values()} <= documented


async def test_an_app_forces_nothing(a_shop: ShopFactory) -> None:
    """What happened offline happened at a till; a source is only what a client calls itself."""
    shop = await a_shop(forced_sources=frozenset({"offline"}))
    member = await shop.enrols()
    body = a_redemption(member, 100, source="offline", forced=True)
    refused(await shop.client("app").post("/v1/redemptions", body), 422, "source_may_not_force")
    accepted(await shop.till.post("/v1/redemptions", body))
