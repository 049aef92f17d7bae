"""Whoever follows the links of the contract, in whatever order, is answered as the contract says."""

import copy
import secrets
from collections import Counter
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.api.conftest import Contract
from tests.api.test_fuzz import CHECKS, fuzzed, token  # noqa: F401 - fixtures
from tests.processes import Running

WALKS = 25
STEPS = 10
LEAST = 6
"""Operations that must have said yes at least once: else nobody went anywhere."""
FACT = {"source": "fuzz", "reference": "$response.body#/id"}
MEMBER = {"id": "$response.body#/id"}
LINE = {"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 2, "amount": 20_000}
FROM_A_MEMBER: dict[str, tuple[dict[str, Any], ...]] = {
    "POST /v1/accruals": ({"member": MEMBER, "currency": "CNY", "lines": [LINE], **FACT},),
    "POST /v1/holds": ({"member": MEMBER, "points": 100, **FACT},),
    "POST /v1/redemptions": ({"member": MEMBER, "points": 100, **FACT},),
    "POST /v1/adjustments": (
        {"member": MEMBER, "points": 20_000, "reason": "counted twice", **FACT},
        {"member": MEMBER, "points": 500, "reason": "counted twice", **FACT},
    ),
}
"""What a new member may be asked for next, in bodies that fit; the contract itself links by paths only."""
A_RETURN = {
    "accrual": {"entry": "$response.body#/entry/id"},
    "lines": [{"line_id": "1", "quantity": 1, "amount": 10_000}],
    "source": "fuzz",
    "reference": "$response.body#/entry/id",
}


def with_bodies(document: Any) -> dict[str, Any]:
    """The contract, with links that carry bodies too."""
    found: dict[str, Any] = copy.deepcopy(dict(document))

    def link(source: str, number: int, target: str, body: dict[str, Any]) -> None:
        method, path = target.split()
        links = found["paths"][source]["post"]["responses"]["201"].setdefault("links", {})
        links[f"{target} {number}"] = {
            "operationId": found["paths"][path][method.lower()]["operationId"],
            "requestBody": body,
            "x-schemathesis": {"merge_body": False},
        }

    for target, bodies in FROM_A_MEMBER.items():
        for number, body in enumerate(bodies):
            link("/v1/members", number, target, body)
    link("/v1/accruals", 0, "POST /v1/returns", A_RETURN)
    return found


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whoever_follows_the_links_is_answered_as_documented(
    fuzzed: Running,  # noqa: F811
    token: str,  # noqa: F811
    contract: Contract,
) -> None:
    seen: Counter[tuple[str, int]] = Counter()

    schema = schemathesis.openapi.from_dict(with_bodies(contract.document))
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def before_call(self, case: Any) -> None:
            """The other fuzzing tries keys, dry runs and people; here the way is what counts."""
            case.query = {name: value for name, value in (case.query or {}).items() if name != "dry_run"}
            case.headers = {"Idempotency-Key": secrets.token_hex(8)}
            if case.operation.label == "POST /v1/members":
                case.body = {}

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": fuzzed.url, "headers": {"Authorization": f"Bearer {token}"}}

        def after_call(self, response: Any, case: Any) -> None:
            """Whoever joins has something to spend."""
            if case.operation.label == "POST /v1/members" and response.status_code == 201:
                member = response.json()["id"]
                grant = {"member": {"id": member}, "points": 1000, "reason": "welcome", "source": "fuzz"}
                given = httpx2.post(
                    f"{fuzzed.url}/v1/accruals",
                    json={**grant, "reference": f"welcome {member}"},
                    headers={"Authorization": f"Bearer {token}", "Idempotency-Key": member},
                )
                assert given.status_code == 201

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            seen[case.operation.label, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    Walk.run(
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
    )
    reached = {label for label, status in seen if status in (200, 201, 202)}
    assert "POST /v1/members" in reached
    assert len(reached) >= LEAST, seen
