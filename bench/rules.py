"""Earning rules for benchmarks and tests: a dozen of every kind, and how to have them in force at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bench.lives import say_nothing
from loyalty.api.service import new_fact
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.rules import (
    Base,
    Bonus,
    Cap,
    CapPer,
    Exclusion,
    Multiplier,
    Per,
    Rule,
    Stacking,
)
from loyalty.domain.state import Moment
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.publish import DraftRules, Publish
from loyalty.operations.retry import commit
from loyalty.store.database import Database

A_DOZEN: tuple[Rule, ...] = (
    Base("base", "points", 1, 100),
    Multiplier("gold", "points", 150, "member.tier == 'gold'", group="tier", priority=2),
    Multiplier("silver", "points", 120, "member.tier == 'silver'", group="tier", priority=1),
    Multiplier("toys", "points", 200, "line.category == 'toys'"),
    Multiplier("weekend", "points", 150, "order.weekday > 5"),
    Multiplier("store", "points", 110, "order.store == 'SH-001'", Stacking.BEST),
    Multiplier("bricks", "points", 300, "line.sku in ['LEGO-7', 'LEGO-8']", Stacking.BEST),
    Bonus("big", "points", 50, "order.net_spend >= 50000"),
    Bonus("welcome", "points", 500, "member.first_purchase"),
    Bonus("books", "points", 5, "line.category == 'books'", Per.PIECE),
    Exclusion("cards", None, "line.kind == 'gift_card'"),
    Cap("daily", "points", 1_000_000, CapPer.DAY),
)
"""What a programme may well have; for the programme of `ground.py`."""


async def publish_at_once(database: Database, programme: Programme, *rules: Rule) -> None:
    """Publish rules for all that occurs from now on, as if the programme's clock stood still.

    A process that knows keys of the programme believes for some seconds that there are none: `Keys.forget`.
    """
    now = datetime.now(UTC)
    await publish_from(database, programme._replace(fixed_now=now), now - timedelta(seconds=1), *rules)


async def publish_from(database: Database, stopped: Programme, effective_from: datetime, *rules: Rule) -> None:
    """Publish rules from a moment on, be it long ago, in a programme whose clock stands still."""
    now = datetime.now(UTC)

    async def said(command: Command) -> Any:
        ask = Submission(stopped, command, Moment(new_fact(), stopped.fixed_now or now, now), say_nothing)
        [answer] = await commit(database, [ask])
        assert isinstance(answer, Answer), answer
        assert isinstance(answer.outcome, Receipt), answer.outcome
        return answer.outcome.said

    drafted = (await said(DraftRules(rules, None, "bench", MemberId(new_fact())))).drafted
    await said(Publish(drafted.id, effective_from, "bench"))
