"""Who calls: API keys, the roles they come in, and the scope every endpoint asks for."""

import hmac
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from loyalty.api.problems import Problem
from loyalty.domain.programme import Programme
from loyalty.store import programmes
from loyalty.store.database import Database
from loyalty.store.programmes import ApiKey
from loyalty.store.sealing import Sealer

MEMBERS_WRITE: Final = "members:write"
MEMBERS_MANAGE: Final = "members:manage"
MEMBERS_READ: Final = "members:read"
ACCRUALS_WRITE: Final = "accruals:write"
REDEMPTIONS_WRITE: Final = "redemptions:write"
TRANSFERS_WRITE: Final = "transfers:write"
ADJUSTMENTS_WRITE: Final = "adjustments:write"
LEDGER_READ: Final = "ledger:read"
EVENTS_READ: Final = "events:read"
REVIEWS_READ: Final = "reviews:read"
REVIEWS_WRITE: Final = "reviews:write"
IDENTITIES_WRITE: Final = "identities:write"
CODES_READ: Final = "codes:read"
RULES_READ: Final = "rules:read"
RULES_WRITE: Final = "rules:write"
ANALYTICS_READ: Final = "analytics:read"
CHANNELS_READ: Final = "channels:read"
CHANNELS_WRITE: Final = "channels:write"
DRIFT_READ: Final = "drift:read"
DRIFT_WRITE: Final = "drift:write"

_CORRECTING = frozenset({ADJUSTMENTS_WRITE, REVIEWS_READ, REVIEWS_WRITE})
_COMPARING = frozenset({DRIFT_READ, DRIFT_WRITE})
_TILL = frozenset({MEMBERS_WRITE, MEMBERS_READ, ACCRUALS_WRITE, REDEMPTIONS_WRITE})
SCOPES_OF_ROLE: Final[Mapping[str, frozenset[str]]] = {
    "pos": _TILL,
    "store": _TILL,
    "app": frozenset(
        {MEMBERS_WRITE, MEMBERS_READ, CODES_READ, IDENTITIES_WRITE, REDEMPTIONS_WRITE, TRANSFERS_WRITE, EVENTS_READ}
    )
    | _COMPARING,
    "desk": _CORRECTING
    | {MEMBERS_WRITE, MEMBERS_READ, MEMBERS_MANAGE, IDENTITIES_WRITE, ACCRUALS_WRITE, TRANSFERS_WRITE, RULES_READ},
    "marketing": frozenset({MEMBERS_READ, ACCRUALS_WRITE, RULES_READ, RULES_WRITE, ANALYTICS_READ}),
    "finance": _CORRECTING
    | _COMPARING
    | {MEMBERS_READ, LEDGER_READ, EVENTS_READ, RULES_READ, CHANNELS_READ, ANALYTICS_READ},
    "privacy": frozenset({MEMBERS_READ}),
    "admin": _TILL
    | _CORRECTING
    | _COMPARING
    | {MEMBERS_MANAGE, IDENTITIES_WRITE, TRANSFERS_WRITE, LEDGER_READ, EVENTS_READ, RULES_READ, RULES_WRITE}
    | {CHANNELS_READ, CHANNELS_WRITE, ANALYTICS_READ},
}

REMEMBERED = 10_000
REMEMBERED_S = 5.0
"""How long a key that was found valid is believed: a revocation takes effect within this time."""


class Caller(NamedTuple):
    """An API client of a programme and what it may do."""

    programme: Programme
    client_id: str
    role: str
    scopes: frozenset[str]
    subject: str = ""


def new_key(sealer: Sealer, programme_id: int, role: str, *, client_id: str | None = None) -> tuple[str, ApiKey]:
    """A fresh token, to be shown once, and the key as it is kept."""
    id_ = secrets.token_hex(6)
    token = f"lk_{id_}_{secrets.token_urlsafe(24)}"
    scopes = SCOPES_OF_ROLE[role]
    key = ApiKey(id_, programme_id, client_id or f"client-{id_}", role, scopes, sealer.api_key_hash(token), None)
    return token, key


class Keys:
    """Turns the Authorization header into a caller, remembering valid keys for `REMEMBERED_S` seconds."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer
        self._known: dict[str, tuple[Caller, float]] = {}

    async def caller(self, authorization: str | None) -> Caller:
        """Raises Problem `unauthenticated`."""
        known = self._known.get(authorization or "")
        if known is not None and known[1] > time.monotonic():
            return known[0]
        return await self._look_up(authorization)

    def forget(self) -> None:
        """Look every key up again: what its programme is has changed. Other processes do so within `REMEMBERED_S`."""
        self._known.clear()

    async def _look_up(self, authorization: str | None) -> Caller:
        scheme, _, token = (authorization or "").partition(" ")
        prefix, _, rest = token.partition("_")
        id_ = rest.partition("_")[0]
        if scheme.lower() != "bearer" or prefix != "lk" or not (id_.isascii() and id_.isalnum()) or len(token) > 200:
            raise Problem("unauthenticated", "Send a valid API key as 'Authorization: Bearer <key>'.")
        found = await programmes.find_key(self._database.reads, id_)
        if found is None or not self._is_genuine(found[0], token):
            raise Problem("unauthenticated", "The API key is unknown, revoked or expired.")
        key, programme = found
        caller = Caller(programme, key.client_id, key.role, key.scopes)
        self._remember(authorization or "", caller)
        return caller

    def _is_genuine(self, key: ApiKey, token: str) -> bool:
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            return False
        return hmac.compare_digest(key.secret_hash, self._sealer.api_key_hash(token))

    def _remember(self, authorization: str, caller: Caller) -> None:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[authorization] = (caller, time.monotonic() + REMEMBERED_S)
