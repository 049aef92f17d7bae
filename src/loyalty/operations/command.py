"""What a verb is: it names what it needs, and decides."""

from collections.abc import Collection, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from loyalty.domain.books import Balance
from loyalty.domain.entries import Entry
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Draft, Need


class Receipt(NamedTuple):
    """What an accepted command did. `said` is what the verb itself has to tell, for the caller to render."""

    member_id: MemberId
    entries: tuple[Entry, ...]
    said: Any
    balances: Mapping[str, Balance] = MappingProxyType({})
    """By wallet, after settling: the door fills them in."""


def serves_merged(command: object) -> Collection[MemberId]:
    """The members with whom a command knows what to do although they were merged into others."""
    found: Collection[MemberId] = getattr(command, "serves_merged", ())
    return found


class Command(Protocol):
    """A verb with its arguments. Everything in it is resolved: ids, never card numbers or phones."""

    @property
    def member_id(self) -> MemberId:
        """Whose lane the command waits in."""

    def needs(self) -> tuple[Need, ...]:
        """The rows that must be there before it can decide, every member it changes among them.

        The books of its members, and what is due for them, come by themselves.
        """

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """Decide on a settled draft, effective `at` for `member_id`. Raises Refusal; then nothing of it is kept."""
