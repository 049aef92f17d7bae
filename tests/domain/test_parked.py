"""Parking and curing without a database: what is refused at once, what waits, and that it ends once."""

import pytest

from loyalty.domain.claims import REFERENCES, REPLAYS, ReferenceKey, ReferenceKind, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.members import Status
from loyalty.domain.parked import MOST_WAITING, PARKED, AskedPoints, AskedReturn, Awaited, ParkedEvent
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer
from loyalty.operations.park import Lapse, Park, cure_of
from tests.makers import Desk, a_fact, a_member_id, accepted, an_order_of, at, code_of, days

SOMEBODY = Identity("tmall", "ouid", b"x")
SALE = ReferenceKey("pos", "S-1", "accrual", "")


def parking(desk: Desk, asked: Order | AskedPoints | AskedReturn, awaits: Awaited, reference: str) -> Park:
    kind = ReferenceKind.RETURN if isinstance(asked, AskedReturn) else ReferenceKind.ACCRUAL
    key = reference_key(desk.programme, kind, source="pos", reference=reference, day=at("2026-02-01").date())
    return Park(awaits, asked, Because("pos", reference), key, MemberId(a_fact(900)))


def parks(
    desk: Desk,
    asked: Order | AskedPoints | AskedReturn | None = None,
    awaits: Awaited = SOMEBODY,
    *,
    ref: str = "S-1",
    when: str = "2026-02-01",
) -> Answer:
    return desk.does(parking(desk, asked or an_order_of(("1", 1, 100_00)), awaits, ref), at(when))


def now(desk: Desk, parked: Answer) -> ParkedEvent:
    found = desk.state.get(PARKED, accepted(parked).said.id)
    assert found is not None
    return found


def cures(desk: Desk, parked: Answer, member: MemberId, when: str = "2026-03-01") -> Answer:
    one = now(desk, parked)
    desk.now = at(when)
    return desk.does(cure_of(desk.programme, one, member), one.occurred_at)


def test_it_waits_for_as_long_as_the_programme_says_and_takes_no_reference() -> None:
    desk = Desk()
    desk.programme = desk.programme._replace(parked_days=3)
    parked = parks(desk)
    one = now(desk, parked)
    assert (one.status, one.outcome, one.until - one.parked_at) == ("waiting", None, days(3))
    assert one.kind == ReferenceKind.ACCRUAL
    assert not desk.state.own(REFERENCES)
    assert now(desk, parks(desk, AskedReturn(None), SALE)).kind == ReferenceKind.RETURN


def test_what_is_cured_is_dated_by_itself() -> None:
    desk = Desk()
    anna = desk.enrols("2026-01-01")
    parked = parks(desk)
    [entry] = accepted(cures(desk, parked, anna)).entries
    assert (entry.occurred_at, entry.recorded_at) == (at("2026-02-01"), at("2026-03-01"))
    assert (now(desk, parked).status, now(desk, parked).outcome) == ("cured", entry.id)
    [lot] = desk.lots(anna)
    assert lot.earned_at == at("2026-02-01")


@pytest.mark.parametrize("status", [Status.FROZEN, Status.CLOSED])
def test_a_refusal_for_good_ends_it_and_leaves_nothing_else(status: Status) -> None:
    desk = Desk()
    anna = desk.enrols()
    parked = parks(desk)
    desk.changes(anna, status=status.value)
    answer = accepted(cures(desk, parked, anna))
    assert answer.entries == ()
    assert (now(desk, parked).status, now(desk, parked).outcome) == ("refused", f"member_{status}")
    assert not desk.entries(anna)
    assert not desk.state.own(REFERENCES), "what the attempt took is free again"


def test_a_refusal_that_can_be_cured_leaves_it_waiting() -> None:
    desk = Desk()
    parked = parks(desk)
    assert code_of(cures(desk, parked, a_member_id(99))) == "member_not_found"
    assert now(desk, parked).status == "waiting"


def test_it_ends_once() -> None:
    desk = Desk()
    anna = desk.enrols()
    cured, given_up = parks(desk), parks(desk, ref="S-2")
    accepted(cures(desk, cured, anna))
    accepted(desk.does(Lapse(now(desk, given_up)), at("2026-03-01")))
    assert now(desk, given_up).status == "lapsed"
    for parked in (cured, given_up):
        before = now(desk, parked)
        assert code_of(cures(desk, parked, anna)) == "parked_decided"
        assert code_of(desk.does(Lapse(before), at("2026-03-01"))) == "parked_decided"
        assert now(desk, parked) == before
    assert len(desk.entries(anna)) == 1


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (an_order_of(("1", 1, 1), currency="EUR"), "currency_not_accepted"),
        (AskedPoints(1, "miles", None, None), "unknown_wallet"),
        (AskedPoints(1, "points", at("2027-01-01"), at("2026-12-31")), "dates_contradict"),
    ],
)
def test_what_would_be_refused_for_anybody_is_refused_at_once(asked: Order | AskedPoints, code: str) -> None:
    desk = Desk()
    assert code_of(parks(desk, asked)) == code
    assert not desk.state.own(PARKED)


def test_a_reference_that_is_taken_is_refused_at_once() -> None:
    desk = Desk()
    desk.buys(desk.enrols(), 100, "2026-01-02", ref="S-1")
    assert code_of(parks(desk, ref="S-1")) == "reference_taken"
    assert code_of(parks(desk, AskedReturn(None), SALE, ref="S-1")) is None, "a return numbers by itself"


def test_so_many_may_wait_for_the_same_and_no_more() -> None:
    desk = Desk()
    first = [desk.asks(parking(desk, an_order_of(("1", 1, 1)), SOMEBODY, f"{n}"), at("2026-02-01")) for n in range(99)]
    assert all(isinstance(one.outcome, Receipt) for one in desk.commits(first)), "in one batch"
    dry = parking(desk, an_order_of(("1", 1, 1)), SOMEBODY, "dry")
    accepted(desk.does(dry, at("2026-02-01"), dry_run=True))
    accepted(parks(desk, ref="99"))
    assert MOST_WAITING == 100
    assert code_of(parks(desk, ref="100")) == "too_many_parked"
    accepted(parks(desk, ref="100", awaits=SOMEBODY._replace(lookup=b"y")))
    accepted(parks(desk, AskedReturn(None), SALE))


def test_the_refusal_of_too_many_is_not_frozen() -> None:
    desk = Desk()
    for number in range(MOST_WAITING):
        parks(desk, ref=f"{number}")
    one_more = parking(desk, an_order_of(("1", 1, 1)), SOMEBODY, "one more")
    assert code_of(desk.does(one_more, at("2026-02-01"), key="k")) == "too_many_parked"
    assert not desk.state.own(REPLAYS)
