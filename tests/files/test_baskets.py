"""Basket files in all three formats: what is read, what is refused, and that nothing hostile does more than that."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.files import baskets
from loyalty.files.baskets import COLUMNS, BadRow, BasketFile, Fact, Purchase, Redemption, UnreadableFile

Cells = dict[str, Any]
AT = "2017-03-04T12:00:00-05:00"


def a_line(**changes: Any) -> Cells:
    """One row of a purchase."""
    row: Cells = {"kind": "purchase", "member": "store:household:1", "source": "pos", "reference": "R1", "store": "7"}
    row |= {"occurred_at": AT, "currency": "USD", "line_id": "1", "sku": "A", "category": "TOYS", "quantity": 1}
    return row | {"amount": 250} | changes


def a_redemption(**changes: Any) -> Cells:
    row = {"kind": "redemption", "member": "store:household:1", "source": "app", "reference": "G1", "store": "7"}
    return row | {"occurred_at": AT, "points": 100} | changes


def write_csv(path: Path, rows: Sequence[Cells], columns: Sequence[str] = COLUMNS) -> Path:
    lines = [",".join(columns)]
    lines += [",".join("" if row.get(c) is None else str(row[c]) for c in columns) for row in rows]
    path = path / "facts.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_parquet(path: Path, rows: Sequence[Cells], columns: Sequence[str] = COLUMNS) -> Path:
    path = path / "facts.parquet"
    numbers = {"quantity", "amount", "points"}
    schema = {c: pl.Int64 if c in numbers else pl.String for c in columns}
    pl.DataFrame([{c: row.get(c) for c in columns} for row in rows], schema=schema).write_parquet(path)
    return path


def write_jsonl(path: Path, rows: Sequence[Cells]) -> Path:
    """Rows of one basket become one object; what is None is left out."""
    facts: list[Cells] = []
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        if row["kind"] != "purchase":
            facts.append(given)
            continue
        head = {name: given[name] for name in baskets.HEAD if name in given}
        line = {name: value for name, value in given.items() if name not in head}
        if facts and {name: facts[-1].get(name) for name in head} == head:
            facts[-1]["lines"].append(line)
        else:
            facts.append(head | {"lines": [line]})
    path = path / "facts.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts))
    return path


WRITERS: dict[str, Callable[[Path, Sequence[Cells]], Path]] = {
    "csv": write_csv,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
every_format = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def read(path: Path) -> list[Fact | BadRow]:
    with BasketFile(path) as file:
        return list(file)


def reasons(path: Path) -> list[str]:
    return [row.reason for row in read(path) if isinstance(row, BadRow)]


@every_format
def test_rows_of_a_basket_become_one_purchase_with_its_lines(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path
) -> None:
    rows = [a_line(), a_line(line_id="2", sku="B", category=None, quantity=0, amount=0), a_redemption(store=None)]

    basket, redemption = read(write(tmp_path, rows))

    at = datetime(2017, 3, 4, 17, tzinfo=UTC)
    lines = [
        {"line_id": "1", "sku": "A", "category": "TOYS", "quantity": 1, "amount": 250},
        {"line_id": "2", "sku": "B", "quantity": 0, "amount": 0},
    ]
    assert isinstance(basket, Purchase)
    assert basket[1:] == ("store:household:1", "pos", "R1", "7", at, "USD", lines)
    assert isinstance(redemption, Redemption)
    assert redemption[1:] == ("store:household:1", "app", "G1", None, at, 100)


BAD_CELLS: dict[str, tuple[Cells, str]] = {
    "a member without a channel": (a_line(member="Li Lei"), "member is 'Li Lei'"),
    "a member with a control character": (a_line(member="a:b:c\x1b[2J"), "member is"),
    "no source": (a_line(source=None), "source is missing"),
    "a long reference": (a_line(reference="x" * 129), "reference has 129 characters"),
    "a time without offset": (a_line(occurred_at="2017-03-04T12:00:00"), "not an RFC 3339 time"),
    "a day that is none": (a_line(occurred_at="2017-02-30T12:00:00Z"), "there is no such time"),
    "a time out of reach": (a_line(occurred_at="0001-01-01T00:00:00+14:00"), "occurred_at is"),
    "a currency in small letters": (a_line(currency="usd"), "currency is 'usd'"),
    "no line_id": (a_line(line_id=None), "line_id is missing"),
    "no quantity": (a_line(quantity=None), "quantity is missing"),
    "less than nothing": (a_line(amount=-1), "amount is"),
    "too much": (a_line(amount=10**12 + 1), "amount is"),
    "an unknown kind": (a_line(kind="refund"), "kind is 'refund'"),
    "no points": (a_redemption(points=None), "points is missing"),
    "no point at all": (a_redemption(points=0), "points is 0"),
    "more points than a number holds": (a_redemption(points=2**53), "points is"),
}


@every_format
@pytest.mark.parametrize(("row", "reason"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_bad_cell_makes_its_fact_bad_and_no_other(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path, row: Cells, reason: str
) -> None:
    rows = [a_line(reference="before"), row, a_redemption(reference="after")]

    before, bad, after = read(write(tmp_path, rows))

    assert isinstance(before, Purchase)
    assert isinstance(after, Redemption)
    assert isinstance(bad, BadRow)
    assert reason in bad.reason
    assert bad.reason.isprintable()


@every_format
def test_one_bad_line_makes_the_whole_basket_bad(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path
) -> None:
    rows = [a_line(), a_line(line_id="2", amount=-5), a_line(line_id="3"), a_line(reference="next")]

    bad, following = read(write(tmp_path, rows))

    assert isinstance(bad, BadRow)
    assert "amount is" in bad.reason
    assert isinstance(following, Purchase)
    assert following.reference == "next"


@every_format
def test_a_line_that_appears_twice_makes_the_basket_bad(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path
) -> None:
    assert ["twice" in reason for reason in reasons(write(tmp_path, [a_line(), a_line()]))] == [True]


@every_format
def test_a_basket_has_at_most_500_lines(write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path) -> None:
    rows = [a_line(line_id=str(number)) for number in range(501)]

    assert len(read(write(tmp_path, rows[:500]))) == 1
    assert "at most 500 lines" in reasons(write(tmp_path, rows))[0]


@every_format
def test_a_reference_that_comes_again_later_is_reported(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path
) -> None:
    rows = [a_line(), a_line(reference="R2"), a_line(line_id="2"), a_redemption(), a_redemption()]

    first, second, again, redemption, twice = read(write(tmp_path, rows))

    assert isinstance(first, Purchase)
    assert isinstance(second, Purchase)
    assert isinstance(again, BadRow)
    assert "'R1' of source 'pos' appeared before" in again.reason
    assert isinstance(redemption, Redemption)
    assert isinstance(twice, BadRow)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_rows_of_one_basket_agree_about_member_store_and_time(
    write: Callable[[Path, Sequence[Cells]], Path], tmp_path: Path
) -> None:
    rows = [a_line(), a_line(line_id="2", member="store:household:2"), a_line(reference="next")]

    bad, following = read(write(tmp_path, rows))

    assert isinstance(bad, BadRow)
    assert "has another member" in bad.reason
    assert isinstance(following, Purchase)


@pytest.mark.parametrize(
    ("garbage", "reason"),
    [
        (b"purchase,too,few", "the row has 3 cells, not 13"),
        (b'purchase,"never closed', "the quotes of the row are wrong"),
        (b"\xff\xfe\x00", "the row is not UTF-8 text"),
        (b"x" * 100_000, "the row is longer than 65536 bytes"),
    ],
)
def test_a_row_that_cannot_be_read_spoils_the_baskets_beside_it(tmp_path: Path, garbage: bytes, reason: str) -> None:
    rows = [a_line(reference=name, line_id=line) for name in ("far", "before", "after", "away") for line in ("1", "2")]
    path = write_csv(tmp_path, rows)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:5], garbage, *lines[5:]]))

    far, before, bad, after, away = read(path)

    assert isinstance(far, Purchase)
    assert isinstance(away, Purchase)
    assert isinstance(before, BadRow)
    assert (before.row, before.reason) == (4, "the row beside it, 6, cannot be read and may be part of it")
    assert isinstance(bad, BadRow)
    assert bad.row == 6
    assert bad.reason.startswith(reason)
    assert isinstance(after, BadRow)


def test_csv_columns_come_in_any_order_quoted_and_after_a_byte_order_mark(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [a_line(category='"Bricks, ""big"""')], columns=tuple(reversed(COLUMNS)))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")

    (basket,) = read(path)

    assert isinstance(basket, Purchase)
    assert basket.lines[0]["category"] == 'Bricks, "big"'
    assert basket.row == 2


@pytest.mark.parametrize("digits", ["1.0", "01", "+1", " 1", "1e3", "\u0661", "0x1", "1_000", "true", "NaN"])
def test_csv_numbers_are_plain_digits(tmp_path: Path, digits: str) -> None:
    assert "not an integer" in reasons(write_csv(tmp_path, [a_line(amount=digits)]))[0]


@pytest.mark.parametrize("value", ["1", 1.0, True, [1], {"a": 1}, 2**70, 1e3])
def test_json_numbers_are_integers(tmp_path: Path, value: Any) -> None:
    assert "amount is" in reasons(write_jsonl(tmp_path, [a_line(amount=value)]))[0]
    assert "points is" in reasons(write_jsonl(tmp_path, [a_redemption(points=value)]))[0]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        "7",
        '"purchase"',
        "{",
        '{"kind": []}',
        '{"kind": "purchase"}',
        json.dumps(a_redemption(member=["x"])),
        json.dumps(a_redemption(reference={"a": 1})),
        json.dumps(a_redemption(name="Li Lei")),
        json.dumps({**a_redemption(), "kind": "purchase", "lines": "none"}),
        json.dumps({name: a_line()[name] for name in baskets.HEAD} | {"lines": []}),
        json.dumps({name: a_line()[name] for name in baskets.HEAD} | {"lines": [None]}),
        json.dumps({name: a_line()[name] for name in baskets.HEAD} | {"lines": [{"line_id": [1]}]}),
        "[" * 5_000,
    ],
)
def test_json_that_is_no_fact_is_one_bad_row(tmp_path: Path, line: str) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_text(f"{line}\n\n{json.dumps(a_redemption())}")

    bad, good = read(path)

    assert isinstance(bad, BadRow)
    assert bad.row == 1
    assert isinstance(good, Redemption)
    assert good.row == 3


UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "an unknown suffix": ("facts.xlsx", b"", "ends in .csv, .jsonl, .parquet"),
    "an empty file": ("facts.csv", b"", "has no column kind"),
    "a missing column": ("facts.csv", ",".join(COLUMNS[:-1]).encode(), "has no column points"),
    "an unknown column": ("facts.csv", ",".join((*COLUMNS, "name")).encode(), "unknown column 'name'"),
    "a column twice": ("facts.csv", ",".join((*COLUMNS, "kind")).encode(), "appears twice"),
    "UTF-16": ("facts.csv", ",".join(COLUMNS).encode("utf-16"), "not UTF-8 text"),
    "no Parquet": ("facts.parquet", b"PAR1 but no more PAR1", "not a Parquet file"),
    "an empty Parquet": ("facts.parquet", b"", "not a Parquet file"),
}


@pytest.mark.parametrize(("name", "content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(UnreadableFile, match=reason):
        read(path)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"none.csv: no such file or directory\."):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": 1.5}, "the column amount holds double, not integers"),
        ({"points": "100"}, "the column points holds .*string, not integers"),
        ({"occurred_at": datetime(2017, 1, 1, tzinfo=UTC)}, "the column occurred_at holds timestamp.*, not text"),
    ],
)
def test_parquet_columns_have_their_types(tmp_path: Path, changes: Cells, reason: str) -> None:
    path = tmp_path / "facts.parquet"
    row = {column: a_line().get(column) for column in COLUMNS} | changes
    pl.DataFrame([row]).write_parquet(path)

    with pytest.raises(UnreadableFile, match=reason):
        read(path)


def test_a_damaged_parquet_file_is_one_sentence(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, [a_line(reference=f"R{number}") for number in range(20_000)])
    content = bytearray(path.read_bytes())
    content[1_000:3_000] = b"\xff" * 2_000
    path.write_bytes(content)

    with pytest.raises(UnreadableFile, match=r"damaged|not UTF-8|not a Parquet"):
        read(path)


def test_one_long_value_in_every_row_of_a_parquet_file_is_held_once(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, [a_redemption(reference=f"R{n}", store="x" * 100_000) for n in range(5_000)])

    assert set(reasons(path)) == {"store has 100000 characters, more than 64"}


@given(content=st.binary(max_size=400), place=st.integers(0, 600), suffix=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_whatever_bytes_there_are_it_reads_facts_bad_rows_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, place: int, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    path = WRITERS[suffix](folder, [a_line(), a_line(line_id="2"), a_redemption()])
    good = path.read_bytes()
    path.write_bytes(good[:place] + content + good[place:])

    try:
        told = reasons(path)
    except UnreadableFile as error:
        told = [str(error)]
    assert all(reason.isprintable() for reason in told)
