"""No statement of the store scans or sorts what grows: looked at with histories large enough to show it.

`python -m bench growth` looks again with ten million entries.
"""

import ast
import secrets
from pathlib import Path
from typing import NamedTuple

import pytest

from bench import plans, tour
from bench.ground import GROWN
from bench.histories import load_histories
from loyalty import store
from loyalty.api.access import new_key
from loyalty.config import Settings
from loyalty.domain.programme import Programme
from loyalty.recompute.verify import verify
from loyalty.store import migrations, seeding
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer
from tests.conftest import Cluster, Urls

MEMBERS = 600
ENTRIES = 30_000
SECRET = secrets.token_hex(32)

WITHOUT_A_NAME = {
    "database.answers": "asks for nothing",
    "parked._come": "makes those of the two kinds of what comes, which have names",
    "migrations": "the catalogue, as the owner",
    "parts.load_statement": "puts parts together, which have names",
    "programmes": "programmes and keys: few, and remembered",
    "seeding": "as the owner, who prepares",
}
"""Where a statement may stand within a function, unseen by `plans.statements`, and why."""


class Grown(NamedTuple):
    cluster: Cluster
    urls: Urls
    database: str
    programme: Programme
    member_id: str
    entries: int


@pytest.fixture
async def grown(cluster: Cluster) -> Grown:
    """A database with histories in it."""
    urls = cluster.a_database()
    name = urls.owner.partition("@/")[2].partition("?")[0]
    programme = await seeding.ensure_programme(urls.owner, GROWN)
    loaded = await load_histories(urls.owner, urls.running, programme, member_count=MEMBERS, entries=ENTRIES)
    return Grown(cluster, urls, name, programme, loaded.member_ids[-1], loaded.entries)


async def test_no_statement_reads_more_the_more_there_is(grown: Grown) -> None:
    await _check_sound(grown)
    cleaner = grown.urls.running.replace("loyalty_runner", "loyalty_cleaner")
    await migrations.upgrade(grown.urls.owner, ("loyalty_clean", cleaner))
    settings = Settings(database_url=grown.urls.running, cleaner_url=cleaner, secret=SECRET)  # type: ignore[arg-type]
    tokens = [await _a_token(grown, client) for client in ("till", "second")]
    with plans.telling_plans(grown.cluster.server, grown.urls.running, cleaner) as heard:
        await tour.go_round(settings, grown.programme, tokens, grown.member_id)

    small = plans.small_tables(grown.cluster.server, grown.database) - plans.NEVER_LARGE
    known = {"person", "consent", "adjustment", "parked_event", "review", "cap_use", "code_use"}
    known |= {"tier_grant", "merge", "difference", "tag_change", "what_if", "slide"}
    assert small <= known, "who fills the other tables?"
    found = plans.readings(heard.plans, small=small)
    assert {one.name: one.problems for one in found if one.problems} == {}


async def _check_sound(grown: Grown) -> None:
    """What was loaded is a ledger, not only rows."""
    database = Database(grown.urls.running)
    try:
        report = await verify(database, grown.programme)
    finally:
        await database.close()
    assert report.sound, report.findings[:3]
    assert (report.checked["member"], report.checked["entry"]) == (MEMBERS, grown.entries)
    assert grown.entries >= ENTRIES


async def _a_token(grown: Grown, client_id: str) -> str:
    token, key = new_key(Sealer(SECRET.encode()), grown.programme.id, "admin", client_id=client_id)
    await seeding.add_keys(grown.urls.owner, [key])
    return token


def a_plan(sql: str, table: str = "entry", condition: str = "", rows: int = 1) -> plans.Plan:
    return plans.Plan(sql, (plans.Step(table, "some way", condition, rows),), 0, 1.0)


@pytest.mark.parametrize(
    ("condition", "rows", "problem"),
    [
        ("", 1, "scans: some way"),
        ("((bucket = $1) AND (programme_id = 7))", 1, "for a whole programme"),
        ("((bucket = k.bucket) AND (programme_id = k.programme_id) AND (id = k.id))", 5_000, "reads 5,000 rows"),
        ("((bucket = k.bucket) AND (programme_id = k.programme_id) AND (id = k.id))", 1, None),
        ("((programme_id = $1) AND (ROW(xid, member_id) > ROW($2, $3)))", 1, None),
    ],
)
def test_a_plan_is_judged_by_how_it_finds_its_rows(condition: str, rows: int, problem: str | None) -> None:
    statement = "with update_member AS (update ...)"
    [found] = [
        one
        for one in plans.readings([a_plan(statement, condition=condition, rows=rows)])
        if one.name == "members.update"
    ]
    assert (problem in found.problems[0]) if problem else not found.problems


def test_a_statement_that_was_not_seen_is_a_problem() -> None:
    assert all("not seen" in one.problems[0] for one in plans.readings([]))


def test_every_statement_of_the_store_has_a_name_to_be_found_by() -> None:
    for path in Path(store.__path__[0]).glob("*.py"):
        for place in _statements_within_functions(path):
            assert place in WITHOUT_A_NAME or path.stem in WITHOUT_A_NAME, f"{place}: give the statement a name"


def _statements_within_functions(path: Path) -> set[str]:
    """The functions of a module that make a statement of their own."""
    tree = ast.parse(path.read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        f"{path.stem}.{function.name}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text"
    }
