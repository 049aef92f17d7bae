"""Merges: two members were one person. The absorbed member keeps its journal, and this is kept of what it handed over.

Whatever is done to it later is carried on (`carrying.py`). So every entry stays true of its own member, and a merge can
be reversed.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from loyalty.domain import tiers
from loyalty.domain.caps import CapUse
from loyalty.domain.climbing import Tenure
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.members import MEMBERS, Status
from loyalty.domain.refusals import MemberMerged
from loyalty.domain.state import Shelf, State
from loyalty.domain.tiers import Count, Given


class Carried(NamedTuple):
    """What has gone to the survivor so far, in all."""

    lots: dict[LotId, LotId]
    """Each lot of the survivor's that was the absorbed member's: which lot it was."""
    owed: dict[str, int]
    """Points that the absorbed member owed, by wallet."""
    counts: list[Count]
    """What counted towards its tier, by the first day of the bucket."""
    identities: list[str]
    """What it was known by."""
    before: Tenure
    """What the survivor had earned."""
    until: datetime | None
    """When the absorbed member's tier was to be reviewed."""
    began: datetime | None = None
    """When the survivor took over."""
    own: Given | None = None
    """What was given to the survivor by hand, before."""
    theirs: Given | None = None
    """What was given to the absorbed member."""
    tags: Sequence[str] = ()
    """Those of the absorbed member's that the survivor did not have."""
    caps: Sequence[CapUse] = ()
    """What it had used of caps."""
    entry: EntryId | None = None
    """The absorbed member's, by which it was merged: the merge bears its id."""


class Merge(NamedTuple):
    """The newest merge of a member into another. In force as long as the member's status says so."""

    absorbed: MemberId
    survivor: MemberId
    merged_at: datetime
    carried: str
    """JSON text: `Carried`."""


MERGES: Shelf[MemberId, Merge] = Shelf("merge")
"""By the absorbed member."""
ABSORBED: Shelf[MemberId, tuple[MemberId, ...]] = Shelf("who is merged into a member")
"""The other members who are merged into it now, the last one last; not a table."""


def check_not_merged(state: State, member_id: MemberId) -> None:
    """Raises MemberMerged, which names the survivor."""
    member = state.get(MEMBERS, member_id)
    if member is not None and member.status == Status.MERGED:
        merge = state.get(MERGES, member_id)
        assert merge is not None, "a merge is loaded with the member who was merged"
        raise MemberMerged("The member was merged into another.", absorbed=member_id, survivor=merge.survivor)


def carried(merge: Merge) -> Carried:
    """What the merge has carried so far."""
    stored = orjson.loads(merge.carried)
    tier, since, until = stored.pop("before")
    return Carried(
        counts=tiers.as_counts(stored.pop("counts")),
        before=Tenure(tier, datetime.fromisoformat(since), _moment(until)),
        until=_moment(stored.pop("until")),
        began=_moment(stored.pop("began")),
        own=as_given(stored.pop("own")),
        theirs=as_given(stored.pop("theirs")),
        caps=[CapUse(*one) for one in stored.pop("caps")],
        **stored,
    )


def as_text(of: Carried) -> str:
    """As its row keeps it."""
    counts, caps = tiers.as_stored(of.counts), [list(one) for one in of.caps]
    lists = {"counts": counts, "caps": caps, "before": list(of.before)}
    lists |= {name: it and list(it) for name, it in (("own", of.own), ("theirs", of.theirs))}
    return orjson.dumps({**of._asdict(), **lists}).decode()


def as_given(stored: Sequence[Any] | None) -> Given | None:
    """A tier given by hand, as it is stored."""
    if stored is None:
        return None
    tier, until, locked = stored
    return Given(tier, _moment(until), locked)


def _moment(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored)
