"""Where requests go, under whose keys, and what an answer is held to."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from loyalty.api.access import SCOPES_OF_ROLE

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
NO_ROUTE = (404, 405)
"""What a path that names nothing is answered, whoever asks."""


class Target:
    """A running server, its contract, a key of it for every role, and what it has answered so far."""

    def __init__(self, url: str, document: Mapping[str, Any], tokens: Mapping[str, str]) -> None:
        self.url = url
        self.document = dict(document)
        self.roles: list[str | None] = [*sorted(tokens), None]
        self.answered: Counter[tuple[str, int, str]] = Counter()
        """By operation, status and the code of a problem."""
        self.findings: list[str] = []
        """What was not as the contract says, with the request. Nothing is raised: one finding hides no other."""
        self._tokens = tokens
        self._roles = {f"Bearer {token}": role for role, token in tokens.items()}

    def admission(self, role: str | None) -> dict[str, str]:
        """The headers of a caller."""
        return {} if role is None else {"Authorization": f"Bearer {self._tokens[role]}"}

    @property
    def operations(self) -> list[str]:
        """Every operation of the API, as `METHOD path`."""
        paths = self.document["paths"].items()
        return [f"{method.upper()} {path}" for path, methods in paths for method in methods if path.startswith("/v1/")]

    def able(self, scope: str | None) -> list[str | None]:
        """The roles that have the scope; any where there is none to have."""
        return [role for role in self.roles if may(role, scope)]

    def hold(self, case: Any, response: Any) -> None:
        """Count the answer, and note what is not as the contract says."""
        self.answered[case.operation.label, response.status_code, _code(response)] += 1
        sent = response.request.headers  # of a request that shall not fit, schemathesis also drops the key
        try:
            case.validate_response(response, checks=CHECKS)
            check_admission(scope_of(case), self._roles.get(sent.get("Authorization")), response.status_code)
        except (AssertionError, FailureGroup) as problem:
            request = case.as_curl_command(headers=dict(sent))
            self.findings.append(f"{case.operation.label}: {problem}\n{response.text[:500]}\n{request}")

    def heard(self) -> set[str]:
        """The operations that have said yes."""
        return {operation for operation, status, _ in self.answered if status < 300}


def _code(response: Any) -> str:
    """The code of a problem; else nothing."""
    try:
        return str(response.json().get("code", "")) if response.status_code >= 400 else ""
    except ValueError:
        return "no JSON"


def scope_of(case: Any) -> str | None:
    """The scope that the operation of a request asks for; None: it asks for none."""
    scope: str | None = case.operation.definition.raw.get("x-scope")
    return scope


def may(role: str | None, scope: str | None) -> bool:
    return scope is None or (role is not None and scope in SCOPES_OF_ROLE[role])


def check_admission(scope: str | None, role: str | None, status: int) -> None:
    """Raises AssertionError when who may was turned away, or who may not was let in."""
    if may(role, scope):
        assert status not in (401, 403), f"{role} has {scope} and was answered {status}"
    else:
        expected = 401 if role is None else 403
        assert status in (expected, *NO_ROUTE), f"{role} lacks {scope} and was answered {status}"
