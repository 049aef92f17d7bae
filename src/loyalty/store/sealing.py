"""Keys derived from the one secret, and what they do: seal persons, blind identities, hash API keys."""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pyotp import HOTP

from loyalty.domain.codes import ONE_TIME_DIGITS
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE
from loyalty.domain.ids import MemberId

KEY_ID = b"\x01"
"""Leads every sealed value, so that a later key can be told from this one."""
_NONCE_BYTES = 12


class Sealer:
    """Everything that needs a key. Each use has a key of its own, derived from the secret (HKDF-SHA256)."""

    def __init__(self, secret: bytes) -> None:
        self._lookups = _derive(secret, b"loyalty lookup 1")
        self._api_keys = _derive(secret, b"loyalty api key 1")
        self._fingerprints = _derive(secret, b"loyalty fingerprint 1")
        self._codes = _derive(secret, b"loyalty member code 1")
        self._persons = AESGCM(_derive(secret, b"loyalty person 1"))
        self._channels = AESGCM(_derive(secret, b"loyalty channel 1"))

    def lookup(self, channel: str, type_: str, value: str) -> bytes:
        """The blind index of an identity: equal values give equal bytes, and nobody reads them back.

        A card number is no secret and stays as it is.
        """
        if channel == CARD_CHANNEL and type_ == CARD_TYPE:
            return value.encode()
        message = "\x1f".join((channel, type_, value)).encode()
        return hmac.digest(self._lookups, message, hashlib.sha256)

    def fingerprint(self, request: bytes) -> bytes:
        """What a request is recognised by. Keyed, since a request to enrol holds a phone number."""
        return hmac.digest(self._fingerprints, request, hashlib.sha256)

    def api_key_hash(self, token: str) -> bytes:
        """The keyed hash under which an API key's token is kept."""
        return hmac.digest(self._api_keys, token.encode(), hashlib.sha256)

    def one_time(self, programme_id: int, member_id: MemberId, step: int) -> str:
        """The digits of a member's code at a step (RFC 4226 and 6238, SHA-256), under a secret of the member's own."""
        secret = hmac.digest(self._codes, f"{programme_id} {member_id}".encode(), hashlib.sha256)
        return HOTP(base64.b32encode(secret).decode(), digits=ONE_TIME_DIGITS, digest=hashlib.sha256).at(step)

    def seal(self, member_id: MemberId, fields: Mapping[str, object]) -> bytes:
        """What is known of a person, unreadable without the secret and bound to the member's row."""
        return _sealed(self._persons, orjson.dumps(fields), member_id)

    def open(self, member_id: MemberId, sealed: bytes) -> Mapping[str, Any]:
        """What `seal` sealed; nothing where that was under another secret, or for another row."""
        opened = _opened(self._persons, sealed, member_id)
        found: Mapping[str, Any] = {} if opened is None else orjson.loads(opened)
        return found

    def seal_secret(self, programme_id: int, channel: str, secret: str) -> bytes:
        """What a channel signs with, unreadable without our own secret and bound to the channel's row."""
        return _sealed(self._channels, secret.encode(), f"{programme_id} {channel}")

    def open_secret(self, programme_id: int, channel: str, sealed: bytes) -> str | None:
        """What `seal_secret` sealed. None: it was sealed under another secret of ours, or for another channel."""
        opened = _opened(self._channels, sealed, f"{programme_id} {channel}")
        return None if opened is None else opened.decode()


def _sealed(key: AESGCM, content: bytes, row: str) -> bytes:
    """The content, bound to the row that it is for."""
    nonce = os.urandom(_NONCE_BYTES)
    return KEY_ID + nonce + key.encrypt(nonce, content, row.encode())


def _opened(key: AESGCM, sealed: bytes, row: str) -> bytes | None:
    """What `_sealed` sealed; None: under another key, or for another row."""
    nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
    try:
        return key.decrypt(nonce, rest, row.encode())
    except InvalidTag:
        return None


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
