"""Platforms that send us messages, over HTTP, into the application that these tests share."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import orjson
import pytest
import pytest_asyncio
from fastapi import FastAPI

from loyalty.api.service import Service
from loyalty.channels.reading import CHINA
from loyalty.worker.parked import cure_parked
from tests.api.conftest import (  # noqa: F401 - fixtures
    Shop,
    a_shop,
    accepted,
    app,
    contract,
    http,
    owner,
    service,
    settings,
    shop,
)

SECRET = "what the platform signs with"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all tests here, as in `tests/api`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


class Platform:
    """A platform that signs its messages and posts them."""

    def __init__(self, http: httpx2.AsyncClient, path: str, secret: str = SECRET) -> None:  # noqa: F811 - a fixture
        self.http = http
        self.path = path
        self.secret = secret

    def signed(
        self, name: str, content: bytes, at: datetime, secret: str
    ) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        """The path, the query and the headers of a message."""
        raise NotImplementedError

    async def posts(
        self,
        name: str,
        body: Any,
        *,
        at: datetime | None = None,
        secret: str | None = None,
        then: Callable[[bytes], bytes] = bytes,
    ) -> httpx2.Response:
        """Send a message; `then` changes its bytes after they were signed."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        path, query, headers = self.signed(name, content, at or datetime.now(UTC), secret or self.secret)
        return await self.http.post(f"{path}?{urlencode(query)}", content=then(content), headers=dict(headers))


class Tmall(Platform):
    def signed(
        self, name: str, content: bytes, at: datetime, secret: str
    ) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        query = {"app_key": "12345", "timestamp": f"{at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"}
        text = "".join(key + value for key, value in sorted(query.items())).encode() + content
        sign = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest().upper()
        return self.path + name, {**query, "sign": sign}, {}

    async def changes(self, points: int, **more: Any) -> httpx2.Response:
        return await self.posts("points", a_change(points, **more))

    async def registers(self, ouid: str, **more: Any) -> httpx2.Response:
        return await self.posts("register", {"ouid": ouid, **more})


class Douyin(Platform):
    def signed(
        self, name: str, content: bytes, at: datetime, secret: str
    ) -> tuple[str, Mapping[str, str], Mapping[str, str]]:
        query = {"client_key": "ck", "timestamp": str(int(at.timestamp() * 1000))}
        text = f"{secret}&client_key=ck&timestamp={query['timestamp']}&http_body=".encode() + content
        return self.path + name, query, {"x-life-sign": hashlib.sha256(text).hexdigest()}

    async def joins(self, open_id: str, **more: Any) -> dict[str, Any]:
        """What the platform is told."""
        answer = await self.posts("join", {"open_id": open_id, "account_id": "17371731", **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["data"]
        return found


def a_change(points: int, *, ouid: str | None = "t-1", record: Any = None, **more: Any) -> dict[str, Any]:
    """A points change as Tmall sends it; negative for a debit."""
    number = secrets.randbelow(10**15) if record is None else record
    who = {} if ouid is None else {"ouid": ouid}
    return {"record_id": number, "point": abs(points), "type": int(points < 0), **who, **more}


async def connects(shop: Shop, adapter: str, **more: Any) -> dict[str, Any]:  # noqa: F811 - a fixture
    body = {"name": adapter, "adapter": adapter, "secret": SECRET, **more}
    return accepted(await shop.client("admin").post("/v1/channels", body))


@pytest_asyncio.fixture(loop_scope="session")
async def tmall(shop: Shop, http: httpx2.AsyncClient) -> Tmall:  # noqa: F811 - fixtures
    return Tmall(http, (await connects(shop, "tmall"))["path"])


@pytest_asyncio.fixture(loop_scope="session")
async def douyin(shop: Shop, http: httpx2.AsyncClient) -> Douyin:  # noqa: F811 - fixtures
    """A platform that vouches for the phones it sends."""
    return Douyin(http, (await connects(shop, "douyin", phones_verified=True))["path"])


Cure = Callable[[], Any]


@pytest.fixture
def cures(shop: Shop, app: FastAPI) -> Cure:  # noqa: F811 - fixtures
    """A round of the worker over what waits."""
    found: Service = app.state.service

    async def cure() -> int:
        return await cure_parked(found.database, found.lanes, shop.programme)

    return cure


def known_by(ouid: str) -> dict[str, Any]:
    return {"identity": {"channel": "tmall", "type": "ouid", "value": ouid}}


def ago(**how_long: float) -> datetime:
    return datetime.now(UTC) - timedelta(**how_long)
