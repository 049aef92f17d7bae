"""The words that bodies share: members, points, references, times. Unknown fields are refused everywhere."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

import phonenumbers
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from loyalty.domain.bounds import EARLIEST, LATEST, MAX_AMOUNT, MAX_POINTS, MAX_QUANTITY
from loyalty.domain.channels import CHANNEL_SOURCE
from loyalty.domain.codes import ONE_TIME_DIGITS
from loyalty.domain.identities import RESERVED_CHANNELS
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.refusals import MemberNotFound
from loyalty.domain.texts import is_clean, is_plain


class Body(BaseModel):
    """A request body: strict about its fields, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoBody(Body):
    """An empty object: the path says it all."""


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOST_PLUS = re.compile(r" (?=\d\d:\d\d$)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _rfc_3339(value: Any) -> Any:
    """Pydantic alone would also take Unix times, in numbers and in strings.

    A plus in a query arrives as a space: what stands before the hours of an offset can have been nothing else.
    """
    if isinstance(value, str):
        value = _LOST_PLUS.sub("+", value)
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise ValueError("must be a time such as 2026-11-22T10:00:00+08:00")
    return value


def _day(value: Any) -> Any:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a date such as 2026-11-22")
    return value


def _in_our_days(at: datetime) -> datetime:
    if not EARLIEST <= at < LATEST:
        raise ValueError("must lie between the years 2000 and 2200")
    return at.astimezone(UTC)


def _no_control_characters(value: str) -> str:
    if not is_clean(value):
        raise ValueError("must not contain control characters")
    return value


def _nothing_unseen(value: str) -> str:
    if not is_plain(value):
        raise ValueError("must hold printable characters (NFC) and no outer spaces")
    return value


Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_our_days),
    Field(description="RFC 3339 with offset.", examples=["2026-11-22T10:00:00+08:00"]),
]
Day = Annotated[date, BeforeValidator(_day)]
Birthday = Annotated[date, Field(ge=date(1900, 1, 1)), BeforeValidator(_day)]
Text = Annotated[str, AfterValidator(_no_control_characters)]
"""Words for people to read."""
Reason = Annotated[Text, Field(min_length=1, max_length=200, pattern=r"\S", description="Not blank.")]
Label = Annotated[str, AfterValidator(_nothing_unseen)]
"""Words that machines compare."""
Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS, description="Whole points.", examples=[100])]
Amount = Annotated[
    int,
    Field(strict=True, ge=0, le=MAX_AMOUNT, description="Minor units of the currency (cents, fen).", examples=[19900]),
]
Quantity = Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY, description="Pieces.", examples=[1])]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217.", examples=["CNY"])]


def _not_of_a_platform(source: str) -> str:
    if source.startswith(CHANNEL_SOURCE):
        raise ValueError(f"what begins with {CHANNEL_SOURCE} is reported by platforms alone")
    return source


AnySource = Annotated[
    Label, Field(min_length=1, max_length=64, description="The system that reports the fact.", examples=["pos-1"])
]
Source = Annotated[AnySource, AfterValidator(_not_of_a_platform)]
"""Of who reports something: the records of platforms are not taken by others."""
Reference = Annotated[
    Label,
    Field(
        min_length=1,
        max_length=128,
        description="The source's own number of the fact; taken once for ever.",
        examples=["SH-001-000042"],
    ),
]
Store = Annotated[Label, Field(min_length=1, max_length=64, description="The shop.", examples=["SH-001"])]
OwnKey = Annotated[
    str, Field(pattern=r"^[\x21-\x7e]{1,255}$", description="An idempotency key.", examples=["pos-1-42"])
]
WalletName = Annotated[
    str, Field(pattern="^[a-z][a-z0-9_]{0,31}$", description="The kind of point.", examples=["points"])
]
CardNumber = Annotated[str, Field(pattern="^[0-9]{6,24}$", description="Card number.", examples=["6212345678901232"])]


MemberCode = Annotated[
    str,
    Field(
        pattern=f"^[0-9]{{{6 + ONE_TIME_DIGITS},{24 + ONE_TIME_DIGITS}}}$",
        description="What the member's app shows; good for a moment, and once.",
        examples=["621234567890123212345678"],
    ),
]


def _as_e164(phone: str) -> str:
    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        raise ValueError("must be an international phone number such as +8613800138000") from None
    if not phonenumbers.is_possible_number(parsed):
        raise ValueError("is not a possible phone number")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


Phone = Annotated[
    str,
    Field(
        max_length=32,
        pattern=r"^\+[0-9][0-9 ().-]*$",  # the parser would find a number in any text around it
        description="International form; personal data.",
        examples=["+8613800138000"],
    ),
    AfterValidator(_as_e164),
]

PhoneVerified = Annotated[
    bool, Field(strict=True, description="Whether its owner has proven to hold it, by a code that was sent to it.")
]


def parse_id(prefix: str, text: str) -> str:
    """The 32 hexadecimal digits of a public id such as `mem_019a...`. Raises ValueError."""
    given, _, digits = text.partition("_")
    if given != prefix or len(digits) != 32 or digits.strip("0123456789abcdef"):
        raise ValueError(f"must be {prefix}_ and 32 hexadecimal digits")
    return digits


def not_ours(channel: str) -> str:
    """Raises ValueError for what no channel may be called."""
    if channel in RESERVED_CHANNELS:
        raise ValueError("is reserved: use the field `number` or `phone` instead")
    return channel


class Channelled(Body):
    """What a channel knows the member by."""

    channel: Annotated[Label, Field(min_length=1, max_length=32, examples=["wechat"]), AfterValidator(not_ours)]
    type: Annotated[Label, Field(min_length=1, max_length=32, examples=["openid"])]
    value: Annotated[Label, Field(min_length=1, max_length=256, examples=["oX1"])]


class MemberName(Body):
    """A member, named in exactly one way."""

    id: Annotated[str | None, Field(description="The member's id.", examples=["mem_019a"], max_length=40)] = None
    number: CardNumber | None = None
    phone: Phone | None = None
    code: MemberCode | None = None
    identity: Channelled | None = None

    @model_validator(mode="after")
    def _named_once(self) -> "MemberName":
        if len(self.model_fields_set) != 1 or getattr(self, next(iter(self.model_fields_set))) is None:
            raise ValueError("name the member by exactly one of id, number, phone, code, identity")
        if self.id is not None:
            parse_id("mem", self.id)
        return self


def member_id(text: str) -> MemberId:
    """The id of a member. Raises ValueError."""
    return MemberId(parse_id("mem", text))


def path_member(text: str) -> MemberId:
    """The id of a member in a path. What is no id names no member: raises MemberNotFound."""
    try:
        return member_id(text)
    except ValueError:
        raise MemberNotFound("There is no such member in this programme.") from None


def entry_id(text: str) -> EntryId:
    """The id of an entry. Raises ValueError."""
    return EntryId(parse_id("ent", text))
