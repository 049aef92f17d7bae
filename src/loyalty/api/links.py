"""Links of the contract: which answers name what another operation asks for (OpenAPI link objects)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Link(NamedTuple):
    """The answer of `source` with `status` holds at `at` (a JSON pointer) the id in the path of `target`.

    `more`: where it holds what else the path names, by name.
    """

    source: str
    status: str
    at: str
    target: str
    more: Mapping[str, str] = MappingProxyType({})

    @property
    def name(self) -> str:
        """What the link is called: the last words of the path that it leads to, such as `holds.capture`."""
        method, path = self.target.split()
        words = [word for word in path.split("/")[2:] if not word.startswith("{")]
        return ".".join(words if method != "GET" or path.count("/") > 3 else [*words, "read"])


_OF_A_MEMBER = ("", "/balance", "/tier", "/tags", "/entries", "/lots", "/identities", "/code", "/code/image")
LINKS = (
    *(Link("POST /v1/members", "201", "/id", f"GET /v1/members/{{id}}{what}") for what in _OF_A_MEMBER),
    Link("POST /v1/members", "201", "/id", "POST /v1/members/{id}/close"),
    Link(
        "POST /v1/members/{id}/identities",
        "201",
        "/member",
        "DELETE /v1/members/{id}/identities/{identity}",
        {"identity": "/id"},
    ),
    Link("POST /v1/accruals", "201", "/entry/id", "GET /v1/entries/{id}"),
    Link("POST /v1/accruals", "201", "/entry/id", "GET /v1/entries/{id}/explanation"),
    Link("POST /v1/accruals", "201", "/entry/member", "GET /v1/members/{id}/balance"),
    Link("POST /v1/accruals", "202", "/parked", "GET /v1/parked/{id}"),
    Link("POST /v1/redemptions", "201", "/redemption/id", "POST /v1/redemptions/{id}/refund"),
    Link("POST /v1/redemptions", "201", "/entry/member", "GET /v1/members/{id}/balance"),
    Link("POST /v1/holds", "201", "/hold/id", "GET /v1/holds/{id}"),
    Link("POST /v1/holds", "201", "/hold/id", "POST /v1/holds/{id}/capture"),
    Link("POST /v1/holds", "201", "/hold/id", "POST /v1/holds/{id}/release"),
    Link("POST /v1/holds/{id}/capture", "201", "/redemption", "POST /v1/redemptions/{id}/refund"),
    Link("POST /v1/returns", "201", "/entry/id", "GET /v1/entries/{id}"),
    Link("POST /v1/returns/reserve", "201", "/reservation/id", "GET /v1/returns/{id}"),
    Link("POST /v1/returns/reserve", "201", "/reservation/id", "POST /v1/returns/{id}/confirm"),
    Link("POST /v1/returns/reserve", "201", "/reservation/id", "POST /v1/returns/{id}/cancel"),
    Link("POST /v1/reassignments", "201", "/entry/id", "GET /v1/entries/{id}"),
    Link("POST /v1/returns", "202", "/parked", "GET /v1/parked/{id}"),
    Link("POST /v1/merges", "201", "/merge", "POST /v1/merges/{id}/reverse"),
    Link("POST /v1/adjustments", "202", "/adjustment", "POST /v1/adjustments/{id}/approve"),
    Link("POST /v1/adjustments", "202", "/adjustment", "POST /v1/adjustments/{id}/reject"),
    Link("POST /v1/earning-rules", "201", "/id", "GET /v1/earning-rules/{id}"),
    Link("POST /v1/earning-rules", "201", "/id", "POST /v1/earning-rules/{id}/publish"),
    Link("POST /v1/channels", "201", "/name", "GET /v1/channels/{id}"),
    Link("POST /v1/channels", "201", "/name", "GET /v1/channels/{id}/drift"),
    Link("GET /v1/channels/{id}/drift", "200", "/items/0/difference", "GET /v1/drift/{id}"),
    Link("GET /v1/reviews", "200", "/items/0/review", "GET /v1/reviews/{id}"),
    Link("GET /v1/reviews", "200", "/items/0/review", "POST /v1/reviews/{id}/resolve"),
)


def add_links(document: Mapping[str, Any]) -> None:
    """Write the links into the OpenAPI document."""
    for link in LINKS:
        answer = _operation(document, link.source)["responses"][link.status]
        answer.setdefault("links", {})[link.name] = {
            "operationId": _operation(document, link.target)["operationId"],
            "parameters": {name: f"$response.body#{at}" for name, at in {"id": link.at, **link.more}.items()},
        }


def _operation(document: Mapping[str, Any], name: str) -> Any:
    method, path = name.split()
    return document["paths"][path][method.lower()]
