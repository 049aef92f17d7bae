"""The numbered invariants of the ledger, over records that lie in memory or in Postgres."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.adjustments import ADJUSTMENTS, Adjustment, Decision
from loyalty.domain.books import ACCOUNTS, BOOKS, DEBIT_NORMAL, Balance, Book
from loyalty.domain.calculations import is_purchase
from loyalty.domain.claims import REFERENCES, REPLAYS, ReferenceKey, Replay, ReplayKey
from loyalty.domain.entries import Because, Birth, Draw, Entry, Kind, Posting, sealed
from loyalty.domain.holds import HOLDS, Hold, HoldStatus
from loyalty.domain.ids import EntryId, FactId, LotId, MemberId, ReviewId, bucket_of
from loyalty.domain.lots import LOTS, Lot
from loyalty.domain.members import GENESIS, MEMBERS, Member
from loyalty.domain.programme import Programme
from loyalty.domain.reviews import REVIEWS, Review
from loyalty.domain.sliding import renewals
from loyalty.domain.state import State
from loyalty.domain.tiers import TierStep
from loyalty.store.tiers import judged_from

Book_ = tuple[MemberId, str]


@dataclasses.dataclass
class Records:
    """All rows of one programme, wherever they lie. Entries are in the order of each member's sequence."""

    programme: Programme
    members: dict[MemberId, Member]
    books: dict[Book_, Book]
    lots: dict[LotId, Lot]
    entries: list[Entry]
    steps: list[TierStep]
    references: dict[ReferenceKey, EntryId]
    replays: dict[ReplayKey, Replay]
    holds: dict[EntryId, Hold]
    adjustments: dict[EntryId, Adjustment]
    reviews: dict[ReviewId, Review]

    def entries_of(self, member_id: MemberId) -> list[Entry]:
        return [entry for entry in self.entries if entry.member_id == member_id]

    def lots_of(self, member_id: MemberId) -> list[Lot]:
        """The lots in the order they were born."""
        return [self.lots[birth.lot_id] for entry in self.entries_of(member_id) for birth in entry.births]


def of_state(programme: Programme, state: State) -> Records:
    """What lies on a state without a database."""
    return Records(
        programme=programme,
        members=dict(state.own(MEMBERS)),
        books=dict(state.own(BOOKS)),
        lots=dict(state.own(LOTS)),
        entries=[fact for fact in state.facts if isinstance(fact, Entry)],
        steps=[fact for fact in state.facts if isinstance(fact, TierStep)],
        references=dict(state.own(REFERENCES)),
        replays=dict(state.own(REPLAYS)),
        holds=dict(state.own(HOLDS)),
        adjustments=dict(state.own(ADJUSTMENTS)),
        reviews=dict(state.own(REVIEWS)),
    )


async def of_database(connection: AsyncConnection, programme: Programme) -> Records:
    """What lies in Postgres, read by SQL of our own as its superuser."""

    async def rows(columns: str, source: str) -> list[Any]:
        found = await connection.execute(text(f"select {columns} from {source}"), {"programme": programme.id})
        return [tuple(v.hex if isinstance(v, UUID) else v for v in row) for row in found]

    members = await rows(", ".join(Member._fields), "member where programme_id = :programme")
    books = await rows(f"member_id, wallet, {', '.join(ACCOUNTS)}", "book where programme_id = :programme")
    lots = await rows(", ".join(Lot._fields), "lot where programme_id = :programme order by id")
    entries = await rows(
        "id, member_id, sequence, kind, fact_id, occurred_at, effective_at, recorded_at, accounting_date,"
        " source, reference, store, reason, balances::text, calculation::text, hash",
        "entry where programme_id = :programme order by member_id, sequence",
    )
    postings: dict[str, list[Posting]] = defaultdict(list)
    for entry_id, *posting in await rows(
        "entry_id, wallet, debit, credit, points, funder",
        "posting where programme_id = :programme order by entry_id, number",
    ):
        postings[entry_id].append(Posting(*posting))
    draws: dict[str, list[Draw]] = defaultdict(list)
    for entry_id, *draw in await rows(
        "entry_id, lot_id, wallet, points", "draw where programme_id = :programme order by entry_id, number"
    ):
        draws[entry_id].append(Draw(*draw))
    births: dict[str, list[Birth]] = defaultdict(list)
    for row in lots:
        lot = Lot(*row)
        births[lot.entry_id].append(
            Birth(lot.id, lot.wallet, lot.points, lot.earned_at, lot.matures_at, lot.expires_at, lot.funder)
        )
    steps = await rows(
        "id, member_id, from_tier, to_tier, occurred_at, recorded_at, entry_id,"
        " window_from, window_ends, score, needed",
        "tier_step where programme_id = :programme order by member_id, occurred_at, id",
    )
    references = await rows(
        "source, reference, kind, business_date, entry_id", "reference where programme_id = :programme"
    )
    replays = await rows("client_id, subject, key, fingerprint, status, body", "replay where programme_id = :programme")
    holds = [
        Hold._make((*row, tuple(draws[row[0]])))
        for row in await rows(", ".join(Hold._fields[:-2]) + ", reserved::text", "hold where programme_id = :programme")
    ]
    adjustments = await rows(", ".join(Adjustment._fields), "adjustment where programme_id = :programme")
    reviews = await rows(", ".join(Review._fields), "review where programme_id = :programme")
    return Records(
        programme=programme,
        members={MemberId(row[0]): Member(*row) for row in members},
        books={(MemberId(row[0]), row[1]): Book(*row[2:]) for row in books},
        lots={LotId(row[0]): Lot(*row) for row in lots},
        entries=[_entry(row, postings, draws, births) for row in entries],
        steps=[TierStep._make((*row[:7], judged_from(row[7:]))) for row in steps],
        references={ReferenceKey(*row[:4]): EntryId(row[4]) for row in references},
        replays={ReplayKey(*row[:3]): Replay(*row[3:]) for row in replays},
        holds={hold.id: hold for hold in holds},
        adjustments={EntryId(row[0]): Adjustment(*row) for row in adjustments},
        reviews={ReviewId(row[0]): Review(*row) for row in reviews},
    )


def _entry(
    row: Sequence[Any],
    postings: Mapping[str, list[Posting]],
    draws: Mapping[str, list[Draw]],
    births: Mapping[str, list[Birth]],
) -> Entry:
    id_, member_id, sequence, kind, fact_id, occurred_at, effective_at, recorded_at, accounting_date, *rest = row
    *because, balances, calculation, hash_ = rest
    return Entry(
        id=EntryId(id_),
        member_id=MemberId(member_id),
        sequence=sequence,
        kind=kind,
        fact_id=FactId(fact_id),
        occurred_at=occurred_at,
        effective_at=effective_at,
        recorded_at=recorded_at,
        accounting_date=accounting_date,
        because=Because(*because),
        postings=tuple(postings.get(id_, ())),
        draws=tuple(draws.get(id_, ())),
        births=tuple(births.get(id_, ())),
        balances={wallet: Balance(*balance) for wallet, balance in orjson.loads(balances).items()},
        calculation=calculation,
        hash=hash_,
    )


def check(records: Records) -> None:
    """Every law below."""
    postings_balance(records)
    no_account_is_negative(records)
    lots_cover_the_balances(records)
    balances_are_the_sum_of_postings(records)
    lots_keep_count_of_their_draws(records)
    references_belong_to_one_entry(records)
    holds_are_resolved_at_most_once(records)
    transfers_sum_to_zero(records)
    chains_are_unbroken(records)
    time_never_runs_backwards(records)
    nothing_due_is_overlooked(records)
    every_id_routes_itself(records)
    what_was_not_covered_is_reviewed(records)


def what_was_not_covered_is_reviewed(records: Records) -> None:
    """Each redemption that left a debt has its review item, and there is none for anything else."""
    not_covered = {
        ReviewId(entry.id): (entry.member_id, p.wallet, p.points, *entry.because[:2], entry.recorded_at)
        for entry in records.entries
        for p in entry.postings
        if (p.debit, p.credit) == ("owed", "redeemed")
    }
    assert records.reviews.keys() == not_covered.keys()
    for one in records.reviews.values():
        said = (one.member_id, one.wallet, one.points, one.source, one.reference, one.opened_at)
        assert said == not_covered[one.id]


def postings_balance(records: Records) -> None:
    """Invariant 1."""
    trial: Counter[str] = Counter()
    for entry in records.entries:
        for posting in entry.postings:
            assert posting.debit != posting.credit, "invariant 1: debit and credit differ"
            assert type(posting.points) is int, "invariant 1: points are an integer"
            assert posting.points > 0, "invariant 1: points are positive"
    for book in records.books.values():
        for account, points in book._asdict().items():
            trial[account] += points if account in DEBIT_NORMAL else -points
    assert sum(trial.values()) == 0, f"invariant 1: the trial balance balances, not {dict(trial)}"


def no_account_is_negative(records: Records) -> None:
    """Invariant 2, in the books and in every balance an entry left behind."""
    left = [balance for entry in records.entries for balance in entry.balances.values()]
    for balance in [*(book.balance for book in records.books.values()), *left]:
        assert min(balance) >= 0, f"invariant 2: {balance}"
        assert balance.owed == 0 or balance.available == 0, f"invariant 2: {balance}"


def lots_cover_the_balances(records: Records) -> None:
    """Invariant 3: lots cover what is pending and available, the draws of open holds what is held."""
    remaining: Counter[tuple[MemberId, str, str]] = Counter()
    for lot in records.lots.values():
        remaining[lot.member_id, lot.wallet, lot.state] += lot.remaining
    held: Counter[Book_] = Counter()
    for hold in records.holds.values():
        assert sum(draw.points for draw in hold.draws) == hold.points, "invariant 3: the draws of a hold"
        if hold.status == HoldStatus.OPEN:
            for draw in hold.draws:
                held[hold.member_id, draw.wallet] += draw.points
    for (member_id, wallet), book in records.books.items():
        assert book.pending == remaining[member_id, wallet, "pending"], "invariant 3: pending"
        assert book.available == remaining[member_id, wallet, "available"], "invariant 3: available"
        assert book.held == held[member_id, wallet], "invariant 3: held"
    assert set(held) <= records.books.keys()
    assert {key[:2] for key, points in remaining.items() if points} <= records.books.keys()


def balances_are_the_sum_of_postings(records: Records) -> None:
    """Invariant 4, for the programme's side as well, and after each single entry."""
    sums: dict[Book_, Counter[str]] = defaultdict(Counter)
    for entry in records.entries:
        for posting in entry.postings:
            moved = sums[entry.member_id, posting.wallet]
            moved[posting.debit] += posting.points if posting.debit in DEBIT_NORMAL else -posting.points
            moved[posting.credit] += -posting.points if posting.credit in DEBIT_NORMAL else posting.points
        for wallet, balance in entry.balances.items():
            found = Balance(*(sums[entry.member_id, wallet][account] for account in Balance._fields))
            assert balance == found, f"invariant 4: balances after entry {entry.sequence}"
    for key, book in records.books.items():
        assert book._asdict() == {account: sums[key][account] for account in ACCOUNTS}, "invariant 4"
    assert {key for key, moved in sums.items() if any(moved.values())} <= records.books.keys()


def lots_keep_count_of_their_draws(records: Records) -> None:
    """Invariant 5."""
    drawn: Counter[LotId] = Counter()
    restored: Counter[LotId] = Counter()
    lapsed: Counter[LotId] = Counter()
    for entry in records.entries:
        for draw in entry.draws:
            if entry.kind in (Kind.EXPIRE, Kind.FORFEIT):
                lapsed[draw.lot_id] += draw.points
            (drawn if draw.points > 0 else restored)[draw.lot_id] += abs(draw.points)
            assert records.lots[draw.lot_id].wallet == draw.wallet, "invariant 5: a draw is of the lot's wallet"
    for lot in records.lots.values():
        assert lot.remaining == lot.points - lot.drawn + lot.restored, "invariant 5"
        assert 0 <= lot.remaining <= lot.points, "invariant 5"
        counted = (drawn[lot.id], restored[lot.id], lapsed[lot.id])
        assert (lot.drawn, lot.restored, lot.lapsed) == counted, "invariant 5: counters"
        assert lot.lapsed <= lot.points, "invariant 5: nothing lapses twice"
    births = Counter(birth.lot_id for entry in records.entries for birth in entry.births)
    assert births == Counter(list(records.lots)), "invariant 5: every lot was born once, in an entry"


REFERENCE_KINDS = {
    Kind.EARN: "accrual",
    Kind.SPEND: "redemption",
    Kind.HOLD: "hold",
    Kind.RESERVE: "return",
    Kind.RETURN: "return",
    Kind.UNSPEND: "refund",
    Kind.TRANSFER: "transfer",
    Kind.ADJUST: "adjustment",
    Kind.REASSIGN: "reassignment",
}


def references_belong_to_one_entry(records: Records) -> None:
    """Invariant 7: what came with a reference has its entry, or waits as an adjustment, and no two share one."""
    named = {
        entry.id: (entry.because.source, entry.because.reference, REFERENCE_KINDS[Kind(entry.kind)])
        for entry in records.entries
        if took_a_reference(entry)
    }
    for adjustment in records.adjustments.values():
        approved = adjustment.status == Decision.APPROVED
        assert (adjustment.id in named) is approved, "invariant 7: an adjustment has its entry once it is approved"
        named[adjustment.id] = (adjustment.source, adjustment.reference, "adjustment")
    assert sorted(named) == sorted(records.references.values()), "invariant 7"
    for key, entry_id in records.references.items():
        assert named[entry_id] == (key.source, key.reference, key.kind), "invariant 7"


def took_a_reference(entry: Entry) -> bool:
    """A purchase that was reassigned stands under its receipt, which it took when it was made."""
    return entry.because.reference is not None and not (entry.kind == Kind.REASSIGN and is_purchase(entry))


def holds_are_resolved_at_most_once(records: Records) -> None:
    """Invariant 8. A hold that ended by itself may be captured after that, within the grace: the one exception."""
    opened = {entry.id: entry for entry in records.entries if entry.kind in (Kind.HOLD, Kind.RESERVE)}
    assert opened.keys() == records.holds.keys(), "invariant 8: every hold was opened, once"
    ends: dict[EntryId, list[Entry]] = {id_: [] for id_ in opened}
    for entry in records.entries:
        calculated = orjson.loads(entry.calculation or "{}")
        if entry.kind in (Kind.CAPTURE, Kind.RELEASE):
            ends[calculated["of"]].append(entry)
        elif entry.kind == Kind.RETURN and "reservation" in calculated:
            ends[calculated["reservation"]].append(entry)
    grace = records.programme.hold_grace
    for hold in records.holds.values():
        kinds = [entry.kind for entry in ends[hold.id]]
        match hold.status:
            case HoldStatus.OPEN:
                assert kinds == [], "invariant 8: an open hold"
            case HoldStatus.CAPTURED if len(kinds) == 2:
                assert kinds == ["release", "capture"], "invariant 8: captured after it had ended by itself"
                by_itself, late = ends[hold.id]
                assert by_itself.occurred_at == hold.expires_at, "invariant 8: it ended by itself"
                assert hold.expires_at <= late.effective_at < hold.expires_at + grace, "invariant 8: within the grace"
            case HoldStatus.CAPTURED:
                assert kinds == ["capture" if hold.reserved is None else "return"], "invariant 8: captured"
                assert ends[hold.id][0].effective_at < hold.expires_at, "invariant 8: captured in time"
            case _:
                assert kinds == ["release"], "invariant 8: released"
        redeemed = [p.points for entry in ends[hold.id] for p in entry.postings if p.credit == "redeemed"]
        assert sum(redeemed) == hold.captured, "invariant 8: what was captured"


def transfers_sum_to_zero(records: Records) -> None:
    """Invariant 9, for the programme and for every single transfer."""
    in_all: Counter[str] = Counter()
    for (_, wallet), book in records.books.items():
        in_all[wallet] += book.transferred
    assert not any(in_all.values()), f"invariant 9: {dict(in_all)}"
    sides: dict[FactId, list[tuple[str, int]]] = defaultdict(list)
    for entry in records.entries:
        if entry.kind == Kind.TRANSFER:
            [(wallet, change)] = [
                (p.wallet, p.points * ((p.credit == "transferred") - (p.debit == "transferred")))
                for p in entry.postings
                if "transferred" in (p.debit, p.credit)
            ]
            sides[entry.fact_id].append((wallet, change))
    for both in sides.values():
        [(wallet, one), (same, other)] = both
        assert (wallet, one) == (same, -other), "invariant 9: a transfer has two sides"


def chains_are_unbroken(records: Records) -> None:
    """Invariant 12; and with it invariant 6: no byte of an entry has changed since."""
    for member in records.members.values():
        head = GENESIS
        entries = records.entries_of(member.id)
        assert [entry.sequence for entry in entries] == list(range(1, member.sequence + 1)), "invariant 12"
        for entry in entries:
            again = sealed(records.programme.id, entry._replace(hash=b""), head=head)
            assert again.hash == entry.hash, f"invariant 12: the hash of entry {entry.sequence}"
            head = entry.hash
        assert head == member.head, "invariant 12: the head is the last hash"


def time_never_runs_backwards(records: Records) -> None:
    for member in records.members.values():
        entries = records.entries_of(member.id)
        assert entries == sorted(entries, key=lambda entry: entry.effective_at)
        assert entries == sorted(entries, key=lambda entry: entry.recorded_at)
        if entries:
            reviews = (x.occurred_at for x in records.steps if x.member_id == member.id and x.entry_id is None)
            assert member.effective_at == max([entries[-1].effective_at, *reviews])
            assert member.recorded_at == entries[-1].recorded_at


def nothing_due_is_overlooked(records: Records) -> None:
    """`due_at` is no later than whatever falls due next."""
    for member in records.members.values():
        lots = [lot for lot in records.lots.values() if lot.member_id == member.id and lot.remaining]
        holds = [x for x in records.holds.values() if x.member_id == member.id and x.status == HoldStatus.OPEN]
        ends = dict[str, datetime]()
        for entry in records.entries_of(member.id):
            for wallet, end in renewals(records.programme, entry).items():
                ends[wallet] = max(end, ends.get(wallet, end))
        due = [lot.due_at or ends.get(lot.wallet) for lot in lots]
        moments: list[datetime | None] = [*due, *(x.expires_at for x in holds)]
        moments.append(member.tier_until)
        earliest = min((moment for moment in moments if moment is not None), default=None)
        if earliest is not None:
            assert member.due_at is not None, f"something is due on {earliest}"
            assert member.due_at <= earliest


def every_id_routes_itself(records: Records) -> None:
    """Ids are unique, and end in the byte of their member's bucket."""
    ids = [
        *((entry.id, entry.member_id) for entry in records.entries),
        *((lot.id, lot.member_id) for lot in records.lots.values()),
        *((step.id, step.member_id) for step in records.steps),
    ]
    assert len({id_ for id_, _ in ids}) == len(ids)
    assert all(bucket_of(id_) == bucket_of(member_id) for id_, member_id in ids)
