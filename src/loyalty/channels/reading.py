"""Reading what platforms send: fields they add are passed over, those that we need are checked, phones made alike."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Final, TypeVar

import phonenumbers
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from loyalty.channels.messages import Malformed, Received
from loyalty.domain.bounds import EARLIEST, LATEST, MAX_POINTS
from loyalty.domain.texts import is_clean, is_plain

CHINA = timezone(timedelta(hours=8))
_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Message(BaseModel):
    """A platform's message, as far as it matters to us."""

    model_config = ConfigDict(extra="ignore", frozen=True)


M = TypeVar("M", bound=Message)


def _written_day(value: Any) -> Any:
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a date such as 2026-11-22")
    return value


def _plain(value: str) -> str:
    if not is_plain(value):
        raise ValueError("must be printable")
    return value


def _clean(value: str) -> str:
    if not is_clean(value):
        raise ValueError("must hold no control characters")
    return value


Id = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_plain)]
"""What a platform knows somebody by."""
Record = Annotated[str, Field(pattern="^[0-9A-Za-z_-]{1,64}$")]
"""A platform's number of what happened."""
Birthday = Annotated[date, Field(ge=date(1900, 1, 1)), BeforeValidator(_written_day)]
Words = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean)]
Points = Annotated[int, Field(strict=True, ge=1, le=MAX_POINTS)]


def fitted(kind: type[M], body: Any) -> M:
    """The message. Raises Malformed, which names the first field that does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:64] for part in first["loc"]) or "body"
        raise Malformed(f"{place}: {first['msg']}") from None


def asked(received: Received, name: str) -> str:
    """A parameter of the query. Raises Malformed."""
    try:
        return received.query[name]
    except KeyError:
        raise Malformed(f"the query lacks {name}") from None


def milliseconds(text: str) -> datetime:
    """A time in milliseconds since 1970. Raises Malformed."""
    if not text.isascii() or not text.isdigit() or len(text) > 14:
        raise Malformed("the timestamp is not a number of milliseconds")
    return _in_our_days(datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(text)))


def chinese_time(text: str) -> datetime:
    """A time such as 2026-11-22 10:00:00, in China. Raises Malformed."""
    try:
        return _in_our_days(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA).astimezone(UTC))
    except (ValueError, OverflowError):
        raise Malformed("the timestamp is not a time such as 2026-11-22 10:00:00") from None


def e164(phone: str, *, country: str) -> str | None:
    """The phone in international form; None for what is none, such as one that only its platform can read."""
    if phone.strip("+0123456789 -"):
        return None
    try:
        parsed = phonenumbers.parse(phone, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def _in_our_days(at: datetime) -> datetime:
    if not EARLIEST <= at < LATEST:
        raise Malformed("the timestamp lies outside of our days")
    return at
