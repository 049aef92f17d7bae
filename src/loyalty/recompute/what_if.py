"""What if other rules had held: past orders earn by them, member by member, and what that changes is added up.

Nothing is written. Returns take back by the same rules; caps, first purchases and, where the ladder goes by points,
tiers are as they would have been. Redemptions and expiries are not lived through again: liability is what was given.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from typing import Any, Final

import orjson

from loyalty.domain.entries import Kind
from loyalty.domain.ids import BUCKETS
from loyalty.domain.programme import Programme
from loyalty.domain.rules import RuleSet, rule_of, rules_json
from loyalty.memory import relax_collector
from loyalty.recompute.lives import Life
from loyalty.recompute.tally import Question, Tally
from loyalty.store import programmes
from loyalty.store import verify as store
from loyalty.store.database import Database

AT_A_TIME: Final = 4
"""Buckets that are worked on before progress is told."""

Progress = Callable[[int], None]
"""Hears how many of the 256 buckets are done."""
_KINDS: Final = (Kind.EARN, Kind.RETURN, Kind.REASSIGN, Kind.TIER, Kind.MERGE, Kind.UNMERGE)
"""Entries that say what was earned, or what counts towards a tier."""


async def what_if(
    database_url: str,
    code: str,
    question: Question,
    *,
    processes: int,
    progress: Progress = lambda buckets: None,
) -> Tally:
    """What the programme of that code would have given, over all its members. Changes and locks nothing.

    Reads every entry of the programme, a bucket in a snapshot of its own; its memory is that of the members of one
    bucket for each process. Cancelled, it leaves the buckets that are being worked on to end by themselves.
    """
    asked = (question.rules.id, orjson.loads(rules_json(question.rules.rules)), question.begins, question.ends)
    parts = [range(first, min(first + AT_A_TIME, BUCKETS)) for first in range(0, BUCKETS, AT_A_TIME)]
    tally, done = Tally(), 0
    # Not forked: a copy of an event loop and of its connections is good for nothing.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        loop = asyncio.get_running_loop()
        waiting = [loop.run_in_executor(pool, _work, database_url, code, asked, part) for part in parts]
        for part in asyncio.as_completed(waiting):
            tally.add(await part)
            done += AT_A_TIME
            progress(min(done, BUCKETS))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # to wait would hold up everything else in this process
    return tally


def _work(
    database_url: str, code: str, asked: tuple[str, list[dict[str, Any]], date, date], buckets: Sequence[int]
) -> Tally:
    """What some buckets come to. In a process of its own."""
    relax_collector()
    id_, rules, begins, ends = asked
    question = Question(RuleSet(id_, None, None, tuple(map(rule_of, rules))), begins, ends)
    return asyncio.run(_of_buckets(database_url, code, question, buckets))


async def _of_buckets(database_url: str, code: str, question: Question, buckets: Sequence[int]) -> Tally:
    database = Database(database_url, door_size=1, reads_size=1)
    tally = Tally()
    try:
        programme = await programmes.read(database.reads, code)
        assert programme is not None, "the caller has read it"
        for bucket in buckets:
            async with database.snapshot(programme.id) as connection:
                await store.take_time(connection)
                await _of_bucket(connection, programme, bucket, question, tally)
    finally:
        await database.close()
    return tally


async def _of_bucket(connection: Any, programme: Programme, bucket: int, question: Question, tally: Tally) -> None:
    """Every member of a bucket beside its entries, both in the order of their ids."""
    members = {
        rows.member.id: rows async for page in store.members_of(connection, programme.id, bucket) for rows in page
    }
    life, whose = None, ""
    kinds = (*_KINDS, Kind.MATURE) if programme.ladder.counts_what_matures else _KINDS
    async for slice_ in store.entries_of_kinds(connection, programme.id, bucket, kinds):
        for entry in slice_:
            if entry.member_id != whose:
                if life is not None:
                    life.end(tally)
                whose = entry.member_id
                rows = members.pop(whose, None)  # an entry of nobody's is for `verify` to find
                life = None if rows is None else Life(programme, rows, question)
            if life is not None:
                life.take(entry)
    if life is not None:
        life.end(tally)
    for rows in members.values():
        Life(programme, rows, question).end(tally)
