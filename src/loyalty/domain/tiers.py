"""Tiers on a draft: what is counted towards them, steps, and grants that go before what is earned.

How a member climbs and falls is decided in `domain/climbing.py`, by the choices of `domain/ladder.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from loyalty.domain.climbing import Climber, Counts, Judged, Tenure
from loyalty.domain.entries import Birth, Posting
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.ladder import MOST_RUNGS, NET_SPEND, POINTS, TAKEN_BACK, VISITS, Ladder, Pending, Returns, Steps
from loyalty.domain.members import MEMBERS, Member, existing, watch
from loyalty.domain.programme import Programme
from loyalty.domain.state import Draft, Shelf, State

Buckets = Sequence[tuple[date, int]]
COUNTS: Shelf[tuple[MemberId, str], Buckets] = Shelf("counts of a metric")
"""What was counted, by member and metric: the buckets by their first day, as far back as a batch has asked for.

Net spend is in minor units. Needs name the member and the earliest day that something is decided about.
"""
HAS_BOUGHT: Shelf[MemberId, bool] = Shelf("whether a member ever bought")
"""Whether any net spend of the member was ever counted; not a table."""


class TierGrant(NamedTuple):
    """A tier given by hand, whatever is earned: at least that tier, or exactly that tier where it is locked."""

    tier: str
    until: datetime | None
    """None: until it is taken back."""
    locked: bool
    earned: Tenure
    """What the member has by what was counted: it goes on beside the grant."""


GRANTS: Shelf[MemberId, TierGrant] = Shelf("granted tier")
"""The newest grant of a member. In force as long as `Member.tier_granted` says so."""


class TierStep(NamedTuple):
    """A member moved from one tier to another; caused by an entry, or by a review."""

    id: str
    member_id: MemberId
    from_tier: str
    to_tier: str
    occurred_at: datetime
    recorded_at: datetime
    entry_id: EntryId | None
    judged: Judged | None
    """What decided; None where no window did, but somebody's hand or a merge."""


class Count(NamedTuple):
    """Something that counts towards a tier, on the business day to which it belongs."""

    metric: str
    day: date
    amount: int


class Given(NamedTuple):
    """A tier that is given by hand, whoever has it."""

    tier: str
    until: datetime | None
    locked: bool


class Brought(NamedTuple):
    """The tier that who is merged into another has earned, and the one that it was given."""

    tier: str
    since: datetime
    given: Given | None


# --- what counts ---------------------------------------------------------------------------------------------


def counts_of_purchase(
    ladder: Ladder, *, day: date, net_spend: int, points: Mapping[str, int], births: Iterable[Birth]
) -> list[Count]:
    """What a purchase counts; its points where they count already."""
    found = [Count(NET_SPEND, day, net_spend)]
    if ladder.counts(VISITS):
        found.append(Count(VISITS, day, 1))
    return found + counts_of_points(ladder, day=day, points=points, births=births)


def counts_of_points(ladder: Ladder, *, day: date, points: Mapping[str, int], births: Iterable[Birth]) -> list[Count]:
    """What earned points count on the day they are earned: those that are pending wait where the ladder says so."""
    waiting = {birth.wallet for birth in births if birth.matures_at is not None and ladder.pending == Pending.MATURING}
    return [
        Count(POINTS + wallet, day, amount)
        for wallet, amount in points.items()
        if ladder.counts(POINTS + wallet) and amount and wallet not in waiting
    ]


def counts_of_ripe(ladder: Ladder, *, day: date, postings: Iterable[Posting]) -> list[Count]:
    """What points count on the day they mature, where they wait for that."""
    if ladder.pending == Pending.EARNING:
        return []
    return [Count(POINTS + p.wallet, day, p.points) for p in postings if ladder.counts(POINTS + p.wallet)]


def counts_of_return(
    ladder: Ladder,
    *,
    day: date,
    net_spend: int,
    points: Mapping[str, int],
    ripe_on: Mapping[str, date | None],
    is_whole: bool,
) -> list[Count]:
    """What coming back counts against the purchase of `day`.

    `ripe_on` says for points that were pending on which day they matured; None: they have not. `is_whole`: with this
    nothing is left of the purchase.
    """
    found = [Count(NET_SPEND, day, -net_spend)]
    if is_whole and ladder.counts(VISITS):
        found.append(Count(VISITS, day, -1))
    for wallet, amount in points.items():
        counted_on = ripe_on.get(wallet, day) if ladder.pending == Pending.MATURING else day
        if counted_on is not None and amount and ladder.counts(POINTS + wallet):
            found.append(Count(POINTS + wallet, counted_on, -amount))
    return found


def buckets(ladder: Ladder, counts: Iterable[Count]) -> Iterable[Count]:
    """The counts as they are kept: by the first day of the bucket, and what came back where that protects a tier."""
    for metric, day, amount in counts:
        first = ladder.window.bucket(day)
        yield Count(metric, first, amount)
        if amount < 0 and ladder.returns == Returns.PROTECT and ladder.counts(metric):
            yield Count(metric + TAKEN_BACK, first, -amount)


def as_stored(counts: Iterable[Count]) -> list[list[Any]]:
    """Counts as an entry keeps them."""
    return [[metric, day.isoformat(), amount] for metric, day, amount in counts]


def as_counts(stored: Iterable[Sequence[Any]]) -> list[Count]:
    """Counts that were stored."""
    return [Count(metric, date.fromisoformat(day), amount) for metric, day, amount in stored]


def with_count(counts: Sequence[tuple[date, int]], first: date, amount: int) -> Sequence[tuple[date, int]]:
    """The buckets of a metric with one more count."""
    found = dict(counts)
    found[first] = found.get(first, 0) + amount
    return tuple(sorted(found.items()))


def higher(ladder: Ladder, one: str, other: str) -> str:
    """The higher of two tiers."""
    return max(one, other, key=ladder.place)


# --- what happens on a draft ---------------------------------------------------------------------------------


def earn(draft: Draft, member_id: MemberId, counts: Sequence[Count], *, entry_id: EntryId) -> None:
    """Count, and lift the member to the tier that this reaches, or prolong the one it has."""
    if not counts:
        return
    keep_counts(draft, member_id, buckets(draft.programme.ladder, counts))
    member = existing(draft, member_id)
    first, climber = min(count.day for count in counts), _climber(draft, member)
    _settle_on(
        draft, member, climber, climber.gained(member.effective_at, first), at=member.effective_at, entry_id=entry_id
    )


def take_back(draft: Draft, member_id: MemberId, counts: Sequence[Count], *, entry_id: EntryId) -> None:
    """Count less; the tier may go with it, as the ladder says."""
    member = existing(draft, member_id)
    was_carried = _climber(draft, member).is_carried(member.effective_at)
    keep_counts(draft, member_id, buckets(draft.programme.ladder, counts))
    climber = _climber(draft, member)
    tenure = climber.lost(member.effective_at, was_carried=was_carried)
    _settle_on(draft, member, climber, tenure, at=member.effective_at, entry_id=entry_id)


def review(draft: Draft, member_id: MemberId, at: datetime) -> None:
    """What the end of a tenure or of a grant brings. Whatever comes later takes effect later."""
    member = existing(draft, member_id)
    member = member._replace(effective_at=max(member.effective_at, at))
    climber = _climber(draft, member)
    tenure = climber.reviewed(at) if climber.tenure.until == at else climber.tenure
    grant = granted(draft, member)
    if grant is not None and grant.until == at:
        member = member._replace(tier_granted=False)
    _settle_on(draft, member, climber, tenure, at=at, entry_id=None)


def appoint(
    draft: Draft, member_id: MemberId, tier: str, *, until: datetime | None, locked: bool, entry_id: EntryId
) -> None:
    """Give a tier by hand; what is earned goes on beside it."""
    member = existing(draft, member_id)
    climber = _climber(draft, member)
    draft.put(GRANTS, member_id, TierGrant(tier, until, locked, climber.tenure))
    _settle_on(
        draft, member._replace(tier_granted=True), climber, climber.tenure, at=member.effective_at, entry_id=entry_id
    )


def dismiss(draft: Draft, member_id: MemberId, *, entry_id: EntryId) -> None:
    """Take back a tier that was given by hand: what is earned counts alone again."""
    member = existing(draft, member_id)
    climber = _climber(draft, member)
    _settle_on(
        draft, member._replace(tier_granted=False), climber, climber.tenure, at=member.effective_at, entry_id=entry_id
    )


def hand_over(draft: Draft, member_id: MemberId, counts: Sequence[Count], *, entry_id: EntryId) -> None:
    """Nothing counts for the member any more, and its tier is left alone: it was merged into another."""
    keep_counts(draft, member_id, (one._replace(amount=-one.amount) for one in counts))
    member = existing(draft, member_id)
    climber = _climber(draft, member)
    _settle_on(draft, member, climber, handed_over(climber), at=member.effective_at, entry_id=entry_id)


def take_over(
    draft: Draft, member_id: MemberId, counts: Sequence[Count], *, brought: Brought | None, entry_id: EntryId
) -> None:
    """What counted for the other counts for the member, who has the tier that was `brought` at least."""
    member = existing(draft, member_id)
    was_carried = _climber(draft, member).is_carried(member.effective_at)
    keep_counts(draft, member_id, counts)
    climber = _climber(draft, member)
    tenure = taken_over(climber, counts, now=member.effective_at, brought=brought, was_carried=was_carried)
    own, theirs = given(granted(draft, member)), None if brought is None else brought.given
    member = _give(draft, member, together(draft.programme.ladder, own, theirs), climber.tenure)
    _settle_on(draft, member, climber, tenure, at=member.effective_at, entry_id=entry_id)


def part_with(
    draft: Draft,
    member_id: MemberId,
    counts: Sequence[Count],
    *,
    before: Tenure,
    began: datetime,
    own: Given | None,
    theirs: Given | None,
    entry_id: EntryId,
) -> None:
    """What counted for another counts for the member no more, who was there `before` that `began`.

    It had been given its `own` tier by hand then, and `theirs` was given to the other.
    """
    keep_counts(draft, member_id, (one._replace(amount=-one.amount) for one in counts))
    member = existing(draft, member_id)
    climber, now = _climber(draft, member), member.effective_at
    left = apart(draft.programme.ladder, given(granted(draft, member)), own, theirs, now=now)
    member = _give(draft, member, left, climber.tenure)
    _settle_on(draft, member, climber, parted(climber, before, began=began, now=now), at=now, entry_id=entry_id)


def resume(
    draft: Draft, member_id: MemberId, counts: Sequence[Count], *, until: datetime | None, entry_id: EntryId
) -> None:
    """What counted for the member counts for it again, whose tier was to be reviewed then."""
    keep_counts(draft, member_id, counts)
    member = existing(draft, member_id)
    climber, now = _climber(draft, member), member.effective_at
    _settle_on(draft, member, climber, resumed(climber, counts, until=until, now=now), at=now, entry_id=entry_id)


def handed_over(climber: Climber) -> Tenure:
    """The tenure of who was merged into another: nobody reviews it."""
    return climber.tenure._replace(until=None)


def taken_over(
    climber: Climber, counts: Sequence[Count], *, now: datetime, brought: Brought | None, was_carried: bool
) -> Tenure:
    """The tenure of who has taken over what counted for another, and its tier; or what came of it later."""
    if brought is None and sum(one.amount for one in counts) < 0:
        return climber.lost(now, was_carried=was_carried)
    if brought is not None:
        was, climber = climber.tenure.tier, climber.at(climber.raised(brought.tier, brought.since, now))
        if climber.tenure.tier != was and climber.ladder.up_steps == Steps.ONE:
            return climber.tenure  # that was the step
    return climber.gained(now, min(one.day for one in counts)) if counts else climber.tenure


def parted(climber: Climber, before: Tenure, *, began: datetime, now: datetime) -> Tenure:
    """The tenure of who has parted with another: as if that had never `began`, but no higher than it was with them."""
    together, ladder = climber.tenure, climber.ladder
    alone = climber.at(before).lived(began, now)
    if ladder.place(alone.tier) < ladder.place(together.tier):
        return alone
    return climber.at(together._replace(since=max(alone.since, together.since))).kept(now)


def resumed(climber: Climber, counts: Sequence[Count], *, until: datetime | None, now: datetime) -> Tenure:
    """The tenure of who is itself again: reviewed since, and fallen by what came back since, where that demotes."""
    climber = climber.at(climber.tenure._replace(until=until)).settled(now)
    return climber.lost(now, was_carried=any(one.amount < 0 for one in counts))


def given(grant: TierGrant | None) -> Given | None:
    """What a grant gives."""
    return None if grant is None else Given(*grant[:3])


def together(ladder: Ladder, own: Given | None, theirs: Given | None) -> Given | None:
    """What is given to who was two: the higher, unless the survivor's own is locked."""
    if own is None or theirs is None:
        return own or theirs
    return own if own.locked or ladder.place(own.tier) >= ladder.place(theirs.tier) else theirs


def apart(
    ladder: Ladder, now_given: Given | None, own: Given | None, theirs: Given | None, *, now: datetime
) -> Given | None:
    """What is given to the survivor once they part: what was decided since; else its own, if that has not ended."""
    if now_given != together(ladder, own, theirs):
        return now_given
    return own if own is not None and (own.until is None or own.until > now) else None


def kept_metrics(ladder: Ladder) -> tuple[str, ...]:
    """Every metric of which counts are kept: net spend, whatever the ladder goes by."""
    return tuple(dict.fromkeys((NET_SPEND, *ladder.metrics)))


def granted(state: State, member: Member) -> TierGrant | None:
    """The grant that is in force."""
    return state.get(GRANTS, member.id) if member.tier_granted else None


def climber_of(state: State, programme: Programme, member: Member) -> Climber:
    """The member on the ladder, by what was counted as far as the state knows it; grants aside."""
    grant, ladder = granted(state, member), programme.ladder
    counts: Counts = {name: state.get(COUNTS, (member.id, name)) or () for name in ladder.metrics}
    tenure = Tenure(member.tier, member.tier_since, member.tier_until) if grant is None else grant.earned
    return Climber(ladder, programme.calendar, counts, member.enrolled_at, tenure)


def keep_counts(state: State, member_id: MemberId, counts: Iterable[Count]) -> None:
    """Keep what is counted of each bucket."""
    for metric, first, amount in counts:
        series = (member_id, metric)
        state.put(COUNTS, series, with_count(state.get(COUNTS, series) or (), first, amount))
        if metric == NET_SPEND:
            state.put(HAS_BOUGHT, member_id, True)


def in_force(
    ladder: Ladder, earned: Tenure, grant: TierGrant | None, *, since: datetime, was: str, at: datetime
) -> Tenure:
    """The tier that a member has by what it earned and what it was given; `was` is the one it had `since` then."""
    if grant is None:
        return earned
    tier = grant.tier if grant.locked else higher(ladder, earned.tier, grant.tier)
    until = min((moment for moment in (earned.until, grant.until) if moment is not None), default=None)
    return Tenure(tier, since if tier == was else at, until)


def judged_by(climber: Climber, earned: Tenure, shown: str, *, at: datetime, on_review: bool) -> Judged | None:
    """What brought the member from where it climbs to what it has `earned`, if that is the tier that is `shown`."""
    if earned.tier != shown or earned.tier == climber.tenure.tier:
        return None
    return climber.judged(earned.tier, at, on_review=on_review)


def next_change(climber: Climber, grant: TierGrant | None, shown: Tenure) -> tuple[datetime | None, str]:
    """When the tier that is `shown` changes if nothing more is counted, and to which; None: never."""
    ladder, was = climber.ladder, shown.tier
    for _ in range(2 * MOST_RUNGS):  # each review moves what was earned by a rung at least, or ends the grant
        at = shown.until
        if at is None:
            break
        if climber.tenure.until == at:
            climber = climber.at(climber.reviewed(at))
        if grant is not None and grant.until == at:
            grant = None
        shown = in_force(ladder, climber.tenure, grant, since=shown.since, was=shown.tier, at=at)
        if shown.tier != was:
            return at, shown.tier
    return None, was


def _give(draft: Draft, member: Member, what: Given | None, earned: Tenure) -> Member:
    """The member to whom that is given by hand, and nothing else."""
    if what is not None and what != given(granted(draft, member)):
        draft.put(GRANTS, member.id, TierGrant(*what, earned))
    return member._replace(tier_granted=what is not None)


def _climber(draft: Draft, member: Member) -> Climber:
    return climber_of(draft, draft.programme, member)


def _settle_on(
    draft: Draft, member: Member, climber: Climber, earned: Tenure, *, at: datetime, entry_id: EntryId | None
) -> None:
    """Give the member the tier it has by now, and leave a step in its history where that is another one.

    It has climbed, or fallen, from where the `climber` stands to what it has `earned`.
    """
    grant = granted(draft, member)
    if grant is not None:
        draft.put(GRANTS, member.id, grant._replace(earned=earned))
    now = in_force(draft.programme.ladder, earned, grant, since=member.tier_since, was=member.tier, at=at)
    moved = member._replace(tier=now.tier, tier_since=now.since, tier_until=now.until)
    if moved != draft.get(MEMBERS, member.id):
        draft.put(MEMBERS, member.id, moved)
    watch(draft, member.id, now.until)
    if now.tier != member.tier:
        recorded_at = max(draft.moment.recorded_at, member.recorded_at)
        id_ = draft.mint.next(member.id)
        draft.record(
            TierStep(
                id_,
                member.id,
                member.tier,
                now.tier,
                at,
                recorded_at,
                entry_id,
                judged_by(climber, earned, now.tier, at=at, on_review=entry_id is None),
            ),
            Event(id_, member.id, member.sequence, EventType.TIER_CHANGED.value, recorded_at),
        )
