"""The way of a platform's message: whose it is, whether it is genuine, what it means, the door, the answer in time.

All that is not one platform's alone is done here, once for every adapter. Whatever happens is said in the platform's
words and leaves one line in the log, in which nothing is personal and nothing is secret.
"""

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
import structlog
import uuid_utils
from pydantic_core import from_json

from loyalty.channels.commands import Commands, NotYet, outcome_of
from loyalty.channels.connections import Connected, Connections
from loyalty.channels.messages import Adapter, Malformed, Meaning, Outcome, PointsChanged, Received, Verdict
from loyalty.channels.registry import ADAPTERS
from loyalty.domain.claims import Claim, ReplayKey, replayed
from loyalty.domain.ids import FactId
from loyalty.domain.refusals import IdentityTaken, KeyReused, Refusal
from loyalty.domain.state import Moment
from loyalty.domain.texts import TwinNames, refuse_twins
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes, Overloaded
from loyalty.operations.resolve import Resolver
from loyalty.operations.retry import Unavailable
from loyalty.store.claims import find_replay
from loyalty.store.database import Database, Fault, fault_of, took_too_long
from loyalty.store.sealing import Sealer

DEADLINE_S: Final = 0.9
"""The platforms wait 1.2 s for an answer, the network on both ways included."""
CLOCKS_APART: Final = timedelta(minutes=5)
"""How old a message may be by its signature, and how far ahead its platform's clock may run."""
MAX_MESSAGE_BYTES: Final = 64 * 1024

SIGNATURE_INVALID: Final = "signature_invalid"
SIGNATURE_STALE: Final = "signature_stale"
MALFORMED: Final = "malformed_message"
UNKNOWN_MESSAGE: Final = "unknown_message"
TOO_LATE: Final = "deadline_passed"
BUSY: Final = "overloaded"
AWAY: Final = "unavailable"
FAILED: Final = "internal_error"

log = structlog.get_logger()


class Place(NamedTuple):
    """Where a message was sent to: the code of a programme, the name of its channel, the name of the message."""

    programme: str
    channel: str
    message: str


class Answered(NamedTuple):
    """What the platform is told."""

    status: int
    body: bytes


class UnknownChannel(Exception):
    """Nobody is connected there: no platform's words are known to say so in."""


Bring = Callable[[], Awaitable[Received]]
"""Brings the message in. Raises Malformed where it is too large."""


class _NotTrusted(Exception):
    """The message does not bear a good signature of now."""


class _Progress:
    """How far a message has come: for its answer, whatever ends it, and for its line in the log."""

    def __init__(self) -> None:
        self.body: Any = None
        self.record: str | None = None
        """Only of a message whose signature was good."""
        self.outcome: Outcome | None = None
        """None: it was done before, and is answered as it was then."""
        self.replayed = False


class Inbound:
    """Answers the messages of all platforms."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        lanes: Lanes,
        resolver: Resolver,
        adapters: Mapping[str, Adapter] = ADAPTERS,
    ) -> None:
        self.adapters = adapters
        self.connections = Connections(database, sealer)
        self._database = database
        self._sealer = sealer
        self._lanes = lanes
        self._commands = Commands(database, sealer, resolver)

    async def answer(self, place: Place, bring: Bring, request_id: str) -> Answered:
        """What to tell the platform, within `DEADLINE_S`. What cannot be done by then is the platform's to send again.

        Raises UnknownChannel, and TimeoutError while it is not even known whose message it is.
        """
        begun = time.perf_counter()
        until = asyncio.get_running_loop().time() + DEADLINE_S
        async with asyncio.timeout_at(until):
            to = await self.connections.find(place.programme, place.channel)
        adapter = None if to is None else self.adapters.get(to.channel.adapter)
        if to is None or adapter is None:
            log.warning("channel_message", outcome="unknown_channel", request_id=request_id)
            raise UnknownChannel
        progress = _Progress()
        try:
            async with asyncio.timeout_at(until):
                answered = await self._hear(to, adapter, place, bring, progress)
        except Exception as error:  # noqa: BLE001 - whatever it is, the platform hears of it in its own words
            answered = _said(adapter, place, progress, _ended_by(error))
        _report(to, place, progress, answered, request_id, time.perf_counter() - begun)
        return answered

    async def _hear(self, to: Connected, adapter: Adapter, place: Place, bring: Bring, progress: _Progress) -> Answered:
        """The message's answer. Raises what `_ended_by` knows."""
        received = await bring()
        signed = self._check_genuine(to, adapter, received)
        if place.message not in adapter.MESSAGES:
            return _said(adapter, place, progress, Outcome(Verdict.REFUSED, UNKNOWN_MESSAGE))
        progress.body = _json(received.body)
        meaning = adapter.read(place.message, progress.body)
        claim = self._claim(to, place, meaning, progress.body, signed)
        progress.record = meaning.record if isinstance(meaning, PointsChanged) else None
        try:
            return await self._do(to, adapter, place, meaning, claim, progress)
        except NotYet as reason:
            kept = await self._kept(to, claim)
            if kept is None:
                return _said(adapter, place, progress, Outcome(Verdict.RETRY, str(reason)))
            progress.replayed = True
            return kept

    def _check_genuine(self, to: Connected, adapter: Adapter, received: Received) -> str:
        """The signature, which is good. Raises _NotTrusted, Malformed. It takes as long to find it wrong as right."""
        given, signed_at = adapter.signature(received)
        good = [adapter.sign(received, secret) for secret in self.connections.secrets(to)]
        matches = [hmac.compare_digest(one.encode(), given.encode()) for one in good]
        if not any(matches):
            raise _NotTrusted(SIGNATURE_INVALID)
        if abs(datetime.now(UTC) - signed_at) > CLOCKS_APART:
            raise _NotTrusted(SIGNATURE_STALE)
        return given

    def _claim(self, to: Connected, place: Place, meaning: Meaning, body: Any, signed: str) -> Claim:
        """The platform's record is done once. What has no number is the same message where it is signed the same."""
        record = f"record {meaning.record}" if isinstance(meaning, PointsChanged) else f"{place.message} {signed}"
        content = orjson.dumps([place.message, body], option=orjson.OPT_SORT_KEYS)
        fingerprint = self._sealer.fingerprint(f"{to.channel.name}\n".encode() + content)
        return Claim(ReplayKey(f"channel:{to.channel.name}", "", record), fingerprint)

    async def _do(
        self, to: Connected, adapter: Adapter, place: Place, meaning: Meaning, claim: Claim, progress: _Progress
    ) -> Answered:
        """Through the door. Whose identities are bound by somebody else in the same moment are looked at once more."""

        def render(outcome: Receipt | Refusal) -> tuple[int, bytes]:
            return _said(adapter, place, progress, outcome_of(to, outcome))

        answer = None
        for _ in range(2):
            now = datetime.now(UTC)
            at = (meaning.occurred_at if isinstance(meaning, PointsChanged) else None) or to.programme.now(now)
            command = await self._commands.command(to, meaning, at)
            if command is None:
                return _said(adapter, place, progress, Outcome(Verdict.DONE))
            answer = await self._submit(to, command, Moment(FactId(uuid_utils.uuid7().hex), at, now), render, claim)
            if not isinstance(answer.outcome, IdentityTaken):
                break
        assert answer is not None, "it was submitted"
        progress.replayed = answer.replayed
        return Answered(answer.status, answer.body)

    async def _submit(self, to: Connected, command: Command, moment: Moment, render: Any, claim: Claim) -> Answer:
        return await self._lanes.submit(Submission(to.programme, command, moment, render, claim))

    async def _kept(self, to: Connected, claim: Claim) -> Answered | None:
        """The answer that the message was given before. Raises KeyReused."""
        async with self._database.snapshot(to.programme.id) as connection:
            kept = await find_replay(connection, to.programme.id, claim.key)
        if kept is None:
            return None
        _, status, body = replayed(kept, claim)
        return Answered(status, body)


def _ended_by(error: Exception) -> Outcome:
    """What an error means for the platform. A signature may be good tomorrow: nothing genuine must be lost for it."""
    match error:
        case Malformed():
            return Outcome(Verdict.REFUSED, MALFORMED)
        case _NotTrusted():
            return Outcome(Verdict.RETRY, str(error))
        case KeyReused():
            return Outcome(Verdict.REFUSED, error.code)
        case TimeoutError():
            return Outcome(Verdict.RETRY, TOO_LATE)
        case Overloaded():
            return Outcome(Verdict.RETRY, BUSY)
        case Unavailable():
            return Outcome(Verdict.RETRY, AWAY)
    if fault_of(error) is Fault.RESTART or took_too_long(error):
        return Outcome(Verdict.RETRY, AWAY)
    log.error("channel_failed", exc_info=error)
    return Outcome(Verdict.RETRY, FAILED)


def _said(adapter: Adapter, place: Place, progress: _Progress, outcome: Outcome) -> Answered:
    progress.outcome = outcome
    status, document = adapter.say(place.message, progress.body, outcome)
    return Answered(status, orjson.dumps(document))


def _json(raw: bytes) -> Any:
    """The one JSON value of the body. Raises Malformed."""
    try:
        found = from_json(raw, allow_inf_nan=False)
        refuse_twins(raw.decode())
    except (ValueError, TwinNames):
        raise Malformed("the body is not one JSON value") from None
    return found


def _report(
    to: Connected, place: Place, progress: _Progress, answered: Answered, request_id: str, seconds: float
) -> None:
    """The message's line in the log. The names in it are ours; a record is named once its message is trusted."""
    outcome = None if progress.replayed else progress.outcome
    known = place.message if outcome is None or outcome.code != UNKNOWN_MESSAGE else None
    trusted = outcome is None or outcome.code not in (SIGNATURE_INVALID, SIGNATURE_STALE)
    refused = outcome is not None and outcome.verdict in (Verdict.REFUSED, Verdict.RETRY)
    (log.warning if refused else log.info)(
        "channel_message",
        programme=to.programme.code,
        channel=to.channel.name,
        adapter=to.channel.adapter,
        message=known if trusted else None,
        record=progress.record,
        outcome="replayed" if outcome is None else outcome.verdict.value,
        code=(outcome.code or None) if outcome is not None else None,
        status=answered.status,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
    )
