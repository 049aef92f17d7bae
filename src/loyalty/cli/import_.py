"""`loyalty import`: a basket file, every fact of it through the one door."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
import uuid_utils
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import Settings, load_settings
from loyalty.domain.claims import Claim, ReferenceKind, ReplayKey, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE, Identity
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import IdentityTaken, MemberNotFound, ReferenceTaken, Refusal
from loyalty.domain.state import Moment
from loyalty.files.baskets import BadRow, BasketFile, Fact, Purchase, Redemption, UnreadableFile
from loyalty.memory import relax_collector
from loyalty.operations import accrue, redeem
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.enrol import Enrol, new_card_number
from loyalty.operations.lanes import MAX_BULK_BATCH, Lanes
from loyalty.operations.retry import Unavailable
from loyalty.store import programmes
from loyalty.store.database import Database
from loyalty.store.identities import holders
from loyalty.store.readiness import check_servable
from loyalty.store.sealing import Sealer
from loyalty.telemetry import configure_logging
from loyalty.worker.settling import settle_due

WINDOW = 8_192
"""Facts read ahead. They are submitted member by member: what meets in a batch is written once."""
WINDOW_LINES = 80_000
"""Most basket lines read ahead; with WINDOW, what bounds the memory of an import."""
AT_A_TIME = 8 * MAX_BULK_BATCH
"""Facts submitted together."""
SHOWN = 20
"""Bad rows that are listed; all are counted."""
TRIES = 5
"""Attempts to enrol one member while others bind its identities or draw its number."""
IMPORTER = "loyalty import"
"""The client in whose name redemptions are claimed. No API client is called so: theirs have no spaces."""
LINE_EVERY_S = 5.0

LookupOf = Callable[[str, str, str], bytes]
"""(channel, type, value) as a blind index: `store.sealing.Sealer.lookup`."""


class OnError(StrEnum):
    """What a bad row does."""

    STOP = "stop"
    SKIP = "skip"


class ImportStopped(Exception):
    """Says why the import ended before the file did. What was imported stays; the same command goes on."""


@dataclass
class Summary:
    """What became of a file so far."""

    baskets: int = 0
    redemptions: int = 0
    already_there: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Facts the ledger declined, by the code of the refusal."""
    enrolled: int = 0
    settled: int = 0
    """Members brought up to date once the file was read."""
    bad_rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    """The first of the bad rows."""
    seconds: float = 0.0

    @property
    def facts(self) -> int:
        return self.baskets + self.redemptions + self.already_there + self.refused.total()

    def add_bad(self, row: BadRow) -> None:
        self.bad_rows += 1
        if len(self.bad) < SHOWN:
            self.bad.append(row)


Report = Callable[[Summary, float], None]
"""Hears of the progress: what became of the facts so far, and how much of the file has been read, 0 to 1."""


async def import_baskets(
    database: Database,
    programme: Programme,
    path: Path,
    *,
    lookup_of: LookupOf,
    enrol: bool = False,
    on_error: OnError = OnError.STOP,
    limit: int | None = None,
    report: Report = lambda summary, read: None,
) -> Summary:
    """Import a basket file into the programme and settle what is due at its clock.

    Afterwards every good fact of the file is in the ledger or counted as refused; a fact whose reference was
    taken before counts as already there, so the same file twice, or again after an interruption, changes
    nothing. The facts of a member are decided in the order of the file.

    Raises UnreadableFile, and ImportStopped at the first bad row (unless they are skipped) or when the database
    does not answer; what came before it in the file is imported then.
    """
    lanes = Lanes(database)
    lanes.start()
    try:
        with BasketFile(path) as file:
            job = _Import(database, lanes, programme, lookup_of, enrol, on_error)
            await job.run(file, limit, report)
        job.summary.settled = await settle_due(database, lanes, programme)
        job.summary.seconds = job.elapsed()
        report(job.summary, 1.0)
        return job.summary
    finally:
        await lanes.drain(deadline_s=10)


class _Named(NamedTuple):
    """A fact and whose it is."""

    fact: Fact
    member_id: MemberId


class _Import:
    """One run over one file."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        programme: Programme,
        lookup_of: LookupOf,
        enrol: bool,
        on_error: OnError,
    ) -> None:
        self.summary = Summary()
        self._database = database
        self._lanes = lanes
        self._programme = programme
        self._enrol = enrol
        self._on_error = on_error
        self._members = _Members(database, lanes, programme, lookup_of)
        self._began = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    async def run(self, file: BasketFile, limit: int | None, report: Report) -> None:
        """Read a window while the one before it is committed."""
        rows = islice(file, limit)
        stop: BadRow | None = None
        window = _Window()
        while not window.ended and stop is None:
            window = await asyncio.to_thread(_read, rows, self._on_error)
            for bad in window.bad:
                self.summary.add_bad(bad)
            stop = window.stop
            await self._commit(window.facts)
            self.summary.seconds = self.elapsed()
            report(self.summary, file.read())
        if stop is not None:
            raise ImportStopped(f"{file.name}, row {stop.row}: {stop.reason}.")

    async def _commit(self, facts: Sequence[Fact]) -> None:
        """Decide the facts of a window, each member's together and in order."""
        by_member: dict[str, list[Fact]] = {}
        for fact in facts:
            by_member.setdefault(fact.member, []).append(fact)
        found = await self._members.of(by_member, enrol=self._enrol)
        self.summary.enrolled = self._members.enrolled
        known: list[_Named] = []
        for member, its in by_member.items():
            who = found[member]
            if isinstance(who, Refusal):
                self.summary.refused[who.code] += len(its)
            else:
                known.extend(_Named(fact, who) for fact in its)
        for start in range(0, len(known), AT_A_TIME):
            await self._submit(known[start : start + AT_A_TIME])

    async def _submit(self, facts: Sequence[_Named]) -> None:
        """Send facts through the door and count what came of them. Raises ImportStopped."""
        recorded_at = datetime.now(UTC)
        asks = [_submission(self._programme, one, recorded_at) for one in facts]
        answers = await asyncio.gather(*self._lanes.submit_bulk(asks), return_exceptions=True)
        for (fact, _), result in zip(facts, answers, strict=True):
            if isinstance(result, Answer):
                self._count(fact, result)
            elif isinstance(result, Exception) and not isinstance(result, Unavailable):
                self._failed(fact, result)
            else:
                raise ImportStopped(f"{result} Run the same command again to go on.") from result

    def _count(self, fact: Fact, answer: Answer) -> None:
        code = _refusal_code(answer)
        if code == ReferenceTaken.code or (answer.replayed and code is None):
            self.summary.already_there += 1
        elif code is not None:
            self.summary.refused[code] += 1
        elif isinstance(fact, Purchase):
            self.summary.baskets += 1
        else:
            self.summary.redemptions += 1

    def _failed(self, fact: Fact, error: Exception) -> None:
        """The ledger could not commit a fact; why is in the log. Raises ImportStopped unless bad rows are skipped."""
        reason = f"the ledger could not take it ({type(error).__name__})"
        if self._on_error is OnError.STOP:
            raise ImportStopped(f"row {fact.row}: {reason}.") from error
        self.summary.add_bad(BadRow(fact.row, reason))


# --- reading ahead ---------------------------------------------------------------------------------------------


@dataclass
class _Window:
    """What was read ahead."""

    facts: list[Fact] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    stop: BadRow | None = None
    """The bad row at which the import stops."""
    ended: bool = False


def _read(rows: Iterator[Fact | BadRow], on_error: OnError) -> _Window:
    """The next facts of the file, as many as the bounds allow."""
    window = _Window()
    lines = 0
    for row in rows:
        if isinstance(row, BadRow):
            window.bad.append(row)
            if on_error is OnError.STOP:
                window.stop = row
                return window
        else:
            window.facts.append(row)
            lines += len(row.lines) if isinstance(row, Purchase) else 1
        if len(window.facts) >= WINDOW or lines >= WINDOW_LINES or len(window.bad) >= WINDOW:
            return window
    window.ended = True
    return window


# --- whose facts they are --------------------------------------------------------------------------------------

_CARD = re.compile("[0-9]{6,24}")


class _Members:
    """From the names in the file to members; unknown ones are enrolled where that is asked for."""

    def __init__(self, database: Database, lanes: Lanes, programme: Programme, lookup_of: LookupOf) -> None:
        self.enrolled = 0
        self._database = database
        self._lanes = lanes
        self._programme = programme
        self._lookup_of = lookup_of

    async def of(self, facts: dict[str, list[Fact]], *, enrol: bool) -> dict[str, MemberId | Refusal]:
        """The member of each name, or why there is none; `facts` are what each name did first."""
        found: dict[str, MemberId | Refusal] = {}
        asked: dict[str, Identity] = {}
        for name in facts:
            if name.startswith("mem_"):
                found[name] = MemberId(name.removeprefix("mem_"))
            else:
                asked[name] = self._identity(name)
        unknown = await self._find(asked, found)
        for _ in range(TRIES if enrol else 0):
            if not unknown:
                break
            await self._join({name: facts[name][0] for name in unknown}, asked, found)
            unknown = await self._find(unknown, found)
        nobody = MemberNotFound("No member of this programme is known by that.")
        return {**found, **dict.fromkeys(unknown, nobody)}

    async def _find(self, asked: dict[str, Identity], found: dict[str, MemberId | Refusal]) -> dict[str, Identity]:
        """Put the members that are known into `found`; return the others that have no answer yet."""
        missing = {name: identity for name, identity in asked.items() if name not in found}
        if missing:
            async with self._database.snapshot(self._programme.id) as connection:
                known = await holders(connection, self._programme.id, list(missing.values()))
            found.update({name: known[identity].member_id for name, identity in missing.items() if identity in known})
        return {name: identity for name, identity in missing.items() if name not in found}

    async def _join(
        self, first: dict[str, Fact], identities: dict[str, Identity], found: dict[str, MemberId | Refusal]
    ) -> None:
        """Enrol each under its name and a card number, as of its first fact."""
        asks = [self._enrolment(name, fact, identities[name]) for name, fact in first.items()]
        for start in range(0, len(asks), AT_A_TIME):
            batch = asks[start : start + AT_A_TIME]
            answers = await asyncio.gather(*self._lanes.submit_bulk(batch), return_exceptions=True)
            for name, ask, answer in zip(list(first)[start:], batch, answers, strict=False):
                if not isinstance(answer, Answer):
                    raise ImportStopped(f"A member could not be enrolled ({type(answer).__name__}).") from answer
                if not isinstance(answer.outcome, Refusal):
                    found[name] = ask.command.member_id
                    self.enrolled += 1
                elif not isinstance(answer.outcome, IdentityTaken):  # someone else was faster: look again
                    found[name] = answer.outcome

    def _enrolment(self, name: str, fact: Fact, identity: Identity) -> Submission:
        number = name if _CARD.fullmatch(name) else new_card_number()
        card = Identity(CARD_CHANNEL, CARD_TYPE, self._lookup_of(CARD_CHANNEL, CARD_TYPE, number))
        command = Enrol(
            MemberId(uuid_utils.uuid7().hex),
            number,
            fact.store,
            tuple({identity, card}),
            person=None,
            consents=(),
            given=frozenset(),
        )
        moment = Moment(_new_fact(), fact.occurred_at, datetime.now(UTC))
        return Submission(self._programme, command, moment, _say)

    def _identity(self, name: str) -> Identity:
        """What a name says: a card number, or channel:type:value."""
        if _CARD.fullmatch(name):
            channel, type_, value = CARD_CHANNEL, CARD_TYPE, name
        else:
            channel, type_, value = name.split(":", 2)
        return Identity(channel, type_, self._lookup_of(channel, type_, value))


# --- commands --------------------------------------------------------------------------------------------------


def _submission(programme: Programme, named: _Named, recorded_at: datetime) -> Submission:
    """The fact as the door takes it.

    A purchase is claimed by its reference alone. A refused redemption takes no reference, and decided again
    once the member has later facts it might be accepted: its answer is frozen under a key of its own.
    """
    fact = named.fact
    claim = None
    command: accrue.Purchase | redeem.Redeem
    if isinstance(fact, Purchase):
        command = _purchase(programme, named.member_id, fact)
    else:
        command = _redemption(programme, named.member_id, fact)
        key = "\x1f".join(command.reference)
        said = f"{named.member_id} {fact.points} {fact.occurred_at.isoformat()} {fact.store}"
        claim = Claim(ReplayKey(IMPORTER, "", key), sha256(said.encode()).digest())
    return Submission(programme, command, Moment(_new_fact(), fact.occurred_at, recorded_at), _say, claim)


def _purchase(programme: Programme, member_id: MemberId, fact: Purchase) -> accrue.Purchase:
    day = programme.calendar.business_date(fact.occurred_at)
    order = Order(fact.currency, sum(line["amount"] for line in fact.lines), fact.lines)
    because = Because(fact.source, fact.reference, fact.store)
    claimed = reference_key(programme, ReferenceKind.ACCRUAL, source=fact.source, reference=fact.reference, day=day)
    return accrue.Purchase(member_id, order, because, claimed, day, programme.rules_at(fact.occurred_at))


def _redemption(programme: Programme, member_id: MemberId, fact: Redemption) -> redeem.Redeem:
    day = programme.calendar.business_date(fact.occurred_at)
    wallet = "points" if "points" in programme.wallets else next(iter(programme.wallets))
    because = Because(fact.source, fact.reference, fact.store)
    claimed = reference_key(programme, ReferenceKind.REDEMPTION, source=fact.source, reference=fact.reference, day=day)
    return redeem.Redeem(member_id, fact.points, wallet, because, claimed, day)


def _new_fact() -> FactId:
    return FactId(uuid_utils.uuid7().hex)


def _say(outcome: Receipt | Refusal) -> tuple[int, bytes]:
    """What is frozen of a redemption: the code of its refusal, or nothing."""
    return (409, outcome.code.encode()) if isinstance(outcome, Refusal) else (201, b"")


def _refusal_code(answer: Answer) -> str | None:
    return answer.body.decode() if answer.status >= 400 else None


# --- the command -----------------------------------------------------------------------------------------------


@ends_clearly
def import_(
    file: Annotated[Path, typer.Argument(help="A basket file: .csv, .jsonl or .parquet.", show_default=False)],
    programme: Annotated[str, typer.Option(help="The code of the programme to import into.", show_default=False)],
    enrol: Annotated[bool, typer.Option("--enrol", help="Enrol members that are not known yet.")] = False,
    on_error: Annotated[OnError, typer.Option(help="Whether a bad row ends the import or is left out.")] = OnError.STOP,
    limit: Annotated[int | None, typer.Option(help="Import no more than the first so many facts.", min=1)] = None,
) -> None:
    """Import purchases and redemptions from a file, each through the one door like any other.

    A row is a basket line or a redemption: kind, member, source, reference, store, occurred_at, currency,
    line_id, sku, category, quantity, amount (in cents), points. A member is a card number, mem_..., or
    channel:type:value. The rows of a basket stand together, a member's facts in the order in which they happened.

    Interrupt it whenever you like: a receipt is never imported twice, so the same command goes on where it was,
    and once more changes nothing. Redemptions that the ledger refuses are counted, not errors.

    Needs LOYALTY_DATABASE_URL and LOYALTY_SECRET. Example:

    loyalty import year.csv --programme real-year --enrol
    """
    settings = load_settings()
    configure_logging("warning", human=True)
    relax_collector()
    uvloop.run(import_file(settings, programme, file, enrol=enrol, on_error=on_error, limit=limit))


async def import_file(
    settings: Settings,
    code: str,
    file: Path,
    *,
    enrol: bool,
    on_error: OnError = OnError.STOP,
    limit: int | None = None,
) -> None:
    """Import the file, showing how far it is, and print what became of it. Raises Stop."""
    with _Progress(Console(stderr=True)) as progress:
        summary = await _import(
            settings, code, file, enrol=enrol, on_error=on_error, limit=limit, report=progress.report
        )
    print(told(summary))


async def _import(
    settings: Settings,
    code: str,
    file: Path,
    *,
    enrol: bool,
    on_error: OnError,
    limit: int | None,
    report: Report,
) -> Summary:
    """Raises Stop."""
    sealer = Sealer(settings.secret.get_secret_value().encode())
    database = Database(settings.database_url, sealer=sealer)
    try:
        await check_servable(database)
        programme = await programmes.read(database.reads, code)
        if programme is None:
            raise Stop(f"There is no programme {code!r}.")
        return await import_baskets(
            database,
            programme,
            file,
            lookup_of=sealer.lookup,
            enrol=enrol,
            on_error=on_error,
            limit=limit,
            report=report,
        )
    except (UnreadableFile, ImportStopped) as error:
        raise Stop(str(error)) from None
    finally:
        await database.close()


def told(summary: Summary) -> str:
    """The summary for people, a line for each figure that is not zero."""
    rate = round(summary.facts / summary.seconds) if summary.seconds else 0
    figures = [
        ("baskets imported", summary.baskets),
        ("redemptions imported", summary.redemptions),
        ("already there", summary.already_there),
        *((f"refused: {code}", count) for code, count in sorted(summary.refused.items())),
        ("bad rows left out", summary.bad_rows),
        ("members enrolled", summary.enrolled),
        ("members settled at the end", summary.settled),
    ]
    lines = [f"{count:>12,}  {what}" for what, count in figures if count]
    lines.append(f"{summary.seconds:>12.1f}  seconds, {rate:,} facts a second")
    lines.extend(f"row {bad.row}: {bad.reason}" for bad in summary.bad)
    if summary.bad_rows > len(summary.bad):
        lines.append(f"... and {summary.bad_rows - len(summary.bad):,} more")
    return "\n".join(lines)


class _Progress:
    """A bar for people; for logs, a line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal:
            columns = (TextColumn("{task.fields[said]}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("import", total=1.0, said="importing")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(self, summary: Summary, read: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=read, said=f"{summary.facts:,} facts")
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(f"{read:.0%} of the file, {summary.facts:,} facts, {summary.seconds:.0f} s")
