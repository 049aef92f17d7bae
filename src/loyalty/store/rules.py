"""Earning rules: drafts and the versions they were published as. Rows here are only ever inserted."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson
from sqlalchemy import bindparam, column, table, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.publishing import DRAFTED, LAST_VERSIONS, Drafted, RulesId, Version, rule_set
from loyalty.domain.rules import RuleSet, in_order, rule_of, rules_json
from loyalty.domain.state import State
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Load, Write, keys, rows_of
from loyalty.store.schema import BYTEA, INTEGER, JSON, TEXT, TIMESTAMPTZ, UUID

rule_draft = table(
    "rule_draft",
    column("programme_id", INTEGER),
    column("id", UUID),
    column("rules", JSON),
    column("note", TEXT),
    column("drafted_at", TIMESTAMPTZ),
    column("drafted_by", TEXT),
)
rule_version = table(
    "rule_version",
    column("programme_id", INTEGER),
    column("version", INTEGER),
    column("draft_id", UUID),
    column("effective_from", TIMESTAMPTZ),
    column("published_at", TIMESTAMPTZ),
    column("published_by", TEXT),
    column("hash", BYTEA),
)
_INSERT_DRAFT = Insert(rule_draft)
_INSERT_VERSION = Insert(rule_version, claim=True)

_DRAFT_COLUMNS = ["d.id", "d.rules::text", "d.note", "d.drafted_at", "d.drafted_by"]
_VERSION_COLUMNS = ["v.version", "v.draft_id", "v.effective_from", "v.published_at", "v.published_by", "v.hash"]
_LOAD_DRAFTS = rows_of(
    _DRAFT_COLUMNS,
    f"""from {keys(id="draft_ids")}
        join rule_draft d on d.programme_id = k.programme_id and d.id = k.id""",
)
_LOAD_VERSIONS = rows_of(_VERSION_COLUMNS, f"from rule_version v where v.programme_id = :{PROGRAMME}")


def load_drafts(ids: Sequence[RulesId]) -> Load:
    return Load(_LOAD_DRAFTS, {"draft_ids": (list(ids), UUID.array)})


def place_drafts(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        drafted = _drafted(row)
        into.put(DRAFTED, drafted.id, drafted)


def load_versions(_: Sequence[None]) -> Load:
    """All that the programme has published."""
    return Load(_LOAD_VERSIONS, {})


def place_versions(rows: Iterable[Sequence[Any]], into: State) -> None:
    into.put(LAST_VERSIONS, None, tuple(sorted(map(_version, rows))))


def write(drafts: Sequence[Drafted], versions: Sequence[Version]) -> Iterable[Write]:
    """The part of the write that rules contribute: a version is claimed, for another may be published beside it."""
    if drafts:
        yield _INSERT_DRAFT.write([(one.id, rules_json(one.rules), *one[2:]) for one in drafts])
    if versions:
        yield _INSERT_VERSION.write([tuple(one) for one in versions])


_known: dict[tuple[int, str], RuleSet] = {}
"""Published sets that this process has read: they never change."""
_MOST_KNOWN: Final = 4_000

_PUBLISHED = text(
    f"select {', '.join(_VERSION_COLUMNS)} from rule_version v where v.programme_id = :{PROGRAMME} order by v.version"  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER))
_DRAFTS = text(
    f"""
    select {", ".join(_DRAFT_COLUMNS)} from rule_draft d where d.programme_id = :{PROGRAMME} and d.id = any(:draft_ids)
    """  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER), bindparam("draft_ids", type_=UUID.array))
_PAGE = text(
    f"""
    select {", ".join((*_DRAFT_COLUMNS, *_VERSION_COLUMNS))}
      from rule_draft d
      left join rule_version v on v.programme_id = d.programme_id and v.draft_id = d.id
     where d.programme_id = :{PROGRAMME} and d.id < :before
     order by d.id desc limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER), bindparam("before", type_=UUID), bindparam("at_most", type_=INTEGER))

AFTER_ALL_RULES = RulesId("f" * 32)


async def published(connection: AsyncConnection, programme_id: int) -> tuple[RuleSet, ...]:
    """All that the programme has published, as it takes effect. Asks for the wall to be open."""
    versions = [_version(row) for row in await fetch(connection, _PUBLISHED, {PROGRAMME: programme_id})]
    unknown = [one for one in versions if (programme_id, one.draft_id) not in _known]
    if unknown:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
            unknown = versions
        drafts = await find_drafts(connection, programme_id, [one.draft_id for one in unknown])
        for one in unknown:
            _known[programme_id, one.draft_id] = rule_set(one, drafts[one.draft_id].rules)
    return in_order(_known[programme_id, one.draft_id] for one in versions)


async def find_drafts(connection: AsyncConnection, programme_id: int, ids: Sequence[RulesId]) -> dict[RulesId, Drafted]:
    """Drafts by their ids, published or not."""
    rows = await fetch(connection, _DRAFTS, {PROGRAMME: programme_id, "draft_ids": ids})
    return {one.id: one for one in map(_drafted, rows)}


async def all_published(connection: AsyncConnection, programme_id: int) -> list[tuple[Version, Drafted | None]]:
    """Every version with its draft, read afresh; None where that is lost, or nobody can read it."""
    found = await versions(connection, programme_id)
    rows = await fetch(connection, _DRAFTS, {PROGRAMME: programme_id, "draft_ids": [one.draft_id for one in found]})
    drafts = {}
    for row in rows:
        with suppress(TypeError, ValueError, LookupError, AttributeError):
            drafts[row[0].hex] = _drafted(row)
    return [(one, drafts.get(one.draft_id)) for one in found]


async def versions(connection: AsyncConnection, programme_id: int) -> list[Version]:
    """What the programme has published, version 1 first."""
    return [_version(row) for row in await fetch(connection, _PUBLISHED, {PROGRAMME: programme_id})]


async def page(
    connection: AsyncConnection, programme_id: int, *, before: RulesId, limit: int
) -> list[tuple[Drafted, Version | None]]:
    """Drafts with what they were published as, the newest first, those before `before`."""
    rows = await fetch(connection, _PAGE, {PROGRAMME: programme_id, "before": before, "at_most": limit})
    width = len(_DRAFT_COLUMNS)
    return [(_drafted(row[:width]), None if row[width] is None else _version(row[width:])) for row in map(tuple, rows)]


def _drafted(row: Sequence[Any]) -> Drafted:
    id_, rules, *rest = row
    return Drafted(RulesId(id_.hex), tuple(map(rule_of, orjson.loads(rules))), *rest)


def _version(row: Sequence[Any]) -> Version:
    version, draft_id, *rest = row
    return Version(version, RulesId(draft_id.hex), *rest)
