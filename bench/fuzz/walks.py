"""Walks along the links of the contract, in whatever order, each step under the key of some role."""

import copy
import random
import secrets
from contextlib import suppress
from typing import Any

import httpx2
import hypothesis
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.errors import FlakyStrategyDefinition

from bench.fuzz.answers import Target, may, scope_of

A_STRANGER = 0.1
"""Share of the steps under whichever key, or none; the others go under one that may take them."""
LONGEST = 64
"""Characters of a reference."""
FACT = {"source": "fuzz", "reference": "$response.body#/id"}
MEMBER = {"id": "$response.body#/id"}
LINE = {"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 2, "amount": 20_000}
AN_ORDER = {"member": MEMBER, "currency": "CNY", "lines": [LINE], **FACT}
A_FORCED_ONE = {"member": MEMBER, "points": 700, **FACT, "source": "pos-offline", "forced": True}
A_BASE = {"kind": "base", "id": "base", "wallet": "points", "points": 1, "per": 100}
A_BONUS = {"kind": "bonus", "id": "big", "wallet": "points", "points": 50, "when": "order.net_spend > 5000"}
AN_EARLY_RETURN = {"accrual": {**FACT, "source": "late"}, "full": True, **FACT}
A_CHANNEL = {"name": "fuzz", "adapter": "tmall", "secret": "what it signs with"}
FROM_A_MEMBER: dict[str, tuple[dict[str, Any], ...]] = {
    "POST /v1/accruals": (AN_ORDER, {**AN_ORDER, "source": "late"}),
    "POST /v1/accruals/bulk": ({"items": [AN_ORDER, {**AN_ORDER, "source": "bulk"}]},),
    "POST /v1/holds": ({"member": MEMBER, "points": 100, **FACT},),
    "POST /v1/redemptions": ({"member": MEMBER, "points": 100, **FACT}, A_FORCED_ONE),
    "POST /v1/returns": (AN_EARLY_RETURN,),
    "POST /v1/transfers": ({"from": MEMBER, "to": MEMBER, "points": 50, **FACT},),
    "POST /v1/adjustments": (
        {"member": MEMBER, "points": 20_000, "reason": "counted twice", **FACT},
        {"member": MEMBER, "points": 500, "reason": "counted twice", **FACT},
    ),
    "POST /v1/accruals/preview": (AN_ORDER,),
    "POST /v1/earning-rules": ({"rules": [A_BASE]}, {"rules": [A_BASE, A_BONUS]}),
    "POST /v1/members/resolve": ({"member": MEMBER},),
    "POST /v1/channels": (A_CHANNEL,),
    "PUT /v1/members/{id}/tags": ({"tags": ["staff", "reseller"], "reason": "fuzz"}, {"tags": [], "reason": "fuzz"}),
    "POST /v1/members/{id}/identities": (
        {"identity": {"channel": "fuzz", "type": "id", "value": "$response.body#/id"}},
        {"identity": {"channel": "fuzz", "type": "other id", "value": "$response.body#/id"}},
    ),
}
"""What a new member may be asked for next, in bodies that fit; the contract itself links by paths only."""
A_RETURN = {
    "accrual": {"entry": "$response.body#/entry/id"},
    "lines": [{"line_id": "1", "quantity": 1, "amount": 10_000}],
    "source": "fuzz",
    "reference": "$response.body#/entry/id",
}
A_REASSIGNMENT = {
    "accrual": {"entry": "$response.body#/entry/id"},
    "to": {"id": "$response.body#/entry/member"},
    "reason": "wrong card",
    "source": "fuzz",
    "reference": "$response.body#/entry/id",
}
OF_A_CHANNEL: dict[str, dict[str, Any]] = {
    "PATCH /v1/channels/{id}": {"points_per_unit": 10, "points_master": "channel"},
    "POST /v1/channels/{id}/secret": {"secret": "what it signs with next", "former_until": "2100-01-01T00:00:00Z"},
    "POST /v1/channels/{id}/drift": {
        "copies": [{"identity": {"type": "id", "value": "1"}, "as_of": "2026-01-01T00:00:00Z", "points": 7}]
    },
}
"""What a channel may be asked for once it is connected."""
A_PUBLICATION = {"effective_from": "2100-01-01T00:00:00Z"}
MORE_LINKS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("/v1/members", "201", "/id", "PATCH /v1/members/{id}", {}),
    ("/v1/members", "201", "/id", "GET /v1/members/{id}/statement", {"from": "2026-01-01", "to": "2026-12-31"}),
    ("/v1/returns", "202", "/parked", "GET /v1/parked/{id}", {}),
)
"""From the answer of a POST, by its status, with the id at a place in it, to an operation; and what else that wants."""


def follow_links(target: Target, tried: settings, seed: int) -> None:
    """Walk, and hold every answer to the contract."""
    schema = schemathesis.openapi.from_dict(with_bodies(target.document))
    schema.config.generation.update(modes=[schemathesis.GenerationMode.POSITIVE])
    schema.config.phases.stateful.inference.algorithms.clear()  # it takes an entry's id for a hold's

    class Walk(schema.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            self.mark = secrets.token_hex(4)
            self.friend = _joined(target)
            self.members = [_joined(target)]
            self.role: str | None = None
            self.steps = 0

        def before_call(self, case: Any) -> None:
            """The other requests try keys, dry runs and people; here the way is what counts.

            hypothesis goes a part of a way again, and expects to meet the same: chance is the same wherever the way is,
            and people and references are new.
            """
            self.steps += 1
            chance = random.Random(f"{seed} {self.steps} {case.operation.label}")
            case.query = {name: value for name, value in (case.query or {}).items() if name != "dry_run"}
            case.headers = {"Idempotency-Key": secrets.token_hex(8)}
            if case.operation.label == "POST /v1/members":
                case.body = {}
            elif isinstance(case.body, dict):
                case.body = _meant(case.body, self.mark)
                self._name_somebody(case.body, chance)
            able = target.able(scope_of(case))
            self.role = chance.choice(target.roles if chance.random() < A_STRANGER else able)

        def _name_somebody(self, body: dict[str, Any], chance: random.Random) -> None:
            """Whoever a body names is somebody who has joined; and gives to a friend, who never acts."""
            known = [{"id": member} for member in self.members]
            for name in ("member", "from"):
                if name in body and body[name] not in known:
                    body[name] = chance.choice(known)
            if "to" in body:
                body["to"] = {"id": self.friend}

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"base_url": target.url, "headers": target.admission(self.role)}

        def after_call(self, response: Any, case: Any) -> None:
            """Whoever joins has something to spend."""
            if case.operation.label == "POST /v1/members" and response.status_code == 201:
                self.members.append(response.json()["id"])
                _welcome(target, self.members[-1])

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            target.hold(case, response)

    hypothesis.seed(seed)(Walk)
    with suppress(FlakyStrategyDefinition):  # time has passed, a way is not what it was; its answers were held as ever
        Walk.run(settings=settings(tried, deadline=None, database=None, suppress_health_check=list(HealthCheck)))


def with_bodies(document: dict[str, Any]) -> dict[str, Any]:
    """The contract, with links that carry bodies too, and some more."""
    found = copy.deepcopy(document)

    def link(source: str, status: str, name: str, target: str, **carried: Any) -> None:
        method, path = target.split()
        links = found["paths"][source]["post"]["responses"][status].setdefault("links", {})
        links[name] = {"operationId": found["paths"][path][method.lower()]["operationId"], **carried}

    def link_with_body(source: str, number: int, target: str, body: dict[str, Any]) -> None:
        more: dict[str, Any] = {"x-schemathesis": {"merge_body": False}}
        if "{id}" in target:
            more["parameters"] = {"id": "$response.body#/id"}
        link(source, "201", f"{target} {number}", target, requestBody=body, **more)

    for target, bodies in FROM_A_MEMBER.items():
        for number, body in enumerate(bodies):
            link_with_body("/v1/members", number, target, body)
    for target in ("POST /v1/returns", "POST /v1/returns/reserve"):
        link_with_body("/v1/accruals", 0, target, A_RETURN)
    link_with_body("/v1/accruals", 0, "POST /v1/reassignments", A_REASSIGNMENT)
    link_with_body("/v1/earning-rules", 0, "POST /v1/earning-rules/{id}/publish", A_PUBLICATION)
    for target, body in OF_A_CHANNEL.items():
        of_its_name = {"id": "$response.body#/name"}
        merged = {"x-schemathesis": {"merge_body": False}}
        link("/v1/channels", "201", target, target, parameters=of_its_name, requestBody=body, **merged)
    for source, status, place, target, more in MORE_LINKS:
        link(source, status, target, target, parameters={"id": f"$response.body#{place}", **more})
    return found


def _meant(value: Any, mark: str) -> Any:
    """As a client would write it: the contract's schemas alone let 1.0 and controls through; references bear a mark."""
    match value:
        case {"reference": str() as reference, **rest}:
            return {**_meant(rest, mark), "reference": f"{mark} {_meant(reference, mark)}"[:LONGEST]}
        case dict():
            return {name: _meant(part, mark) for name, part in value.items()}
        case list():
            return [_meant(part, mark) for part in value]
        case float() if value.is_integer():
            return int(value)
        case str():
            return "".join(sign if sign.isascii() and sign.isprintable() else "x" for sign in value).strip() or "x"
    return value


def _joined(target: Target) -> str:
    """Somebody new, with points."""
    answer = _sent(target, "/v1/members", "members:write", {})
    member: str = answer["id"]
    _welcome(target, member)
    return member


def _welcome(target: Target, member: str) -> None:
    grant = {"member": {"id": member}, "points": 1000, "reason": "welcome", "source": "fuzz"}
    _sent(target, "/v1/accruals", "accruals:write", {**grant, "reference": f"welcome {member}"})


def _sent(target: Target, path: str, scope: str, body: dict[str, Any]) -> Any:
    """Send what is never refused; the answer."""
    role = next(role for role in target.roles if may(role, scope))
    headers = {**target.admission(role), "Idempotency-Key": secrets.token_hex(8)}
    answer = httpx2.post(f"{target.url}{path}", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()
