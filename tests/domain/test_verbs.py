"""The verbs at the door, told as tables: enrol, purchase, grant, redeem, settle."""

from typing import Any

import orjson
import pytest

from loyalty.domain.books import Balance
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.lots import LOTS
from loyalty.domain.members import GENESIS, MEMBERS
from loyalty.domain.persons import Consent, Person
from loyalty.domain.refusals import InsufficientPoints, Refusal
from loyalty.domain.terms import Term
from loyalty.operations.accrue import Accrued
from loyalty.operations.redeem import Redeemed, Value
from tests.makers import (
    Desk,
    a_member_id,
    a_programme,
    a_wallet,
    accepted,
    at,
    buying,
    code_of,
    day,
    days,
    enrolling,
    refused,
    told,
)

STRANGER = a_member_id(200)


# --- joining -----------------------------------------------------------------------------------------------


def test_a_new_member_begins_with_nothing_on_the_lowest_rung() -> None:
    desk = Desk()
    anna = desk.enrols("2026-02-03", store="SH-1")
    member = desk.member(anna)
    assert (member.status, member.tier, member.sequence, member.head) == ("active", "member", 0, GENESIS)
    assert member.enrolled_at == member.effective_at == member.tier_since == at("2026-02-03")
    assert desk.entries(anna) == []
    assert desk.balance(anna) == Balance()


def test_joining_keeps_the_person_and_each_consent() -> None:
    desk = Desk()
    anna = desk.enrols(
        person=Person(a_member_id(1), b"sealed"), consents=(("newsletter", "v2"), ("profiling", "v1")), store=None
    )
    kept = [fact for fact in desk.state.facts if isinstance(fact, Person | Consent)]
    assert kept[0] == Person(anna, b"sealed")
    assert [(c.purpose, c.text_version) for c in kept[1:] if isinstance(c, Consent)] == [
        ("newsletter", "v2"),
        ("profiling", "v1"),
    ]


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"given": frozenset({"phone"})}, "field_required"),
        ({"given": frozenset({"phone", "birthday"}), "birthday": day("2012-02-02")}, "under_age"),
        ({"given": frozenset({"phone", "birthday"}), "birthday": day("2012-02-01")}, None),
        ({"given": frozenset({"phone", "birthday", "name"})}, None),
    ],
)
def test_joining_asks_for_what_the_programme_requires(given: dict[str, Any], refusal: str | None) -> None:
    desk = Desk(a_programme(enrolment_requires=frozenset({"phone", "birthday"}), minimum_age=14))
    answer = desk.does(enrolling(a_member_id(1), **given), at("2026-02-01"))
    assert code_of(answer) == refusal
    assert (desk.state.get(MEMBERS, a_member_id(1)) is None) is (refusal is not None)


def test_an_identity_belongs_to_one_member() -> None:
    desk = Desk()
    wechat, card = Identity("wechat", "openid", b"o-1"), Identity("store", "card", b"0001")
    desk.enrols(identities=(wechat,))
    answer = desk.does(enrolling(a_member_id(9), identities=(card, wechat)), at("2026-02-01"))
    assert refused(answer).facts == {"channel": "wechat", "identity_type": "openid"}
    assert code_of(desk.does(enrolling(a_member_id(10), identities=(card,)), at("2026-02-01"))) is None


def test_joining_under_an_id_that_is_taken_never_begins_the_member_anew() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-02-01")
    before = desk.member(anna)
    with pytest.raises(AssertionError, match="is new"):
        desk.does(enrolling(anna), at("2026-03-01"))
    assert desk.member(anna) == before


# --- earning -----------------------------------------------------------------------------------------------


def test_a_purchase_opens_a_lot_in_every_wallet_that_gains() -> None:
    wallets = [a_wallet("points", pending=days(7)), a_wallet("coins", points=2), a_wallet("stars", unit=10_000_00)]
    desk = Desk(a_programme(*wallets))
    anna = desk.enrols()
    receipt = accepted(desk.buys(anna, 100_00, "2026-02-01"))
    assert receipt.said == Accrued(
        {"points": 100, "coins": 200, "stars": 0},
        {"points": Term(at("2026-02-08"), None), "coins": Term(None, None), "stars": Term(None, None)},
    )
    assert receipt.balances == {"points": Balance(pending=100), "coins": Balance(available=200), "stars": Balance()}
    [entry] = receipt.entries
    assert [(p.wallet, p.debit, p.credit, p.points) for p in entry.postings] == [
        ("points", "issued", "pending", 100),
        ("coins", "issued", "available", 200),
    ]
    assert [birth.wallet for birth in entry.births] == ["points", "coins"]
    [lot] = desk.lots(anna, "points")
    assert (lot.entry_id, lot.source, lot.store, lot.earned_at) == (entry.id, "pos", "SH-1", at("2026-02-01"))
    assert orjson.loads(entry.calculation or "")["points"] == {"points": 100, "coins": 200, "stars": 0}


def test_a_purchase_that_earns_nothing_is_an_entry_all_the_same() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.buys(anna, 99, "2026-02-01", ref="a")
    assert told(desk.entries(anna)) == [("earn", "2026-02-01", 0)]
    assert code_of(desk.buys(anna, 99, "2026-02-02", ref="a")) == "reference_taken"


def test_a_grant_is_available_at_once_unless_it_says_otherwise() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.gives(anna, 5, "2026-02-01")
    desk.gives(anna, 6, "2026-02-01", pending_until="2026-02-10")
    assert desk.balance(anna) == Balance(available=5, pending=6)
    entry = desk.entries(anna)[0]
    assert (entry.because.reason, entry.calculation) == ("goodwill", None)


def test_the_till_may_run_five_minutes_ahead_and_no_more() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.now = at("2026-02-01 12:00")
    assert code_of(desk.buys(anna, 100, "2026-02-01 12:05")) is None
    assert code_of(desk.buys(anna, 100, "2026-02-01 12:05:01")) == "occurred_at_in_future"


def test_a_till_that_runs_ahead_makes_nothing_due_earlier() -> None:
    desk = Desk()
    desk.now = at("2026-02-01 12:00")
    anna = desk.enrols("2026-01-01")
    desk.gives(anna, 7, "2026-01-01", expires_at="2026-02-01 12:03")
    desk.buys(anna, 100, "2026-02-01 12:05")
    assert desk.balance(anna) == Balance(available=8), "the 7 last another three minutes"
    [_, earn] = desk.entries(anna)
    assert (earn.occurred_at, earn.effective_at) == (at("2026-02-01 12:05"), at("2026-02-01 12:00"))
    assert desk.lots(anna)[-1].earned_at == at("2026-02-01 12:05")


def test_a_programme_whose_clock_stands_still_judges_the_future_by_it() -> None:
    desk = Desk(a_programme(fixed_now=at("2017-12-31")))
    desk.now = at("2026-02-01")
    anna = desk.enrols("2017-01-01")
    assert code_of(desk.buys(anna, 100, "2017-12-31 12:05")) is None
    assert code_of(desk.buys(anna, 100, "2018-01-01")) == "occurred_at_in_future"
    assert desk.entries(anna)[0].recorded_at == at("2026-02-01"), "recorded_at is always the wall clock"


def test_a_programme_tells_its_time() -> None:
    assert a_programme().now(at("2026-02-01")) == at("2026-02-01")
    assert a_programme(fixed_now=at("2017-12-31")).now(at("2026-02-01")) == at("2017-12-31")


# --- spending ----------------------------------------------------------------------------------------------


def test_redeem_draws_the_earliest_expiring_lot_first() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-12-01")
    desk.gives(anna, 20, "2026-01-03", expires_at="2026-06-01")
    desk.gives(anna, 50, "2026-01-04")
    receipt = accepted(desk.redeems(anna, 45, "2026-02-01"))
    later, sooner, lasting = desk.lots(anna)
    [entry] = receipt.entries
    assert [(d.lot_id, d.points) for d in entry.draws] == [(sooner.id, 20), (later.id, 25)]
    assert [lot.remaining for lot in (sooner, later, lasting)] == [0, 5, 50]
    assert [(p.debit, p.credit, p.points) for p in entry.postings] == [("available", "redeemed", 45)]
    assert receipt.balances["points"] == Balance(available=55)


@pytest.mark.parametrize(
    ("when", "wanted", "refusal"),
    [
        ("2026-05-31 23:59:59", 100, None),
        ("2026-06-01 00:00", 100, "insufficient_points"),  # 40 of them are over
        ("2026-06-01 00:00", 60, None),
        ("2026-05-01", 101, "insufficient_points"),
    ],
)
def test_an_expired_point_is_never_spent_however_late_the_sweep(when: str, wanted: int, refusal: str | None) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-06-01 00:00")
    desk.gives(anna, 60, "2026-01-02")
    assert code_of(desk.redeems(anna, wanted, when)) == refusal


def test_pending_points_cannot_be_spent() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-02-01")
    assert refused(desk.redeems(anna, 1, "2026-02-07")).facts == {"available": 0, "required": 1}


def test_a_redemption_may_be_a_discount_in_the_programmes_currency() -> None:
    desk = Desk(a_programme(a_wallet(point_value=5), a_wallet("stars", point_value=0)))
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-02")
    desk.gives(anna, 100, "2026-01-02", wallet="stars")
    assert accepted(desk.redeems(anna, 10, "2026-02-01")).said == Redeemed(10, None)
    receipt = accepted(desk.redeems(anna, 10, "2026-02-01", discount_currency="CNY"))
    assert receipt.said == Redeemed(10, Value("CNY", 50))
    assert orjson.loads(receipt.entries[0].calculation or "") == {"value": {"currency": "CNY", "amount": 50}}
    assert code_of(desk.redeems(anna, 10, "2026-02-01", discount_currency="EUR")) == "currency_not_accepted"
    stars = desk.redeems(anna, 10, "2026-02-01", wallet="stars", discount_currency="CNY")
    assert code_of(stars) == "currency_not_accepted"


def test_a_late_redemption_sees_the_lots_as_they_are() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-02", expires_at="2026-06-01")
    desk.settles(anna, "2026-06-02")
    assert code_of(desk.redeems(anna, 1, "2026-05-01")) == "insufficient_points"


def test_a_late_redemption_takes_effect_at_the_members_present() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-03-01")
    [entry] = accepted(desk.redeems(anna, 1, "2026-02-01")).entries
    assert (entry.occurred_at, entry.effective_at) == (at("2026-02-01"), at("2026-03-01"))
    assert entry.accounting_date == day("2026-02-01")


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "earning", "spending"),
    [
        ("active", None, None),
        ("earn_only", None, "member_earn_only"),
        ("frozen", "member_frozen", "member_frozen"),
        ("closed", "member_closed", "member_closed"),
    ],
)
def test_what_a_member_may_do_depends_on_its_status(status: str, earning: str | None, spending: str | None) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-02")
    desk.changes(anna, status=status)
    assert code_of(desk.buys(anna, 100, "2026-02-01")) == earning
    assert code_of(desk.gives(anna, 100, "2026-02-01")) == earning
    assert code_of(desk.redeems(anna, 10, "2026-02-01")) == spending


def test_nobody_earns_spends_or_settles_who_is_not_a_member() -> None:
    desk = Desk()
    answers = [
        desk.buys(STRANGER, 100, "2026-02-01"),
        desk.gives(STRANGER, 100, "2026-02-01"),
        desk.redeems(STRANGER, 100, "2026-02-01"),
        desk.settles(STRANGER, "2026-02-01"),
    ]
    assert {code_of(answer) for answer in answers} == {"member_not_found"}
    assert desk.state.facts == []


def test_a_wallet_that_is_not_there_is_refused() -> None:
    desk = Desk()
    anna = desk.enrols()
    assert code_of(desk.gives(anna, 100, "2026-02-01", wallet="miles")) == "unknown_wallet"
    assert refused(desk.redeems(anna, 100, "2026-02-01", wallet="miles")).facts == {"wallet": "miles"}


def test_more_points_than_json_can_carry_are_refused_and_nothing_moves() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 2**53 - 1, "2026-02-01")
    before = dict(desk.state.rows)
    assert code_of(desk.gives(anna, 1, "2026-02-01")) == "amount_out_of_range"
    assert desk.state.rows == before


def test_a_refused_command_leaves_only_what_settled() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7), expiry=Expiry(Lifespan.MONTHS, 1))))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-10")
    assert isinstance(desk.redeems(anna, 101, "2026-01-20", ref="free").outcome, InsufficientPoints)
    assert told(desk.entries(anna)) == [("earn", "2026-01-10", 100), ("mature", "2026-01-17", 100)]
    assert desk.balance(anna) == Balance(available=100)
    assert code_of(desk.redeems(anna, 100, "2026-01-20", ref="free")) is None, "a refusal takes no reference"


def test_a_refused_command_does_not_disturb_its_neighbours_in_the_batch() -> None:
    desk = Desk()
    anna, bert = desk.enrols(), desk.enrols()
    asks = [
        desk.asks(buying(desk.programme, who, 100_00, at("2026-02-01"), reference=ref), at("2026-02-01"))
        for who, ref in [(anna, "a"), (STRANGER, "b"), (bert, "a"), (bert, "c")]
    ]
    codes = [code_of(answer) for answer in desk.commits(asks)]
    assert codes == [None, "member_not_found", "reference_taken", None]
    assert desk.balance(anna) == desk.balance(bert) == Balance(available=100)


def test_a_dry_run_answers_and_leaves_nothing() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-10")
    rows, facts = dict(desk.state.rows), list(desk.state.facts)
    quote = desk.redeems(anna, 60, "2026-02-01", ref="d", key="k", dry_run=True)
    assert accepted(quote).balances["points"] == Balance(available=40), "it saw the points mature"
    assert code_of(desk.redeems(anna, 600, "2026-02-01", key="k2", dry_run=True)) == "insufficient_points"
    assert (desk.state.rows, desk.state.facts) == (rows, facts)
    assert accepted(desk.redeems(anna, 60, "2026-02-01", ref="d", key="k"))


def test_a_refusal_explains_itself() -> None:
    desk = Desk()
    anna = desk.enrols()
    refusal = refused(desk.redeems(anna, 7, "2026-02-01"))
    assert (refusal.code, refusal.title) == ("insufficient_points", "Not enough points available")
    assert refusal.detail == "The member has 0 points available; 7 are required."
    assert isinstance(refusal, Refusal)


# --- what an entry says ------------------------------------------------------------------------------------


def test_recorded_at_never_decreases_for_a_member() -> None:
    desk = Desk()
    anna = desk.enrols()
    for now in ("2026-03-01", "2026-02-01", "2026-03-02"):
        desk.now = at(now)
        desk.gives(anna, 1, "2026-01-05")
    assert [e.recorded_at for e in desk.entries(anna)] == [at("2026-03-01"), at("2026-03-01"), at("2026-03-02")]


def test_an_entry_carries_every_wallet_as_it_left_it() -> None:
    desk = Desk(a_programme(a_wallet("points"), a_wallet("coins")))
    anna = desk.enrols()
    desk.gives(anna, 10, "2026-01-05")
    desk.gives(anna, 7, "2026-01-06", wallet="coins")
    desk.redeems(anna, 4, "2026-01-07")
    assert [entry.balances for entry in desk.entries(anna)] == [
        {"points": Balance(available=10), "coins": Balance()},
        {"points": Balance(available=10), "coins": Balance(available=7)},
        {"points": Balance(available=6), "coins": Balance(available=7)},
    ]


def test_a_lot_names_the_entry_that_opened_it() -> None:
    desk = Desk()
    anna = desk.enrols()
    [entry] = accepted(desk.gives(anna, 10, "2026-01-05")).entries
    [birth] = entry.births
    lot = desk.state.get(LOTS, birth.lot_id)
    assert lot is not None
    assert lot.entry_id == entry.id
    assert MemberId(lot.member_id) == anna
