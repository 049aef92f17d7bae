"""A programme: one loyalty scheme and the settings that the pure rooms decide by."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from loyalty.domain.activity import Activity
from loyalty.domain.calendar import Calendar
from loyalty.domain.expiry import Expiry
from loyalty.domain.ladder import Ladder
from loyalty.domain.refusals import OccursInFuture, UnknownWallet
from loyalty.domain.rules import RuleSet, plain_base

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far ahead of our clock a till's clock may run."""


PROGRAMME_CODE: Final = re.compile("[a-z0-9][a-z0-9-]{0,62}")
WALLET_NAME: Final = re.compile("[a-z][a-z0-9_]{0,31}")
_CURRENCY: Final = re.compile("[A-Z]{3}")


class Wallet(NamedTuple):
    """A kind of point. The base rule gives `points_per_unit` for every full `unit` of net spend."""

    name: str
    points_per_unit: int
    unit: int
    """Minor currency units (cents, fen) that earn `points_per_unit` points, rounded down once per purchase."""
    pending: timedelta
    expiry: Expiry
    point_value: int
    """Minor currency units one point is worth as a discount; 0 where it cannot be spent that way."""

    def check(self) -> None:
        """Raises ValueError, in a sentence, when the rule of the wallet makes no sense."""
        if not WALLET_NAME.fullmatch(self.name):
            raise ValueError(f"the wallet {self.name!r} needs a name of lower-case letters, digits and _")
        if self.unit < 1 or self.points_per_unit < 0 or self.point_value < 0:
            raise ValueError(f"the wallet {self.name!r} needs a positive unit and no negative points or value")
        if self.pending < timedelta(0) or self.expiry.periods < 0:
            raise ValueError(f"the wallet {self.name!r} cannot be pending or last for a negative time")
        if self.expiry.slides and not self.expiry.periods:
            raise ValueError(f"the wallet {self.name!r} slides by at least a month")


class Shortfall(StrEnum):
    """What becomes of points that a return cannot take back."""

    OWED = "owed"
    """The member owes them: the next points repay them."""
    WITHHELD = "withheld"
    """Their worth is to be kept from the money that is refunded; the answer says how much."""
    WAIVED = "waived"
    """They are let go."""


class SpendRequires(StrEnum):
    """What a till has to show beside the member's name before points are spent."""

    NOTHING = "none"
    MEMBER_CODE = "member_code"
    """The code that the member's app shows."""


class Programme(NamedTuple):
    """Everything about a programme that a decision may depend on. Never changes while a batch runs."""

    id: int
    code: str
    currency: str
    calendar: Calendar
    wallets: Mapping[str, Wallet]
    ladder: Ladder
    fixed_now: datetime | None = None
    """A programme whose clock stands still (an imported year) lives at this instant; None: the wall clock."""
    enrolment_requires: frozenset[str] = frozenset()
    minimum_age: int = 14
    restarting_sources: frozenset[str] = frozenset()
    """Sources whose receipt numbers begin again: their references include the business date."""
    forced_sources: frozenset[str] = frozenset()
    """Sources that may report what happened offline although the points did not suffice."""
    hold_grace: timedelta = timedelta(0)
    """How long after its end a hold may still be captured, if the points suffice."""
    refund_grace_days: int = 0
    """Business days for which refunded points live whose lot has expired since; 0: they are gone."""
    return_shortfall: Shortfall = Shortfall.OWED
    transfers: bool = False
    """Whether members may give points to each other."""
    parked_days: int = 30
    """How long an event that came too early waits for what it needs."""
    adjustment_limit: int | None = None
    """Points above which a correction needs a second person; None: never."""
    spend_requires: SpendRequires = SpendRequires.NOTHING
    """At tills and stores; what an offline till may force is not asked for it."""
    activity: Activity = Activity()
    rule_sets: tuple[RuleSet, ...] = ()
    """Published earning rules, in the order in which they take effect."""

    def checked(self) -> "Programme":
        """The programme itself. Raises ValueError, in a sentence, when its settings contradict each other."""
        if not _CURRENCY.fullmatch(self.currency):
            raise ValueError("currency must be three capital letters (ISO 4217)")
        if not self.wallets:
            raise ValueError("a programme needs at least one wallet")
        for wallet in self.wallets.values():
            wallet.check()
        self.ladder.check(frozenset(self.wallets))
        self.activity.check()
        if (
            self.parked_days < 0
            or self.hold_grace < timedelta(0)
            or self.refund_grace_days < 0
            or (self.adjustment_limit or 0) < 0
        ):
            raise ValueError("a grace or a limit cannot be negative")
        return self

    def wallet(self, name: str) -> Wallet:
        """The wallet called `name`. Raises UnknownWallet."""
        try:
            return self.wallets[name]
        except KeyError:
            raise UnknownWallet(f"This programme has no wallet {name!r}.", wallet=name) from None

    def rules_at(self, occurred_at: datetime) -> RuleSet:
        """The earning rules by which a purchase of that moment is decided."""
        for rules in reversed(self.rule_sets):
            if rules.effective_from is not None and rules.effective_from <= occurred_at:
                return rules
        return _of_settings(tuple((name, one.points_per_unit, one.unit) for name, one in self.wallets.items()))

    def rules(self, version: int) -> RuleSet:
        """The rule set that was published as this version. Raises LookupError for one that was not."""
        for rules in self.rule_sets:
            if rules.version == version:
                return rules
        raise LookupError(f"no rules were published as version {version}")

    def now(self, wall_clock: datetime) -> datetime:
        """What time it is in this programme."""
        return self.fixed_now or wall_clock

    def reached(self, occurred_at: datetime, wall_clock: datetime) -> datetime:
        """Where an event takes effect: a till's clock may run ahead, but nothing is due earlier for that."""
        return min(occurred_at, self.now(wall_clock))

    def check_not_ahead(self, occurred_at: datetime, wall_clock: datetime) -> None:
        """Raises OccursInFuture when an event claims to lie more than `CLOCK_TOLERANCE` ahead of now."""
        if occurred_at > self.now(wall_clock) + CLOCK_TOLERANCE:
            raise OccursInFuture(
                "occurred_at is more than five minutes ahead of the programme's clock.",
                occurred_at=occurred_at,
                now=self.now(wall_clock),
            )


@lru_cache(maxsize=1_024)
def _of_settings(wallets: tuple[tuple[str, int, int], ...]) -> RuleSet:
    """Version 0: what the settings of the wallets say, as rules."""
    return RuleSet("", 0, None, tuple(plain_base(*wallet) for wallet in wallets))
