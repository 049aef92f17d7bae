"""Earning rules: what a purchase earns, as data. A rule set has its version and its time, and never changes.

`earning.py` applies a rule set to a basket; `soundness.py` says what is wrong with one before it is published.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson

from loyalty.domain.calendar import INSTANT
from loyalty.domain.conditions import Condition, compiled
from loyalty.domain.expiry import Expiry, Lifespan

MOST_RULES: Final = 100
"""Most rules of a set."""
MOST_VERSIONS: Final = 1_000
"""Most rule sets that a programme publishes."""


class Rounding(StrEnum):
    """What becomes of a part of a point, once per purchase and wallet."""

    FLOOR = "floor"
    HALF_UP = "half_up"
    CEIL = "ceil"


class Tax(StrEnum):
    """Whether tax earns."""

    AS_SENT = "as_sent"
    """A line's amount earns as it is, with the tax or without."""
    INCLUDED = "included"
    EXCLUDED = "excluded"


class GiftCards(StrEnum):
    """When a gift card earns: once."""

    ON_SALE = "on_sale"
    """When it is bought; what it pays for later does not."""
    ON_USE = "on_use"
    """When it pays; buying it does not."""
    ALWAYS = "always"
    """Both times: the rule of programmes that have published none."""


class Stacking(StrEnum):
    """How a multiplier meets others: (1 + the extras that are added + the best extra) x those that multiply."""

    ADD = "add"
    MULTIPLY = "multiply"
    BEST = "best"


class Per(StrEnum):
    """What a bonus is given for."""

    ORDER = "order"
    PIECE = "piece"


class OnReturn(StrEnum):
    """What becomes of a bonus when a part of the purchase comes back."""

    RECOMPUTE = "recompute"
    """It goes when what remains would not have earned it."""
    PROPORTION = "proportion"
    """It goes in proportion to the net spend that comes back, rounded down once."""


class CapPer(StrEnum):
    """The time over which a cap counts."""

    ORDER = "order"
    DAY = "day"
    MONTH = "month"
    MEMBER = "member"
    """For ever."""


class Span(NamedTuple):
    """When a rule applies to what occurs, within the time of its set."""

    begins: datetime | None = None
    ends: datetime | None = None
    """Excluded."""

    def contains(self, at: datetime) -> bool:
        return (self.begins is None or self.begins <= at) and (self.ends is None or at < self.ends)


ALWAYS: Final = Span()


class Base(NamedTuple):
    """What a wallet gains for money: `points` for every `per` minor units that earn."""

    id: str
    wallet: str
    points: int
    per: int
    rounding: Rounding = Rounding.FLOOR
    tax: Tax = Tax.AS_SENT
    shipping: bool = True
    gift_cards: GiftCards = GiftCards.ON_SALE
    paid_with_points: bool = False
    """Whether the part that was paid with points earns."""
    pending: int | None = None
    """Seconds before what a purchase earns in the wallet can be spent; None: as the wallet has it."""
    expiry: Expiry | None = None
    """How long that lasts; None: as the wallet has it."""
    span: Span = ALWAYS


class Multiplier(NamedTuple):
    """Lines earn `percent` of the base: 200 is double."""

    id: str
    wallet: str
    percent: int
    when: str | None = None
    stacking: Stacking = Stacking.ADD
    group: str | None = None
    """Of the multipliers of a group, a line gains by the one of the highest priority alone."""
    priority: int = 0
    span: Span = ALWAYS


class Bonus(NamedTuple):
    """Fixed points, for the order or for every piece."""

    id: str
    wallet: str
    points: int
    when: str | None = None
    per: Per = Per.ORDER
    on_return: OnReturn = OnReturn.RECOMPUTE
    group: str | None = None
    priority: int = 0
    span: Span = ALWAYS


class Exclusion(NamedTuple):
    """Lines, or whole orders, that earn nothing."""

    id: str
    wallet: str | None
    """None: in every wallet."""
    when: str
    span: Span = ALWAYS


class Cap(NamedTuple):
    """The most points that a member earns in a wallet over a time. What a return frees is not earned again."""

    id: str
    wallet: str
    points: int
    per: CapPer
    span: Span = ALWAYS


Rule = Base | Multiplier | Bonus | Exclusion | Cap


class InForce:
    """The rules of a set that apply at a moment, by what they do; their conditions are compiled."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.bases: dict[str, Base] = {}
        self.multipliers: dict[str, list[Multiplier]] = {}
        self.bonuses: dict[str, list[Bonus]] = {}
        self.exclusions: list[Exclusion] = []
        self.caps: list[Cap] = []
        for rule in rules:
            match rule:
                case Base():
                    self.bases[rule.wallet] = rule
                case Multiplier():
                    self.multipliers.setdefault(rule.wallet, []).append(rule)
                case Bonus():
                    self.bonuses.setdefault(rule.wallet, []).append(rule)
                case Exclusion():
                    self.exclusions.append(rule)
                case Cap():
                    self.caps.append(rule)

    @cached_property
    def is_plain(self) -> bool:
        """Whether every wallet gains by its base for all that is spent, and nothing else plays a part."""
        return not (self.multipliers or self.bonuses or self.exclusions or self.caps) and all(
            base[4:9] == _PLAIN for base in self.bases.values()
        )

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that the conditions speak of."""
        return frozenset(name for condition in self._conditions for name in condition.names)

    @cached_property
    def about_lines(self) -> frozenset[str]:
        """The conditions that are asked for every line."""
        return frozenset(condition.text for condition in self._conditions if condition.of_lines)

    @property
    def _conditions(self) -> list[Condition]:
        asking: list[Multiplier | Bonus | Exclusion] = [
            *self.exclusions,
            *(rule for rules in self.multipliers.values() for rule in rules),
            *(rule for rules in self.bonuses.values() for rule in rules),
        ]
        return [compiled(rule.when) for rule in asking if rule.when is not None]


_PLAIN: Final = (Rounding.FLOOR, Tax.AS_SENT, True, GiftCards.ALWAYS, True)


@dataclass(frozen=True)
class RuleSet:
    """Rules that were published together."""

    id: str
    version: int | None
    """0: what the settings of the wallets say, before anything was published. None: a draft."""
    effective_from: datetime | None
    """From which moment on what occurs earns by it; None: since ever."""
    rules: tuple[Rule, ...]

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that any of its conditions speaks of."""
        return frozenset().union(*(part.names for part in self._parts))

    def at(self, moment: datetime) -> InForce:
        """The rules that apply to what occurs at the moment."""
        return self._parts[bisect_right(self._changes, moment)]

    @cached_property
    def _changes(self) -> list[datetime]:
        """The moments at which a rule begins or ends."""
        return sorted({moment for rule in self.rules for moment in rule.span if moment is not None})

    @cached_property
    def _parts(self) -> list[InForce]:
        """What is in force before the first change, and from each on."""
        first = (self._changes or [_EARLY])[0] - INSTANT
        return [InForce(rule for rule in self.rules if rule.span.contains(at)) for at in (first, *self._changes)]


_EARLY: Final = datetime(1, 1, 2, tzinfo=UTC)


def in_order(published: Iterable[RuleSet]) -> tuple[RuleSet, ...]:
    """Published sets as they take effect; of two of one moment the later publication comes last, and holds."""
    return tuple(sorted(published, key=lambda one: (one.effective_from or _EARLY, one.version or 0)))


def plain_base(wallet: str, points: int, per: int) -> Base:
    """The base rule that the settings of a wallet are: everything that is spent earns."""
    return Base(wallet, wallet, points, per, gift_cards=GiftCards.ALWAYS, paid_with_points=True)


def rules_json(rules: Iterable[Rule]) -> str:
    """The rules as they are stored and shown."""
    return orjson.dumps([shown(rule) for rule in rules]).decode()


def shown(rule: Rule) -> dict[str, Any]:
    """One rule as it is stored and shown: its kind, and what it leaves to others is left out."""
    fields = rule._asdict()
    begins, ends = fields.pop("span")
    left = {"from": begins, "until": ends}
    if isinstance(rule, Base):
        expiry = fields.pop("expiry")
        left["pending_seconds"] = fields.pop("pending")
        left["expiry"] = expiry and {"lifespan": expiry.lifespan, "periods": expiry.periods}
    return {"kind": _KINDS[type(rule)], **fields, **{name: it for name, it in left.items() if it is not None}}


_KINDS: Final[Mapping[type[Any], str]] = {
    Base: "base",
    Multiplier: "multiplier",
    Bonus: "bonus",
    Exclusion: "exclusion",
    Cap: "cap",
}
_CLASSES: Final = {kind: class_ for class_, kind in _KINDS.items()}
_CHOICES: Final[Mapping[type[Any], Mapping[str, type[Any]]]] = {
    Base: {"rounding": Rounding, "tax": Tax, "gift_cards": GiftCards},
    Multiplier: {"stacking": Stacking},
    Bonus: {"per": Per, "on_return": OnReturn},
    Exclusion: {},
    Cap: {"per": CapPer},
}


def rule_of(fields: Mapping[str, Any]) -> Rule:
    """The rule that `shown` shows."""
    given = dict(fields)
    class_ = _CLASSES[given.pop("kind")]
    begins, ends = given.pop("from", None), given.pop("until", None)
    for name, choice in _CHOICES[class_].items():
        given[name] = choice(given[name])
    if class_ is Base:
        given["pending"], expiry = given.pop("pending_seconds", None), given.get("expiry")
        given["expiry"] = expiry and Expiry(Lifespan(expiry["lifespan"]), expiry["periods"])
    rule: Rule = class_(**given, span=Span(_moment(begins), _moment(ends)))
    return rule


def _moment(text_: str | None) -> datetime | None:
    return None if text_ is None else datetime.fromisoformat(text_)
