"""What a platform's message means in our words, and what an adapter is: it knows one platform's words for both."""

from collections.abc import Mapping, Set
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


class Received(NamedTuple):
    """A message as it came: its name (the last segment of the path), its query, its headers in lower case, its body."""

    name: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Signature(NamedTuple):
    """What a message claims of itself; nothing of it is believed until it is checked."""

    given: str
    signed_at: datetime


class KnownBy(NamedTuple):
    """What the channel knows somebody by. Personal data."""

    type: str
    value: str


class PointsChanged(NamedTuple):
    """The platform credits or debits points, once for each record."""

    record: str
    """The platform's own number of the change."""
    who: KnownBy
    points: int
    """Negative for a debit; never zero."""
    reason: str | None = None
    occurred_at: datetime | None = None
    """None: now."""


class Joined(NamedTuple):
    """Somebody is a member on the platform: from now on, or since before we heard of it."""

    own: KnownBy
    """What the platform will speak of them by."""
    others: tuple[KnownBy, ...] = ()
    """What else it knows them by: they are bound where nobody else has them, and lead to nobody."""
    sealed_phone: KnownBy | None = None
    """Their phone as only the platform can read it: an identity of its own."""
    phone: str | None = None
    """Their phone, in international form."""
    birthday: date | None = None


class Left(NamedTuple):
    """Somebody is no longer a member on the platform."""

    own: KnownBy


Meaning = PointsChanged | Joined | Left


class Verdict(StrEnum):
    """What came of a message."""

    DONE = "done"
    WAITS = "waits"
    """It is kept, and done once somebody is known by that: the platform need not send it again."""
    REFUSED = "refused"
    """Sent again, it will be refused again."""
    RETRY = "retry"
    """Nothing is known to have happened; sent again, it may pass, or finds what happened."""


class Outcome(NamedTuple):
    """What to tell the platform."""

    verdict: Verdict
    code: str = ""
    """Why not: one of our published codes, or of `inbound.py`. Never anything of the message."""
    points: int | None = None
    """What the member can spend now, where that is known."""
    level: int | None = None
    """The member's tier as a place on the ladder: 1 is the lowest."""
    is_new: bool | None = None
    """Of a join: whether there was no such member before."""


class Malformed(ValueError):
    """The message is not what the platform's documents say. Says which field, never what was in it."""


class Adapter(Protocol):
    """One platform. A module of these names will do: see README.md."""

    @property
    def MESSAGES(self) -> Set[str]:  # noqa: N802 - a module's constant
        """The names of the messages it reads."""

    def signature(self, received: Received) -> Signature:
        """The signature that the message bears, and when it says it was signed. Raises Malformed."""

    def sign(self, received: Received, secret: str) -> str:
        """What the signature of the message has to be."""

    def read(self, name: str, body: Any) -> Meaning:
        """What the message means, its body read as JSON. Raises Malformed."""

    def say(self, name: str, body: Any, outcome: Outcome) -> tuple[int, Mapping[str, Any]]:
        """The HTTP status and the JSON of the answer. `body` may be anything: None where it could not be read."""
