"""Keys replay their answer; references are taken once, for ever, over all members (invariant 7)."""

import pytest

from loyalty.domain.books import Balance
from loyalty.domain.claims import REFERENCES, REPLAYS, ReferenceKey, ReplayKey, reference_key
from loyalty.operations.door import Submission
from loyalty.operations.sweep import Settle
from tests.makers import (
    Desk,
    a_claim,
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
)


def test_a_replay_gives_the_same_bytes_and_moves_nothing() -> None:
    desk = Desk()
    anna = desk.enrols()
    first = desk.gives(anna, 10, "2026-02-01", ref="a", key="k")
    rows = dict(desk.state.rows)
    desk.now = at("2026-02-02")
    again = desk.gives(anna, 10, "2026-02-01", ref="a", key="k")
    assert (again.status, again.body, again.replayed, again.outcome) == (first.status, first.body, True, None)
    assert not first.replayed
    assert desk.state.rows == rows


def test_a_refusal_is_an_answer_and_replays() -> None:
    desk = Desk()
    anna = desk.enrols()
    first = desk.redeems(anna, 10, "2026-02-01", ref="a", key="k")
    desk.gives(anna, 100, "2026-02-01")
    again = desk.redeems(anna, 10, "2026-02-01", ref="a", key="k")
    assert code_of(first) == "insufficient_points"
    assert (again.body, again.replayed) == (first.body, True)
    assert code_of(desk.redeems(anna, 10, "2026-02-01", ref="a", key="another")) is None


def test_a_replay_does_not_settle() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-05", ref="a", key="k")
    desk.does(Settle(anna), at("2026-01-06"), key="settle", request="settle")
    again = desk.does(Settle(anna), at("2026-03-01"), key="settle", request="settle")
    assert again.replayed
    assert desk.balance(anna) == Balance(pending=100)


def test_a_refusal_that_another_event_can_cure_is_not_frozen() -> None:
    desk = Desk()
    command = buying(desk.programme, a_member_id(1), 100_00, at("2026-02-01"), reference="a")
    assert code_of(desk.does(command, at("2026-02-01"), key="k")) == "member_not_found"
    desk.enrols()
    assert code_of(desk.does(command, at("2026-02-01"), key="k")) is None


def test_an_event_of_the_future_may_come_again_when_its_time_has_come() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.now = at("2026-02-01")
    assert code_of(desk.gives(anna, 10, "2026-02-02", ref="a", key="k")) == "occurred_at_in_future"
    desk.now = at("2026-02-02")
    assert code_of(desk.gives(anna, 10, "2026-02-02", ref="a", key="k")) is None


def test_a_key_with_another_request_is_refused_and_the_first_answer_stays() -> None:
    desk = Desk()
    anna = desk.enrols()
    first = desk.gives(anna, 10, "2026-02-01", ref="a", key="k")
    other = desk.gives(anna, 11, "2026-02-01", ref="b", key="k")
    assert (code_of(other), other.replayed) == ("idempotency_key_reused", False)
    assert desk.gives(anna, 10, "2026-02-01", ref="a", key="k").body == first.body
    assert desk.balance(anna) == Balance(available=10)


def test_a_key_with_another_member_is_another_request() -> None:
    desk = Desk()
    anna, bert = desk.enrols(), desk.enrols()
    desk.gives(anna, 10, "2026-02-01", ref="a", key="k")
    assert code_of(desk.gives(bert, 10, "2026-02-01", ref="a", key="k")) == "idempotency_key_reused"


@pytest.mark.parametrize(
    "other", [ReplayKey("web", "", "k"), ReplayKey("till", "a member's token", "k"), ReplayKey("till", "", "K")]
)
def test_a_key_belongs_to_its_client_and_subject(other: ReplayKey) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 10, "2026-02-01", key="k")
    submission = desk.asks(buying(desk.programme, anna, 100_00, at("2026-02-02"), reference="b"), at("2026-02-02"))
    [answer] = desk.commits([submission._replace(claim=a_claim("k")._replace(key=other))])
    assert accepted(answer)
    assert desk.state.get(REPLAYS, other) is not None


def test_a_command_without_a_key_leaves_no_answer_behind() -> None:
    desk = Desk()
    desk.gives(desk.enrols(), 10, "2026-02-01")
    assert desk.state.own(REPLAYS) == []


# --- references --------------------------------------------------------------------------------------------


def test_a_reference_is_taken_once_over_all_members_and_names_its_entry() -> None:
    desk = Desk()
    anna, bert = desk.enrols(), desk.enrols()
    [entry] = accepted(desk.buys(anna, 100_00, "2026-02-01", ref="receipt-7")).entries
    second = refused(desk.buys(bert, 100_00, "2030-02-01", ref="receipt-7"))
    assert second.code == "reference_taken"
    assert second.facts == {"source": "pos", "reference": "receipt-7", "entry": entry.id}
    assert desk.balance(bert) == Balance()


def test_a_reference_taken_in_the_same_batch_is_taken() -> None:
    desk = Desk()
    anna, bert = desk.enrols(), desk.enrols()

    def till(who: object) -> Submission:
        command = buying(desk.programme, who, 100_00, at("2026-02-01"), reference="a")  # type: ignore[arg-type]
        return desk.asks(command, at("2026-02-01"))

    answers = desk.commits([till(anna), till(bert), till(anna)])
    assert [code_of(answer) for answer in answers] == [None, "reference_taken", "reference_taken"]


def test_a_key_answered_in_the_same_batch_replays() -> None:
    desk = Desk()
    anna = desk.enrols()
    command = buying(desk.programme, anna, 100_00, at("2026-02-01"), reference="a")
    first, again = desk.commits([desk.asks(command, at("2026-02-01"), key="k") for _ in range(2)])
    assert (again.body, again.replayed, first.replayed) == (first.body, True, False)
    assert desk.balance(anna) == Balance(available=100)


@pytest.mark.parametrize(
    ("source", "ref", "refusal"), [("pos", "a", "reference_taken"), ("web", "a", None), ("pos", "A", None)]
)
def test_a_reference_belongs_to_its_source(source: str, ref: str, refusal: str | None) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-02-01", ref="a", source="pos")
    assert code_of(desk.buys(anna, 100_00, "2026-02-01", ref=ref, source=source)) == refusal


def test_a_redemption_may_carry_the_reference_of_the_purchase_it_pays_for() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-02-01", ref="receipt-7", source="pos")
    assert code_of(desk.redeems(anna, 10, "2026-02-01", ref="receipt-7", source="pos")) is None
    assert len(desk.state.own(REFERENCES)) == 2


def test_a_grant_and_a_purchase_share_the_references_of_their_source() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-02-01", ref="a", source="pos")
    assert code_of(desk.gives(anna, 100, "2026-02-01", ref="a", source="pos")) == "reference_taken"


def test_receipt_numbers_that_begin_again_are_told_apart_by_the_business_day() -> None:
    programme = a_programme(restarting_sources=frozenset({"old-till"}))
    assert reference_key(programme, "accrual", source="old-till", reference="1", day=day("2026-02-01")) == (
        ("old-till", "1", "accrual", "2026-02-01")
    )
    desk = Desk(programme)
    anna = desk.enrols()
    codes = [
        code_of(desk.buys(anna, 100_00, when, ref="1", source="old-till"))
        for when in ("2026-02-01", "2026-02-01 23:00", "2026-02-02")
    ]
    assert codes == [None, "reference_taken", None]


def test_a_key_serves_every_verb() -> None:
    desk = Desk()
    command = enrolling(a_member_id(1))
    first = desk.does(command, at("2026-02-01"), key="k")
    assert desk.does(command, at("2026-02-01"), key="k").body == first.body


def test_a_reference_carries_a_day_only_where_receipt_numbers_begin_again() -> None:
    programme = a_programme(restarting_sources=frozenset({"old-till"}))
    keys = [
        reference_key(programme, "accrual", source=source, reference="r", day=day("2026-02-01"))
        for source in ("till", "old-till")
    ]
    assert keys == [("till", "r", "accrual", ""), ("old-till", "r", "accrual", "2026-02-01")]
    assert ReferenceKey("till", "r", "accrual") == keys[0], "stored rows carry no day either"
