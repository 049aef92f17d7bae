"""The API over the test database: in this process through ASGI, and as the real server where a process is needed.

Whatever a client here is told is held against the OpenAPI document on the way: its status must be documented and
its body must fit the schema of that status.
"""

import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import orjson
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from loyalty.api.access import SCOPES_OF_ROLE, new_key
from loyalty.api.app import create_app
from loyalty.api.service import Service
from loyalty.config import Settings
from loyalty.demo import DEMO
from loyalty.domain.programme import Programme
from loyalty.store import programmes
from loyalty.store.sealing import Sealer
from tests.conftest import Urls, kept_programme
from tests.processes import LOYALTY, Running, listening

SECRET = "a secret that only the tests know of, and long enough"


class Contract:
    """The OpenAPI document, as something to hold answers against."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._routes = [
            (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        self._validators: dict[str, Any] = {}

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Every (method, path, operation) of the document."""
        return [(method, path, operation) for method, _, path, operation in self._routes]

    def check(self, response: httpx2.Response) -> None:
        """The status is documented, the body fits its schema, and the type of the body is the documented one."""
        operation = self._operation(response.request.method, response.request.url.path)
        if operation is None:
            assert response.status_code in (404, 405), response.text
            return self._fits({"$ref": "#/components/schemas/ProblemAnswer"}, response)
        documented = operation["responses"].get(str(response.status_code))
        assert documented is not None, f"{response.status_code} is not documented: {response.text}"
        content = documented.get("content")
        if not content:
            return None
        media_type = response.headers["content-type"].partition(";")[0]
        assert media_type in content, f"{media_type} is not documented for {response.status_code}"
        if not media_type.endswith("json"):
            return None
        return self._fits(content[media_type].get("schema", {}), response)

    def _operation(self, method: str, path: str) -> dict[str, Any] | None:
        fitting = [one for one in self._routes if one[0] == method and one[1].fullmatch(path)]
        exact = [one for one in fitting if one[2] == path]
        return next((one[3] for one in exact or fitting), None)

    def _fits(self, schema: dict[str, Any], response: httpx2.Response) -> None:
        if not schema:
            return
        self._validator(schema).validate(orjson.loads(response.content))

    def _validator(self, schema: dict[str, Any]) -> Any:
        name = orjson.dumps(schema).decode()
        if name not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[name] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[name]


class Client:
    """An API client under one key."""

    def __init__(self, http: httpx2.AsyncClient, contract: Contract, token: str | None) -> None:
        self.http = http
        self.token = token
        self._contract = contract

    async def get(self, path: str, **params: Any) -> httpx2.Response:
        return await self.send("GET", path, params={k: v for k, v in params.items() if v is not None})

    async def post(self, path: str, body: Any, *, key: str | None = "a new one", **params: Any) -> httpx2.Response:
        return await self.write("POST", path, body, key=key, **params)

    async def write(
        self, method: str, path: str, body: Any, *, key: str | None = "a new one", **params: Any
    ) -> httpx2.Response:
        """Send the body; under a key of its own unless the test names one."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = secrets.token_hex(8) if key == "a new one" else key
        return await self.send(method, path, content=content, headers=headers, params=params)

    async def send(
        self, method: str, path: str, *, headers: Mapping[str, Any] | None = None, **more: Any
    ) -> httpx2.Response:
        admission = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        response = await self.http.request(method, path, headers={**admission, **(headers or {})}, **more)
        self._contract.check(response)
        return response


class Shop:
    """A programme that nobody else uses, with a key for every role."""

    def __init__(self, programme: Programme, http: httpx2.AsyncClient, contract: Contract, keys: dict[str, str]):
        self.programme = programme
        self.contract = contract
        self.keys = keys
        self._http = http
        self.till = self.client("pos")

    def client(self, role: str | None) -> Client:
        """The client of a role; None for one without a key."""
        return Client(self._http, self.contract, self.keys[role] if role else None)

    # What happens at the till. Each returns what was answered, and expects it to be a yes.

    async def enrols(self, **body: Any) -> dict[str, Any]:
        return accepted(await self.till.post("/v1/members", body))

    async def gives(self, member: Mapping[str, Any], points: int, **more: Any) -> dict[str, Any]:
        return accepted(await self.till.post("/v1/accruals", a_grant(member, points, **more)))

    async def sells(self, member: Mapping[str, Any], amount: int, **more: Any) -> dict[str, Any]:
        return accepted(await self.till.post("/v1/accruals", an_order(member, amount, **more)))

    async def redeems(self, member: Mapping[str, Any], points: int, **more: Any) -> dict[str, Any]:
        return accepted(await self.till.post("/v1/redemptions", a_redemption(member, points, **more)))

    async def balance(self, member: Mapping[str, Any], wallet: str = "points") -> dict[str, Any]:
        answer = await self.till.get(f"/v1/members/{member['id']}/balance")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["wallets"][wallet]
        return found

    async def figures(self, member: Mapping[str, Any]) -> tuple[int, int]:
        """Pending and available."""
        balance = await self.balance(member)
        return balance["pending"], balance["available"]


def accepted(response: httpx2.Response) -> dict[str, Any]:
    assert response.status_code in (200, 201), response.text
    found: dict[str, Any] = response.json()
    return found


def refused(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """The problem, which must be of this status and code."""
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["type"] == f"urn:loyalty:problem:{code}"
    assert problem["request_id"]
    return problem


async def patched(client: Client, path: str, body: dict[str, Any]) -> httpx2.Response:
    """Send a change, under a key of its own."""
    return await client.write("PATCH", path, body)


def a_reference() -> str:
    return f"R-{secrets.token_hex(8)}"


def an_order(member: Mapping[str, Any], amount: int = 19900, **changes: Any) -> dict[str, Any]:
    line = {"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 1, "amount": amount}
    plain = {"member": named(member), "source": "pos-1", "reference": a_reference(), "store": "SH-001"}
    return {**plain, "currency": "CNY", "lines": [line], **changes}


def a_grant(member: Mapping[str, Any], points: int = 1000, **changes: Any) -> dict[str, Any]:
    plain = {"member": named(member), "points": points, "reason": "welcome", "source": "crm"}
    return {**plain, "reference": a_reference(), **changes}


def a_redemption(member: Mapping[str, Any], points: int = 100, **changes: Any) -> dict[str, Any]:
    return {"member": named(member), "points": points, "source": "app", "reference": a_reference(), **changes}


def whom(member: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": member["id"]}


def a_hold(member: Mapping[str, Any], points: int = 1, **more: Any) -> dict[str, Any]:
    plain = {"member": whom(member), "points": points, "expires_in": 30 * 24 * 3600, "source": "pos"}
    return {**plain, "reference": a_reference(), **more}


def a_refund(**more: Any) -> dict[str, Any]:
    return {"source": "pos", "reference": a_reference(), **more}


def an_adjustment(member: Mapping[str, Any], points: int = 1, **more: Any) -> dict[str, Any]:
    plain = {"member": whom(member), "points": points, "reason": "counted twice", "source": "desk"}
    return {**plain, "reference": a_reference(), **more}


def a_return(accrual: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"accrual": accrual, "source": "pos", "reference": a_reference(), **more}


def a_reassignment(accrual: Mapping[str, Any], to: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    plain = {"accrual": accrual, "to": whom(to), "source": "desk", "reason": "wrong card"}
    return {**plain, "reference": a_reference(), **more}


def a_merge(absorbed: dict[str, Any], *, into: dict[str, Any]) -> dict[str, Any]:
    """Somebody joined twice."""
    return {"survivor": {"id": into["id"]}, "absorbed": {"id": absorbed["id"]}, "reason": "joined twice"}


def a_transfer(giver: Mapping[str, Any], taker: Mapping[str, Any], points: int = 1, **more: Any) -> dict[str, Any]:
    plain = {"from": whom(giver), "to": whom(taker), "points": points, "source": "app"}
    return {**plain, "reference": a_reference(), **more}


def named(member: Mapping[str, Any]) -> dict[str, Any]:
    """How a body names the member: an enrolment's answer by its id, anything else as it is."""
    return {"id": member["id"]} if "number" in member and "id" in member else dict(member)


TABLES = (
    *("member", "entry", "posting", "lot", "draw", "book", "hold", "reversal", "adjustment", "reference"),
    *("identity", "person", "consent", "event", "net_spend", "tier_step", "replay", "parked_event", "review"),
    *("rule_draft", "rule_version", "cap_use", "code_use", "channel", "difference"),
    *("tier_count", "tier_grant", "merge", "what_if", "tag_change", "slide"),
)
"""Everything that a write may touch."""
_DIGESTS = " union all ".join(
    f"select programme_id, '{table}', count(*), md5(string_agg(t::text, '' order by t::text)) from {table} t"
    " where programme_id = any(:ids) group by 1, 2"
    for table in TABLES
)


async def contents(owner: AsyncEngine, *shops: Shop, but: str | None = None) -> list[tuple[Any, ...]]:
    """A digest of all rows that the programmes have in each of the tables, `but` one."""
    async with owner.connect() as connection:
        found = await connection.execute(text(_DIGESTS), {"ids": [shop.programme.id for shop in shops]})
        return sorted(tuple(row) for row in found if row[1] != but)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for all tests here, so that they share a started application and its connections."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def settings(urls: Urls) -> Settings:
    return Settings(database_url=urls.running, secret=SECRET)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """The application between its first and its last breath, and a way to talk to it."""
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://loyalty.test") as http:
            yield http


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(urls: Urls) -> AsyncIterator[AsyncEngine]:
    """The owner's connections: to prepare what the service may not, and to look behind every wall."""
    engine = create_async_engine(urls.owner, pool_size=1)
    yield engine
    await engine.dispose()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, started. It drains when all tests are over."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
def service(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def http(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Straight into the application; an exception that it lets out is the test's."""
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://loyalty.test") as http:
        yield http


@pytest.fixture(scope="session")
def contract() -> Contract:
    settings = Settings(database_url="postgresql://nobody@/nowhere", secret=SECRET)  # type: ignore[arg-type]
    return Contract(create_app(settings).openapi())


ShopFactory = Callable[..., Awaitable[Shop]]


@pytest.fixture
def a_shop(owner: AsyncEngine, http: httpx2.AsyncClient, contract: Contract) -> ShopFactory:
    """Opens a shop of its own: `await a_shop()` is like the demo, `await a_shop(currency="EUR")` is not."""

    async def open_shop(**changes: Any) -> Shop:
        programme = await kept_programme(owner, DEMO._replace(**changes))
        return Shop(programme, http, contract, await keys_for(owner, programme))

    return open_shop


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    """A shop like the demo: a point per 1.00 CNY, pending for 7 days, good to the end of next year."""
    return await a_shop()


async def keys_for(owner: AsyncEngine, programme: Programme) -> dict[str, str]:
    """A new key of the programme for every role."""
    sealer = Sealer(SECRET.encode())
    tokens = {}
    async with owner.begin() as connection:
        for role in SCOPES_OF_ROLE:
            tokens[role], key = new_key(sealer, programme.id, role)
            await programmes.add_key(connection, key)
    return tokens


def served(urls: Urls, output: Path) -> Running:
    """The real server over the database, ready."""

    def command(port: int) -> list[str]:
        return [LOYALTY, "serve", "--port", str(port)]

    return listening(command, output, LOYALTY_DATABASE_URL=urls.running, LOYALTY_SECRET=SECRET)


@pytest.fixture
def server(urls: Urls, tmp_path: Path) -> Iterator[Running]:
    """The real server, as its own process, over the database that the tests share."""
    server = served(urls, tmp_path / "server.log")
    yield server
    server.stop()
