"""What a batch knows: rows on typed shelves, and drafts laid over them.

A `State` reads through to the one below it and keeps its own changes, so a refused command is simply a
draft that nobody keeps. Facts (entries, tier steps, events) are only ever appended.
"""

from collections.abc import Hashable
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar, cast

from loyalty.domain.ids import FactId, Mint
from loyalty.domain.programme import Programme

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shelf(Generic[K, V]):
    """The name of one kind of changeable row, declared beside its noun; `store/shelves.py` knows its table."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<shelf {self.name}>"


class Need(NamedTuple):
    """What a verb must have before it can decide: a key on a shelf, and how much of it where that matters."""

    shelf: Shelf[Any, Any]
    key: Any
    points: int = 0
    """For open lots: enough of them, in draw order, to cover this many points."""


class State:
    """Rows by shelf and key over another state, and the facts appended here."""

    __slots__ = ("_below", "facts", "rows")

    def __init__(self, below: "State | None" = None) -> None:
        self._below = below
        self.rows: dict[tuple[Shelf[Any, Any], Any], Any] = {}
        self.facts: list[Any] = []

    def get(self, shelf: Shelf[K, V], key: K) -> V | None:
        """The newest row under the key, or None."""
        place = (shelf, key)
        layer: State | None = self
        while layer is not None:
            row = layer.rows.get(place)
            if row is not None:
                return cast(V, row)
            layer = layer._below
        return None

    def put(self, shelf: Shelf[K, V], key: K, row: V) -> None:
        self.rows[shelf, key] = row

    def record(self, *facts: Any) -> None:
        self.facts.extend(facts)

    def keep(self, draft: "State") -> None:
        """Take over what a draft laid over this state has changed."""
        self.rows.update(draft.rows)
        self.facts.extend(draft.facts)

    def own(self, shelf: Shelf[K, V]) -> list[tuple[K, V]]:
        """The rows of one shelf that lie on this layer itself."""
        return [(key, row) for (on, key), row in self.rows.items() if on is shelf]


class Moment(NamedTuple):
    """Which fact is happening, and its times: when it occurred, and the wall clock when we learnt of it."""

    fact: FactId
    occurred_at: datetime
    recorded_at: datetime


class Draft(State):
    """A state in which one command of a programme decides: it knows its moment and mints its own ids."""

    __slots__ = ("mint", "moment", "programme")

    def __init__(self, below: State, programme: Programme, moment: Moment, mint: Mint) -> None:
        super().__init__(below)
        self.programme = programme
        self.moment = moment
        self.mint = mint

    def over(self) -> "Draft":
        """A draft of the same command laid over this one."""
        return Draft(self, self.programme, self.moment, self.mint)
