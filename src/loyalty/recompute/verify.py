"""Proof: everything that is kept beside the journal, worked out again from the journal and compared.

Nothing is believed that can be recomputed: hashes, balances, lots, net spend, tiers, references, what has to be
reviewed. A snapshot per bucket makes it safe beside a running service.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from loyalty.domain.adjustments import Adjustment
from loyalty.domain.calculations import is_purchase
from loyalty.domain.claims import TAKEN_BY, ReferenceKey, ReferenceKind, reference_key
from loyalty.domain.entries import Entry, Kind
from loyalty.domain.ids import EntryId
from loyalty.domain.members import GENESIS
from loyalty.domain.programme import Programme
from loyalty.domain.publishing import rule_set, sealed
from loyalty.domain.rules import in_order
from loyalty.recompute.findings import Report
from loyalty.recompute.member import Replay
from loyalty.store import claims, rules
from loyalty.store import verify as store
from loyalty.store.database import Database
from loyalty.store.journal import EntryRows
from loyalty.store.strays import strays
from loyalty.store.verify import MemberRows

AT_ONCE = 2
"""Buckets read at the same time: Postgres works on one while the other is replayed here."""

Progress = Callable[[Report, int], None]
"""Hears of the report so far and how many of the 256 buckets are done."""


async def verify(
    database: Database,
    programme: Programme,
    *,
    buckets: Sequence[int] = store.EVERY_BUCKET,
    progress: Progress = lambda report, buckets: None,
) -> Report:
    """Recompute the whole programme, or some of its buckets, from the journal and compare. Changes and locks nothing.

    Reads every row of the ledger, and most of them again beside what they belong to. The memory it takes is that of one
    member's open lots, holds and corrections.
    """
    began = time.monotonic()
    report = Report(programme.code)
    waiting = list(reversed(buckets))
    done = 0

    async def work() -> None:
        nonlocal done
        while waiting:
            await _Bucket(database, programme, waiting.pop(), report).verify()
            done += 1
            report.seconds = time.monotonic() - began
            progress(report, done)

    await _check_rules(database, programme, report)
    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(work())
    report.seconds = time.monotonic() - began
    return report


async def _check_rules(database: Database, programme: Programme, report: Report) -> None:
    """Invariant 6: what was published, and in which order, is what it was."""
    async with database.snapshot(programme.id) as connection:
        published = await rules.all_published(connection, programme.id)
    head = GENESIS
    for number, (version, drafted) in enumerate(published, 1):
        report.checked["rule_version"] += 1
        row = str(version.version)
        if drafted is None:
            report.add("rule_draft", version.draft_id, 6, f"it cannot be read, and was published as version {row}")
        elif version.version != number or sealed(programme.id, version, drafted, head=head).hash != version.hash:
            report.add("rule_version", row, 6, "its hash is broken: it, its draft or the version before it was changed")
        head = version.hash


class _Bucket:
    """One bucket in one snapshot."""

    def __init__(self, database: Database, programme: Programme, bucket: int, report: Report) -> None:
        self._database = database
        self._programme = programme
        self._bucket = bucket
        self._report = report

    async def verify(self) -> None:
        """Replay each member beside its rows, then look for rows that belong to nobody."""
        id_ = self._programme.id
        async with self._database.snapshot(id_) as connection:
            await store.take_time(connection)
            published = await rules.all_published(connection, id_)
            sets = in_order(rule_set(version, drafted.rules if drafted else ()) for version, drafted in published)
            self._programme = self._programme._replace(rule_sets=sets)
            history = _History(self._journal(connection))
            async for page in store.members_of(connection, id_, self._bucket):
                for rows in page:
                    await self._replay(rows, history)
            while (entry := await history.next()) is not None:
                self._nobodys(entry.entry)
            async for asked in store.adjustments_of(connection, id_, self._bucket):
                await self._check_references_of(connection, asked)
            for stray in await strays(connection, self._programme, self._bucket):
                self._report.add(*stray)
            counted = await store.count_beside(connection, id_, self._bucket)
        for table, number in counted.items():
            self._report.checked[table] += number

    async def _replay(self, rows: MemberRows, history: "_History") -> None:
        """Replay the member's entries, which come next, and compare."""
        replay = Replay(self._programme, rows, self._report)
        while (found := history.peek() or await history.ahead()) is not None:
            if found.entry.member_id > rows.member.id:
                break
            history.skip()
            if found.entry.member_id == rows.member.id:
                self._take(replay, found)
            else:
                self._nobodys(found.entry)
        replay.compare()

    def _take(self, replay: Replay, found: EntryRows) -> None:
        """Replay an entry. What nobody can read was not written by us."""
        try:
            replay.take(found)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            self._report.add("entry", found.entry.id, 6, f"it cannot be read: {type(error).__name__} {error}")

    async def _journal(self, connection: Any) -> AsyncIterator[Sequence[EntryRows]]:
        """The bucket's entries, their references looked up on the way."""
        async for slice_ in store.entries(connection, self._programme.id, self._bucket):
            await self._check_references(connection, slice_)
            yield slice_

    async def _check_references(self, connection: Any, slice_: Sequence[EntryRows]) -> None:
        """Invariant 7: whatever came from outside has taken its reference."""
        claimed = [(key, rows.entry.id) for rows in slice_ if (key := self._claim(rows)) is not None]
        taken = await claims.find_references(connection, self._programme.id, [key for key, _ in claimed])
        for key, entry_id in claimed:
            if taken.get(key) != entry_id:
                self._untaken(key, entry_id)

    async def _check_references_of(self, connection: Any, asked: Sequence[Adjustment]) -> None:
        """Invariant 7: an adjustment keeps its reference, whatever the second person decides."""
        claimed = {one.id: self._claims_of(one) for one in asked}
        taken = await claims.find_references(
            connection, self._programme.id, list(chain.from_iterable(claimed.values()))
        )
        for id_, keys in claimed.items():
            if all(taken.get(key) != id_ for key in keys):
                self._untaken(keys[0], id_)

    def _claims_of(self, asked: Adjustment) -> list[ReferenceKey]:
        """What it may have taken: a request that was put down past midnight belongs to the day on which it came."""
        source, reference, kind = asked.source, asked.reference, ReferenceKind.ADJUSTMENT
        day = self._programme.calendar.business_date(self._programme.now(asked.requested_at))
        days = (day, day - timedelta(days=1))
        return [reference_key(self._programme, kind, source=source, reference=reference, day=one) for one in days]

    def _untaken(self, key: ReferenceKey, entry_id: EntryId) -> None:
        self._report.add(
            "reference",
            f"{key.source} {key.reference} {key.kind}",
            7,
            f"it is not taken by {entry_id}, which came under it",
        )

    def _claim(self, rows: EntryRows) -> ReferenceKey | None:
        entry = rows.entry
        source, reference, kind = entry.because.source, entry.because.reference, TAKEN_BY.get(entry.kind)
        if source is None or reference is None or kind is None:
            return None
        if entry.kind == Kind.REASSIGN and is_purchase(entry):
            return None  # it stands under the receipt of the purchase, which the first sale has taken
        if rows.beside is not None and rows.beside.adjustment is not None:
            return None  # taken on the day it was asked for: see `_check_references_of`
        day = self._programme.calendar.business_date(entry.occurred_at)
        return reference_key(self._programme, kind, source=source, reference=reference, day=day)

    def _nobodys(self, entry: Entry) -> None:
        self._report.checked["entry"] += 1
        self._report.add("entry", entry.id, 12, "its member does not exist")


class _History:
    """The entries of a bucket, one after the other."""

    def __init__(self, slices: AsyncIterator[Sequence[EntryRows]]) -> None:
        self._slices = slices
        self._slice: Sequence[EntryRows] = ()
        self._place = 0

    def peek(self) -> EntryRows | None:
        """The next entry, if it has been read already."""
        return self._slice[self._place] if self._place < len(self._slice) else None

    async def ahead(self) -> EntryRows | None:
        """The next entry, after reading on; None at the end."""
        self._slice, self._place = (), 0
        async for slice_ in self._slices:
            self._slice = slice_
            break
        return self.peek()

    def skip(self) -> None:
        self._place += 1

    async def next(self) -> EntryRows | None:
        """Take the next entry; None at the end."""
        found = self.peek() or await self.ahead()
        self.skip()
        return found
