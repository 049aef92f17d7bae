"""From an admitted write to its answer: the key, the fingerprint, the member, the door."""

import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from starlette.responses import Response

from loyalty.api import problems
from loyalty.api.bodies import Body, Channelled, MemberName, parse_id
from loyalty.api.guesses import TooManyGuesses
from loyalty.api.lean import DRY_RUN, Call
from loyalty.api.problems import Problem
from loyalty.api.service import new_fact, wall_clock
from loyalty.domain.claims import Claim, ReferenceKey, ReferenceKind, Replay, ReplayKey, reference_key, replayed
from loyalty.domain.codes import ONE_TIME_DIGITS, STEPS_AROUND, step_of
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE, Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme, SpendRequires
from loyalty.domain.refusals import (
    CodeNotValid,
    KeyReused,
    MemberCodeRequired,
    MemberMerged,
    MemberNotFound,
    MergeChanged,
    NotFound,
    Refusal,
    SourceMayNotForce,
)
from loyalty.domain.state import Moment
from loyalty.operations.codes import ByCode
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Overloaded
from loyalty.operations.merge import through
from loyalty.operations.retry import Unavailable
from loyalty.store import merges
from loyalty.store.claims import find_replay

MAX_KEY = 255
MOST_TRIES = 10
"""Of a command that meets with what has just changed."""
TILLS = frozenset({"pos", "store"})
NOBODY = "0" * 32
"""Stands for the holder of a card that nobody has: its codes take as long to refuse."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_TRUE, _FALSE = ("true", "1"), ("false", "0")

SaysWhat = Callable[[Receipt], tuple[int, bytes]]
T = TypeVar("T")
Find = Callable[[Call], Awaitable[T]]
"""Looks up what a command is about and never changes: a member's id, an entry, a hold. Raises NotFound."""


async def write(
    call: Call,
    body: Body,
    *,
    find: Find[T],
    occurred_at: datetime | None = None,
    command: Callable[[T, datetime], Command],
    say: SaysWhat,
    unless: tuple[type[Refusal], ...] = (),
    carries: bool = False,
) -> Response:
    """Send one command through the door and give its answer. Raises Problem; refusals are answers.

    `unless`: refused in one of these ways, what was found may have changed meanwhile. It is found and tried again.
    So it is where a member turned out to be merged into another; `carries`: what is done concerns something that the
    merged member has had, and is done there.
    """
    dry_run = is_dry_run(call)
    claim = call.claim = None if dry_run else claim_of(call, key_of(call), body)
    unless = (*unless, MemberMerged, MergeChanged)
    tries = 0
    while True:
        tries += 1
        try:
            ask = await submission(
                call,
                find=find,
                occurred_at=occurred_at,
                command=command,
                say=say,
                claim=claim,
                dry_run=dry_run,
                carries=carries,
            )
        except (NotFound, TooManyGuesses) as refusal:
            return response(await replayed_or_refused(call, claim, refusal))
        answer = await submit(call, ask)
        is_news = isinstance(answer.outcome, unless) and not _is_learnt(call, answer.outcome)
        if not is_news or tries == MOST_TRIES:
            return response(answer)
        learn(call, answer.outcome)


def _is_learnt(call: Call, refusal: object) -> bool:
    """Whether it tells of a merge that was known when it was tried: the member is named by its very id."""
    return isinstance(refusal, MemberMerged) and refusal.facts["absorbed"] in call.merged


def learn(call: Call, refusal: object) -> bool:
    """Whether it tells of a merge that this process did not know: names mean the survivor, for this request."""
    if not isinstance(refusal, MemberMerged):
        return False
    absorbed, survivor = refusal.facts["absorbed"], refusal.facts["survivor"]
    call.service.resolver.forget(call.caller.programme, absorbed)
    call.merged[absorbed] = survivor
    return True


async def submission(
    call: Call,
    *,
    find: Find[T],
    occurred_at: datetime | None,
    command: Callable[[T, datetime], Command],
    say: SaysWhat,
    claim: Claim | None,
    dry_run: bool = False,
    carries: bool = False,
) -> Submission:
    """The command as the door takes it, what it is about resolved. Raises NotFound."""
    programme = call.caller.programme
    call.codes.clear()  # of a try before
    found = await find(call)
    recorded_at = wall_clock()
    at = occurred_at or programme.now(recorded_at)
    request_id = call.request_id

    def render(outcome: Receipt | Refusal) -> tuple[int, bytes]:
        if isinstance(outcome, Refusal):
            return problems.body_of_refusal(outcome, request_id)
        return say(outcome)

    asked = command(found, at)
    if carries and call.merged:
        asked = await _through(call, asked, at)
    for whose, step in call.codes:
        asked = ByCode(asked, whose, step)
    return Submission(programme, asked, Moment(new_fact(), at, recorded_at), render, claim, dry_run)


async def _through(call: Call, asked: Command, at: datetime) -> Command:
    """The command on what a merged member has had."""
    programme = call.caller.programme
    async with call.service.database.snapshot(programme.id) as connection:
        found = await merges.in_force(connection, programme.id, list(call.merged))
    wallets, day = tuple(programme.wallets), programme.calendar.business_date(at)
    for merge in found.values():
        asked = through(asked, merge, wallets=wallets, business_date=day)
    return asked


def named(member: MemberName) -> Find[MemberId]:
    """Finds the member that is meant; an id is only checked behind the door."""

    async def find(call: Call) -> MemberId:
        return await resolve(call, member)

    return find


def spender(member: MemberName) -> Find[MemberId]:
    """As `named`, where a till spends; raises MemberCodeRequired where the programme asks it for the member's code."""
    find = named(member)

    async def spending(call: Call) -> MemberId:
        required = call.caller.programme.spend_requires == SpendRequires.MEMBER_CODE
        if required and call.caller.role in TILLS and member.code is None:
            raise MemberCodeRequired("Scan the code that the member's app shows: this programme asks tills for it.")
        return await find(call)

    return spending


def forcing(member: MemberName) -> Find[MemberId]:
    """As `named`, for what happened offline at a till. Raises SourceMayNotForce for apps, which are never offline."""
    find = named(member)

    async def forced(call: Call) -> MemberId:
        if call.caller.role not in (*TILLS, "admin"):
            raise SourceMayNotForce("Only tills and stores may report what happened offline.", role=call.caller.role)
        return await find(call)

    return forced


def named_or_awaited(member: MemberName) -> Find[MemberId | Identity]:
    """As `named`; and a platform's identity that nobody is known by yet, which somebody may come to be known by.

    Not so a phone, a card number or an id: who types or scans one can be told at once that it is wrong.
    """

    async def find(call: Call) -> MemberId | Identity:
        try:
            return await resolve(call, member)
        except MemberNotFound:
            if member.identity is None:
                raise
            return blinded(call, member.identity)

    return find


def known(what: T) -> Find[T]:
    """Finds what is known already."""

    async def find(_: Call) -> T:
        return what

    return find


def by_id(
    prefix: str,
    text: str,
    look_up: Callable[[Any, int, Any], Awaitable[T | None]],
    missing: Callable[[], NotFound],
) -> Find[T]:
    """Finds what a public id in a path names: `look_up` takes a connection, the programme and the id's digits."""

    async def find(call: Call) -> T:
        try:
            wanted = parse_id(prefix, text)
        except ValueError:
            raise missing() from None
        programme_id = call.caller.programme.id
        async with call.service.database.snapshot(programme_id) as connection:
            found = await look_up(connection, programme_id, wanted)
        if found is None:
            raise missing()
        return found

    return find


class Sourced(Protocol):
    """A body that says which system reports the fact, and under which number."""

    @property
    def source(self) -> str: ...
    @property
    def reference(self) -> str: ...


def taken(programme: Programme, kind: ReferenceKind, body: Sourced, at: datetime) -> tuple[ReferenceKey, date]:
    """The reference that a fact takes, and the business day it belongs to."""
    day = programme.calendar.business_date(at)
    return reference_key(programme, kind, source=body.source, reference=body.reference, day=day), day


async def resolve(call: Call, member: MemberName) -> MemberId:
    """The member that is meant. Raises MemberNotFound; an id is only checked behind the door."""
    if member.id is not None:
        found = MemberId(parse_id("mem", member.id))
        return call.merged.get(found, found)
    if member.number is not None:
        identity = Identity(CARD_CHANNEL, CARD_TYPE, member.number.encode())
    elif member.phone is not None:
        identity = blind(call, "phone", "phone", member.phone)
    elif member.code is not None:
        return await _by_code(call, member.code)
    else:
        assert member.identity is not None, "a member is named in exactly one way"
        identity = blinded(call, member.identity)
    return await call.service.resolver.member(call.caller.programme, identity)


async def _by_code(call: Call, code: str) -> MemberId:
    """Whose app shows the code. Raises CodeNotValid, whatever is wrong with it; TooManyGuesses.

    The retry of a write that was answered is no guess, however long its code is over.
    """
    card, given = code[:-ONE_TIME_DIGITS], code[-ONE_TIME_DIGITS:]
    wrong = CodeNotValid("The code is wrong, or not shown any more. Scan the one that the app shows now.")
    async with call.service.guesses.guess(call.caller.client_id, card):
        found = await _shown(call, card, given)
        if found is not None:
            call.codes.append(found)
            return found[0]
        if await _kept(call, call.claim) is None:
            raise wrong
    raise wrong


async def _shown(call: Call, card: str, given: str) -> tuple[MemberId, int] | None:
    """Whose card shows these digits about now, and of which step they are."""
    programme, now = call.caller.programme, step_of(wall_clock())
    try:
        member_id = await call.service.resolver.member(programme, Identity(CARD_CHANNEL, CARD_TYPE, card.encode()))
    except MemberNotFound:
        member_id = MemberId(NOBODY)
    for step in range(now - STEPS_AROUND, now + STEPS_AROUND + 1):
        good = call.service.sealer.one_time(programme.id, member_id, step)
        if hmac.compare_digest(good, given) and member_id != NOBODY:
            return member_id, step
    return None


def blinded(call: Call, identity: Channelled) -> Identity:
    """A platform's identity by its keyed hash."""
    return blind(call, identity.channel, identity.type, identity.value)


def blind(call: Call, channel: str, type_: str, value: str) -> Identity:
    """An identity by its keyed hash."""
    return Identity(channel, type_, call.service.sealer.lookup(channel, type_, value))


def key_of(call: Call) -> str:
    """The idempotency key; the bare and the quoted form are the same. Raises Problem."""
    keys = call.request.headers.getlist("idempotency-key")
    if not keys:
        raise Problem("idempotency_key_missing", "Send an Idempotency-Key with every write.")
    if len(keys) > 1:
        raise Problem("idempotency_key_invalid", "Send one Idempotency-Key.")
    [given] = keys
    if len(given) >= 2 and given[0] == given[-1] == '"':
        given = given[1:-1]
    return valid_key(given)


def valid_key(key: str) -> str:
    """Raises Problem `idempotency_key_invalid`."""
    if not _KEY.fullmatch(key):
        raise Problem("idempotency_key_invalid", f"A key is 1 to {MAX_KEY} printable ASCII characters.")
    return key


def claim_of(call: Call, key: str, body: Body) -> Claim:
    """The claim of this request: its key in the caller's scope, and its fingerprint."""
    scope = call.request.scope
    target = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"]
    content = type(body).__pydantic_serializer__.to_json(body, exclude_unset=True)
    fingerprint = call.service.sealer.fingerprint(target + b"\n" + content)
    return Claim(ReplayKey(call.caller.client_id, call.caller.subject, key), fingerprint)


def is_dry_run(call: Call) -> bool:
    """Whether the query asks for a decision without consequences. Raises Problem `invalid_request`."""
    if not call.request.scope["query_string"]:
        return False
    given = call.request.query_params.get(DRY_RUN, "false").lower()
    if given not in (*_TRUE, *_FALSE):
        detail = "dry_run is true or false."
        raise Problem("invalid_request", detail, errors=[{"field": f"query.{DRY_RUN}", "problem": detail}])
    return given in _TRUE


def response(answer: Answer) -> Response:
    """The door's answer over HTTP."""
    media_type = problems.MEDIA_TYPE if answer.status >= 400 else "application/json"
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, media_type)


async def submit(call: Call, ask: Submission) -> Answer:
    """The door's answer. Raises Problem where it has no room or does not answer."""
    try:
        return await call.service.lanes.submit(ask)
    except Overloaded as error:
        raise Problem("overloaded", str(error)) from None
    except Unavailable as error:
        raise Problem("unavailable", f"{error} Whether the request took effect, its key tells.") from None


async def replayed_or_refused(call: Call, claim: Claim | None, refusal: Refusal | TooManyGuesses) -> Answer:
    """Whether the key was taken comes first: a retry is answered even if its member is no longer found.

    Raises TooManyGuesses where that is the refusal.
    """
    kept = await _kept(call, claim)
    if kept is None or claim is None:
        if isinstance(refusal, TooManyGuesses):
            raise refusal
        return Answer(*problems.body_of_refusal(refusal, call.request_id), outcome=refusal)
    try:
        frozen = replayed(kept, claim)
    except KeyReused as reused:
        return Answer(*problems.body_of_refusal(reused, call.request_id), outcome=reused)
    return Answer(frozen.status, frozen.body, outcome=None, replayed=True)


async def _kept(call: Call, claim: Claim | None) -> Replay | None:
    """The answer that was given under the key."""
    if claim is None:
        return None
    async with call.service.database.snapshot(call.caller.programme.id) as connection:
        return await find_replay(connection, call.caller.programme.id, claim.key)
