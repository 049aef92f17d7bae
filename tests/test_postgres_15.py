"""The oldest PostgreSQL we promise: always tried where it is installed, whatever the other tests run on."""

from collections.abc import Iterator

import orjson
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from loyalty.domain.entries import Kind
from loyalty.domain.programme import Programme
from tests import laws
from tests.conftest import Cluster
from tests.machine import RULES, Ask, Told, machine, programme_of, written
from tests.makers import a_member_id, days
from tests.postgres_ledger import InPostgres, Postgres


@pytest.fixture
def postgres_15(cluster_15: Cluster) -> Iterator[Postgres]:
    postgres = Postgres(cluster_15.a_database())
    yield postgres
    postgres.close()


def test_the_thread_of_the_verbs_runs_on_postgres_15(postgres_15: Postgres) -> None:
    till = Told(InPostgres(postgres_15, programme_of(RULES), "lanes"))
    told = [
        Ask("purchase", 0, amount=400_00, currency="CNY", key=1),
        Ask("grant", 0, amount=50, wallet="points"),
        Ask("redeem", 0, amount=430, wait=days(7)),
        Ask("redeem", 0, amount=21),
        Ask("hold", 0, amount=10, lasts=days(1)),
        Ask("capture", amount=4),
        Ask("refund", amount=0),
        Ask("hold", 0, amount=10, lasts=days(1)),
        Ask("release"),
        Ask("hold", 0, amount=1, lasts=days(1)),
        Ask("transfer", 0, amount=5, to=1),
        Ask("adjust", 0, amount=100),
        Ask("adjust", 0, amount=151),
        Ask("decide_adjustment", by=1),
        Ask("take_back", of=1, shares=(50, None)),
        Ask("reserve", of=1, shares=(50, None), lasts=days(1)),
        Ask("cancel"),
        Ask("reassign", of=1, to=2),
        Ask("status", 0, status="frozen"),
        Ask("close", 1),
        Ask("settle", 0, wait=days(1000)),
        Ask("settle", 2),
    ]
    facts = written(told)
    answers = [answer for fact in [*facts, facts[3]] for answer in till.tell(fact)]
    assert [one.status for one in answers] == [201] * 6 + [409] + [201] * 19
    assert answers[-1].replayed
    assert orjson.loads(answers[5].body)["balances"]["points"] == [0, 20, 0, 0]
    records = till.ledger.records()
    laws.check(records)
    assert {entry.kind for entry in records.entries} == set(Kind) - {Kind.TIER, Kind.MERGE, Kind.UNMERGE}
    kinds = [entry.kind for entry in records.entries_of(a_member_id(0))]
    assert (kinds.count("earn"), kinds.count("spend")) == (2, 1)


def test_the_twin_agrees_on_postgres_15(postgres_15: Postgres) -> None:
    def open_ledger(programme: Programme) -> InPostgres:
        return InPostgres(postgres_15, programme, "door")

    run_state_machine_as_test(machine(open_ledger), settings=settings(max_examples=4, stateful_step_count=10))
