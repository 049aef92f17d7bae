"""Between two members who are one: what the absorbed one has goes to the survivor, is called back, lent, and parted.

An entry for each of them, of one fact; each draws only on lots of its own member.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from loyalty.domain import tiers
from loyalty.domain.books import book_of
from loyalty.domain.calculations import HandedOver
from loyalty.domain.caps import count, used
from loyalty.domain.credit import credited, freed, new_lot, repayment
from loyalty.domain.entries import Because, Birth, Draw, Entry, Kind, Posting, posting
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, Lot, LotState, all_open, in_draw_order, moved, open_lot, put_back, take
from loyalty.domain.members import watch
from loyalty.domain.merges import MERGES, Merge, as_text, carried
from loyalty.domain.sliding import end_of
from loyalty.domain.state import Draft
from loyalty.domain.terms import usual_end
from loyalty.domain.tiers import Brought, Count


def carry_on(
    draft: Draft, merge: Merge, *, because: Because, business_date: date, brought: Brought | None = None
) -> list[Entry]:
    """What the absorbed member has becomes the survivor's: points in lots with their dates, debts, counts.

    An entry for each, of one fact; none where there is nothing and it is not the merge itself, whose absorbed member
    has `brought` its tier. Everything of both members is known.
    """
    absorbed, survivor = merge.absorbed, merge.survivor
    wallets = draft.programme.wallets
    lots = [lot for wallet in wallets for lot in all_open(draft, absorbed, wallet)]
    owed = {wallet: debt for wallet in wallets if (debt := book_of(draft, absorbed, wallet).owed)}
    counts = _counts_of(draft, absorbed)
    if brought is None and not lots and not owed and not counts:
        return []
    told = HandedOver(counts=tiers.as_stored(counts))
    uses = [] if brought is None else used(draft, absorbed, business_date)
    if uses:
        told["caps"] = [list(one) for one in uses]
    giving = write_entry(
        draft,
        absorbed,
        Kind.MERGE,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[
            *_between(lots, credit="transferred"),
            *(posting(w, debit="transferred", credit="owed", points=debt) for w, debt in owed.items()),
        ],
        draws=[draw for lot in lots for draw in take(draft, [lot], lot.remaining)],
        calculation={**told, "to": survivor},
    )
    tiers.hand_over(draft, absorbed, counts, entry_id=giving.id)
    if brought is not None:
        told["tier"], told["since"] = brought.tier, brought.since.isoformat()
        if brought.given is not None:
            told["given"] = list(brought.given)
    taking, now_theirs = _receive(draft, merge, giving, lots, owed, told)
    tiers.take_over(draft, survivor, counts, brought=brought, entry_id=taking.id)
    count(draft, survivor, uses)
    before = carried(merge)
    after = before._replace(
        lots={**before.lots, **now_theirs},
        entry=before.entry if brought is None else giving.id,
        began=before.began if brought is None else taking.effective_at,
        owed={w: before.owed.get(w, 0) + owed.get(w, 0) for w in {**before.owed, **owed}},
        counts=[*before.counts, *counts],
        caps=[*before.caps, *uses],
    )
    draft.put(MERGES, absorbed, merge._replace(carried=as_text(after)))
    return [giving, taking]


def recall(draft: Draft, merge: Merge, of: Iterable[LotId], *, because: Because, business_date: date) -> list[Entry]:
    """What remains of these lots of the absorbed member goes back to them, so that they can be drawn on."""
    wanted = set(of)
    back = {new: old for new, old in carried(merge).lots.items() if old in wanted}
    if not any(lot.remaining for lot in _lots(draft, back)):
        return []
    return list(_bring_back(draft, merge, back, {}, because=because, business_date=business_date, more=HandedOver()))


def lend(
    draft: Draft, merge: Merge, points: Mapping[str, int], *, because: Because, business_date: date
) -> list[Entry]:
    """Of the survivor's own points what the absorbed member lacks, by wallet and as far as there are any."""
    absorbed, survivor = merge.absorbed, merge.survivor
    lent = [draw for name, most in points.items() for draw in _spare(draft, survivor, name, most)]
    if not lent:
        return []
    lots = {lot.id: lot for lot in _lots(draft, (draw.lot_id for draw in lent))}
    giving = write_entry(
        draft,
        survivor,
        Kind.UNMERGE,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[
            posting(d.wallet, debit="available", credit="transferred", points=d.points, funder=lots[d.lot_id].funder)
            for d in lent
        ],
        draws=lent,
        calculation=HandedOver(to=absorbed),
    )
    id_ = EntryId(draft.mint.next(absorbed))
    births = [open_lot(draft, _copy(draft, absorbed, id_, lots[draw.lot_id], draw)) for draw in lent]
    taking = write_entry(
        draft,
        absorbed,
        Kind.UNMERGE,
        id_=id_,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[
            posting(one.wallet, debit="transferred", credit="available", points=one.points, funder=one.funder)
            for one in births
        ],
        births=births,
        calculation=HandedOver(of=giving.id),
    )
    return [giving, taking]


def lapsed_since(draft: Draft, merge: Merge) -> dict[LotId, int]:
    """Points that lapsed at the survivor, by the lot of the absorbed member's that they were of."""
    found: dict[LotId, int] = {}
    for new, old in carried(merge).lots.items():
        lot = draft.get(LOTS, new)
        if lot is not None and lot.lapsed:
            found[old] = found.get(old, 0) + lot.lapsed
    return found


def part(draft: Draft, merge: Merge, *, because: Because, business_date: date) -> list[Entry]:
    """The merge is reversed: what remains of what was carried is the absorbed member's again, and what it owed."""
    what = carried(merge)
    assert what.began is not None, "it began with the merge"
    more = HandedOver(counts=tiers.as_stored(what.counts))
    lapsed = lapsed_since(draft, merge)
    for lot in _lots(draft, lapsed):
        draft.put(LOTS, lot.id, lot._replace(lapsed=lot.lapsed + lapsed[lot.id]))
    if lapsed:
        more["lapsed"] = {str(lot_id): points for lot_id, points in lapsed.items()}
    if what.caps:
        more["caps"] = [list(one) for one in what.caps]
    giving, taking = _bring_back(
        draft,
        merge,
        what.lots,
        {wallet: debt for wallet, debt in what.owed.items() if debt},
        because=because,
        business_date=business_date,
        more=more,
    )
    count(draft, merge.survivor, what.caps, sign=-1)
    tiers.part_with(
        draft,
        merge.survivor,
        what.counts,
        before=what.before,
        began=what.began,
        own=what.own,
        theirs=what.theirs,
        entry_id=giving.id,
    )
    tiers.resume(draft, merge.absorbed, what.counts, until=what.until, entry_id=taking.id)
    return [giving, taking]


def _receive(
    draft: Draft,
    merge: Merge,
    giving: Entry,
    lots: Sequence[Lot],
    owed: dict[str, int],
    told: HandedOver,
) -> tuple[Entry, dict[LotId, LotId]]:
    """The survivor's side: a lot for each, with its dates; what was owed is paid, or owed by the survivor."""
    survivor = merge.survivor
    id_ = EntryId(draft.mint.next(survivor))
    pairs = [(_copy(draft, survivor, id_, lot, draw), lot.id) for lot, draw in zip(lots, giving.draws, strict=True)]
    births: list[Birth] = [open_lot(draft, new) for new, _ in pairs]
    postings: list[Posting] = [
        posting(new.wallet, debit="transferred", credit=new.state, points=new.points, funder=new.funder)
        for new, _ in pairs
    ]
    repaid, draws = repayment(draft, survivor, (new for new, _ in pairs if new.state == LotState.AVAILABLE))
    postings += repaid
    for wallet, debt in owed.items():
        paid = min(debt, sum(lot.remaining for lot in in_draw_order(draft, survivor, wallet)))
        if paid:
            draws += take(draft, in_draw_order(draft, survivor, wallet), paid)
            postings.append(posting(wallet, debit="available", credit="transferred", points=paid))
        if debt > paid:
            postings.append(posting(wallet, debit="owed", credit="transferred", points=debt - paid))
    entry = write_entry(
        draft,
        survivor,
        Kind.MERGE,
        id_=id_,
        occurred_at=draft.moment.occurred_at,
        accounting_date=giving.accounting_date,
        because=Because(reason=giving.because.reason),
        postings=postings,
        draws=draws,
        births=births,
        calculation={**told, "of": giving.id},
    )
    watch(draft, survivor, *(new.due_at for new, _ in pairs))
    return entry, {new.id: old for new, old in pairs}


def _bring_back(
    draft: Draft,
    merge: Merge,
    lots: dict[LotId, LotId],
    owed: dict[str, int],
    *,
    because: Because,
    business_date: date,
    more: HandedOver,
) -> tuple[Entry, Entry]:
    """From the survivor back to the absorbed member: what remains of the lots, and what was owed."""
    theirs = [lot for lot in _lots(draft, lots) if lot.remaining]
    postings = _between(theirs, credit="transferred")
    ripened = _ripened(draft, lots, theirs)
    draws = [draw for lot in theirs for draw in take(draft, [lot], lot.remaining)]
    told = HandedOver(to=merge.absorbed, **more)
    if ripened:
        told["ripe"] = tiers.as_stored(ripened)
        tiers.keep_counts(draft, merge.survivor, (one._replace(amount=-one.amount) for one in ripened))
    id_ = EntryId(draft.mint.next(merge.survivor))
    births, made_good = _made_good(draft, merge, id_, owed)
    giving = write_entry(
        draft,
        merge.survivor,
        Kind.UNMERGE,
        id_=id_,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[*postings, *made_good],
        draws=draws,
        births=births,
        calculation=told,
    )
    back: list[Draw] = [put_back(draft, lots[draw.lot_id], draw.points) for draw in giving.draws]
    returned = credited(draft, back)
    owing = [posting(wallet, debit="owed", credit="transferred", points=debt) for wallet, debt in owed.items()]
    coming = [p._replace(debit="transferred") for p in freed(draft, back)]
    repaid: list[Posting] = []
    paying: list[Draw] = []
    for wallet in draft.programme.wallets:
        ripe = [lot for lot in returned if lot.wallet == wallet and lot.state == LotState.AVAILABLE]
        paid, draws = repayment(draft, merge.absorbed, ripe, forgiven=-owed.get(wallet, 0))
        repaid += paid
        paying += draws
    taking = write_entry(
        draft,
        merge.absorbed,
        Kind.UNMERGE,
        occurred_at=draft.moment.occurred_at,
        accounting_date=business_date,
        because=Because(reason=because.reason),
        postings=[*owing, *coming, *repaid],
        draws=[*back, *paying],
        calculation=HandedOver(of=giving.id, **more),
    )
    return giving, taking


def _ripened(draft: Draft, lots: Mapping[LotId, LotId], theirs: Iterable[Lot]) -> list[Count]:
    """What ripened at the survivor, and counted there, of lots that are pending still where they go back to."""
    found = []
    for lot in theirs:
        before = draft.get(LOTS, lots[lot.id])
        if before is not None and before.state == LotState.PENDING and lot.state == LotState.AVAILABLE:
            assert before.matures_at is not None, "what is pending matures"
            day = draft.programme.calendar.business_date(before.matures_at)
            ripe = posting(lot.wallet, debit="pending", credit="available", points=lot.remaining)
            found += tiers.counts_of_ripe(draft.programme.ladder, day=day, postings=[ripe])
    return list(tiers.buckets(draft.programme.ladder, found))


def _spare(draft: Draft, member_id: MemberId, wallet: str, points: int) -> list[Draw]:
    """So many available points of a wallet, or as many as there are, in draw order."""
    lots = in_draw_order(draft, member_id, wallet)
    return take(draft, lots, min(points, sum(lot.remaining for lot in lots)))


def _made_good(
    draft: Draft, merge: Merge, entry_id: EntryId, owed: dict[str, int]
) -> tuple[list[Birth], list[Posting]]:
    """What the survivor took over as a debt: it owes so much less, and has back what it has paid of it since."""
    births: list[Birth] = []
    postings: list[Posting] = []
    for name, debt in owed.items():
        less = min(debt, book_of(draft, merge.survivor, name).owed)
        if less:
            postings.append(posting(name, debit="transferred", credit="owed", points=less))
        if debt > less:
            wallet, now = draft.programme.wallets[name], draft.moment.occurred_at
            lot = new_lot(
                draft,
                merge.survivor,
                entry_id,
                wallet=name,
                points=debt - less,
                because=Because(),
                earned_at=now,
                expires_at=usual_end(draft.programme.calendar, wallet, now),
            )
            births.append(open_lot(draft, lot))
            postings.append(posting(name, debit="transferred", credit="available", points=debt - less))
            watch(draft, merge.survivor, lot.expires_at)
    return births, postings


def _copy(draft: Draft, survivor: MemberId, entry_id: EntryId, lot: Lot, draw: Draw) -> Lot:
    return new_lot(
        draft,
        survivor,
        entry_id,
        wallet=lot.wallet,
        points=draw.points,
        because=Because(),
        earned_at=lot.earned_at,
        matures_at=lot.matures_at if lot.state == LotState.PENDING else None,
        expires_at=end_of(draft, lot),
        funder=lot.funder,
    )


def _between(lots: Sequence[Lot], *, credit: str) -> list[Posting]:
    """What remains of the lots leaves them, as one posting for each wallet, state and funder."""
    return [p for state in LotState for p in moved([x for x in lots if x.state == state], debit=state, credit=credit)]


def _lots(draft: Draft, ids: Iterable[LotId]) -> list[Lot]:
    return [lot for id_ in ids if (lot := draft.get(LOTS, id_)) is not None]


def _counts_of(draft: Draft, member_id: MemberId) -> list[Count]:
    """All that counts for the member, bucket by bucket."""
    return [
        Count(metric, first, amount)
        for metric in tiers.kept_metrics(draft.programme.ladder)
        for first, amount in draft.get(tiers.COUNTS, (member_id, metric)) or ()
        if amount
    ]
