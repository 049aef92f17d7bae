"""Programmes to begin with: the demo, and the one that a real year of a grocery chain is imported into."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from loyalty.domain.calendar import Calendar
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import Programme, Wallet

DEMO = Programme(
    id=0,
    code="demo",
    currency="CNY",
    calendar=Calendar(ZoneInfo("Asia/Shanghai")),
    wallets={
        "points": Wallet(
            "points",
            points_per_unit=1,
            unit=100,
            pending=timedelta(days=7),
            expiry=Expiry(Lifespan.YEAR_END, 1),
            point_value=1,
        )
    },
    ladder=Ladder((Rung("member", 0), Rung("silver", 1_000_00), Rung("gold", 5_000_00))),
    forced_sources=frozenset({"pos-offline"}),
    hold_grace=timedelta(minutes=10),
    refund_grace_days=14,
    transfers=True,
    adjustment_limit=10_000,
)
"""1 point per 1.00, pending 7 days, good to the end of next year; 1 point is worth 0.01."""

REAL_YEAR = Programme(
    id=0,
    code="real-year",
    currency="USD",
    calendar=Calendar(ZoneInfo("America/New_York"), cutover=timedelta(hours=5)),
    wallets={
        "points": Wallet(
            "points",
            points_per_unit=1,
            unit=100,
            pending=timedelta(days=7),
            expiry=Expiry(Lifespan.MONTHS, 3),
            point_value=1,
        )
    },
    ladder=Ladder((Rung("member", 0), Rung("silver", 1_000_00), Rung("gold", 3_000_00))),
    fixed_now=datetime(2018, 1, 1, 9, 59, 59, tzinfo=UTC),
)
"""The year 2017 of a grocery chain: a point per whole dollar, pending 7 days, good for three months."""
