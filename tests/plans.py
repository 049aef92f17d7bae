"""How Postgres means to answer: a list must come in the order of an index, however much there is."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ClauseElement, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from loyalty.store.database import _compiled, driver_of
from tests.api.conftest import Shop, a_grant, accepted


class Node(NamedTuple):
    """One step of a plan."""

    type: str
    over: str | None
    """The index it walks."""
    condition: str


async def plan(connection: AsyncConnection, statement: ClauseElement, values: Mapping[str, Any]) -> list[Node]:
    """The steps of the statement's plan, with tables as they would be when they are large."""
    for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):  # what is best where there is little
        await connection.execute(text(f"set local enable_{way} = off"))
    sql, names = _compiled(statement)
    found = await driver_of(connection).fetchval(f"explain (format json) {sql}", *[values[name] for name in names])
    [document] = orjson.loads(found) if isinstance(found, str) else found
    return list(_steps(document["Plan"]))


async def many_entries(shop: Shop, owner: AsyncEngine) -> dict[str, Any]:
    """A member with so many entries that Postgres takes care how it finds one of them."""
    member = await shop.enrols()
    for _ in range(3):
        items = [a_grant(member, 1) for _ in range(200)]
        accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
    await shop.redeems(member, 300)
    async with owner.begin() as connection:
        await connection.execute(text("analyze entry, posting, draw, lot, reference, event"))
    return member


def _steps(node: dict[str, Any]) -> Iterator[Node]:
    yield Node(node["Node Type"], node.get("Index Name"), node.get("Index Cond", ""))
    for child in node.get("Plans", ()):
        yield from _steps(child)
