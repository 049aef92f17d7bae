"""Reversals: how much of an entry was taken back, so that nothing is taken back twice."""

from typing import NamedTuple

import orjson

from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.state import Shelf, State


class Reversal(NamedTuple):
    """What was taken back of a purchase, or given back of a redemption, by all returns and refunds together."""

    entry_id: EntryId
    member_id: MemberId
    points: int
    done: str
    """JSON text: by lot for a redemption; by line and wallet for a purchase."""


REVERSALS: Shelf[EntryId, Reversal] = Shelf("reversal")


def reversed_of(state: State, entry_id: EntryId) -> tuple[int, dict[str, dict[str, int]]]:
    """Points taken back of the entry so far, and of what."""
    found = state.get(REVERSALS, entry_id)
    return (0, {}) if found is None else (found.points, orjson.loads(found.done))


def reverse(state: State, entry_id: EntryId, member_id: MemberId, points: int, done: dict[str, dict[str, int]]) -> None:
    """Keep how much of the entry has been taken back by now, in all."""
    state.put(REVERSALS, entry_id, Reversal(entry_id, member_id, points, orjson.dumps(done).decode()))
