"""Whatever is generated from the contract is answered as the contract says: no 5xx, nothing undocumented.

`make fuzz` does the same for as long as you like, on a site of its own.
"""

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy.ext.asyncio import create_async_engine

from bench.fuzz.answers import Target
from bench.fuzz.requests import ask_anything
from loyalty.demo import DEMO
from tests.api.conftest import Contract, keys_for, served
from tests.conftest import Urls, kept_programme
from tests.processes import Running

EXAMPLES = 16
"""For each operation; its requests go to a real server, one at a time."""


@pytest.fixture(scope="module")
def fuzzed(urls: Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = served(urls, tmp_path_factory.mktemp("fuzz") / "server.log")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def keys(urls: Urls) -> dict[str, str]:
    """A key for every role of a programme like the demo."""

    async def create() -> dict[str, str]:
        owner = create_async_engine(urls.owner)
        try:
            return await keys_for(owner, await kept_programme(owner, DEMO))
        finally:
            await owner.dispose()

    return asyncio.run(create())


@pytest.fixture
def target(fuzzed: Running, contract: Contract, keys: dict[str, str]) -> Target:
    return Target(fuzzed.url, contract.document, keys)


OPERATIONS = [
    ("POST", "/v1/members"),
    ("GET", "/v1/members/{id}"),
    ("GET", "/v1/members/{id}/balance"),
    ("GET", "/v1/tiers"),
    ("GET", "/v1/members/{id}/tier"),
    ("GET", "/v1/members/{id}/tier/history"),
    ("GET", "/v1/members/{id}/tags"),
    ("PUT", "/v1/members/{id}/tags"),
    ("POST", "/v1/members/{id}/tier-grants"),
    ("POST", "/v1/merges"),
    ("POST", "/v1/merges/{id}/reverse"),
    ("POST", "/v1/members/{id}/tier-grants/end"),
    ("GET", "/v1/members/{id}/entries"),
    ("GET", "/v1/members/{id}/lots"),
    ("GET", "/v1/members/{id}/statement"),
    ("GET", "/v1/members/{id}/code"),
    ("GET", "/v1/members/{id}/code/image"),
    ("GET", "/v1/members/{id}/identities"),
    ("POST", "/v1/members/{id}/identities"),
    ("DELETE", "/v1/members/{id}/identities/{identity}"),
    ("POST", "/v1/members/resolve"),
    ("POST", "/v1/accruals"),
    ("POST", "/v1/accruals/bulk"),
    ("POST", "/v1/redemptions"),
    ("GET", "/v1/entries"),
    ("GET", "/v1/entries/{id}"),
    ("GET", "/v1/entries/{id}/explanation"),
    ("GET", "/v1/events"),
    ("GET", "/v1/analytics/tier-transitions"),
    ("GET", "/v1/earning-rules"),
    ("POST", "/v1/earning-rules"),
    ("GET", "/v1/earning-rules/{id}"),
    ("POST", "/v1/earning-rules/{id}/publish"),
    ("POST", "/v1/earning-rules/{id}/what-if"),
    ("GET", "/v1/what-ifs/{id}"),
    ("POST", "/v1/accruals/preview"),
    ("GET", "/v1/channels"),
    ("POST", "/v1/channels"),
    ("GET", "/v1/channels/{id}"),
    ("PATCH", "/v1/channels/{id}"),
    ("POST", "/v1/channels/{id}/secret"),
    ("GET", "/v1/channels/{id}/drift"),
    ("POST", "/v1/channels/{id}/drift"),
    ("GET", "/v1/drift/{id}"),
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


def test_every_operation_is_tried(target: Target) -> None:
    assert set(target.operations) == {f"{method} {path}" for method, path in OPERATIONS}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_generated_requests_are_answered_as_documented(target: Target, method: str, path: str) -> None:
    ask_anything(target, f"{method} {path}", settings(max_examples=EXAMPLES), seed=0)
    assert target.findings == []
    assert target.answered.total() >= EXAMPLES


def test_an_answer_that_the_contract_does_not_show_is_a_finding(
    fuzzed: Running, contract: Contract, keys: dict[str, str]
) -> None:
    document = copy.deepcopy(dict(contract.document))
    del document["paths"]["/v1/ledger/trial-balance"]["get"]["responses"]["200"]
    target = Target(fuzzed.url, document, keys)
    ask_anything(target, "GET /v1/ledger/trial-balance", settings(max_examples=EXAMPLES), seed=0)
    assert any("Undocumented status code" in finding for finding in target.findings)
    assert all("GET /v1/ledger/trial-balance" in finding for finding in target.findings)


def test_the_server_logged_no_mistake(fuzzed: Running) -> None:
    assert "unexpected" not in Path(fuzzed.output).read_text()
