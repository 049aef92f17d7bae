"""A programme's settings as people write them down: every choice, checked before anything is created.

`docs/settings.md` tells them to people. What they come to is `domain/programme.py` and `domain/ladder.py`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.expiry import Lifespan, RenewedBy
from loyalty.domain.ladder import Down, Pending, Period, Returns, Steps, Up
from loyalty.domain.programme import Programme, Shortfall, SpendRequires
from loyalty.store.programmes import from_settings


class BadSettings(ValueError):
    """What is wrong, a line for each place."""


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("no such time zone; such as Asia/Shanghai")
    return name


Whole = Annotated[int, Field(ge=0, le=MAX_POINTS)]
Seconds = Annotated[int, Field(ge=0, le=366 * 86_400)]
Days = Annotated[int, Field(ge=0, le=3_660)]
Names = list[Annotated[str, Field(min_length=1, max_length=64)]]
Required = Literal["phone", "name", "birthday", "sex", "store", "identities", "consents"]


class _Part(BaseModel):
    """What is not known is refused: a setting that is misspelt would be one that nobody set."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ExpirySettings(_Part):
    """How long points last."""

    lifespan: Lifespan
    periods: Annotated[int, Field(ge=0, le=1_200)]
    renewed_by: RenewedBy | None = None


class WalletSettings(_Part):
    """A kind of point, and what it earns as long as no rules are published."""

    name: str
    points_per_unit: Whole
    unit: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    pending_seconds: Seconds
    expiry: ExpirySettings
    point_value: Whole


class RungSettings(_Part):
    """A tier."""

    tier: Annotated[str, Field(min_length=1, max_length=64)]
    reached_at: Whole
    kept_at: Whole | None = None


class WindowSettings(_Part):
    """Over which days the score adds up."""

    period: Period
    months: int = 12


class TierSettings(_Part):
    """The ladder, and how members move on it."""

    ladder: list[RungSettings]
    metric: dict[str, int] | None = None
    window: WindowSettings | None = None
    up: Up | None = None
    up_steps: Steps | None = None
    down: Down | None = None
    grace_days: int | None = None
    returns: Returns | None = None
    pending_points: Pending | None = None


class ActivitySettings(_Part):
    """For how many months a member counts as new, active, dormant."""

    new: int
    active: int
    dormant: int


def _names_differ(wallets: list[WalletSettings]) -> list[WalletSettings]:
    if len({wallet.name for wallet in wallets}) < len(wallets):
        raise ValueError("every wallet needs a name of its own")
    return wallets


class ProgrammeSettings(_Part):
    """A programme. What is left out is as `from_settings` has it."""

    currency: str
    time_zone: Annotated[str, AfterValidator(_known_zone)]
    cutover_minutes: Annotated[int, Field(ge=0, lt=24 * 60)] | None = None
    fixed_now: AwareDatetime | None = None
    wallets: Annotated[list[WalletSettings], Field(min_length=1), AfterValidator(_names_differ)]
    tiers: TierSettings
    enrolment_requires: list[Required] | None = None
    minimum_age: Annotated[int, Field(ge=0, le=120)] | None = None
    restarting_sources: Names | None = None
    forced_sources: Names | None = None
    hold_grace_seconds: Seconds | None = None
    refund_grace_days: Days | None = None
    return_shortfall: Shortfall | None = None
    transfers: bool | None = None
    parked_days: Days | None = None
    adjustment_limit: Whole | None = None
    spend_requires: SpendRequires | None = None
    activity_months: ActivitySettings | None = None


def read_settings(code: str, file: Path) -> Programme:
    """The programme that a file describes, called `code`. Raises OSError, BadSettings."""
    try:
        written = ProgrammeSettings.model_validate_json(file.read_bytes())
        return from_settings(0, code, written.model_dump(mode="json", exclude_none=True))
    except ValidationError as error:
        raise BadSettings("\n".join(_told(error.errors()))) from None
    except ValueError as error:  # the choices contradict each other
        raise BadSettings(str(error)) from None


def _told(errors: Iterable[ErrorDetails]) -> Iterable[str]:
    for error in errors:
        place = ".".join(map(str, error["loc"])) or "the file"
        yield f"{place}: {error['msg']}"
