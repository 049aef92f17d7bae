"""Tags of a member: words by which earning rules tell members apart, such as `staff`. Never personal data."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, NewType

from loyalty.domain.bounds import MOST_TAGS
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import MemberId
from loyalty.domain.members import existing
from loyalty.domain.refusals import TooManyTags
from loyalty.domain.state import Draft, Shelf, State

TAG: Final = re.compile("[a-z][a-z0-9_]{0,31}")

TagChangeId = NewType("TagChangeId", str)


class TagChange(NamedTuple):
    """What a member's tags were set to: all of them. Never changes; its event bears its id."""

    id: TagChangeId
    member_id: MemberId
    number: int
    """1 is the member's first change."""
    tags: tuple[str, ...]
    """In alphabetical order, each once."""
    reason: str | None
    changed_at: datetime
    changed_by: str | None
    """The API client; None: a merge, or its reversal."""


TAGS: Shelf[MemberId, TagChange] = Shelf("tags")
"""The newest change of each member's tags. Not a table: changes are facts."""


def tags_of(state: State, member_id: MemberId) -> tuple[str, ...]:
    """The member's tags, in alphabetical order."""
    newest = state.get(TAGS, member_id)
    return () if newest is None else newest.tags


def set_tags(draft: Draft, member_id: MemberId, tags: Iterable[str], *, reason: str | None, by: str | None) -> None:
    """The member has these tags and no others; nothing happens where it is so already. Raises TooManyTags."""
    wanted = tuple(sorted(set(tags)))
    if len(wanted) > MOST_TAGS:
        raise TooManyTags(f"A member has at most {MOST_TAGS} tags.", maximum=MOST_TAGS)
    if wanted == tags_of(draft, member_id):
        return
    before = draft.get(TAGS, member_id)
    change = TagChange(
        id=TagChangeId(draft.mint.next(member_id)),
        member_id=member_id,
        number=1 if before is None else before.number + 1,
        tags=wanted,
        reason=reason,
        changed_at=draft.moment.recorded_at,
        changed_by=by,
    )
    draft.put(TAGS, member_id, change)
    sequence = existing(draft, member_id).sequence
    draft.record(change, Event(change.id, member_id, sequence, EventType.TAGS_CHANGED.value, change.changed_at))
