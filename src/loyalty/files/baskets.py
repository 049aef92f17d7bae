"""Basket files: purchases with their lines, and redemptions, from CSV, JSON Lines or Parquet. See README.md."""

import csv
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self

import orjson

from loyalty.domain.bounds import EARLIEST, LATEST, MAX_AMOUNT, MAX_LINES, MAX_POINTS, MAX_QUANTITY
from loyalty.domain.identities import RESERVED_CHANNELS
from loyalty.domain.texts import TwinNames, is_clean, is_plain, refuse_twins

HEAD: Final = ("kind", "member", "source", "reference", "store", "occurred_at", "currency")
LINE: Final = ("line_id", "sku", "category", "quantity", "amount")
COLUMNS: Final = (*HEAD, *LINE, "points")
NUMBERS: Final = frozenset({"quantity", "amount", "points"})

MAX_ROW_BYTES = 64 * 2**10
"""Longest row of a CSV file."""
MAX_OBJECT_BYTES = 2**20
"""Longest line of a JSON Lines file: a basket with all its lines."""
MAX_ROW_GROUP_BYTES = 2**30
"""Largest row group of a Parquet file, uncompressed."""
MAX_DICTIONARY_BYTES = 64 * 2**20
"""Most text in one column of the rows that are read from Parquet at a time."""
ROWS_AT_A_TIME = 4_096
MOST_KNOWN = 65_536
REMEMBERED = 500_000
"""A reference that comes again is noticed within at least this many facts; the ledger takes it once anyway."""


class Purchase(NamedTuple):
    """A basket: what was bought, by whom, where and when (UTC). Amounts are minor units of the currency."""

    row: int
    member: str
    source: str
    reference: str
    store: str | None
    occurred_at: datetime
    currency: str
    lines: list[dict[str, Any]]


class Redemption(NamedTuple):
    """Points a member asked to spend."""

    row: int
    member: str
    source: str
    reference: str
    store: str | None
    occurred_at: datetime
    points: int


class BadRow(NamedTuple):
    """A row, or the basket that begins there, that was left out. Rows count from 1, a CSV's header included."""

    row: int
    reason: str


Fact = Purchase | Redemption


class UnreadableFile(Exception):
    """Says in one sentence why a file as a whole cannot be read."""


class BasketFile:
    """The facts of a basket file, read as they are asked for, in file order. Use it as a context manager.

    Raises UnreadableFile: on opening where that shows at once, otherwise while iterating.
    """

    def __init__(self, path: Path) -> None:
        if path.suffix not in _READERS:
            raise UnreadableFile(f"{path.name}: a basket file ends in {', '.join(_READERS)}.")
        self._path = path
        try:
            self._size = path.stat().st_size
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise UnreadableFile(f"{path.name}: {(error.strerror or 'it cannot be opened').lower()}.") from None
        try:
            self._facts = _READERS[path.suffix](self)
        except UnreadableFile:
            self._file.close()
            raise

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def bytes(self) -> BinaryIO:
        return self._file

    def read(self) -> float:
        """How much of the file has been read, from 0 to 1, roughly."""
        return self._file.tell() / self._size if self._size else 1.0

    def __iter__(self) -> Iterator[Fact | BadRow]:
        return self._facts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# --- rows of CSV and Parquet: gathered into facts --------------------------------------------------------------

Cell = str | int | None
Row = Sequence[Cell]
"""The cells of COLUMNS, in that order; what is empty is None or ''."""
_ROW_HEAD = len(HEAD)


class _Bad(Exception):
    """Why a row or an object is no fact."""


def _gathered(rows: Iterable[tuple[int, Row | str]]) -> Iterator[Fact | BadRow]:
    """Rows, each a row of cells or the reason why it cannot be read, as facts."""
    seen = _Seen()
    basket: _Basket | None = None
    beside: int | None = None
    """The unreadable row just before: the basket it belonged to is not whole."""
    for number, cells in rows:
        if isinstance(cells, str):
            if basket is not None:
                yield basket.spoilt_by(number)
                basket = None
            yield BadRow(number, cells)
            beside = number
            continue
        if basket is not None:
            if basket.add(number, cells):
                continue
            yield basket.fact(seen)
            basket = None
        if cells[0] == "purchase":
            basket = _Basket(number, cells)
            if beside is not None:
                basket.spoil(f"the row beside it, {beside}, cannot be read and may be part of it")
        else:
            yield _single(number, cells, seen)
        beside = None
    if basket is not None:
        yield basket.fact(seen)


class _Basket:
    """The purchase that consecutive rows are about."""

    __slots__ = ("_bad", "_head", "_ids", "_lines", "_row")

    def __init__(self, row: int, cells: Row) -> None:
        self._row = row
        self._head = cells[:_ROW_HEAD]
        self._bad: BadRow | None = None
        self._lines: list[dict[str, Any]] = []
        self._ids: set[Any] = set()
        self._take(row, cells)

    def add(self, row: int, cells: Row) -> bool:
        """Take the row in, unless it is about something else."""
        head = cells[:_ROW_HEAD]
        if head != self._head:
            kind, _, source, reference, *_ = head
            if (kind, source, reference) != (self._head[0], self._head[2], self._head[3]):
                return False
            differs = next(name for name, mine, its in zip(HEAD, self._head, head, strict=True) if mine != its)
            self.spoil(f"row {row} of the same basket has another {differs}")
            return True
        self._take(row, cells)
        return True

    def spoil(self, reason: str) -> None:
        """The basket as a whole is bad; the first reason stays."""
        if self._bad is None:
            self._bad = BadRow(self._row, reason)
            self._lines.clear()
            self._ids.clear()

    def spoilt_by(self, row: int) -> BadRow:
        self.spoil(f"the row beside it, {row}, cannot be read and may be part of it")
        assert self._bad is not None, "it was spoilt"
        return self._bad

    def fact(self, seen: "_Seen") -> Fact | BadRow:
        """The purchase that the rows add up to, or why they do not."""
        if self._bad is None:
            try:
                return _purchase(self._row, self._head, self._lines, seen)
            except _Bad as bad:
                self.spoil(str(bad))
        else:
            seen.note(self._head[2], self._head[3], "purchase")
        assert self._bad is not None, "it was spoilt"
        return self._bad

    def _take(self, row: int, cells: Row) -> None:
        if self._bad is not None:
            return
        try:
            if len(self._lines) >= MAX_LINES:
                raise _Bad(f"a basket has at most {MAX_LINES} lines")
            _, _, _, _, _, _, _, line_id, sku, category, quantity, amount, points = cells
            if points not in _EMPTY:
                raise _Bad("points is empty in a purchase")
            line = _line(line_id, sku, category, quantity, amount)
            if line_id in self._ids:
                raise _Bad(f"line_id {_shown(line_id)} appears twice in the basket")
        except _Bad as bad:
            self.spoil(str(bad) if row == self._row else f"row {row}: {bad}")
            return
        self._ids.add(line_id)
        self._lines.append(line)


def _single(row: int, cells: Row, seen: "_Seen") -> Fact | BadRow:
    kind, member, source, reference, store, occurred_at, *unused, points = cells
    try:
        if kind != "redemption":
            raise _Bad(f"kind is {_shown(kind)}, not purchase or redemption")
        for name, cell in zip(COLUMNS[len(HEAD) - 1 :], unused, strict=False):
            if cell not in _EMPTY:
                raise _Bad(f"{name} is empty in a redemption")
        return _redemption(row, (member, source, reference, store, occurred_at), points, seen)
    except _Bad as bad:
        return BadRow(row, str(bad))


# --- what a fact is made of ------------------------------------------------------------------------------------

_EMPTY: Final = (None, "")
_CURRENCY = re.compile("[A-Z]{3}")
_MEMBER = re.compile("mem_[0-9a-f]{32}|[0-9]{6,24}|[^:]{1,32}:[^:]{1,32}:.{1,256}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_INTEGER = re.compile(r"0|[1-9]\d{0,15}", re.ASCII)


class _Seen:
    """Which references a file has used, remembered in bounded memory."""

    def __init__(self) -> None:
        self._newer: set[int] = set()
        self._older: set[int] = set()

    def note(self, *what: Cell) -> bool:
        """Whether it is new."""
        mark = hash(what)
        if mark in self._newer or mark in self._older:
            return False
        self._newer.add(mark)
        if len(self._newer) >= REMEMBERED:
            self._older, self._newer = self._newer, set()
        return True


def _purchase(row: int, head: Row, lines: list[dict[str, Any]], seen: _Seen) -> Purchase:
    """Raises _Bad."""
    _, member, source, reference, store, occurred_at, currency = head
    named = _named(member, source, reference, store, occurred_at)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise _Bad(f"currency is {_shown(currency)}, not three capital letters")
    if not lines:
        raise _Bad("a basket has at least one line")
    if sum(line["amount"] for line in lines) > MAX_AMOUNT:
        raise _Bad(f"the lines come to more than {MAX_AMOUNT}")
    _used_once(seen, source, reference, "purchase")
    return Purchase(row, *named, currency, lines)


def _redemption(row: int, head: Row, points: Cell, seen: _Seen) -> Redemption:
    """Raises _Bad."""
    _, source, reference, _, _ = head
    named = _named(*head)
    fact = Redemption(row, *named, _integer("points", points, least=1, most=MAX_POINTS))
    _used_once(seen, source, reference, "redemption")
    return fact


def _named(
    member: Cell, source: Cell, reference: Cell, store: Cell, occurred_at: Cell
) -> tuple[str, str, str, str | None, datetime]:
    """Member, source, reference, store and moment of a fact. Raises _Bad."""
    if not isinstance(member, str) or not _MEMBER.fullmatch(member) or not is_clean(member):
        raise _Bad(f"member is {_shown(member)}, not channel:type:value, mem_ and 32 digits, or a card number")
    if member.partition(":")[0] in RESERVED_CHANNELS:
        raise _Bad(f"member is {_shown(member)}; the channels {', '.join(sorted(RESERVED_CHANNELS))} are reserved")
    return (
        member,
        _text("source", source, 64),
        _text("reference", reference, 128),
        None if store in _EMPTY else _text("store", store, 64),
        _instant(occurred_at),
    )


def _used_once(seen: _Seen, source: Cell, reference: Cell, kind: str) -> None:
    if not seen.note(source, reference, kind):
        raise _Bad(
            f"the {kind} {_shown(reference)} of source {_shown(source)} appeared before; its rows are consecutive"
        )


def _line(line_id: Cell, sku: Cell, category: Cell, quantity: Cell, amount: Cell) -> dict[str, Any]:
    """A basket's line as the ledger keeps it. Raises _Bad."""
    if line_id not in _KNOWN:
        _label("line_id", line_id)
    if sku not in _KNOWN:
        _label("sku", sku)
    if type(quantity) is not int or not 0 <= quantity <= MAX_QUANTITY:
        quantity = _integer("quantity", quantity, least=0, most=MAX_QUANTITY)
    if type(amount) is not int or not 0 <= amount <= MAX_AMOUNT:
        amount = _integer("amount", amount, least=0, most=MAX_AMOUNT)
    if category in _EMPTY:
        return {"line_id": line_id, "sku": sku, "quantity": quantity, "amount": amount}
    if category not in _KNOWN:
        _label("category", category)
    return {"line_id": line_id, "sku": sku, "category": category, "quantity": quantity, "amount": amount}


_KNOWN: set[Cell] = set()
"""Labels that were found good: a year's lines hold few that differ, and each is checked once."""


def _label(name: str, value: Cell) -> None:
    """Raises _Bad."""
    good = _text(name, value, 64)
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN.add(good)


def _text(name: str, value: Cell, longest: int) -> str:
    if value in _EMPTY:
        raise _Bad(f"{name} is missing")
    if not isinstance(value, str):
        raise _Bad(f"{name} is {_shown(value)}, not text")
    if len(value) > longest:
        raise _Bad(f"{name} has {len(value)} characters, more than {longest}")
    if not is_plain(value):
        raise _Bad(f"{name} has characters or outer spaces that nobody sees, or is not in the form NFC")
    return value


def _integer(name: str, value: Cell, *, least: int, most: int) -> int:
    """An integer, or the digits of one. Neither True nor 1.0 is one."""
    if value in _EMPTY:
        raise _Bad(f"{name} is missing")
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is not int:
        raise _Bad(f"{name} is {_shown(value)}, not an integer")
    if not least <= value <= most:
        raise _Bad(f"{name} is {value}, not from {least} to {most}")
    return value


def _instant(value: Cell) -> datetime:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise _Bad(f"occurred_at is {_shown(value)}, not an RFC 3339 time with its offset")
    try:
        at = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _Bad(f"occurred_at is {_shown(value)}: there is no such time") from None
    if not EARLIEST <= at < LATEST:
        raise _Bad(f"occurred_at is {_shown(value)}, not between the years 2000 and 2200")
    return at


def _shown(value: object) -> str:
    """A value as a message may quote it: short, and without anything a terminal would obey."""
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- CSV -------------------------------------------------------------------------------------------------------


def _read_csv(file: BasketFile) -> Iterator[Fact | BadRow]:
    lines = _text_lines(file.bytes, MAX_ROW_BYTES)
    in_order = _column_order(file.name, lines)
    return _gathered(_csv_rows(lines, in_order))


def _column_order(name: str, lines: Iterator[tuple[int, bytes | None]]) -> Callable[[list[str]], Row] | None:
    """What puts the cells of a row into the order of COLUMNS; None where they are. Raises UnreadableFile."""
    _, first = next(lines, (0, b""))
    try:
        header = _cells((first or b"").removeprefix(b"\xef\xbb\xbf").decode())
    except UnicodeDecodeError:
        raise UnreadableFile(f"{name}: it is not UTF-8 text.") from None
    except csv.Error as error:
        raise UnreadableFile(f"{name}: its first row cannot be read: {error}.") from None
    _check_columns(name, header)
    return None if tuple(header) == COLUMNS else itemgetter(*(header.index(column) for column in COLUMNS))


def _check_columns(name: str, header: Sequence[str]) -> None:
    """Every column once and no other. Raises UnreadableFile."""
    missing = [column for column in COLUMNS if column not in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing:
        raise UnreadableFile(f"{name}: it has no column {', '.join(missing)}.")
    if unknown:
        raise UnreadableFile(f"{name}: it has an unknown column {', '.join(map(_shown, unknown[:3]))}.")
    if len(header) != len(COLUMNS):
        raise UnreadableFile(f"{name}: a column appears twice.")


def _csv_rows(
    lines: Iterable[tuple[int, bytes | None]], in_order: Callable[[list[str]], Row] | None
) -> Iterator[tuple[int, Row | str]]:
    for number, line in lines:
        if line is None:
            yield number, f"the row is longer than {MAX_ROW_BYTES} bytes"
            continue
        try:
            cells = _cells(line.decode())
        except UnicodeDecodeError:
            yield number, "the row is not UTF-8 text"
            continue
        except csv.Error as error:
            yield number, f"the quotes of the row are wrong: {error}"
            continue
        if len(cells) == len(COLUMNS):
            yield number, in_order(cells) if in_order else cells
        elif cells:
            yield number, f"the row has {len(cells)} cells, not {len(COLUMNS)}"


def _cells(line: str) -> list[str]:
    """The cells of one row. Raises csv.Error."""
    line = line.rstrip("\r\n")
    if '"' not in line:
        return line.split(",") if line else []
    return next(csv.reader([line], strict=True), [])


def _text_lines(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes | None]]:
    """Every line with its number; None in place of one that is longer than `longest` bytes."""
    for number in count(1):
        line = file.readline(longest)
        if not line:
            return
        if line.endswith(b"\n") or len(line) < longest:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(longest)
        yield number, None


# --- JSON Lines ------------------------------------------------------------------------------------------------

_PURCHASE_KEYS = frozenset({*HEAD, "lines"})
_REDEMPTION_KEYS = frozenset({*HEAD, "points"} - {"currency"})
_LINE_KEYS = frozenset(LINE)


def _read_jsonl(file: BasketFile) -> Iterator[Fact | BadRow]:
    seen = _Seen()
    for number, line in _text_lines(file.bytes, MAX_OBJECT_BYTES):
        if line is None:
            yield BadRow(number, f"the line is longer than {MAX_OBJECT_BYTES} bytes")
            continue
        if line.isspace():
            continue
        try:
            found = orjson.loads(line)
            refuse_twins(line.decode())
            yield _from_object(number, found, seen)
        except orjson.JSONDecodeError as error:
            yield BadRow(number, f"the line is not JSON: {error.msg}")
        except TwinNames as twins:
            yield BadRow(number, str(twins))
        except _Bad as bad:
            yield BadRow(number, str(bad))


def _from_object(row: int, fact: Any, seen: _Seen) -> Fact:
    """Raises _Bad."""
    if not isinstance(fact, dict):
        raise _Bad("the line is not a JSON object")
    match fact.get("kind"):
        case "purchase":
            _check_keys(fact, _PURCHASE_KEYS)
            return _purchase(row, [fact.get(name) for name in HEAD], _lines(fact.get("lines")), seen)
        case "redemption":
            _check_keys(fact, _REDEMPTION_KEYS)
            points = fact.get("points")
            _check_number("points", points)
            return _redemption(row, [fact.get(name) for name in HEAD[1:-1]], points, seen)
        case other:
            raise _Bad(f"kind is {_shown(other)}, not purchase or redemption")


def _lines(given: Any) -> list[dict[str, Any]]:
    """Raises _Bad."""
    if not isinstance(given, list):
        raise _Bad("lines is not a list")
    if len(given) > MAX_LINES:
        raise _Bad(f"a basket has at most {MAX_LINES} lines")
    lines = []
    for place, line in enumerate(given, 1):
        try:
            lines.append(_line_of_object(line))
        except _Bad as bad:
            raise _Bad(f"line {place}: {bad}") from None
    if len({line["line_id"] for line in lines}) < len(lines):
        raise _Bad("a line_id appears twice in the basket")
    return lines


def _line_of_object(line: Any) -> dict[str, Any]:
    """Raises _Bad."""
    if not isinstance(line, dict):
        raise _Bad("it is not an object")
    _check_keys(line, _LINE_KEYS)
    cells = [line.get(name) for name in LINE]
    _, _, _, quantity, amount = cells
    if type(quantity) is not int or type(amount) is not int:
        _check_number("quantity", quantity)
        _check_number("amount", amount)
    if not all(isinstance(cell, Hashable) for cell in cells[:3]):
        raise _Bad("line_id, sku and category are text")
    return _line(*cells)


def _check_keys(given: dict[str, Any], known: frozenset[str]) -> None:
    if not given.keys() <= known:
        raise _Bad(f"there is an unknown field {_shown(min(given.keys() - known))}")


def _check_number(name: str, value: Any) -> None:
    """Digits within quotes are a number in a CSV file, not here."""
    if value is not None and type(value) is not int:
        raise _Bad(f"{name} is {_shown(value)}, not an integer")


# --- Parquet ---------------------------------------------------------------------------------------------------


def _read_parquet(file: BasketFile) -> Iterator[Fact | BadRow]:
    import pyarrow as pa  # takes a third of a second, and only Parquet needs it
    import pyarrow.parquet as pq

    texts = [column for column in COLUMNS if column not in NUMBERS]
    try:
        # As dictionaries, a value that stands in a million rows is decoded, and held, once.
        parquet = pq.ParquetFile(file.bytes, read_dictionary=texts, pre_buffer=False, buffer_size=2**20)
    except (pa.ArrowException, OSError):
        raise UnreadableFile(f"{file.name}: it is not a Parquet file.") from None
    _check_schema(file.name, parquet)
    return _gathered(_parquet_rows(file.name, parquet))


def _check_schema(name: str, parquet: Any) -> None:
    """Raises UnreadableFile."""
    from pyarrow import types

    schema, metadata = parquet.schema_arrow, parquet.metadata
    _check_columns(name, schema.names)
    for column in COLUMNS:
        kind = schema.field(column).type
        kind = kind.value_type if types.is_dictionary(kind) else kind
        fits = types.is_integer(kind) if column in NUMBERS else types.is_string(kind) or types.is_large_string(kind)
        if not fits and not types.is_null(kind):
            wanted = "integers" if column in NUMBERS else "text"
            raise UnreadableFile(f"{name}: the column {column} holds {kind}, not {wanted}.")
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).total_byte_size > MAX_ROW_GROUP_BYTES:
            raise UnreadableFile(f"{name}: a row group is larger than {MAX_ROW_GROUP_BYTES} bytes; write smaller ones.")


def _parquet_rows(name: str, parquet: Any) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa

    first = 1
    try:
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, columns=list(COLUMNS), use_threads=False):
            columns = [_values(name, batch.column(column)) for column in COLUMNS]
            yield from enumerate(zip(*columns, strict=True), first)
            first += batch.num_rows
    except UnicodeDecodeError:
        raise UnreadableFile(f"{name}: it holds text that is not UTF-8, after row {first - 1}.") from None
    except (pa.ArrowException, OSError):
        raise UnreadableFile(f"{name}: it is damaged after row {first - 1}.") from None


def _values(name: str, column: Any) -> list[Cell]:
    from pyarrow import types

    if not types.is_dictionary(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    if column.dictionary.nbytes > MAX_DICTIONARY_BYTES:
        raise UnreadableFile(f"{name}: a column holds more than {MAX_DICTIONARY_BYTES} bytes of text in few rows.")
    known = column.dictionary.to_pylist()
    return [None if index is None else known[index] for index in column.indices.to_pylist()]


_READERS: Final[dict[str, Callable[[BasketFile], Iterator[Fact | BadRow]]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
