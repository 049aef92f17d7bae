"""Refunds: a redemption is undone, whole or in part, and each point goes back to the lot it came from."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from loyalty.domain.books import book_of
from loyalty.domain.calculations import Captured, Refunded, read
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import credited, new_lot, repayment
from loyalty.domain.entries import Because, Birth, Draw, Entry, Kind, Posting, posting
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, Lot, open_lot, put_back
from loyalty.domain.members import MEMBERS, watch, who_may_earn
from loyalty.domain.refusals import ExceedsRedemption, RedemptionNotFound
from loyalty.domain.reversals import REVERSALS, reverse, reversed_of
from loyalty.domain.sliding import end_of
from loyalty.domain.state import Draft, Need
from loyalty.domain.terms import usual_end
from loyalty.operations.command import Receipt

FORCED = "forced"
"""Under which a reversal counts what was given back of the points that no lot had covered."""


class Redemption(NamedTuple):
    """What an entry redeemed: of one wallet, from which lots; `forced` beyond them."""

    wallet: str
    points: int
    draws: tuple[Draw, ...]
    forced: int


def redemption(entry: Entry) -> Redemption:
    """The redemption that an entry is. Raises RedemptionNotFound."""
    redeemed = [p for p in entry.postings if p.credit == "redeemed"]
    if entry.kind not in (Kind.SPEND, Kind.CAPTURE) or not redeemed:
        raise RedemptionNotFound("There is no such redemption in this programme.")
    points = sum(p.points for p in redeemed)
    draws = entry.draws
    if entry.kind == Kind.CAPTURE:
        draws = tuple(Draw(*draw) for draw in read(entry, Captured)["spent"])
    return Redemption(redeemed[0].wallet, points, draws, points - sum(draw.points for draw in draws))


class Refund(NamedTuple):
    """Give points of a redemption back; all that is left of it when `points` is None."""

    entry: Entry
    redemption: Redemption
    points: int | None
    because: Because
    reference: ReferenceKey
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.entry.member_id

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(REVERSALS, self.entry.id),
            Need(REFERENCES, self.reference),
            *(Need(LOTS, draw.lot_id) for draw in self.redemption.draws),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are available again. Raises ExceedsRedemption, ReferenceTaken, MemberFrozen, MemberClosed."""
        who_may_earn(draft, self.member_id)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        before, done = reversed_of(draft, self.entry.id)
        left = self.redemption.points - before
        points = left if self.points is None else self.points
        if points > left or not left:
            raise ExceedsRedemption(f"{left} points of the redemption are left to refund.", refundable=left)

        gone = done.get("lots", {})
        by_lot = dict(gone)
        wallet = self.redemption.wallet
        postings: list[Posting] = []
        forced = min(points, self.redemption.forced - by_lot.get(FORCED, 0))
        forgiven = min(forced, book_of(draft, self.member_id, wallet).owed)
        if forgiven:
            postings.append(posting(wallet, debit="redeemed", credit="owed", points=forgiven))
        if forced:
            by_lot[FORCED] = by_lot.get(FORCED, 0) + forced
        back, births = self._restore(draft, id_, points - forced, by_lot, at)
        if forced > forgiven:  # the member has repaid them since: they come back as new points
            births.append(self._anew(draft, id_, forced - forgiven))
        lots = [*credited(draft, back), *(lot for birth in births if (lot := draft.get(LOTS, birth.lot_id)))]
        if points > forgiven:
            postings.append(posting(wallet, debit="redeemed", credit="available", points=points - forgiven))
        repaid, paying = repayment(draft, self.member_id, lots, forgiven=forgiven)
        entry = write_entry(
            draft,
            self.member_id,
            Kind.UNSPEND,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=[*postings, *repaid],
            draws=[*back, *paying],
            births=births,
            calculation=Refunded(of=self.entry.id, points=points, lots=_since(by_lot, gone)),
        )
        watch(draft, self.member_id, *(birth.expires_at for birth in births))
        reverse(draft, self.entry.id, self.member_id, before + points, {"lots": by_lot})
        return Receipt(self.member_id, (entry,), points)

    def _restore(
        self, draft: Draft, id_: EntryId, points: int, by_lot: dict[str, int], at: datetime
    ) -> tuple[list[Draw], list[Birth]]:
        """Put points back into the lots they came from, the last drawn first; into new ones where those have expired.

        A lot that has expired since lives on for the programme's grace as a new lot; without grace it is given
        back to the old one, and expires at once.
        """
        back: list[Draw] = []
        births: list[Birth] = []
        for draw in reversed(self.redemption.draws):
            part = min(points, draw.points - by_lot.get(draw.lot_id, 0))
            if not part:
                continue
            points -= part
            by_lot[draw.lot_id] = by_lot.get(draw.lot_id, 0) + part
            lot = draft.get(LOTS, draw.lot_id)
            assert lot is not None, "a lot that was drawn from is loaded"
            grace = draft.programme.refund_grace_days
            end = end_of(draft, lot)
            if grace and end is not None and end <= at:
                births.append(self._graced(draft, id_, lot, part, _end_of_day(draft, at, later=grace)))
            else:
                back.append(put_back(draft, lot.id, part))
        assert not points, "invariant 5: no more comes back than was drawn"
        return back, births

    def _graced(self, draft: Draft, id_: EntryId, lot: Lot, points: int, until: datetime) -> Birth:
        """Points of a lot that has expired, as a lot that lives on for the grace."""
        return self._reborn(draft, id_, points, earned_at=lot.earned_at, expires_at=until, funder=lot.funder)

    def _anew(self, draft: Draft, id_: EntryId, points: int) -> Birth:
        """Points that no lot had covered, as a lot with the usual expiry of its wallet."""
        occurred_at, wallet = draft.moment.occurred_at, draft.programme.wallets[self.redemption.wallet]
        end = usual_end(draft.programme.calendar, wallet, occurred_at)
        return self._reborn(draft, id_, points, earned_at=occurred_at, expires_at=end)

    def _reborn(
        self,
        draft: Draft,
        id_: EntryId,
        points: int,
        *,
        earned_at: datetime,
        expires_at: datetime | None,
        funder: str | None = None,
    ) -> Birth:
        lot = new_lot(
            draft,
            self.member_id,
            id_,
            wallet=self.redemption.wallet,
            points=points,
            because=self.because,
            earned_at=earned_at,
            expires_at=expires_at,
            funder=funder,
        )
        return open_lot(draft, lot)


def _since(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What was counted since, where there is anything."""
    return {name: points for name, total in now.items() if (points := total - before.get(name, 0))}


def _end_of_day(draft: Draft, moment: datetime, *, later: int) -> datetime:
    """The end of the business day that comes so many days after the one that contains the moment."""
    calendar = draft.programme.calendar
    return calendar.day_start(calendar.business_date(moment) + timedelta(days=later + 1))
