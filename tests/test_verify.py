"""`verify` names whatever was changed behind the ledger's back: one planted change per row and column that matters."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from loyalty.cli.import_ import import_baskets
from loyalty.cli.verify import verify as verify_command
from loyalty.demo import REAL_YEAR
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Lanes
from loyalty.recompute.findings import Finding, Report
from loyalty.recompute.verify import verify
from loyalty.store.database import Database
from loyalty.store.ledger import trial_balance
from loyalty.store.sealing import Sealer
from tests.conftest import ProgrammeFactory, Urls, kept_programme
from tests.files.test_baskets import a_line, a_redemption, write_csv
from tests.makers import a_fact, a_member_id, at, enrolling, granting, rendered

HISTORY = [
    a_line(reference="R1", amount=1_500_00, occurred_at="2017-02-01T12:00:00-05:00"),  # silver; most of it expires
    a_redemption(reference="G1", points=300, occurred_at="2017-03-01T12:00:00-05:00"),
    a_line(reference="R2", amount=50, occurred_at="2017-06-01T12:00:00-04:00"),  # earns nothing
    a_line(reference="R3", amount=2_000_00, occurred_at="2017-11-01T12:00:00-04:00"),  # gold
    a_redemption(reference="G2", points=100, occurred_at="2017-12-01T12:00:00-05:00"),
    a_line(reference="R4", amount=70_00, occurred_at="2017-12-30T12:00:00-05:00"),  # pending
    a_line(reference="S1", member="store:household:2", amount=10_00, occurred_at="2017-12-30T12:00:00-05:00"),
]


@pytest.fixture
async def history(database: Database, owner: AsyncEngine, tmp_path: Path) -> Programme:
    """A programme with every kind of entry, a refused redemption and two tier steps."""
    programme = await kept_programme(owner, REAL_YEAR)
    path = write_csv(tmp_path, HISTORY)
    await import_baskets(database, programme, path, lookup_of=Sealer(b"x" * 32).lookup, enrol=True)
    return programme


async def changed(owner: AsyncEngine, programme: Programme, statement: str, **values: Any) -> None:
    """Run a statement as a superuser, who can do everything and leaves no trace; it must touch a row."""
    async with owner.begin() as connection:
        done = await connection.execute(text(statement), {"p": programme.id, **values})
    assert done.rowcount > 0, "the change was planted"


async def test_an_untouched_history_is_sound(database: Database, history: Programme) -> None:
    report = await verify(database, history)

    assert report.findings == []
    assert report.sound
    assert report.checked["member"] == 2
    assert report.checked["entry"] == 10
    assert report.checked["reference"] == 7
    assert report.checked["tier_step"] == 2
    there = {table for table, rows in report.checked.items() if rows}
    missing = {
        "hold",
        "reversal",
        "adjustment",
        "parked_event",
        "review",
        "difference",
        "person",
        "consent",
        "cap_use",
        "rule_version",
        "tier_count",
        "tier_grant",
        "merge",
        "tag_change",
        "slide",
    }
    assert there == report.checked.keys() - missing, "an import holds and returns nothing, and all is in order"


async def test_a_till_that_ran_ahead_is_sound(database: Database, history: Programme, tmp_path: Path) -> None:
    ahead = a_line(reference="R5", amount=70_00, occurred_at="2018-01-01T10:04:00Z")  # the clock stands at 9:59:59
    path = write_csv(tmp_path, [ahead])
    summary = await import_baskets(database, history, path, lookup_of=Sealer(b"x" * 32).lookup)
    assert summary.baskets == 1
    assert (await verify(database, history)).findings == []


async def test_its_trial_balance_is_the_one_of_the_ledger(database: Database, history: Programme) -> None:
    report = await verify(database, history)
    async with database.snapshot(history.id) as connection:
        balance = await trial_balance(connection, history, history.calendar.business_date(history.now(_NEVER)))

    assert {one.account: (one.debit, one.credit) for one in balance.accounts} == report.accounts
    assert balance.debit_total == balance.credit_total


_NEVER: Any = None
"""The clock of an imported year stands still; no other is asked."""

FIRST = "programme_id = :p and member_id = (select member_id from entry where programme_id = :p and reference = 'R1')"
AN_ENTRY = "programme_id = :p and reference = 'R3'"
OF_ENTRY = f"programme_id = :p and entry_id = (select id from entry where {AN_ENTRY})"
OF_SPEND = "programme_id = :p and entry_id = (select id from entry where programme_id = :p and reference = 'G2')"
A_MEMBER = "programme_id = :p and id = (select member_id from entry where programme_id = :p and reference = 'R1')"

TAMPERINGS: dict[str, tuple[str, str, int]] = {
    "a posting's points": (f"update posting set points = points + 1 where {OF_ENTRY}", "posting", 4),
    "a posting's account": (f"update posting set credit = 'adjusted' where {OF_SPEND}", "entry", 12),
    "a posting's date": (f"update posting set accounting_date = '2017-01-01' where {OF_ENTRY}", "posting", 6),
    "a posting's store": (f"update posting set store = 'elsewhere' where {OF_ENTRY}", "posting", 6),
    "a posting's funder": (f"update posting set funder = 'someone' where {OF_ENTRY}", "entry", 12),
    "a posting deleted": (f"delete from posting where {OF_ENTRY}", "posting", 4),
    "a posting of no entry": (
        "insert into posting select bucket, programme_id, ('00' || right(entry_id::text, 34))::uuid, number, member_id,"
        f" wallet, debit, credit, points, funder, store, accounting_date from posting where {OF_ENTRY}",
        "posting",
        6,
    ),
    "a draw's points": (f"update draw set points = points + 1 where {OF_SPEND}", "draw", 3),
    "a draw deleted": (f"delete from draw where {OF_SPEND}", "lot", 5),
    "a lot's counter": (f"update lot set drawn = drawn + 1 where {OF_ENTRY}", "lot", 5),
    "a lot's points": (f"update lot set points = points + 1 where {OF_ENTRY}", "lot", 3),
    "a lot's expiry": (f"update lot set expires_at = expires_at + interval '1 year' where {OF_ENTRY}", "entry", 12),
    "a lot's state": (
        "update lot set state = 'pending' where programme_id = :p and state = 'available' and remaining > 0",
        "lot",
        5,
    ),
    "a lot's store": (f"update lot set store = 'elsewhere' where {OF_ENTRY}", "lot", 5),
    "a lot deleted": (f"delete from lot where {OF_ENTRY}", "lot", 3),
    "an entry's time": (
        f"update entry set occurred_at = occurred_at - interval '1 second' where {AN_ENTRY}",
        "entry",
        12,
    ),
    "an entry's reason": (f"update entry set reason = 'because' where {AN_ENTRY}", "entry", 12),
    "an entry's balances": (
        f"""update entry set balances = '{{"points":[1,2,0,0]}}' where {AN_ENTRY}""",
        "posting",
        4,
    ),
    "an entry's calculation": (
        f"update entry set calculation = replace(calculation::text, '200000', '200001')::json where {AN_ENTRY}",
        "net_spend",
        14,
    ),
    "an entry's hash": (f"update entry set hash = sha256('x') where {AN_ENTRY}", "entry", 12),
    "an entry deleted": (f"delete from entry where {AN_ENTRY}", "reference", 7),
    "the last entry deleted": (
        "delete from entry e where programme_id = :p and sequence ="
        " (select max(sequence) from entry where programme_id = :p)",
        "member",
        12,
    ),
    "a reference deleted": ("delete from reference where programme_id = :p and reference = 'R3'", "reference", 7),
    "a reference renamed": (
        "update reference set reference = 'R9' where programme_id = :p and reference = 'R3'",
        "reference",
        7,
    ),
    "a reference of another entry": (
        "update reference set entry_id = (select id from entry where programme_id = :p and reference = 'S1')"
        " where programme_id = :p and reference = 'R3'",
        "reference",
        7,
    ),
    "a book's balance": (f"update book set available = available + 1, issued = issued + 1 where {FIRST}", "book", 4),
    "a book deleted": (f"delete from book where {FIRST}", "book", 4),
    "net spend": (f"update net_spend set amount = amount + 1 where {FIRST}", "net_spend", 14),
    "net spend deleted": (f"delete from net_spend where {FIRST}", "net_spend", 14),
    "a tier": (f"update member set tier = 'silver' where {A_MEMBER}", "member", 14),
    "a tier's end": (
        f"update member set tier_until = tier_until + interval '1 year' where {A_MEMBER}",
        "member",
        14,
    ),
    "a tier step": (f"update tier_step set to_tier = 'platinum' where {FIRST} and to_tier = 'gold'", "tier_step", 14),
    "a tier step deleted": (f"delete from tier_step where {FIRST} and to_tier = 'gold'", "member", 14),
    "a member's head": (f"update member set head = sha256('x') where {A_MEMBER}", "member", 12),
    "a member's sequence": (f"update member set sequence = sequence + 1 where {A_MEMBER}", "member", 12),
    "a member's due_at": (f"update member set due_at = null where {A_MEMBER}", "member", 11),
    "a member deleted": (f"delete from member where {A_MEMBER}", "entry", 12),
}


@pytest.mark.parametrize(("statement", "table", "invariant"), TAMPERINGS.values(), ids=TAMPERINGS)
async def test_a_planted_change_is_named(
    database: Database, owner: AsyncEngine, history: Programme, statement: str, table: str, invariant: int
) -> None:
    await changed(owner, history, statement)

    report = await verify(database, history)

    assert (table, invariant) in {(finding.table, finding.invariant) for finding in report.findings}, report.findings
    assert all(finding.row and finding.problem for finding in report.findings)


async def test_a_finding_names_the_row(database: Database, owner: AsyncEngine, history: Programme) -> None:
    async with owner.connect() as connection:
        entry = await connection.scalar(text(f"select id from entry where {AN_ENTRY}"), {"p": history.id})
    await changed(owner, history, f"update entry set reason = 'because' where {AN_ENTRY}")

    (finding,) = (await verify(database, history)).findings

    assert (finding.table, finding.row, finding.invariant) == ("entry", entry.hex, 12)
    assert "its hash is broken" in finding.problem


async def test_one_programmes_tampering_is_not_anothers(
    database: Database, owner: AsyncEngine, history: Programme
) -> None:
    other = await kept_programme(owner, REAL_YEAR)
    await changed(owner, history, f"update book set available = available + 1, issued = issued + 1 where {FIRST}")

    assert (await verify(database, other)).sound
    assert not (await verify(database, history)).sound


async def test_a_till_that_runs_ahead_and_a_server_whose_clock_is_behind_are_sound(
    database: Database, lanes: Lanes, programme: ProgrammeFactory
) -> None:
    live, member = await programme(), a_member_id(1)
    joined, ahead, both, late = map(
        at, ("2026-02-01 12:00", "2026-02-01 12:04", "2026-02-01 12:05", "2026-02-01 11:00")
    )
    steps: list[tuple[Command, datetime, datetime]] = [
        (enrolling(member), joined, joined),
        (granting(live, member, 5, ahead, reference="ahead"), ahead, at("2026-02-01 12:01")),
        (granting(live, member, 5, both, reference="both"), both, at("2026-02-01 12:00:30")),
        (granting(live, member, 5, late, reference="late"), late, at("2026-02-01 12:06")),
    ]
    for number, (command, occurred_at, recorded_at) in enumerate(steps):
        moment = Moment(a_fact(number), occurred_at, recorded_at)
        assert (await lanes.submit(Submission(live, command, moment, rendered))).status == 201

    report = await verify(database, live)

    assert report.findings == []
    assert report.checked["entry"] == 3


async def test_findings_are_counted_beyond_what_is_kept(database: Database, history: Programme) -> None:
    report = Report(history.code)
    for number in range(2_000):
        report.add("entry", str(number), 12, "broken")

    assert report.found == 2_000
    assert report.findings[0] == Finding("entry", "0", 12, "broken")
    assert len(report.findings) == 1_000


async def test_progress_is_told_bucket_by_bucket(database: Database, history: Programme) -> None:
    told: list[int] = []

    await verify(database, history, progress=lambda report, buckets: told.append(buckets))

    assert told == list(range(1, 257))


def test_the_command_exits_with_1_and_prints_the_findings(urls: Urls, owner: AsyncEngine, history: Programme) -> None:
    import asyncio

    env = {"LOYALTY_DATABASE_URL": urls.running, "LOYALTY_SECRET": "x" * 32}
    sound = CliRunner(env=env).invoke(an_app(), ["--programme", history.code])
    asyncio.run(changed(owner, history, f"update lot set drawn = drawn + 1 where {OF_ENTRY}"))
    broken = CliRunner(env=env).invoke(an_app(), ["--programme", history.code])

    assert sound.exit_code == 0, sound.output
    assert "everything agrees with the journal" in sound.output
    assert broken.exit_code == 1
    assert "(invariant 5)" in broken.output


def an_app() -> Any:
    import typer

    app = typer.Typer()
    app.command()(verify_command)
    return app
