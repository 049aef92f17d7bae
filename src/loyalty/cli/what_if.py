"""`loyalty what-if`: what other rules would have given over past orders."""

import os
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
import uvloop
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from loyalty.api.rules import RulesBody
from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import Settings, load_settings
from loyalty.domain.ids import BUCKETS
from loyalty.domain.publishing import check_sound
from loyalty.domain.refusals import RulesUnsound
from loyalty.domain.rules import Rule, RuleSet
from loyalty.recompute.tally import Question, report
from loyalty.recompute.what_if import what_if as ask
from loyalty.store import programmes
from loyalty.store.database import Database
from loyalty.store.readiness import check_servable
from loyalty.telemetry import configure_logging


@ends_clearly
def what_if(
    rules_file: Annotated[Path, typer.Argument(help="The rules as JSON, as POST /v1/earning-rules takes them.")],
    programme: Annotated[str, typer.Option(help="The code of the programme.")],
    begins: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first business day.")],
    through: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last business day.")],
    processes: Annotated[int, typer.Option(min=1, max=64, help="How many work at it.")] = os.cpu_count() or 1,
) -> None:
    """Evaluate every past order by other rules, and print as JSON what that changes: points, liability, tiers.

    Changes nothing, and may run beside the service. Caps, first purchases and, where the ladder goes by points, tiers
    are as they would have been; redemptions and expiries are not lived through again. Needs LOYALTY_DATABASE_URL and
    LOYALTY_SECRET.
    """
    if through < begins:
        raise Stop("--from must not lie after --to.")
    settings = load_settings()
    configure_logging("warning", human=True)
    rules = _read(rules_file)
    answer = uvloop.run(_answer(settings, programme, rules, begins.date(), through.date(), processes))
    typer.echo(orjson.dumps(answer, option=orjson.OPT_INDENT_2))


def _read(path: Path) -> tuple[Rule, ...]:
    """Raises Stop."""
    try:
        return tuple(one.rule() for one in RulesBody.model_validate_json(path.read_bytes()).rules)
    except OSError as error:
        raise Stop(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise Stop(f"{path} is no set of rules: {'.'.join(map(str, first['loc']))} {first['msg']}.") from None


async def _answer(
    settings: Settings, code: str, rules: tuple[Rule, ...], begins: date, through: date, processes: int
) -> dict[str, Any]:
    """Raises Stop."""
    database = Database(settings.database_url)
    try:
        await check_servable(database)
        programme = await programmes.read(database.reads, code)
    finally:
        await database.close()
    if programme is None:
        raise Stop(f"There is no programme {code!r}.")
    try:
        check_sound(programme, rules)
    except RulesUnsound as unsound:
        faults = "; ".join(f"{one['rule']}: {one['problem']}" for one in unsound.facts["faults"])
        raise Stop(f"The rules are unsound: {faults}.") from None
    question = Question(RuleSet("", None, None, rules), begins, through + timedelta(days=1))
    with Progress(TextColumn("what if"), BarColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("what if", total=BUCKETS)
        tally = await ask(
            settings.database_url,
            code,
            question,
            processes=processes,
            progress=lambda done: bar.update(task, completed=done),
        )
    return report(programme, question, tally)
