"""Drift, by itself: when a copy agrees, when it is explained, and when it differs."""

import pytest

from loyalty.domain.drift import Figures, Verdict, judge


@pytest.mark.parametrize(
    ("shown", "then", "now", "per_unit", "verdict"),
    [
        (100, 100, 100, 1, Verdict.AGREES),
        (100, 90, 100, 1, Verdict.AGREES),
        (100, 100, 90, 1, Verdict.LATER_ENTRIES),
        (100, 90, 90, 1, Verdict.DIFFERS),
        (0, 0, 0, 1, Verdict.AGREES),
        (12, 1_200, 1_200, 100, Verdict.AGREES),
        (12, 1_299, 1_299, 100, Verdict.ROUNDED),
        (13, 1_299, 1_299, 100, Verdict.DIFFERS),
        (12, 1_299, 1_300, 100, Verdict.LATER_ENTRIES),
        (0, 99, 99, 100, Verdict.ROUNDED),
        (1, 99, 99, 100, Verdict.DIFFERS),
    ],
)
def test_points_are_judged_in_the_channels_units(
    shown: int, then: int, now: int, per_unit: int, verdict: Verdict
) -> None:
    figures = [Figures(points, "gold") for points in (shown, then, now)]
    assert judge(figures[0], then=figures[1], now=figures[2], points_per_unit=per_unit) == verdict


@pytest.mark.parametrize(
    ("shown", "then", "now", "verdict"),
    [
        ("gold", "gold", "gold", Verdict.AGREES),
        (None, "gold", "silver", Verdict.AGREES),
        ("gold", "gold", "silver", Verdict.LATER_ENTRIES),
        ("gold", "silver", "silver", Verdict.DIFFERS),
    ],
)
def test_a_tier_is_judged_only_where_the_channel_shows_one(
    shown: str | None, then: str, now: str, verdict: Verdict
) -> None:
    assert judge(Figures(1, shown), then=Figures(1, then), now=Figures(1, now), points_per_unit=1) == verdict
