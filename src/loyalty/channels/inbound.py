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
from loyalty.domain.channels import CHANNEL_SOURCE
from loyalty.domain.claims import Claim, Replay, ReplayKey, replayed
from loyalty.domain.ids import FactId
from loyalty.domain.refusals import IdentityTaken, KeyReused, Refusal
from loyalty.domain.state import Moment
from loyalty.domain.texts import refuse_twins
from loyalty.operations.command import Receipt
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


class _Heard:
    """One message on its way: whose it is, how far it has come, and what came of it."""

    def __init__(self, to: Connected, adapter: Adapter, name: str) -> None:
        self.to = to
        self.adapter = adapter
        self.name = name
        self.body: Any = None
        self.is_genuine = False
        self.record: str | None = None
        self.outcome: Outcome | None = None
        """None as long as nothing was said; and where it was done before, and is answered as it was then."""

    def say(self, outcome: Outcome) -> Answered:
        """In the platform's words."""
        self.outcome = outcome
        status, document = self.adapter.say(self.name, self.body, outcome)
        return Answered(status, orjson.dumps(document))

    def repeat(self, status: int, body: bytes) -> Answered:
        """As it was said before."""
        self.outcome = None
        return Answered(status, body)


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
        heard = _Heard(to, adapter, place.message)
        try:
            async with asyncio.timeout_at(until):
                answered = await self._hear(heard, bring)
        except Exception as error:  # noqa: BLE001 - whatever it is, the platform hears of it in its own words
            answered = heard.say(_ended_by(error))
        _report(heard, answered.status, request_id, time.perf_counter() - begun)
        return answered

    async def _hear(self, heard: _Heard, bring: Bring) -> Answered:
        """The message's answer. Raises what `_ended_by` knows."""
        received = await bring()
        signed = self._check_genuine(heard, received)
        if heard.name not in heard.adapter.MESSAGES:
            return heard.say(Outcome(Verdict.REFUSED, UNKNOWN_MESSAGE))
        heard.body = _json(received.body)
        meaning = heard.adapter.read(heard.name, heard.body)
        heard.record = meaning.record if isinstance(meaning, PointsChanged) else None
        claim = self._claim(heard, signed)
        try:
            return await self._do(heard, meaning, claim)
        except NotYet as reason:
            kept = await self._kept(heard.to, claim)
            return heard.say(Outcome(Verdict.RETRY, str(reason))) if kept is None else heard.repeat(*kept[1:])

    def _check_genuine(self, heard: _Heard, received: Received) -> str:
        """The signature, which is good. Raises _NotTrusted, Malformed. It takes as long to find it wrong as right."""
        given, signed_at = heard.adapter.signature(received)
        good = [heard.adapter.sign(received, secret) for secret in self.connections.secrets(heard.to)]
        matches = [hmac.compare_digest(one.encode(), given.encode()) for one in good]
        if not any(matches):
            raise _NotTrusted(SIGNATURE_INVALID)
        if abs(datetime.now(UTC) - signed_at) > CLOCKS_APART:
            raise _NotTrusted(SIGNATURE_STALE)
        heard.is_genuine = True
        return given

    def _claim(self, heard: _Heard, signed: str) -> Claim:
        """The platform's record is done once. What bears none is the same message where it is signed the same.

        Under another name it is another message: signatures do not cover the path, and what was sent as a join must not
        be heard again as a leave.
        """
        key = f"signed {signed}" if heard.record is None else f"record {heard.record}"
        content = orjson.dumps([heard.to.channel.name, heard.name, heard.body], option=orjson.OPT_SORT_KEYS)
        return Claim(ReplayKey(CHANNEL_SOURCE + heard.to.channel.name, "", key), self._sealer.fingerprint(content))

    async def _do(self, heard: _Heard, meaning: Meaning, claim: Claim) -> Answered:
        """Through the door. What was bound by somebody else in the same moment is looked for once more."""
        answer = await self._try(heard, meaning, claim)
        if answer is not None and isinstance(answer.outcome, IdentityTaken):
            answer = await self._try(heard, meaning, claim)
        if answer is None:
            return heard.say(Outcome(Verdict.DONE))
        return heard.repeat(answer.status, answer.body) if answer.replayed else Answered(answer.status, answer.body)

    async def _try(self, heard: _Heard, meaning: Meaning, claim: Claim) -> Answer | None:
        """The door's answer; None: it is so already. Raises NotYet."""
        to, now = heard.to, datetime.now(UTC)
        at = (meaning.occurred_at if isinstance(meaning, PointsChanged) else None) or to.programme.now(now)
        command = await self._commands.command(to, meaning, at)
        if command is None:
            return None

        def render(outcome: Receipt | Refusal) -> tuple[int, bytes]:
            return heard.say(outcome_of(to, outcome))

        moment = Moment(FactId(uuid_utils.uuid7().hex), at, now)
        return await self._lanes.submit(Submission(to.programme, command, moment, render, claim))

    async def _kept(self, to: Connected, claim: Claim) -> Replay | None:
        """The answer that the message was given before. Raises KeyReused."""
        async with self._database.snapshot(to.programme.id) as connection:
            kept = await find_replay(connection, to.programme.id, claim.key)
        return None if kept is None else replayed(kept, claim)


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


def _json(raw: bytes) -> Any:
    """The one JSON value of the body, no deeper and with no larger integers than can be written again.

    Raises Malformed.
    """
    try:
        from_json(raw, allow_inf_nan=False)  # bounds the depth
        refuse_twins(raw.decode())
        return orjson.loads(raw)  # reads an integer of more than 64 bits as what it is elsewhere: a float
    except ValueError:
        raise Malformed("the body is not one JSON value") from None


def _report(heard: _Heard, status: int, request_id: str, seconds: float) -> None:
    """The message's line in the log. Nothing in it is the sender's before the message is known to be genuine."""
    outcome = heard.outcome
    done = outcome is None or outcome.verdict in (Verdict.DONE, Verdict.WAITS)
    (log.info if done else log.warning)(
        "channel_message",
        programme=heard.to.programme.code,
        channel=heard.to.channel.name,
        adapter=heard.to.channel.adapter,
        message=heard.name if heard.is_genuine and heard.name in heard.adapter.MESSAGES else None,
        record=heard.record,
        outcome="replayed" if outcome is None else outcome.verdict.value,
        code=(outcome.code or None) if outcome is not None else None,
        status=status,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
    )
