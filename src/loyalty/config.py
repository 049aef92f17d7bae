"""Settings, from the environment (`LOYALTY_...`) or a `.env`-style file named by LOYALTY_ENV_FILE."""

import os
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DRIVER = "postgresql+asyncpg://"
_OPTIONS = {"host", "port", "ssl", "sslmode"}
"""What may stand behind the question mark of a database URL; `sslmode` as libpq spells it."""


class ConfigurationError(Exception):
    """Says in one sentence what is wrong with the settings."""


class Settings(BaseSettings):
    """What a process needs to know about where it runs. Secrets never have a default."""

    model_config = SettingsConfigDict(env_prefix="LOYALTY_", extra="ignore")

    database_url: Annotated[str, Field(description="Postgres 15-18 as the role that runs.")]
    migration_url: Annotated[str | None, Field(description="The same database as the role that owns.")] = None
    cleaner_url: Annotated[str | None, Field(description="The same as the role that deletes old replays.")] = None
    secret: Annotated[
        SecretStr, Field(description="At least 32 characters; seals persons, hashes keys and identities.")
    ]
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    lanes: Annotated[int, Field(ge=1, le=16, description="Batches in flight at a time, per process.")] = 1
    replay_days: Annotated[int, Field(ge=1, le=3650, description="How long answers are replayed.")] = 30
    max_body_bytes: Annotated[int, Field(ge=1_024, description="Largest request body.")] = 4 * 2**20
    shutdown_s: Annotated[int, Field(ge=1, le=600, description="Deadline for draining on SIGTERM.")] = 20

    @field_validator("database_url", "migration_url", "cleaner_url")
    @classmethod
    def _through_asyncpg(cls, url: str | None) -> str | None:
        """Accept the usual spellings of a Postgres URL and always take the asynchronous driver."""
        if url is None:
            return None
        for scheme in ("postgres://", "postgresql://", DRIVER):
            if url.startswith(scheme):
                parts = urlsplit(url)
                parts.port  # noqa: B018 - raises ValueError when it is no number
                options = parse_qs(parts.query, keep_blank_values=True)
                if unknown := options.keys() - _OPTIONS:
                    raise ValueError(f"a database URL takes {', '.join(sorted(_OPTIONS))}, not {min(unknown)}")
                return DRIVER + url.removeprefix(scheme).replace("sslmode=", "ssl=")
        raise ValueError("a database URL begins with postgresql://")

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, secret: SecretStr) -> SecretStr:
        if len(secret.get_secret_value()) < 32:
            raise ValueError("the secret must have at least 32 characters")
        return secret


def load_settings(**given: object) -> Settings:
    """The settings of this process; what is `given` wins. Raises ConfigurationError."""
    try:
        return Settings(_env_file=os.environ.get("LOYALTY_ENV_FILE"), **given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        name = "LOYALTY_" + "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(f"{name}: {first['msg']}.") from None
