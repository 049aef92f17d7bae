"""The ledger in Postgres against its naive twin: after every step both hold the same."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import text

from loyalty.domain.books import Balance
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Submission
from loyalty.operations.sweep import Settle
from tests import laws, soak
from tests.conftest import Urls
from tests.machine import PEOPLE, RULES, SLIDING_RULES, Ask, Known, Told, machine, programme_of, submission, written
from tests.makers import a_fact, a_member_id, a_programme, accepted, at, enrolling, granting, redeeming, rendered
from tests.postgres_ledger import InPostgres, Postgres
from tests.twin import Fact, Rules

TABLES = ["member", "book", "lot", "net_spend", "entry", "posting", "draw", "tier_step", "event"]
TABLES += ["replay", "reference", "identity", "hold", "reversal", "adjustment", "review"]
TABLES += ["tier_count", "tier_grant", "merge", "slide"]


@pytest.fixture
def postgres(urls: Urls) -> Iterator[Postgres]:
    postgres = Postgres(urls)
    yield postgres
    postgres.close()


@pytest.mark.parametrize("rules", [RULES, SLIDING_RULES], ids=["points expire", "points slide"])
@pytest.mark.parametrize("through", ["door", "lanes"])
def test_the_ledger_in_postgres_and_its_twin_agree_after_every_step(
    postgres: Postgres, through: Literal["door", "lanes"], rules: Rules
) -> None:
    def open_ledger(programme: Programme) -> InPostgres:
        return InPostgres(postgres, programme, through)

    few = settings(max_examples=max(5, settings().max_examples // 4))
    run_state_machine_as_test(machine(open_ledger, rules), settings=few)


@pytest.mark.parametrize("rules", [RULES, SLIDING_RULES], ids=["points expire", "points slide"])
def test_invariant_10_batches_cut_differently_leave_the_same_history_in_postgres(
    postgres: Postgres, rules: Rules
) -> None:
    """The same life, command by command and in batches of seven: what is needed is loaded in both."""
    dice = random.Random(13)
    buying = [Ask("purchase", n % 3, amount=n * 37 % 900 * 100, currency="CNY", wait=_hours(9 * n)) for n in range(40)]
    then = [soak.ask(dice)._replace(key=None, dry_run=False) for _ in range(200)]
    forced = [Ask("redeem", n, amount=9_000, forced=True, source="offline") for n in range(2)]
    facts = written([*buying, *forced, *(ask for ask in then if ask.verb not in ("close", "status"))])
    programme = programme_of(rules)
    one_by_one, in_batches = InPostgres(postgres, programme, "door"), InPostgres(postgres, programme, "door")
    # The id of the programme is hashed, so both play in the same one, one after the other.
    end = max(fact.learnt_at for fact in facts)
    first, known = _played(one_by_one, facts, {}, at_a_time=1, end=end)
    postgres.run(_emptied(postgres, one_by_one.programme))
    in_batches.programme = one_by_one.programme
    stand = [fact for fact in facts if submission(programme, fact, known) is not None]
    accepted = {fact.verb for fact in stand if fact.id in known}
    assert {"capture", "take_back", "confirm", "reassign", "refund", "transfer", "bind", "unbind"} <= accepted
    second, _ = _played(in_batches, stand, known, at_a_time=7, end=end)
    assert first.entries == second.entries
    assert (first.books, first.lots, first.steps) == (second.books, second.lots, second.steps)
    assert (first.holds, first.adjustments, first.reviews) == (second.holds, second.adjustments, second.reviews)
    assert first.reviews, "something was forced that was not covered"


def test_a_spend_over_more_lots_than_are_loaded_at_first_forgets_nothing_that_falls_due(postgres: Postgres) -> None:
    """Forty small lots are two helpings; a lot that matures in the same batch must not get lost between them."""
    ledger = InPostgres(postgres, a_programme(), "door")
    programme, who = ledger.programme, a_member_id(1)
    when = at("2026-01-01")
    ledger.commit([_ask(programme, 1, enrolling(who), when)])
    small = [
        _ask(programme, 10 + n, granting(programme, who, 1, when, reference=f"small-{n}"), when) for n in range(40)
    ]
    later = granting(programme, who, 500, when, reference="later", pending_until=at("2026-02-01"))
    ledger.commit([*small, _ask(programme, 99, later, when)])

    march = at("2026-03-01")
    spend = redeeming(programme, who, 540, march, reference="all of it")
    [answer] = ledger.commit([_ask(programme, 100, spend, march)])

    assert accepted(answer).balances["points"] == Balance()
    laws.check(ledger.records())


def test_lots_beyond_the_first_helping_are_drawn_in_draw_order(postgres: Postgres) -> None:
    ledger = InPostgres(postgres, a_programme(), "door")
    programme, who, when = ledger.programme, a_member_id(1), at("2026-01-01")
    ledger.commit([_ask(programme, 1, enrolling(who), when)])
    ends = [at(f"2027-{1 + n * 7 % 12:02d}-{1 + n * 11 % 28:02d}") for n in range(300)]
    grants = [granting(programme, who, 1 + n % 3, when, reference=f"{n}", expires_at=end) for n, end in enumerate(ends)]
    for start in range(0, 300, 100):
        ledger.commit(
            [_ask(programme, 10 + start + n, grant, when) for n, grant in enumerate(grants[start : start + 100])]
        )
    for number, points in enumerate([1, 40, 250, 300]):
        spend = redeeming(programme, who, points, when, reference=f"spend {number}")
        [answer] = ledger.commit([_ask(programme, 1000 + number, spend, when)])
        assert accepted(answer)
    records = ledger.records()
    laws.check(records)
    drawn = [draw.lot_id for entry in records.entries for draw in entry.draws]
    order = [(records.lots[id_].expires_at, id_) for id_ in drawn]
    assert order == sorted(order)


def _ask(programme: Programme, number: int, command: Command, when: datetime) -> Submission:
    return Submission(programme, command, Moment(a_fact(number), when, when), rendered)


def _hours(count: int) -> timedelta:
    return timedelta(hours=count)


def _played(
    ledger: InPostgres, facts: list[Fact], known: Known, *, at_a_time: int, end: datetime
) -> tuple[laws.Records, Known]:
    """What the ledger shows once all has been told and everybody is settled at the end."""
    till = Told(ledger, known)
    for start in range(0, len(facts), at_a_time):
        till.tell(*facts[start : start + at_a_time])
    ledger.commit([_ask(ledger.programme, 9000 + who, Settle(a_member_id(who)), end) for who in range(PEOPLE - 1)])
    return ledger.records(), till.known


async def _emptied(postgres: Postgres, programme: Programme) -> None:
    async with postgres.owner.begin() as connection:
        for table in TABLES:
            await connection.execute(text(f"delete from {table} where programme_id = :it"), {"it": programme.id})
