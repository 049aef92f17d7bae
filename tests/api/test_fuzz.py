"""Whatever is generated from the contract is answered as the contract says: no 5xx, nothing undocumented."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy.ext.asyncio import create_async_engine

from loyalty.demo import DEMO
from tests.api.conftest import Contract, keys_for, served
from tests.conftest import Urls, kept_programme
from tests.processes import Running

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 12
"""For each operation; its requests go to a real server, one at a time."""


@pytest.fixture(scope="module")
def fuzzed(urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = served(urls, tmp_path_factory.mktemp("fuzz") / "server.log")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def token(urls: Urls) -> str:
    """A key that may do everything."""

    async def create() -> str:
        owner = create_async_engine(urls.owner)
        try:
            return (await keys_for(owner, await kept_programme(owner, DEMO)))["admin"]
        finally:
            await owner.dispose()

    return asyncio.run(create())


OPERATIONS = [
    ("POST", "/v1/members"),
    ("GET", "/v1/members/{id}"),
    ("GET", "/v1/members/{id}/balance"),
    ("GET", "/v1/members/{id}/tier"),
    ("GET", "/v1/members/{id}/entries"),
    ("GET", "/v1/members/{id}/lots"),
    ("GET", "/v1/members/{id}/statement"),
    ("POST", "/v1/accruals"),
    ("POST", "/v1/accruals/bulk"),
    ("POST", "/v1/redemptions"),
    ("GET", "/v1/entries"),
    ("GET", "/v1/entries/{id}"),
    ("GET", "/v1/events"),
    ("GET", "/v1/ledger/trial-balance"),
    ("POST", "/v1/redemptions/{id}/refund"),
    ("POST", "/v1/holds"),
    ("GET", "/v1/holds/{id}"),
    ("POST", "/v1/holds/{id}/capture"),
    ("POST", "/v1/holds/{id}/release"),
    ("POST", "/v1/returns"),
    ("POST", "/v1/returns/reserve"),
    ("GET", "/v1/returns/{id}"),
    ("POST", "/v1/returns/{id}/confirm"),
    ("POST", "/v1/returns/{id}/cancel"),
    ("POST", "/v1/reassignments"),
    ("GET", "/v1/parked"),
    ("GET", "/v1/parked/{id}"),
    ("GET", "/v1/reviews"),
    ("GET", "/v1/reviews/{id}"),
    ("POST", "/v1/reviews/{id}/resolve"),
    ("POST", "/v1/transfers"),
    ("POST", "/v1/adjustments"),
    ("POST", "/v1/adjustments/{id}/approve"),
    ("POST", "/v1/adjustments/{id}/reject"),
    ("PATCH", "/v1/members/{id}"),
    ("POST", "/v1/members/{id}/close"),
]


def test_every_operation_is_tried(contract: Contract) -> None:
    found = {(method, path) for method, path, _ in contract.operations() if path.startswith("/v1/")}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_generated_requests_are_answered_as_documented(
    fuzzed: Running, token: str, contract: Contract, method: str, path: str
) -> None:
    schema = schemathesis.openapi.from_dict(dict(contract.document))
    operation = schema[path][method]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @hypothesis.given(case=operation.as_strategy() | operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
    def answered_as_documented(case: Any) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        response = case.call(base_url=fuzzed.url, headers=headers)
        case.validate_response(response, checks=CHECKS)

    answered_as_documented()


def test_the_server_logged_no_mistake(fuzzed: Running) -> None:
    assert "unexpected" not in Path(fuzzed.output).read_text()
