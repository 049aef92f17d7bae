"""One statement to load a batch and one to write it, put together from a part for each table.

Loading is `select (array_agg of rows), (array_agg of rows) ...`; writing is `select 1` over a CTE per table,
each an `insert ... from unnest` or `update ... from unnest`. A part's SQL never changes, so a statement is
built once for each combination of parts and found again by our, the driver's and Postgres's caches.

Rows to write travel as one array of a composite type for each table, `<table>_row` or `<table>_change`: half
the work of an array for each column, on both sides.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from sqlalchemy import (
    CTE,
    Select,
    TableClause,
    TextClause,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.store.database import fetch_one
from loyalty.store.schema import INTEGER, Plain

PROGRAMME = "the_programme"
"""The bind that every part shares. Bind names must not equal column names."""


class Piece(Protocol):
    """What one table contributes to the write."""

    name: str

    def cte(self) -> CTE: ...


class Write(NamedTuple):
    """A piece with its rows. `claims` is how many rows it must take for the claims to be ours."""

    piece: Piece
    rows: list[tuple[Any, ...]]
    claims: int | None = None


class Insert:
    """Insert rows, given as tuples in the order of `row_type` (`<table>_row`).

    With `claim`, a row that exists is left alone.
    """

    def __init__(self, table: TableClause, *, claim: bool = False, row_type: str | None = None) -> None:
        self.name = f"insert_{table.name}"
        self._row_type = row_type or f"{table.name}_row"
        self._table = table
        self._claim = claim
        self._columns = [c for c in table.columns if c.name != "programme_id"]

    def cte(self) -> CTE:
        source = _unnest(self.name, self._row_type, self._columns)
        statement = insert(self._table).from_select(
            ["programme_id", *(c.name for c in self._columns)],
            select(bindparam(PROGRAMME, type_=INTEGER), *source.c),
        )
        if not self._claim:
            return statement.cte(self.name)
        return statement.on_conflict_do_nothing().returning(literal_column("1").label("taken")).cte(self.name)

    def write(self, rows: list[tuple[Any, ...]]) -> Write:
        return Write(self, rows, len(rows) if self._claim else None)


class Update:
    """Update rows by key, given as tuples in the order of `row_type` (`<table>_change`): bucket, key, what changed.

    With `unless_changed`, a claim: a row is left alone unless its columns are still what was seen, which stands under
    the given names at the end of the tuple. For rows that no member's lock guards.
    """

    def __init__(
        self,
        table: TableClause,
        *,
        key: Sequence[str],
        changed: Sequence[str],
        row_type: str | None = None,
        unless_changed: Mapping[str, str] | None = None,
    ) -> None:
        self.name = f"update_{table.name}"
        self._row_type = row_type or f"{table.name}_change"
        self._table = table
        self._key = ["bucket", *key]
        self._changed = list(changed)
        self._seen = dict(unless_changed or {})
        self._columns = [table.c[name] for name in (*self._key, *self._changed)]

    def cte(self) -> CTE:
        rows = _unnest(self.name, self._row_type, [*self._columns, *map(column, self._seen.values())])
        programme = bindparam(PROGRAMME, type_=INTEGER).label("programme_id")
        fenced = select(programme, *rows.c).offset(literal_column("0"))  # as in `keys`
        source = fenced.subquery(f"{self.name}_keyed")
        statement = (
            update(self._table)
            .values({name: source.c[name] for name in self._changed})
            .where(*(self._table.c[name] == source.c[name] for name in ("programme_id", *self._key)))
        )
        if not self._seen:
            return statement.cte(self.name)
        same = (self._table.c[name].is_not_distinct_from(source.c[seen]) for name, seen in self._seen.items())
        return statement.where(*same).returning(literal_column("1").label("taken")).cte(self.name)

    def write(self, rows: list[tuple[Any, ...]]) -> Write:
        return Write(self, rows, len(rows) if self._seen else None)


def _unnest(name: str, row_type: str, columns: Sequence[Any]) -> Any:
    """`unnest` of an array of rows, as a table with the columns' names."""
    rows = bindparam(name, type_=Plain(row_type).array)
    return func.unnest(rows).table_valued(*(c.name for c in columns), name=f"{name}_rows").render_derived()


@lru_cache(maxsize=512)
def write_statement(pieces: tuple[Piece, ...], claims: tuple[bool, ...]) -> Select[Any]:
    """The statement that writes all pieces. Returns one row: for each claiming piece, how many it took."""
    ctes = [piece.cte() for piece in pieces]
    taken = [
        select(func.count()).select_from(cte).scalar_subquery()
        for cte, claiming in zip(ctes, claims, strict=True)
        if claiming
    ]
    return select(literal_column("1"), *taken).add_cte(*ctes)


class Load(NamedTuple):
    """What one shelf reads: the SQL of one `select` item (its rows aggregated) and its binds."""

    sql: str
    binds: Mapping[str, tuple[Any, Plain]]


def keys(**binds: str) -> str:
    """The keys of a batch as a table `k`: a column for each array that is bound, and the programme.

    The fence (`offset 0`) hides that the programme is the same for all. Once seen as a constant it invites the
    planner, while a table is small, to walk an index for the whole programme instead of reaching each row by
    its whole key; and `force_generic_plan` would keep that plan. The wall's policy is worded for the same end.
    """
    arrays = ", ".join(f":{bind}" for bind in binds.values())
    return (
        f"(select :{PROGRAMME} as programme_id, u.* "  # noqa: S608 - both are our own constants
        f"from unnest({arrays}) as u ({', '.join(binds)}) offset 0) k"
    )


def rows_of(columns: Sequence[str], source: str) -> str:
    """A select item that gathers the rows of `source` into one array."""
    return f"(select array_agg(row({', '.join(columns)})) {source})"


@lru_cache(maxsize=512)
def load_statement(items: tuple[str, ...], binds: tuple[tuple[str, Plain], ...]) -> TextClause:
    """The statement that loads all items. Returns one row with an array (or null) for each."""
    statement = text(f"select {', '.join(items)}")
    return statement.bindparams(*(bindparam(name, type_=type_) for name, type_ in binds))


async def look_up(connection: AsyncConnection, programme_id: int, part: Load) -> Sequence[Sequence[Any]]:
    """The rows of one part, outside the door. Locks nothing."""
    binds = tuple((name, type_) for name, (_, type_) in part.binds.items())
    values = {name: value for name, (value, _) in part.binds.items()}
    statement = load_statement((part.sql,), ((PROGRAMME, INTEGER), *binds))
    (rows,) = await fetch_one(connection, statement, {PROGRAMME: programme_id, **values})
    return rows or ()
