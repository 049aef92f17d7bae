"""Programmes and their API keys: reference tables, read often, written by the owner."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from loyalty.domain.activity import Activity
from loyalty.domain.calendar import Calendar
from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.domain.ladder import NET_SPEND, Down, Ladder, Pending, Period, Returns, Rung, Steps, Up, Window
from loyalty.domain.programme import Programme, Shortfall, SpendRequires, Wallet
from loyalty.store.database import enter_programme
from loyalty.store.rules import published


class ApiKey(NamedTuple):
    """A key as it is kept: what it may do, and a keyed hash of its secret."""

    id: str
    programme_id: int
    client_id: str
    role: str
    scopes: frozenset[str]
    secret_hash: bytes
    expires_at: datetime | None


def settings_json(programme: Programme) -> str:
    """The programme's settings as they are stored."""
    return orjson.dumps(
        {
            "currency": programme.currency,
            "time_zone": programme.calendar.zone.key,
            "cutover_minutes": int(programme.calendar.cutover.total_seconds()) // 60,
            "fixed_now": programme.fixed_now,
            "wallets": [
                {
                    "name": wallet.name,
                    "points_per_unit": wallet.points_per_unit,
                    "unit": wallet.unit,
                    "pending_seconds": int(wallet.pending.total_seconds()),
                    "expiry": _expiry_json(wallet.expiry),
                    "point_value": wallet.point_value,
                }
                for wallet in programme.wallets.values()
            ],
            "tiers": _ladder_json(programme.ladder),
            "enrolment_requires": sorted(programme.enrolment_requires),
            "minimum_age": programme.minimum_age,
            "restarting_sources": sorted(programme.restarting_sources),
            "forced_sources": sorted(programme.forced_sources),
            "hold_grace_seconds": int(programme.hold_grace.total_seconds()),
            "refund_grace_days": programme.refund_grace_days,
            "return_shortfall": programme.return_shortfall,
            "transfers": programme.transfers,
            "parked_days": programme.parked_days,
            "adjustment_limit": programme.adjustment_limit,
            "spend_requires": programme.spend_requires,
            "activity_months": programme.activity._asdict(),
        }
    ).decode()


def from_settings(id_: int, code: str, settings: Mapping[str, Any]) -> Programme:
    """The programme that `settings_json` wrote down. Raises KeyError, ValueError on settings it cannot read."""
    fixed_now = settings.get("fixed_now")
    wallets = (
        Wallet(
            name=one["name"],
            points_per_unit=one["points_per_unit"],
            unit=one["unit"],
            pending=timedelta(seconds=one["pending_seconds"]),
            expiry=_expiry(one["expiry"]),
            point_value=one["point_value"],
        )
        for one in settings["wallets"]
    )
    programme = Programme(
        id=id_,
        code=code,
        currency=settings["currency"],
        calendar=Calendar(ZoneInfo(settings["time_zone"]), timedelta(minutes=settings.get("cutover_minutes", 0))),
        wallets={wallet.name: wallet for wallet in wallets},
        ladder=_ladder(settings),
        fixed_now=None if fixed_now is None else datetime.fromisoformat(fixed_now).astimezone(UTC),
        # What is left out, or was written down before there was a choice, is as follows.
        enrolment_requires=frozenset(settings.get("enrolment_requires", ())),
        minimum_age=settings.get("minimum_age", 14),
        restarting_sources=frozenset(settings.get("restarting_sources", ())),
        forced_sources=frozenset(settings.get("forced_sources", ())),
        hold_grace=timedelta(seconds=settings.get("hold_grace_seconds", 0)),
        refund_grace_days=settings.get("refund_grace_days", 0),
        return_shortfall=Shortfall(settings.get("return_shortfall", Shortfall.OWED)),
        transfers=settings.get("transfers", False),
        parked_days=settings.get("parked_days", 30),
        adjustment_limit=settings.get("adjustment_limit"),
        spend_requires=SpendRequires(settings.get("spend_requires", SpendRequires.NOTHING)),
        activity=Activity(**settings.get("activity_months", {})),
    )
    return programme.checked()


def _expiry_json(expiry: Expiry) -> dict[str, Any]:
    slides = {"renewed_by": expiry.renewed_by} if expiry.slides else {}
    return {"lifespan": expiry.lifespan, "periods": expiry.periods, **slides}


def _expiry(settings: Mapping[str, Any]) -> Expiry:
    """The policy that `_expiry_json` wrote down."""
    renewed_by = RenewedBy(settings.get("renewed_by", RenewedBy.EARNING))
    return Expiry(Lifespan(settings["lifespan"]), settings["periods"], renewed_by)


def _ladder_json(ladder: Ladder) -> dict[str, Any]:
    return {
        "ladder": [
            {"tier": rung.tier, "reached_at": rung.reached_at, "kept_at": rung.keeps_at} for rung in ladder.rungs
        ],
        "metric": dict(ladder.metric),
        "window": {"period": ladder.window.period, "months": ladder.window.months},
        "up": ladder.up,
        "up_steps": ladder.up_steps,
        "down": ladder.down,
        "grace_days": ladder.grace_days,
        "returns": ladder.returns,
        "pending_points": ladder.pending,
    }


def _ladder(settings: Mapping[str, Any]) -> Ladder:
    """The ladder that `_ladder_json` wrote down, or that of settings from when there was only one kind."""
    if "tiers" not in settings:
        return Ladder(tuple(Rung(one["tier"], one["net_spend"]) for one in settings["ladder"]))
    chosen = settings["tiers"]
    window = chosen.get("window", {})
    return Ladder(
        rungs=tuple(Rung(one["tier"], one["reached_at"], one.get("kept_at")) for one in chosen["ladder"]),
        metric=tuple(chosen.get("metric", {NET_SPEND: 1}).items()),
        window=Window(Period(window.get("period", Period.CALENDAR_YEAR)), window.get("months", Window().months)),
        up=Up(chosen.get("up", Up.AT_ONCE)),
        up_steps=Steps(chosen.get("up_steps", Steps.ALL)),
        down=Down(chosen.get("down", Down.REASSESS)),
        grace_days=chosen.get("grace_days", 0),
        returns=Returns(chosen.get("returns", Returns.NEXT_REVIEW)),
        pending=Pending(chosen.get("pending_points", Pending.EARNING)),
    )


async def read_all(engine: AsyncEngine) -> list[Programme]:
    """Every programme, by id."""
    async with engine.connect() as connection:
        rows = await connection.execute(text("select id, code, settings::text from programme order by id"))
        return [await _whole(connection, *row) for row in rows.all()]


async def read(engine: AsyncEngine, code: str) -> Programme | None:
    """The programme called `code`."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("select id, code, settings::text from programme where code = :the_code"), {"the_code": code}
        )
        row = rows.one_or_none()
        return None if row is None else await _whole(connection, *row)


async def ensure(connection: AsyncConnection, programme: Programme) -> int:
    """Create the programme unless one of its code exists; its id. Needs the owner."""
    await connection.execute(
        text(
            "insert into programme (code, settings) values (:the_code, cast(:the_settings as jsonb))"
            " on conflict (code) do nothing"
        ),
        {"the_code": programme.code, "the_settings": settings_json(programme)},
    )
    found = await connection.execute(
        text("select id from programme where code = :the_code"), {"the_code": programme.code}
    )
    return int(found.scalar_one())


async def add_key(connection: AsyncConnection, key: ApiKey) -> None:
    """Keep a key. Needs the owner."""
    await connection.execute(
        text(
            "insert into api_key (id, programme_id, client_id, role, scopes, secret_hash, expires_at)"
            " values (:the_id, :the_programme, :the_client, :the_role, :the_scopes, :the_hash, :the_end)"
        ),
        {
            "the_id": key.id,
            "the_programme": key.programme_id,
            "the_client": key.client_id,
            "the_role": key.role,
            "the_scopes": sorted(key.scopes),
            "the_hash": key.secret_hash,
            "the_end": key.expires_at,
        },
    )


async def find_key(engine: AsyncEngine, id_: str) -> tuple[ApiKey, Programme] | None:
    """The key that is called `id_` with its programme, unless it was revoked."""
    async with engine.connect() as connection:
        rows = await connection.execute(
            text(
                "select k.id, k.programme_id, k.client_id, k.role, k.scopes, k.secret_hash, k.expires_at,"
                "       p.code, p.settings::text"
                "  from api_key k join programme p on p.id = k.programme_id"
                " where k.id = :the_id and k.revoked_at is null"
            ),
            {"the_id": id_},
        )
        row = rows.one_or_none()
        if row is None:
            return None
        *key, code, settings = row
        key[4] = frozenset(key[4])
        return ApiKey(*key), await _whole(connection, row[1], code, settings)


async def _whole(connection: AsyncConnection, id_: int, code: str, settings: str) -> Programme:
    """The programme with the earning rules that it has published."""
    await enter_programme(connection, id_)
    programme = from_settings(id_, code, orjson.loads(settings))
    return programme._replace(rule_sets=await published(connection, id_))
