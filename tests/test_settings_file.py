"""A programme's settings as people write them down: read as they are meant, or refused with the place."""

import asyncio
import re
import secrets
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from loyalty.cli.main import app
from loyalty.cli.settings_file import BadSettings, ProgrammeSettings, read_settings
from loyalty.demo import DEMO, REAL_YEAR
from loyalty.domain.programme import Programme
from loyalty.store.programmes import settings_json
from tests.conftest import Urls

REPOSITORY = Path(__file__).parents[1]
LEAST: dict[str, Any] = {
    "currency": "CNY",
    "time_zone": "Asia/Shanghai",
    "wallets": [
        {
            "name": "points",
            "points_per_unit": 1,
            "unit": 100,
            "pending_seconds": 0,
            "expiry": {"lifespan": "never", "periods": 0},
            "point_value": 1,
        }
    ],
    "tiers": {"ladder": [{"tier": "member", "reached_at": 0}]},
}
WALLET = LEAST["wallets"][0]


def read(tmp_path: Path, settings: Any) -> Programme:
    file = tmp_path / "settings.json"
    file.write_bytes(settings if isinstance(settings, bytes) else orjson.dumps(settings))
    return read_settings("acme", file)


@pytest.mark.parametrize("programme", [DEMO, REAL_YEAR], ids=lambda one: one.code)
def test_what_is_shown_is_read_back(programme: Programme, tmp_path: Path) -> None:
    assert read(tmp_path, settings_json(programme).encode()) == programme._replace(id=0, code="acme")


def test_what_is_left_out_is_strict_or_off(tmp_path: Path) -> None:
    programme = read(tmp_path, LEAST)
    bare = Programme(
        0, "acme", programme.currency, programme.calendar, programme.wallets, programme.ladder
    )  # fmt: skip
    assert programme == bare


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"curency": "CNY"}, "curency: Extra inputs are not permitted"),
        ({"currency": "yuan"}, "currency must be three capital letters (ISO 4217)"),
        ({"time_zone": "Mars/Base"}, "time_zone: Value error, no such time zone; such as Asia/Shanghai"),
        ({"time_zone": None}, "time_zone: Input should be a valid string"),
        ({"cutover_minutes": 1440}, "cutover_minutes: Input should be less than 1440"),
        ({"fixed_now": "2026-01-01T00:00:00"}, "fixed_now: Input should have timezone info"),
        ({"wallets": [WALLET, WALLET]}, "wallets: Value error, every wallet needs a name of its own"),
        ({"wallets": [{**WALLET, "name": "My points"}]}, "the wallet 'My points' needs a name of lower-case letters"),
        (
            {"wallets": [{**WALLET, "expiry": {"lifespan": "years", "periods": 1}}]},
            "wallets.0.expiry.lifespan: Input should be 'never', 'months', 'year_end' or 'sliding'",
        ),
        ({"tiers": {}}, "tiers.ladder: Field required"),
        ({"tiers": {**LEAST["tiers"], "metric": {"points.miles": 1}}}, "there is no metric 'points.miles'"),
        ({"tiers": {**LEAST["tiers"], "down": "two_steps"}}, "tiers.down: Input should be 'never', 'one_step'"),
        ({"enrolment_requires": ["fone"]}, "enrolment_requires.0: Input should be 'phone', 'name'"),
        ({"minimum_age": "14"}, "minimum_age: Input should be a valid integer"),
        ({"activity_months": {"new": 1, "active": 9, "dormant": 3}}, "a member is active for fewer months than"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=re.escape(problem)):
        read(tmp_path, {**LEAST, **changes})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "the file: Invalid JSON"),
        (b"[]", "the file: Input should be an object"),
        (b"\xff", "the file: Invalid JSON"),
        (b"", "the file: Invalid JSON"),
    ],
)
def test_what_is_no_settings_at_all_is_told(content: bytes, problem: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=problem):
        read(tmp_path, content)


def test_every_setting_and_every_choice_is_told_to_people() -> None:
    told = set(re.findall(r"`([a-z_]+)`", (REPOSITORY / "docs" / "settings.md").read_text()))
    known = set(_words(ProgrammeSettings))
    assert known - told == set()


def _words(kind: Any) -> list[str]:
    """The names of the settings within a type, and the words that can be chosen."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [
            word for name, field in kind.model_fields.items() for word in (name, *_words(field.annotation))
        ]  # fmt: skip
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [one.value for one in kind]
    return [word for part in get_args(kind) for word in ([part] if isinstance(part, str) else _words(part))]


@pytest.mark.parametrize("code", ["", "Acme", "-acme", "acme_rewards", "a" * 64])
def test_a_programme_needs_a_name(code: str) -> None:
    told = CliRunner().invoke(app, ["programme", "--", code])
    assert told.exit_code == 1
    assert told.stderr.startswith("loyalty: Name the programme in 1 to 63 lower-case letters")


def test_the_settings_to_start_from_are_shown_without_a_name() -> None:
    told = CliRunner().invoke(app, ["programme", "--show-settings"])
    assert (told.exit_code, orjson.loads(told.stdout)["currency"]) == (0, "CNY")


async def test_a_programme_keeps_the_settings_it_was_made_with(urls: Urls, tmp_path: Path) -> None:
    file, code = tmp_path / "settings.json", f"acme-{secrets.token_hex(4)}"

    async def made(**changes: Any) -> Any:
        file.write_bytes(orjson.dumps({**LEAST, **changes}))
        env = {
            "LOYALTY_DATABASE_URL": urls.running,
            "LOYALTY_MIGRATION_URL": urls.owner,
            "LOYALTY_SECRET": "a secret that only the tests know of, and long enough",
        }
        arguments = ["programme", code, "--settings", str(file)]
        return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)

    keys = [await made(), await made()]
    assert [key.exit_code for key in keys] == [0, 0]
    assert keys[0].stdout != keys[1].stdout, "each time another key"
    other = await made(minimum_age=16)
    assert (other.exit_code, other.stdout) == (1, "")
    assert other.stderr == f"loyalty: {code} exists with other settings, and they stay as they are.\n"
