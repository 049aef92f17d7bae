"""What a purchase earns by the settings of its wallets: the rules of a programme that has published none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.calculations import Sold
from loyalty.domain.earning import Earned, Facts, Order, calculation, check_currency, earned
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import CurrencyNotAccepted
from tests.makers import a_programme, a_wallet, an_order, an_order_of, at

NOON = at("2026-05-05")


def by_settings(programme: Programme, order: Order) -> Earned:
    return earned(programme.rules_at(NOON).at(NOON), order, Facts(NOON))


def points_of(net_spend: int, points: int, unit: int) -> int:
    """What a purchase gives at `points` for every full `unit`."""
    return by_settings(a_programme(a_wallet(points=points, unit=unit)), an_order(net_spend)).points["points"]


@pytest.mark.parametrize(
    ("points", "unit", "net_spend", "expected"),
    [
        (1, 100, 0, 0),
        (1, 100, 99, 0),
        (1, 100, 100, 1),
        (1, 100, 199_99, 199),
        (3, 100, 133, 3),
        (3, 100, 134, 4),  # 4.02: three for each whole yuan would be 3, rounding happens once
        (2, 1000, 1999, 3),
        (10, 1, 7, 70),
        (1, 100, 2**53 - 1, (2**53 - 1) // 100),
    ],
)
def test_a_purchase_is_rounded_down_once(points: int, unit: int, net_spend: int, expected: int) -> None:
    assert points_of(net_spend, points, unit) == expected


@given(points=st.integers(1, 50), unit=st.integers(1, 10_000), spends=st.tuples(*2 * [st.integers(0, 10**9)]))
def test_one_purchase_never_earns_less_than_its_parts(points: int, unit: int, spends: tuple[int, int]) -> None:
    together = points_of(sum(spends), points, unit)
    apart = sum(points_of(spend, points, unit) for spend in spends)
    assert apart <= together <= apart + 1


def test_every_wallet_earns_by_its_own_rule() -> None:
    programme = a_programme(a_wallet("points"), a_wallet("coins", points=5, unit=1000))
    assert by_settings(programme, an_order(25_99)).points == {"points": 25, "coins": 12}


def test_another_currency_is_refused_and_the_accepted_one_named() -> None:
    with pytest.raises(CurrencyNotAccepted) as caught:
        check_currency(a_programme(), an_order(100, currency="EUR"))
    assert caught.value.facts == {"currency": "EUR", "accepted": "CNY"}


def test_without_published_rules_everything_that_is_spent_earns() -> None:
    order = an_order_of(("1", 1, 10_000), ("2", 1, 5_000))
    order.lines[0]["kind"], order.lines[1]["kind"] = "gift_card", "shipping"
    order.lines[0].update(tax_amount=1_150, tax_included=False)
    paid = order._replace(tenders=[{"type": "points", "amount": 5_000}, {"type": "gift_card", "amount": 10_000}])
    assert by_settings(a_programme(), paid).points == {"points": 150}


def test_the_calculation_keeps_what_a_return_will_need() -> None:
    def kept_of(order: Order) -> Sold:
        programme = a_programme()
        given = by_settings(programme, order)
        return calculation(programme, programme.rules_at(NOON), order, Facts(NOON), given)

    order = an_order(19_900)
    assert kept_of(order) == {
        "rule": "base",
        "rates": {"points": [1, 100]},
        "currency": "CNY",
        "net_spend": 19_900,
        "lines": order.lines,
        "points": {"points": 199},
    }
    with_tenders = order._replace(tenders=[{"type": "cash", "amount": 19_900}])
    assert kept_of(with_tenders)["tenders"] == with_tenders.tenders
