"""Reversals: how much of an entry was taken back, so that nothing is taken back twice."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import orjson

from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.state import Shelf, State

Done = Mapping[str, Mapping[str, int]]
"""Of what it was taken back: points by lot of a redemption; quantity, amount by line and points by wallet of a sale."""


class Reversal(NamedTuple):
    """What was taken back of a purchase, or given back of a redemption, by all returns and refunds together."""

    entry_id: EntryId
    member_id: MemberId
    points: int
    done: str
    """JSON text: `Done`."""
    moved_to: EntryId | None
    """The entry that a purchase has been since it was reassigned; what is left of it is taken back from that."""


REVERSALS: Shelf[EntryId, Reversal] = Shelf("reversal")


def reversed_of(state: State, entry_id: EntryId) -> tuple[int, dict[str, dict[str, int]]]:
    """Points taken back of the entry so far, and of what."""
    found = state.get(REVERSALS, entry_id)
    return (0, {}) if found is None else (found.points, orjson.loads(found.done))


def reverse(state: State, entry_id: EntryId, member_id: MemberId, points: int, done: Done) -> None:
    """Keep how much of the entry has been taken back by now, in all."""
    state.put(REVERSALS, entry_id, Reversal(entry_id, member_id, points, orjson.dumps(done).decode(), None))


def moved(state: State, entry_id: EntryId, *, to: EntryId) -> None:
    """Keep that a purchase, all of it taken back, is another entry from now on."""
    found = state.get(REVERSALS, entry_id)
    assert found is not None, "what was moved was taken back before"
    state.put(REVERSALS, entry_id, found._replace(moved_to=to))


def counted(before: Mapping[str, int], more: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What was counted before with what has come since."""
    sums = dict(before)
    for name, points in more:
        sums[name] = sums.get(name, 0) + points
    return sums
