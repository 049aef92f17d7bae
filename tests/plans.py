"""How Postgres means to answer: a list must come in the order of an index, however much there is."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ClauseElement, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.store.database import _compiled, driver_of


class Node(NamedTuple):
    """One step of a plan."""

    type: str
    over: str | None
    """The index it walks."""
    condition: str


async def plan(connection: AsyncConnection, statement: ClauseElement, values: Mapping[str, Any]) -> list[Node]:
    """The steps of the statement's plan, with tables as they would be when they are large."""
    await connection.execute(text("set local enable_seqscan = off"))
    await connection.execute(text("set local enable_bitmapscan = off"))
    sql, names = _compiled(statement)
    found = await driver_of(connection).fetchval(f"explain (format json) {sql}", *[values[name] for name in names])
    [document] = orjson.loads(found) if isinstance(found, str) else found
    return list(_steps(document["Plan"]))


def _steps(node: dict[str, Any]) -> Iterator[Node]:
    yield Node(node["Node Type"], node.get("Index Name"), node.get("Index Cond", ""))
    for child in node.get("Plans", ()):
        yield from _steps(child)
