"""Settings of a programme: those that contradict each other are refused, and everything at its bound is not."""

from datetime import timedelta
from typing import Any

import pytest

from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import CLOCK_TOLERANCE, Programme, Shortfall, Wallet
from loyalty.domain.refusals import OccursInFuture
from tests.makers import a_programme, a_wallet, at, days

FREE, SILVER, GOLD = Rung("member", 0), Rung("silver", 100), Rung("gold", 101)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"ladder": Ladder((FREE,))},
        {"ladder": Ladder((FREE, SILVER, GOLD))},
        {"hold_grace": days(0), "refund_grace_days": 0, "adjustment_limit": 0, "parked_days": 0},
        {"adjustment_limit": None},
        {"hold_grace": INSTANT, "refund_grace_days": 1, "adjustment_limit": 1, "parked_days": 1},
    ],
)
def test_settings_that_agree_are_the_programme_itself(changes: dict[str, Any]) -> None:
    programme = a_programme(**changes)
    assert programme.checked() is programme


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": "cny"}, "currency"),
        ({"currency": "CNYX"}, "currency"),
        ({"currency": "CN"}, "currency"),
        ({"wallets": {}}, "at least one wallet"),
        ({"wallets": {"points": a_wallet(), "miles": a_wallet("miles", unit=0)}}, "positive unit"),
        ({"ladder": Ladder(())}, "lowest rung"),
        ({"ladder": Ladder((Rung("member", 1),))}, "lowest rung"),
        ({"ladder": Ladder((SILVER, GOLD))}, "lowest rung"),
        ({"ladder": Ladder((FREE, SILVER, Rung("gold", 100)))}, "cost more"),
        ({"ladder": Ladder((FREE, GOLD, SILVER))}, "cost more"),
        ({"ladder": Ladder((FREE, SILVER, Rung("silver", 101)))}, "name of its own"),
        ({"hold_grace": -INSTANT}, "negative"),
        ({"refund_grace_days": -1}, "negative"),
        ({"adjustment_limit": -1}, "negative"),
        ({"parked_days": -1}, "negative"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        a_programme(**changes).checked()


@pytest.mark.parametrize(
    "wallet",
    [
        a_wallet("p"),
        a_wallet("p" * 32),
        a_wallet("points_2"),
        a_wallet(points=0, unit=1, point_value=0),
        a_wallet(pending=days(0), expiry=Expiry(Lifespan.MONTHS, 0)),
        a_wallet(pending=INSTANT, expiry=Expiry(Lifespan.YEAR_END, 1)),
    ],
)
def test_a_wallet_at_its_bounds_makes_sense(wallet: Wallet) -> None:
    wallet.check()


@pytest.mark.parametrize(
    ("wallet", "said"),
    [
        (a_wallet(""), "name"),
        (a_wallet("p" * 33), "name"),
        (a_wallet("Points"), "name"),
        (a_wallet("2points"), "name"),
        (a_wallet(unit=0), "positive unit"),
        (a_wallet(points=-1), "positive unit"),
        (a_wallet(point_value=-1), "positive unit"),
        (a_wallet(pending=-INSTANT), "negative time"),
        (a_wallet(expiry=Expiry(Lifespan.MONTHS, -1)), "negative time"),
    ],
)
def test_a_wallet_that_makes_no_sense_is_refused(wallet: Wallet, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        wallet.check()


def test_what_is_not_set_is_strict_or_off() -> None:
    plain = Programme(1, "p", "EUR", a_programme().calendar, {"points": a_wallet()}, Ladder((FREE,)))
    assert plain.fixed_now is None
    assert plain.minimum_age == 14
    assert (plain.hold_grace, plain.refund_grace_days) == (days(0), 0)
    assert plain.return_shortfall == Shortfall.OWED
    assert not plain.transfers
    assert plain.parked_days == 30
    assert plain.adjustment_limit is None
    assert Expiry(Lifespan.NEVER_ENDS).periods == 0


def test_the_words_of_the_settings_are_as_published() -> None:
    assert [word.value for word in Lifespan] == ["never", "months", "year_end", "sliding"]
    assert [word.value for word in RenewedBy] == ["earning", "earning_and_spending"]
    assert [word.value for word in Shortfall] == ["owed", "withheld", "waived"]


def test_an_event_takes_effect_when_it_occurred_or_now_if_it_lies_ahead() -> None:
    programme = a_programme()
    assert programme.reached(at("2026-01-01"), at("2026-01-02")) == at("2026-01-01")
    assert programme.reached(at("2026-01-02"), at("2026-01-01")) == at("2026-01-01")


def test_an_event_too_far_ahead_is_refused_with_both_times() -> None:
    now = at("2026-01-01")
    a_programme().check_not_ahead(now + CLOCK_TOLERANCE, now)
    with pytest.raises(OccursInFuture) as caught:
        a_programme().check_not_ahead(now + CLOCK_TOLERANCE + INSTANT, now)
    assert caught.value.facts == {"occurred_at": now + CLOCK_TOLERANCE + INSTANT, "now": now}
