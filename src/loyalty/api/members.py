"""Members: enrol, read, balance, entries, lots."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers, paging
from loyalty.api.access import IDENTITIES_WRITE, MEMBERS_MANAGE, MEMBERS_READ, MEMBERS_WRITE
from loyalty.api.answers import Answer, BalanceAnswer, EntriesAnswer, EntryAnswer, LotAnswer, to_json
from loyalty.api.bodies import Birthday, Body, Channelled, Instant, Phone, PhoneVerified, Store, Text, path_member
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Call, Calling, LeanRoute, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.problems import Problem
from loyalty.api.service import new_member_id, wall_clock
from loyalty.api.writing import Find, blind, blinded, known, write
from loyalty.domain.calendar import FOREVER, INSTANT
from loyalty.domain.entries import Because
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE, PHONE, Identity
from loyalty.domain.ids import LotId, MemberId
from loyalty.domain.members import Member, Status
from loyalty.domain.persons import Person
from loyalty.domain.refusals import IdentityTaken, MemberNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.enrol import Enrol, Enrolled, Rejoin, new_card_number
from loyalty.operations.membership import Close, SetStatus
from loyalty.store import history, merges, sliding, tags
from loyalty.store.balances import Past, Standing, read_past
from loyalty.store.history import LotPlace
from loyalty.store.horizon import horizon
from loyalty.store.members import exists

router = APIRouter(tags=["members"], route_class=StrictRoute)
lean = APIRouter(tags=["members"], route_class=LeanRoute)

FURTHEST_AHEAD = timedelta(days=3_660)
"""How far ahead a balance can be asked for."""


class Consented(Body):
    """A purpose the person agreed to, and which version of its text was shown."""

    purpose: Annotated[Text, Field(min_length=1, max_length=64, examples=["membership"])]
    text_version: Annotated[Text, Field(min_length=1, max_length=64, examples=["2026-01"])]


class EnrolBody(Body):
    """A person joins. Which fields are required is a setting of the programme. All of it is personal data."""

    phone: Phone | None = None
    phone_verified: PhoneVerified = False
    second_factor: Annotated[
        bool,
        Field(
            strict=True,
            description="Whether they have shown something else that only the member has or knows. A phone whose"
            " member was away for long joins them to it only then: it may have found another owner.",
        ),
    ] = False
    name: Annotated[Text | None, Field(min_length=1, max_length=200, examples=["Li Lei"])] = None
    birthday: Annotated[Birthday | None, Field(examples=["1990-05-01"])] = None
    sex: Annotated[Text | None, Field(max_length=32)] = None
    store: Store | None = None
    identities: Annotated[list[Channelled], Field(max_length=20)] = Field(default_factory=list)
    consents: Annotated[list[Consented], Field(max_length=20)] = Field(default_factory=list)


class MemberAnswer(Answer):
    """A member; nothing here is personal data."""

    id: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    number: str = Field(description="Card number.", examples=["6212345678901232"])
    status: str = Field(description="active, earn_only, frozen, closed, merged", examples=["active"])
    tier: str = Field(examples=["member"])
    store: str | None
    enrolled_at: datetime


class TaggedAnswer(MemberAnswer):
    """A member, and what it is called."""

    tags: list[str] = Field(description="What earning rules may tell it by.", examples=[["staff"]])


class MemberReadAnswer(TaggedAnswer):
    """A member, what it is called, and who it is now."""

    merged_into: str | None = Field(description="The survivor, of a member that was merged.")


class EnrolAnswer(MemberAnswer):
    """The member; `is_new` says whether there was none before."""

    is_new: bool = Field(description="False: a member was known by the phone, which is verified.")
    entry: None = Field(default=None, description="Joining moves no points.")
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]


class StatusBody(Body):
    """What the member may do from now on."""

    status: Literal["active", "earn_only", "frozen"]


class CloseBody(Body):
    """Why the member leaves."""

    reason: Annotated[Text | None, Field(max_length=200)] = None


class StatusAnswer(MemberAnswer):
    """The member as it is now."""

    entry: None = Field(default=None, description="A status moves no points.")
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]


class CloseAnswer(Answer):
    """What closing did; `entry` is null when there was nothing to release or forfeit."""

    entry: EntryAnswer | None
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]
    forfeited: dict[str, int] = Field(description="Points by wallet.", examples=[{"points": 120}])


class ExpiringAnswer(Answer):
    """Points that can be spent through a day."""

    valid_through: date
    points: int


class WalletAnswer(BalanceAnswer):
    """Points of one wallet, and when the next of them expire."""

    expiring: list[ExpiringAnswer] = Field(description="The next expiries, at most 12.")


class BalancesAnswer(Answer):
    """What the member has or had: everything due by then is counted as if settled."""

    as_of: datetime
    known_at: datetime | None = Field(
        default=None, description="Only where it was asked for: nothing we learnt later is counted."
    )
    wallets: dict[str, WalletAnswer]


class LotsAnswer(Answer):
    """A page of open lots, by wallet and state in the order they fall due."""

    items: list[LotAnswer]
    next_cursor: str | None


@router.post(
    "/v1/members",
    summary="Enrol a member",
    **writes(
        MEMBERS_WRITE, 201, EnrolAnswer, 409, otherwise=(200, EnrolAnswer, "A member by that phone: it is verified.")
    ),
)
async def enrol(call: Calling, body: EnrolBody) -> Response:
    """With a verified phone that is known, on whatever channel and at the same moment: one member.

    The consents and the other identities are then added to that member (identities take the scope `identities:write`);
    what is known of the person stays as it is. A phone whose member never proved it, and is known on some channel,
    leaves that member: whoever has proved it joins as somebody new. So does a phone of somebody who has bought nothing
    for long (`activity_months`), unless there is a second factor.
    """
    command = _enrolment(call, new_member_id(), body)
    if body.phone is None or not body.phone_verified:
        return await write(call, body, find=known(None), command=lambda *_: command, say=_say_enrolled)
    phone = blind(call, PHONE, PHONE, body.phone)

    def decided(holder: MemberId | None, _: datetime) -> Enrol | Rejoin:
        if holder is None:
            return command
        if body.identities and IDENTITIES_WRITE not in call.caller.scopes:
            detail = "Somebody is known by the phone: binding more to them takes a scope that the key lacks."
            raise Problem("forbidden", detail, scope=IDENTITIES_WRITE)
        return Rejoin(holder, phone, command)

    return await write(call, body, find=_holder(phone), command=decided, say=_say_enrolled, unless=(IdentityTaken,))


@router.get("/v1/members/{id}", summary="Read a member", **reads(MEMBERS_READ, MemberReadAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    member, merge = (await standing(call, path_member(id))).member, None
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        called = await tags.find(connection, programme_id, member.id)
        if member.status == Status.MERGED:
            merge = (await merges.in_force(connection, programme_id, [member.id])).get(member.id)
    into = None if merge is None else f"mem_{merge.survivor}"
    return _json({**member_answer(member), "tags": called, "merged_into": into})


AsOf = Annotated[
    Instant | None,
    Query(description="The moment that is asked about, by effective_at; it may lie ahead. Now by default."),
]
KnownAt = Annotated[
    Instant | None,
    Query(description="Leave out what we learnt later, by recorded_at. `as_of` is then this moment by default."),
]


@lean.get("/v1/members/{id}/balance", summary="Points by wallet", **reads(MEMBERS_READ, BalancesAnswer, 404, 409))
async def balance(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> Response:
    """What is due by then is counted as matured or expired, whenever it is settled.

    For the same `as_of` and `known_at` the answer never changes. A `known_at` that running writes may still add to is
    answered `not_settled_yet`, which names the `horizon`: the latest moment that can be asked about.
    """
    programme, member = call.caller.programme, path_member(id)
    now = programme.now(wall_clock())
    if as_of is None and known_at is None:
        return _json(_balances(now, await standing(call, member, now)))
    at = as_of or (now if known_at is None else programme.now(known_at))
    if at > now + FURTHEST_AHEAD:
        detail = f"as_of is at most {FURTHEST_AHEAD.days} days ahead."
        raise Problem("invalid_request", detail, errors=[{"field": "query.as_of", "problem": detail}])
    if known_at is not None:
        await _check_known(call, known_at)
    async with call.service.database.snapshot(programme.id) as connection:
        found = await read_past(connection, programme, member, as_of=at, known_at=known_at or FOREVER)
    if found is None:
        raise MemberNotFound("There is no such member in this programme.")
    told = {} if known_at is None else {"known_at": known_at}
    return _json({**_balances(at, found), **told})


@router.get(
    "/v1/members/{id}/entries",
    summary="A member's entries, newest first",
    **reads(MEMBERS_READ, EntriesAnswer, 404),
)
async def entries(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    member = path_member(id)
    before = paging.number(cursor, start=2**62)
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        check_exists(exists=await exists(connection, programme_id, member))
        found = await history.entries(connection, programme_id, member, before=before, limit=limit + 1)
    return _json(paging.page([answers.entry(one) for one in found], limit, lambda last: [last["sequence"]]))


@router.get("/v1/members/{id}/lots", summary="A member's open lots", **reads(MEMBERS_READ, LotsAnswer, 404))
async def lots(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """As they were last settled: a lot whose time has come shows its old state until the next write or sweep."""
    programme = call.caller.programme
    member = path_member(id)
    after = _lot_place(cursor)
    async with call.service.database.snapshot(programme.id) as connection:
        check_exists(exists=await exists(connection, programme.id, member))
        found = await history.open_lots(connection, programme.id, member, after=after, limit=limit + 1)
        ends = await sliding.ends(connection, programme, member)
    places = [[one.wallet, one.state, one.due_at, one.earned_at, one.id] for one in found]
    items = [answers.lot(programme, one, one.expires_at or ends.get(one.wallet)) for one in found]
    return _json(paging.page(items, limit, lambda last: places[items.index(last)]))


@router.patch(
    "/v1/members/{id}", summary="Change a member's status", **writes(MEMBERS_MANAGE, 200, StatusAnswer, 404, 409)
)
async def change(call: Calling, id: str, body: StatusBody) -> Response:  # noqa: A002 - the path's own word
    return await write(
        call,
        body,
        find=whom(id),
        command=lambda member_id, _: SetStatus(member_id, Status(body.status)),
        say=lambda receipt: (200, to_json({**member_answer(receipt.said), **answers.written(receipt)})),
    )


@router.post("/v1/members/{id}/close", summary="Close a member", **writes(MEMBERS_MANAGE, 201, CloseAnswer, 404, 409))
async def close(call: Calling, id: str, body: CloseBody) -> Response:  # noqa: A002 - the path's own word
    """Releases its holds and forfeits its points. With `dry_run=true` it says what would be forfeited."""
    programme = call.caller.programme
    return await write(
        call,
        body,
        find=whom(id),
        command=lambda member_id, at: Close(
            member_id,
            tuple(programme.wallets),
            Because(reason=body.reason),
            programme.calendar.business_date(at),
        ),
        say=lambda receipt: (201, to_json({**answers.written(receipt), "forfeited": receipt.said})),
    )


def whom(id_: str) -> Find[MemberId]:
    """Finds the member of an id in a path: its existence is checked behind the door."""

    async def find(_: Call) -> MemberId:
        return path_member(id_)

    return find


def _enrolment(call: Call, id_: MemberId, body: EnrolBody) -> Enrol:
    """The command: card number and identities blinded, the person sealed."""
    number = new_card_number()
    identities = [Identity(CARD_CHANNEL, CARD_TYPE, number.encode())]
    if body.phone is not None:
        identities.append(blind(call, PHONE, PHONE, body.phone))
    identities.extend(blinded(call, one) for one in body.identities)
    given = frozenset(name for name in body.model_fields_set if getattr(body, name))
    known: dict[str, object] = {
        name: getattr(body, name) for name in ("phone", "name", "birthday", "sex") if name in given
    }
    person = Person(id_, call.service.sealer.seal(id_, known)) if known else None
    consents = tuple((one.purpose, one.text_version) for one in body.consents)
    return Enrol(
        id_,
        number,
        body.store,
        tuple(dict.fromkeys(identities)),
        person,
        consents,
        given,
        body.birthday,
        body.phone_verified,
        body.second_factor,
    )


def _holder(phone: Identity) -> Find[MemberId | None]:
    """Finds the member of a phone; None: nobody is known by it."""

    async def find(call: Call) -> MemberId | None:
        try:
            return await call.service.resolver.member(call.caller.programme, phone)
        except MemberNotFound:
            return None

    return find


def _say_enrolled(receipt: Receipt) -> tuple[int, bytes]:
    said: Enrolled = receipt.said
    answer = {**member_answer(said.member), "is_new": said.is_new, **answers.written(receipt)}
    return 201 if said.is_new else 200, to_json(answer)


def member_answer(member: Member) -> dict[str, Any]:
    """A member as the API shows it."""
    return {
        "id": f"mem_{member.id}",
        "number": member.number,
        "status": member.status,
        "tier": member.tier,
        "store": member.store,
        "enrolled_at": member.enrolled_at,
    }


def _balances(at: datetime, of: Standing | Past) -> dict[str, Any]:
    wallets = {
        wallet: {**answers.balance(points), "expiring": [one._asdict() for one in of.expiring[wallet]]}
        for wallet, points in of.balances.items()
    }
    return {"as_of": at, "wallets": wallets}


async def _check_known(call: Call, known_at: datetime) -> None:
    """Raises Problem `not_settled_yet` for a moment at which something may still be recorded."""
    closed = await horizon(call.service.database)
    if known_at >= closed:
        latest = closed - INSTANT
        raise Problem("not_settled_yet", "Ask again later, or about the horizon at the latest.", horizon=latest)


def check_exists(*, exists: bool) -> None:
    """Raises MemberNotFound."""
    if not exists:
        raise MemberNotFound("There is no such member in this programme.")


async def standing(call: Call, id_: MemberId, at: datetime | None = None) -> Standing:
    """The member as of `at`, or now. Raises MemberNotFound."""
    programme = call.caller.programme
    found = await call.service.balances.standing(programme, id_, at or programme.now(wall_clock()))
    if found is None:
        raise MemberNotFound("There is no such member in this programme.")
    return found


def _lot_place(cursor: str | None) -> LotPlace | None:
    found = paging.opened(cursor, str, str, str | None, str, str)
    if found is None:
        return None
    wallet, state, due_at, earned_at, id_ = found
    return LotPlace(
        paging.word(wallet),
        paging.word(state),
        None if due_at is None else paging.instant(due_at),
        paging.instant(earned_at),
        LotId(paging.digits(id_)),
    )


def _json(document: Any) -> Response:
    return Response(to_json(document), media_type="application/json")
