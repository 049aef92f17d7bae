"""What an entry keeps of how it came to be: JSON text that its hash covers, in a shape for each kind of entry.

Whatever is asked of an entry later (what a return takes back, why points are what they are, what a merge carried) is
answered from here, whatever holds by then. A shape only ever grows by what may be missing: nothing that was written is
rewritten. Days and moments stand in ISO 8601.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NotRequired, TypedDict, TypeVar, cast

import orjson

from loyalty.domain.entries import Entry


class KeptFacts(TypedDict):
    """`loyalty.domain.earning.Facts`, without what says nothing."""

    at: str
    values: NotRequired[Mapping[str, Any]]
    room: NotRequired[Mapping[str, int]]
    kept: NotRequired[Mapping[str, int]]
    net_spend: NotRequired[int]
    """Of a purchase that was reassigned in part."""


class Sold(TypedDict):
    """Of a purchase: its inputs, the rules that decided, and what they gave."""

    rules: NotRequired[int]
    """The version; where none was published, the rates of the wallets stand instead."""
    facts: NotRequired[KeptFacts]
    rule: NotRequired[str]
    rates: NotRequired[Mapping[str, Sequence[int]]]
    """By wallet: points, and for how many minor units."""
    currency: str
    net_spend: int
    """Minor units."""
    lines: list[dict[str, Any]]
    points: Mapping[str, int]
    """By wallet."""
    tenders: NotRequired[Sequence[dict[str, Any]]]
    of: NotRequired[str]
    """The purchase that was reassigned; with it, its day and how often that has been done."""
    bought_on: NotRequired[str]
    moves: NotRequired[int]


class LineBack(TypedDict):
    """A part of a line that came back."""

    line_id: str
    quantity: int
    amount: int
    """Minor units."""


class Concerning(TypedDict):
    """Of what resolves, moves or takes back an earlier entry, and says nothing else."""

    of: str


class TakenBack(Concerning):
    """Of a return, and of who a purchase is taken from when it is reassigned."""

    lines: Sequence[LineBack]
    points: Mapping[str, int]
    net_spend: int
    bought_on: str
    reservation: NotRequired[str]
    """The hold that was opened for it."""
    to: NotRequired[str]
    """The entry by which it is earned again."""
    counts: NotRequired[Sequence[Sequence[Any]]]
    """As `HandedOver`; net spend alone goes without."""


class Held(TypedDict):
    """Of a hold, and of a return that is reserved."""

    expires_at: str
    reserved: NotRequired[object]
    """The return, as its hold keeps it."""


class Captured(Concerning):
    """Of what a hold was spent on."""

    spent: Sequence[Sequence[Any]]
    """Lot, wallet, points: what left `held` bears no draw of its own."""


class Refunded(Concerning):
    """Of points of a redemption that were given back."""

    points: int
    lots: Mapping[str, int]


class Money(TypedDict):
    """An amount of a currency, in minor units."""

    currency: str
    amount: int


class Discounted(TypedDict):
    """Of a redemption at the till."""

    value: Money


class Appointed(TypedDict):
    """Of a tier that was given by hand, or, without one, taken back."""

    tier: str | None
    until: str | None
    locked: bool
    approved_by: str
    fires_benefits: NotRequired[bool]


class HandedOver(TypedDict):
    """Of a merge, its reversal and what follows: the giving side names to whom, the taking side the giving entry."""

    to: NotRequired[str]
    of: NotRequired[str]
    counts: NotRequired[Sequence[Sequence[Any]]]
    """Metric, day, amount; missing where points alone were called back."""
    tier: NotRequired[str]
    """Of a merge, the absorbed member's, which it had `since` then."""
    since: NotRequired[str]
    given: NotRequired[Sequence[Any]]
    """Of a merge: the tier that the absorbed member was given by hand, until when, and whether it is locked."""
    ripe: NotRequired[Sequence[Sequence[Any]]]
    """Of who gives: metric, day, amount of what ripened there and goes back to where it is pending still."""
    lapsed: NotRequired[Mapping[str, int]]
    """Of a reversal: points of lots that lapsed at the survivor, by the absorbed member's lot."""
    caps: NotRequired[Sequence[Sequence[Any]]]
    """What the absorbed member had used of caps: cap, over which time, points. Of a merge and of its reversal."""


Calculation = Sold | Concerning | TakenBack | Held | Captured | Refunded | Discounted | Appointed | HandedOver


Shape = TypeVar("Shape")


def as_text(calculation: Calculation) -> str:
    """The JSON text that stands in the entry."""
    return orjson.dumps(calculation).decode()


def read(entry: Entry, _: type[Shape]) -> Shape:
    """What the entry keeps, which its kind says is of this shape. Nobody changes it; empty where nothing is kept."""
    return cast("Shape", _parsed(entry.calculation or "{}"))


def of_entry(entry: Entry) -> str | None:
    """The earlier entry that this one takes back, resolves or moves."""
    return read(entry, Concerning).get("of")


def is_purchase(entry: Entry) -> bool:
    """Whether the entry is a sale that somebody earned by: made with them, or reassigned to them."""
    stored = read(entry, Sold)
    return "rates" in stored or "rules" in stored


@lru_cache(maxsize=16)
def _parsed(calculation: str) -> Mapping[str, Any]:
    """What is stored, for the questions that are asked of one entry after the other."""
    found: Mapping[str, Any] = orjson.loads(calculation)
    return found
