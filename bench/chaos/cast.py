"""Who and what the requests are about: members, sales, whatever can be undone; and clocks that can be put wrong."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

RECENT = 30
"""How far back requests reach for something to undo; what is older has mostly been undone."""
SOMEBODY_WHO_LEFT = 0.03
"""Share of requests about a member who has closed its account."""
UNKNOWN_PHONES = 4
"""How many phones may be drawn that nobody has joined with."""

Line = dict[str, Any]
Identity = dict[str, str]
T = TypeVar("T")


class Person(NamedTuple):
    """A member as clients name it."""

    id: str
    number: str


class Sale(NamedTuple):
    """A purchase as whoever returns it knows it."""

    origin: dict[str, str]
    """Its source and reference."""
    lines: list[Line]


class Cast:
    """Everything that was heard of and can be asked about."""

    def __init__(self, chance: random.Random, *, least_members: int, most_members: int) -> None:
        self.chance = chance
        self.least_members = least_members
        """So many never leave."""
        self.most_members = most_members
        self.members: list[Person] = []
        self.left: list[Person] = []
        """Who has closed its account."""
        self.redemptions: list[str] = []
        self.holds: list[str] = []
        self.reservations: list[str] = []
        self.adjustments: list[str] = []
        self.reviews: list[str] = []
        """What can be refunded, captured, released, confirmed, decided or resolved: by id, as it was answered."""
        self.sales: list[Sale] = []
        self.awaited: list[Sale] = []
        """Sales that will be reported after their return."""
        self.strangers: list[Identity] = []
        """Who buys before joining."""
        self.skewed = False
        """Whether the clients' clocks are wrong at present."""
        self._count = self._turn = self._joined = 0

    def joined(self, person: Person) -> None:
        """Somebody new takes part, unless there are enough."""
        self._joined += 1
        if len(self.members) < self.most_members and person not in self.members:
            self.members.append(person)

    def leaves(self, id_: str) -> None:
        """Whoever has closed its account is hardly asked about any more."""
        gone = [person for person in self.members if person.id == id_]
        self.members = [person for person in self.members if person.id != id_]
        self.left.extend(gone)

    def somebody(self) -> dict[str, str]:
        """A member, by its id or its card."""
        gone = self.left and self.chance.random() < SOMEBODY_WHO_LEFT
        person = self.chance.choice(self.left if gone else self.members)
        return self.chance.choice(({"id": person.id}, {"number": person.number}))

    def next_one(self) -> dict[str, str]:
        """Every member in turn."""
        self._turn += 1
        return {"id": self.members[self._turn % len(self.members)].id}

    def moody(self) -> list[str]:
        """The few whose status changes: the rest must be able to go on."""
        return [person.id for person in self.members[-2:]]

    def leavers(self) -> list[str]:
        """Who may leave, so that enough stay."""
        return [person.id for person in self.members[self.least_members :]]

    def phone(self) -> str:
        """One of those that have joined, or one of a few others."""
        return f"+861380013{self.chance.randrange(self._joined + UNKNOWN_PHONES):04}"

    def stranger(self) -> Identity:
        """Somebody whom nobody knows yet, and who will join."""
        self._count += 1
        self.strangers.append({"channel": "tmall", "type": "ouid", "value": f"U-{self._count}"})
        return self.strangers[-1]

    def recent(self, things: Sequence[T]) -> T:
        """One of the newest."""
        return self.chance.choice(things[-RECENT:])

    def origin(self) -> dict[str, str]:
        """A source, and a reference that nobody has used."""
        self._count += 1
        return {"source": f"till-{self.chance.randrange(4)}", "reference": f"R-{self._count}"}

    def when(self) -> dict[str, str]:
        """When it happened by the client's clock; mostly it does not say."""
        if self.skewed:
            behind, ahead = timedelta(days=-40 * self.chance.random()), timedelta(minutes=2 * self.chance.random())
            beyond = timedelta(minutes=self.chance.uniform(10, 60))
            return {"occurred_at": self.at(self.chance.choice((behind, ahead, beyond)))}
        if self.chance.random() < 0.3:
            return {"occurred_at": self.at(timedelta(seconds=-self.chance.uniform(0, 60)))}
        return {}

    def soon(self, least: float, most: float) -> str:
        """A moment in so many seconds."""
        return self.at(timedelta(seconds=self.chance.uniform(least, most)))

    def at(self, away: timedelta) -> str:
        return (datetime.now(UTC) + away).isoformat()
