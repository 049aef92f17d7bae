"""One member's history, replayed entry by entry, beside everything that is kept of it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import orjson

from loyalty.domain.books import ACCOUNTS, DEBIT_NORMAL, Balance, Book
from loyalty.domain.calculations import (
    Concerning,
    HandedOver,
    Held,
    Refunded,
    Sold,
    TakenBack,
    is_purchase,
    read,
)
from loyalty.domain.calendar import FOREVER
from loyalty.domain.caps import CapUse, key_of, still_counting
from loyalty.domain.entries import NO_CAUSE, Entry, Kind, Posting, sealed
from loyalty.domain.holds import HoldStatus
from loyalty.domain.ids import LotId
from loyalty.domain.ladder import NET_SPEND
from loyalty.domain.lots import LotState
from loyalty.domain.members import GENESIS, Status
from loyalty.domain.merges import Merge, carried
from loyalty.domain.programme import Programme
from loyalty.domain.returns import Plan, ReturnedLine, bought, bought_on, with_plan
from loyalty.domain.reversals import Done, counted
from loyalty.domain.rules import InForce
from loyalty.domain.sliding import Slide, renewals
from loyalty.domain.terms import earned_term
from loyalty.domain.tiers import Count, as_counts
from loyalty.recompute.findings import Report
from loyalty.recompute.tiers import (
    ReplayedTiers,
    counts_of_points,
    counts_of_return,
    counts_of_sale,
)
from loyalty.store.journal import EntryRows, LotRow
from loyalty.store.verify import MemberRows


class _OpenLot:
    """A lot as the journal has it so far, and as its row has it now."""

    __slots__ = ("drawn", "lapsed", "restored", "row", "state")

    def __init__(self, row: LotRow) -> None:
        self.row = row
        self.state = (LotState.AVAILABLE if row.birth.matures_at is None else LotState.PENDING).value
        self.drawn = 0
        self.restored = 0
        self.lapsed = 0

    @property
    def remaining(self) -> int:
        return self.row.birth.points - self.drawn + self.restored

    @property
    def is_as_kept(self) -> bool:
        row = self.row
        mine = (self.drawn, self.restored, self.lapsed, self.state)
        return mine == (row.drawn, row.restored, row.lapsed, row.state)

    @property
    def matures_at(self) -> datetime | None:
        return self.row.birth.matures_at


class _Held:
    """A hold as the journal has it so far, and as its row has it now."""

    __slots__ = ("captured", "expires_at", "kept", "points", "status")

    def __init__(self, points: dict[str, int], kept: tuple[str, int, datetime] | None) -> None:
        self.points = points
        """By wallet: what is held for a return can be of several."""
        self.kept = kept
        self.expires_at = FOREVER if kept is None else kept[2]
        self.status = HoldStatus.OPEN.value
        self.captured = 0


class _Reversed:
    """What the journal says was taken back of an entry so far, and what its row says now."""

    __slots__ = ("done", "kept", "moved_to", "points")

    def __init__(self, kept: tuple[int, str, str | None] | None) -> None:
        self.kept = kept
        self.points = 0
        self.done: Done = {}
        self.moved_to: str | None = None

    @property
    def is_as_kept(self) -> bool:
        if self.kept is None:
            return False
        points, done, moved_to = self.kept
        return (self.points, self.done, self.moved_to) == (points, orjson.loads(done), moved_to)


class Replay:
    """One member's history, replayed entry by entry."""

    def __init__(self, programme: Programme, rows: MemberRows, report: Report) -> None:
        self._programme = programme
        self._rows = rows
        self._report = report
        self._sequence = 0
        self._head = GENESIS
        self._effective_at = rows.member.enrolled_at
        self._recorded_at: datetime | None = None
        self._books: dict[str, dict[str, int]] = {}
        self._lots: dict[LotId, _OpenLot] = {}
        self._ripening: dict[datetime, list[_OpenLot]] = {}
        self._holds: dict[str, _Held] = {}
        self._reversed: dict[str, _Reversed] = {}
        self._cap_use: dict[tuple[str, str], int] = {}
        self._ends: dict[str, datetime] = {}
        self._slides: list[Slide] = []
        self._merged = ReplayedMerge()
        self._tiers = ReplayedTiers(programme, rows)

    def take(self, rows: EntryRows) -> None:
        """Replay the next entry."""
        entry = rows.entry
        self._count(entry)
        self._review(entry)
        self._check_chain(entry)
        self._post(entry)
        self._bear(rows)
        self._slide(entry)
        if entry.kind == Kind.MATURE:
            self._ripen(entry)
        self._draw(entry)
        self._hold(rows)
        self._reverse(rows)
        if is_purchase(entry):
            self._spend(entry)
        elif entry.kind in (Kind.RETURN, Kind.REASSIGN):
            self._tiers.take_back(entry, counts_of_return(entry))
        elif entry.kind == Kind.TIER:
            self._tiers.grant(entry)
        elif entry.kind in (Kind.MERGE, Kind.UNMERGE):
            self._merge(entry)
        else:
            self._tiers.earn(entry, counts_of_points(self._programme, entry))

    def compare(self) -> None:
        """Compare what the history came to with what is kept of the member."""
        self._reviewed(self._tiers.review(self._rows.member.effective_at, inclusive=True))
        kept = self._rows
        checked = self._report.checked
        checked["member"] += 1
        checked["book"] += len(kept.books)
        of_spend = sum(metric == NET_SPEND for metric, _ in kept.counts)
        checked["net_spend"] += of_spend
        checked["tier_count"] += len(kept.counts) - of_spend
        checked["tier_grant"] += kept.grant is not None
        checked["merge"] += kept.merge is not None
        checked["cap_use"] += len(kept.cap_use)
        checked["tier_step"] += len(kept.steps)
        checked["slide"] += len(kept.slides)
        self._compare_member()
        self._compare_books()
        self._compare_lots()
        self._compare_holds()
        self._compare_reversals()
        self._compare_cap_use()
        self._compare_slides()
        for problem in self._merged.differences(kept.member.status, kept.merge):
            self._report.add("merge", kept.member.id, 15, problem)
        for table, row, problem in self._tiers.differences():
            self._report.add(table, row, 14, problem)

    # --- an entry ---

    def _count(self, entry: Entry) -> None:
        checked = self._report.checked
        checked["entry"] += 1
        checked["posting"] += len(entry.postings)
        checked["draw"] += len(entry.draws)
        checked["lot"] += len(entry.births)

    def _check_chain(self, entry: Entry) -> None:
        """Invariant 12, and with it 6: the hash covers every row of the entry and the hash before it."""
        if entry.sequence != self._sequence + 1:
            self._wrong("entry", entry, 12, f"its sequence is {entry.sequence} and follows {self._sequence}")
        if sealed(self._programme.id, entry, head=self._head).hash != entry.hash:
            lots = ", ".join(birth.lot_id for birth in entry.births)
            parts = f"its {len(entry.postings)} postings, {len(entry.draws)} draws" + (lots and f" or lot {lots}")
            self._wrong("entry", entry, 12, f"its hash is broken: it, {parts} or the entry before it was changed")
        if not self._earliest_place(entry) <= entry.effective_at <= self._latest_place(entry):
            self._wrong("entry", entry, 12, f"it takes effect at {entry.effective_at} after {self._effective_at}")
        if self._recorded_at is not None and entry.recorded_at < self._recorded_at:
            self._wrong("entry", entry, 12, f"it was recorded at {entry.recorded_at} after {self._recorded_at}")
        self._sequence, self._head = entry.sequence, entry.hash
        self._effective_at, self._recorded_at = entry.effective_at, entry.recorded_at

    def _latest_place(self, entry: Entry) -> datetime:
        """When it happened, but not ahead of when it was recorded; and never before the entry before it."""
        return max(self._programme.reached(entry.occurred_at, entry.recorded_at), self._effective_at)

    def _earliest_place(self, entry: Entry) -> datetime:
        """The same, unless its writer's clock may have been behind that of whoever was there before.

        Then it bears the other's `recorded_at`, and nobody knows what its own clock said.
        """
        if self._recorded_at in (None, entry.recorded_at) and self._programme.fixed_now is None:
            return self._effective_at
        return self._latest_place(entry)

    def _post(self, entry: Entry) -> None:
        """Invariants 1, 2 and 4: the postings lead from the balances before to those the entry states."""
        accounts = self._report.accounts
        for wallet, debit, credit, points, _ in entry.postings:
            if debit not in ACCOUNTS or credit not in ACCOUNTS or debit == credit or points <= 0:
                self._wrong("posting", entry, 1, f"{debit} to {credit}, {points} points: this is no posting")
                continue
            book = self._books.get(wallet)
            if book is None:
                book = self._books[wallet] = dict.fromkeys(ACCOUNTS, 0)
            book[debit] += points if debit in DEBIT_NORMAL else -points
            book[credit] -= points if credit in DEBIT_NORMAL else -points
            accounts[debit] = accounts[debit][0] + points, accounts[debit][1]
            accounts[credit] = accounts[credit][0], accounts[credit][1] + points
        stated = entry.balances
        for wallet in {*self._books, *stated}:
            balance = self._balance(wallet)
            if stated.get(wallet, _NOTHING) != balance:
                self._wrong(
                    "posting", entry, 4, f"{wallet}: its postings lead to {balance}, it states {stated.get(wallet)}"
                )
            if min(balance) < 0:
                self._wrong("posting", entry, 2, f"{wallet}: an account becomes negative: {balance}")

    def _bear(self, rows: EntryRows) -> None:
        """Invariant 3: what an entry credits from outside is in lots, one state and wallet at a time."""
        entry = rows.entry
        earns = entry.kind == Kind.EARN or (entry.kind == Kind.REASSIGN and is_purchase(entry))
        if not rows.lots and not earns:
            return
        born: dict[tuple[str, str], int] = {}
        for row in rows.lots:
            lot = _OpenLot(row)
            birth = row.birth
            self._lots[birth.lot_id] = lot
            if birth.matures_at is not None:
                self._ripening.setdefault(birth.matures_at, []).append(lot)
            born[birth.wallet, lot.state] = born.get((birth.wallet, lot.state), 0) + birth.points
        credited = _sums((p.wallet, p.credit, p.points) for p in entry.postings if p.debit == "issued")
        if earns and born != credited:
            lots = ", ".join(birth.lot_id for birth in entry.births) or "none"
            self._wrong("lot", entry, 3, f"it credits {_told(credited)} and its lots ({lots}) hold {_told(born)}")

    def _slide(self, entry: Entry) -> None:
        """Invariant 13: what the entry does to the end of a book whose points slide."""
        for wallet, ends_at in renewals(self._programme, entry).items():
            if wallet not in self._ends or self._ends[wallet] < ends_at:
                self._ends[wallet] = ends_at
                self._slides.append(Slide(entry.member_id, wallet, entry.sequence, ends_at))

    def _end_of(self, lot: _OpenLot) -> datetime | None:
        return lot.row.birth.expires_at or self._ends.get(lot.row.birth.wallet)

    def _ripen(self, entry: Entry) -> None:
        """What matures at the entry's moment becomes available, all that remains of it."""
        waiting = self._ripening.pop(entry.occurred_at, ())
        ripe = [lot for lot in waiting if lot.remaining]
        for lot in ripe:
            lot.state = LotState.AVAILABLE.value
        held = [lot for lot in waiting if not lot.remaining and not lot.is_as_kept]
        if held:  # a return that is reserved may give back to them, and then they ripen late
            self._ripening[entry.occurred_at] = held
        matured = _sums((lot.row.birth.wallet, "available", lot.remaining) for lot in ripe)
        credited = _sums((p.wallet, p.credit, p.points) for p in entry.postings if p.debit == "pending")
        if matured != credited:
            self._wrong("lot", entry, 3, f"it matures {_told(credited)} and its lots hold {_told(matured)}")

    def _draw(self, entry: Entry) -> None:
        """Invariants 3 and 5: what leaves `available` is drawn from lots that have it."""
        for draw in entry.draws:
            lot = self._lots.get(draw.lot_id)
            if lot is None or lot.row.birth.wallet != draw.wallet:
                self._wrong("draw", entry, 5, f"it draws on the lot {draw.lot_id}, which is not open")
                continue
            if draw.points > 0:
                lot.drawn += draw.points
                lot.lapsed += draw.points if entry.kind in (Kind.EXPIRE, Kind.FORFEIT) else 0
            else:
                lot.restored -= draw.points
            remaining = lot.remaining
            if not 0 <= remaining <= lot.row.birth.points:
                self._wrong("draw", entry, 5, f"it leaves {remaining} points in the lot {draw.lot_id}")
            if entry.kind == Kind.EXPIRE and (remaining or self._end_of(lot) != entry.occurred_at):
                self._wrong("draw", entry, 11, f"the lot {draw.lot_id} does not expire then and there")
            if not remaining and lot.is_as_kept:
                del self._lots[draw.lot_id]  # done with: memory holds open lots only
        left = _sums(
            (p.wallet, "lots", p.points if p.debit in _IN_LOTS else -p.points)
            for p in entry.postings
            if (p.debit in _IN_LOTS) != (p.credit in _IN_LOTS)
        )
        drawn = _sums(
            (
                *((draw.wallet, "lots", draw.points) for draw in entry.draws),
                *((birth.wallet, "lots", -birth.points) for birth in entry.births),
            )
        )
        if left != drawn:
            self._wrong("draw", entry, 3, f"{_told(left)} leave it and {_told(drawn)} are drawn from lots")

    def _hold(self, rows: EntryRows) -> None:
        """Invariants 3 and 8: what a hold set aside leaves `held` once, by its capture or its release."""
        entry = rows.entry
        if entry.kind in (Kind.HOLD, Kind.RESERVE):
            kept = rows.beside and rows.beside.hold
            self._holds[entry.id] = _Held(_by_wallet(p for p in entry.postings if p.credit == "held"), kept)
            if kept is not None and kept[2] != datetime.fromisoformat(read(entry, Held)["expires_at"]):
                self._report.add("hold", entry.id, 8, f"it ends at {kept[2]}; its entry says otherwise")
            return
        resolved = _resolves(entry)
        if resolved is None:
            return
        hold = self._holds.get(resolved)
        if hold is None:
            self._wrong("entry", entry, 8, "it resolves no hold of the member")
            return
        freed = _by_wallet(p for p in entry.postings if p.debit == "held")
        if entry.kind != Kind.CAPTURE or freed:
            self._resolve(entry, hold, freed)
        elif hold.status != HoldStatus.EXPIRED:
            self._wrong("entry", entry, 8, "it captures late what had not ended")
        if entry.kind != Kind.RELEASE:
            hold.status = HoldStatus.CAPTURED.value
            hold.captured = sum(p.points for p in entry.postings if p.credit == "redeemed")

    def _resolve(self, entry: Entry, hold: _Held, freed: dict[str, int]) -> None:
        if hold.status != HoldStatus.OPEN:
            self._wrong("entry", entry, 8, f"it resolves a hold that was {hold.status} before")
        if freed != hold.points:
            self._wrong("posting", entry, 3, f"it frees {freed} points of a hold of {hold.points}")
        kept = HoldStatus.EXPIRED if _ends_by_itself(entry, hold) else HoldStatus.RELEASED
        hold.status = kept.value

    def _reverse(self, rows: EntryRows) -> None:
        """Invariant 5: no more is taken back of an entry than its row says, over all returns and refunds."""
        entry = rows.entry
        if rows.beside is not None and rows.beside.reversal is not None:
            self._reversed[entry.id] = _Reversed(rows.beside.reversal)
        if entry.kind not in (Kind.RETURN, Kind.UNSPEND, Kind.REASSIGN) or is_purchase(entry):
            return
        found = self._reversed.setdefault(read(entry, Concerning)["of"], _Reversed(None))
        if entry.kind == Kind.UNSPEND:
            refunded = read(entry, Refunded)
            found.points += refunded["points"]
            found.done = {"lots": counted(found.done.get("lots", {}), refunded["lots"].items())}
        else:
            stored = read(entry, TakenBack)
            lines = [ReturnedLine(**line) for line in stored["lines"]]
            found.points += sum(stored["points"].values())
            found.done = with_plan(found.done, Plan(lines, stored["points"]))
            found.moved_to = stored.get("to")

    def _review(self, entry: Entry) -> None:
        """The reviews that came before an entry. What falls due at the moment of a review goes before it."""
        by_itself = entry.kind in (Kind.MATURE, Kind.EXPIRE)
        if entry.kind == Kind.RELEASE and (hold := self._holds.get(read(entry, Concerning)["of"])) is not None:
            by_itself = _ends_by_itself(entry, hold)
        self._reviewed(self._tiers.review(entry.effective_at, inclusive=not by_itself))

    def _reviewed(self, last: datetime | None) -> None:
        """Whatever comes after a review takes effect after it."""
        if last is not None:
            self._effective_at = max(self._effective_at, last)

    def _merge(self, entry: Entry) -> None:
        """Either side of a merge, of its reversal, or of what was carried on or called back between."""
        stored = read(entry, HandedOver)
        uses = [CapUse(*one) for one in stored.get("caps", ())]
        if entry.kind == Kind.MERGE and "to" in stored:
            self._check_caps(entry, uses)
            self._merged.carry(stored["to"], entry, as_counts(stored["counts"]), uses)
        elif entry.kind == Kind.UNMERGE and "of" in stored and "counts" in stored:
            self._merged = ReplayedMerge()
            for lot_id, points in stored.get("lapsed", {}).items():
                self._lots[LotId(lot_id)].lapsed += points
        else:
            for cap, over, points in uses:
                more = points if entry.kind == Kind.MERGE else -points
                self._cap_use[cap, over] = self._cap_use.get((cap, over), 0) + more
        self._tiers.merge(entry)

    def _check_caps(self, entry: Entry, uses: Sequence[CapUse]) -> None:
        """Whoever is merged hands over what it had used of caps, once."""
        mine = [] if self._merged.is_in_force else [CapUse(*key, points) for key, points in self._cap_use.items()]
        if uses != (mine := still_counting(mine, entry.accounting_date)):
            self._wrong("entry", entry, 14, f"it hands over the use of caps {uses}; the purchases say {mine}")

    def _spend(self, entry: Entry) -> None:
        """A purchase counts towards net spend and tier; its stored calculation agrees with itself."""
        sold = read(entry, Sold)
        net_spend = sold["net_spend"]
        points = {wallet: points for wallet, points in sold["points"].items() if points}
        if points != {birth.wallet: birth.points for birth in entry.births}:
            self._wrong("entry", entry, 6, f"it was calculated to earn {points}, its lots hold something else")
        if net_spend != sum(line["amount"] for line in sold["lines"]):
            self._wrong("entry", entry, 6, f"its lines do not come to {net_spend}")
        day = bought_on(self._programme.calendar, entry)
        self._earn(entry, day)
        self._tiers.earn(entry, counts_of_sale(self._programme, entry, sold["points"]))

    def _earn(self, entry: Entry, day: date) -> None:
        """A purchase earned what its rules give for what is stored of it, and they looked at what was true then."""
        purchase = bought(self._programme, entry)
        given = purchase.earned().points
        if given != purchase.points:
            self._wrong("entry", entry, 6, f"its rules give {given}, it was calculated to earn {purchase.points}")
        if entry.kind != Kind.EARN:
            return  # reassigned: its facts are those of the first sale
        facts, first = purchase.facts, "member.first_purchase"
        if facts.values.get(first, is_first := not self._tiers.has_bought) != is_first:
            self._wrong("entry", entry, 6, f"{first} was {facts.values[first]} when it was decided")
        in_force = purchase.decided_by.at(facts.occurred_at)
        self._date(entry, in_force)
        for cap in in_force.caps:
            key = key_of(cap, entry.member_id, day)
            if key is None:
                continue
            used = self._cap_use.get(key[1:], 0)
            if facts.room.get(cap.id) != max(0, cap.points - used):
                self._wrong(
                    "entry", entry, 6, f"the cap {cap.id!r} had room for {cap.points - used} when it was decided"
                )
            if given.get(cap.wallet):
                self._cap_use[key[1:]] = used + given[cap.wallet]

    def _date(self, entry: Entry, in_force: InForce) -> None:
        """What a purchase earned matures and expires when its base rule, or else its wallet, says."""
        for birth in entry.births:
            wallet, base = self._programme.wallets.get(birth.wallet), in_force.bases.get(birth.wallet)
            if wallet is None or base is None:
                continue  # it earned what no rule gives: that has been said
            term = earned_term(self._programme.calendar, wallet, base, entry.occurred_at)
            if term != (birth.matures_at, birth.expires_at):
                told = f"from {birth.matures_at} until {birth.expires_at}; its rules say {term}"
                self._wrong("entry", entry, 6, f"the points of lot {birth.lot_id} are good {told}")

    # --- the member ---

    def _compare_member(self) -> None:
        member = self._rows.member
        if member.sequence != self._sequence:
            problem = f"its sequence is {member.sequence}; its entries end at {self._sequence}"
            self._report.add("member", member.id, 12, problem)
        elif member.head != self._head:
            self._report.add("member", member.id, 12, "its head is not the hash of its last entry")
        if member.effective_at != self._effective_at:
            problem = f"its effective_at is {member.effective_at}; its entries say {self._effective_at}"
            self._report.add("member", member.id, 12, problem)
        if self._recorded_at is not None and member.recorded_at != self._recorded_at:
            problem = f"its recorded_at is {member.recorded_at}; its entries say {self._recorded_at}"
            self._report.add("member", member.id, 12, problem)
        open_ = [lot for lot in self._lots.values() if lot.remaining]
        due = [lot.matures_at if lot.state == LotState.PENDING else self._end_of(lot) for lot in open_]
        due += [hold.expires_at for hold in self._holds.values() if hold.status == HoldStatus.OPEN]
        earliest = min((moment for moment in (*due, member.tier_until) if moment is not None), default=None)
        if earliest is not None and (member.due_at is None or member.due_at > earliest):
            self._report.add("member", member.id, 11, f"its due_at is {member.due_at}; something is due at {earliest}")

    def _compare_books(self) -> None:
        """Invariant 4, for the programme's side too."""
        kept = self._rows.books
        for wallet in {*kept, *self._books}:
            posted = Book(**self._books[wallet]) if wallet in self._books else Book()
            if kept.get(wallet) != posted:
                row = f"{self._rows.member.id} {wallet}"
                problem = f"it holds {_shown(kept.get(wallet))}; its postings come to {_shown(posted)}"
                self._report.add("book", row, 4, problem)

    def _compare_lots(self) -> None:
        """Invariants 3 and 5."""
        remaining: dict[tuple[str, str], int] = {}
        for id_, lot in self._lots.items():
            if not lot.is_as_kept:
                problem = (
                    f"it is {lot.row.state}, {lot.row.drawn} drawn, {lot.row.restored} restored,"
                    f" {lot.row.lapsed} lapsed; the journal says {lot.state}, {lot.drawn}, {lot.restored}, {lot.lapsed}"
                )
                self._report.add("lot", id_, 5, problem)
            place = (lot.row.birth.wallet, lot.state)
            remaining[place] = remaining.get(place, 0) + lot.remaining
        for wallet, book in self._rows.books.items():
            for state in LotState:
                kept, open_ = getattr(book, state), remaining.get((wallet, state.value), 0)
                if kept != open_:
                    row = f"{self._rows.member.id} {wallet}"
                    self._report.add("book", row, 3, f"{state} is {kept}; its open lots hold {open_}")

    def _compare_holds(self) -> None:
        """Invariants 3 and 8."""
        self._report.checked["hold"] += len(self._holds)
        held: dict[str, int] = {}
        for id_, hold in self._holds.items():
            if hold.kept is None:
                self._report.add("hold", id_, 8, "its row is missing")
            elif hold.kept[:2] != (hold.status, hold.captured):
                problem = (
                    f"it is {hold.kept[0]}, {hold.kept[1]} captured; the journal says {hold.status}, {hold.captured}"
                )
                self._report.add("hold", id_, 8, problem)
            if hold.status == HoldStatus.OPEN:
                for wallet, points in hold.points.items():
                    held[wallet] = held.get(wallet, 0) + points
        for wallet, book in self._rows.books.items():
            if book.held != held.get(wallet, 0):
                row = f"{self._rows.member.id} {wallet}"
                self._report.add("book", row, 3, f"held is {book.held}; its open holds come to {held.get(wallet, 0)}")

    def _compare_reversals(self) -> None:
        """Invariant 5."""
        self._report.checked["reversal"] += len(self._reversed)
        for id_, found in self._reversed.items():
            if not found.is_as_kept:
                mine = (found.points, found.done, found.moved_to)
                self._report.add("reversal", id_, 5, f"it says {found.kept}; the journal says {mine}")

    def _compare_cap_use(self) -> None:
        kept = self._rows.cap_use
        for cap, over in {*kept, *self._cap_use}:
            if kept.get((cap, over)) != self._cap_use.get((cap, over)):
                row = f"{self._rows.member.id} {cap} {over}".rstrip()
                problem = f"it is {kept.get((cap, over))}; the purchases come to {self._cap_use.get((cap, over))}"
                self._report.add("cap_use", row, 14, problem)

    def _compare_slides(self) -> None:
        """Invariant 13."""
        for one in {*self._rows.slides} ^ {*self._slides}:
            row = f"{one.member_id} {one.wallet} {one.sequence}"
            whose = "the journal" if one in self._slides else "its row"
            self._report.add("slide", row, 13, f"only {whose} says that the book lasts until {one.ends_at}")

    def _balance(self, wallet: str) -> Balance:
        book = self._books.get(wallet)
        return Balance(book["pending"], book["available"], book["held"], book["owed"]) if book else _NOTHING

    def _wrong(self, table: str, entry: Entry, invariant: int, problem: str) -> None:
        row = entry.id if table == "entry" else f"of entry {entry.id}"
        self._report.add(table, row, invariant, f"sequence {entry.sequence} of member {entry.member_id}: {problem}")


class ReplayedMerge:
    """What the journal of a member says it has handed over to another."""

    def __init__(self) -> None:
        self._survivor: str | None = None
        self._entry: str | None = None
        self._lots: list[str] = []
        self._owed: dict[str, int] = {}
        self._counts: list[Count] = []
        self._caps: list[CapUse] = []

    @property
    def is_in_force(self) -> bool:
        return self._survivor is not None

    def carry(self, survivor: str, entry: Entry, counts: Sequence[Count], uses: Sequence[CapUse]) -> None:
        """One more entry that hands over."""
        self._survivor = survivor
        self._entry = self._entry or entry.id
        self._lots += [draw.lot_id for draw in entry.draws]
        self._owed = counted(self._owed, ((p.wallet, p.points) for p in entry.postings if p.credit == "owed"))
        self._counts += counts
        self._caps += uses

    def differences(self, status: str, kept: Merge | None) -> Iterable[str]:
        """What differs from the row, and from what the member's status says."""
        if (status == Status.MERGED) != (self._survivor is not None):
            yield f"the member is {status}; its entries say otherwise"
        elif self._survivor is not None and kept is None:
            yield "its row is missing"
        elif self._survivor is not None and kept is not None:
            mine = (self._survivor, self._entry, sorted(self._lots), self._owed, self._counts, self._caps)
            if mine != (kept.survivor, *_carried(kept)):
                yield f"it says {kept.carried}; the journal says otherwise"


def _carried(merge: Merge) -> tuple[Any, ...]:
    """The lots, debts and counts that a row says were carried; nothing where it cannot be read."""
    try:
        told = carried(merge)
        return told.entry, sorted(told.lots.values()), told.owed, told.counts, told.caps
    except (TypeError, ValueError, LookupError, AttributeError):
        return ()


_NOTHING = Balance()
_IN_LOTS = (LotState.PENDING.value, LotState.AVAILABLE.value)
"""The accounts whose points lie in lots."""


def _ends_by_itself(entry: Entry, hold: _Held) -> bool:
    """Whether nobody asked for the release: the hold's time was over."""
    return entry.because == NO_CAUSE and entry.occurred_at == hold.expires_at


def _resolves(entry: Entry) -> str | None:
    """The hold that the entry resolves."""
    if entry.kind in (Kind.CAPTURE, Kind.RELEASE):
        return read(entry, Concerning)["of"]
    return read(entry, TakenBack).get("reservation") if entry.kind == Kind.RETURN else None


def _by_wallet(postings: Iterable[Posting]) -> dict[str, int]:
    """Points of the postings by wallet."""
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.wallet] = sums.get(posting.wallet, 0) + posting.points
    return sums


def _sums(parts: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    """Points by wallet and account; what comes to nothing is left out."""
    sums: dict[tuple[str, str], int] = {}
    for wallet, account, points in parts:
        sums[wallet, account] = sums.get((wallet, account), 0) + points
    return {place: points for place, points in sums.items() if points}


def _told(sums: Mapping[tuple[str, str], int]) -> str:
    return ", ".join(f"{points} {account} {wallet}" for (wallet, account), points in sums.items()) or "nothing"


def _shown(book: Book | None) -> str:
    """A book's accounts that are not zero."""
    if book is None:
        return "no row"
    return ", ".join(f"{account} {points}" for account, points in book._asdict().items() if points) or "nothing"
