"""The way of a request to its handler: admission first, strict JSON, and a short cut for the hot routes.

The law of `LeanRoute`: delete it, use `StrictRoute` in its place, and only speed changes. A test sends one
corpus through both and compares bytes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_type_hints

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from loyalty.api.access import Caller
from loyalty.api.problems import Problem
from loyalty.api.service import Service
from loyalty.domain.claims import Claim
from loyalty.domain.ids import MemberId
from loyalty.domain.texts import TwinNames, refuse_twins

Handler = Callable[[Request], Awaitable[Response]]
BODY_TIMEOUT_S = 30
"""How long a body may take to arrive."""
NO_JSON = "The body is not one JSON value that we can read."
DRY_RUN = "dry_run"
"""The one query parameter of a write."""


class Call:
    """One admitted request: the service it came to, who calls, and the request itself."""

    __slots__ = ("caller", "claim", "codes", "merged", "request", "service")

    def __init__(self, request: Request, service: Service, caller: Caller) -> None:
        self.request = request
        self.service = service
        self.caller = caller
        self.codes: list[tuple[MemberId, int]] = []
        """Member codes that the request came with: whose, and of which step. They are used up with it."""
        self.claim: Claim | None = None
        """Of a write that has a key."""
        self.merged: dict[MemberId, MemberId] = {}
        """Members that turned out to be merged into others, and into whom."""

    @property
    def request_id(self) -> str:
        return str(self.request.scope["loyalty.request_id"])


async def admit(request: Request, scope: str) -> Call:
    """Authenticate and authorise. Raises Problem `unauthenticated`, `forbidden`."""
    service: Service = request.scope["app"].state.service
    caller = await service.keys.caller(request.headers.get("authorization"))
    if scope not in caller.scopes:
        raise Problem("forbidden", f"The key lacks the scope {scope}.", scope=scope)
    request.scope["loyalty.caller"] = caller
    return Call(request, service, caller)


def _admitted(request: Request) -> Call:
    call: Call = request.scope["loyalty.call"]
    return call


Calling = Annotated[Call, Depends(_admitted)]
"""The admitted call, as a handler's first argument."""


class StrictRequest(Request):
    """A request whose body is bounded, and its JSON read strictly: no NaN, no Infinity, one value, bounded depth."""

    async def body(self) -> bytes:
        """Raises Problem `too_large`, `too_slow`. Starlette's own limit would answer in plain text."""
        if not hasattr(self, "_body"):
            limit = self.scope["app"].state.service.settings.max_body_bytes
            pieces, size = [], _declared_size(self)
            if size <= limit:
                size = 0
                try:
                    async with asyncio.timeout(BODY_TIMEOUT_S):
                        async for piece in self.stream():
                            size += len(piece)
                            pieces.append(piece)
                            if size > limit:
                                break
                except TimeoutError:
                    raise Problem("too_slow", f"The body did not arrive within {BODY_TIMEOUT_S} seconds.") from None
            if size > limit:
                raise Problem("too_large", f"A body has at most {limit} bytes.", maximum=limit)
            self._body = b"".join(pieces)
        return self._body

    async def json(self) -> Any:
        """Raises Problem `malformed_json`."""
        raw = await self.body()
        given = _strict_json(raw)
        _refuse_twins(raw)
        return given


class StrictRoute(APIRoute):
    """Admits a request before anything of its body is looked at. The scope it asks for is in `openapi_extra`."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        inner: Handler = super().get_route_handler()
        admission = self._admission()

        async def handle(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            request.scope["loyalty.call"] = await admission(request)
            if self.body_field is not None:
                await request.json()  # FastAPI would find its own words for what is wrong with it
            return await inner(request)

        return handle

    def _admission(self) -> Callable[[Request], Awaitable[Call]]:
        """What every request of this route passes first."""
        scope: str = (self.openapi_extra or {})["x-scope"]
        takes_json = self.body_field is not None
        described = (self.openapi_extra or {}).get("parameters", ())
        known = {str(one["name"]) for one in described if one["in"] == "query"}
        known |= {str(parameter.alias) for parameter in self.dependant.query_params}

        async def admission(request: Request) -> Call:
            call = await admit(request, scope)
            if request.scope["query_string"]:
                _check_query(request, known)
            if takes_json and not _is_json(request.headers.get("content-type")):
                raise Problem("unsupported_media_type", "Send the body as application/json.")
            return call

        return admission


class LeanRoute(StrictRoute):
    """The same endpoint function, called with its path and its body (validated by its `TypeAdapter`) at once.

    For endpoints that take the call, what their path names, as text, and perhaps a body called `body`. A read whose
    query says something takes the long way.
    """

    def get_route_handler(self) -> Callable[[Request], Any]:
        endpoint, admission = self.endpoint, self._admission()
        if self.body_field is None:
            long_way = super().get_route_handler()

            async def read(request: Request) -> Response:
                if request.scope["query_string"]:
                    return await long_way(request)  # type: ignore[no-any-return]
                return await endpoint(await admission(request), **request.path_params)  # type: ignore[no-any-return]

            return read
        adapter: TypeAdapter[Any] = TypeAdapter(get_type_hints(endpoint, include_extras=True)["body"])

        async def write(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            call = await admission(request)
            raw = await request.body()
            try:
                body = adapter.validate_json(raw)
                _refuse_twins(raw)
            except ValidationError:
                body = _read_slowly(adapter, raw)
            return await endpoint(call, **request.path_params, body=body)  # type: ignore[no-any-return]

        return write


def _read_slowly(adapter: TypeAdapter[Any], raw: bytes) -> Any:
    """What FastAPI would have made of the body, in its words. Raises Problem, RequestValidationError."""
    given = _strict_json(raw)
    _refuse_twins(raw)
    try:
        return adapter.validate_python(given, from_attributes=True)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in errors]) from None


def _strict_json(raw: bytes) -> Any:
    """The one JSON value of the body. Raises Problem `malformed_json`."""
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise Problem("malformed_json", NO_JSON) from None


def _check_query(request: Request, known: set[str]) -> None:
    """A misspelt parameter must not pass unnoticed, nor one that is given twice. Raises Problem `invalid_request`."""
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in known or name in seen:
            raise Problem(
                "invalid_request",
                f"The query takes {', '.join(sorted(known)) or 'no parameters'}; each at most once.",
                errors=[{"field": f"query.{name[:64]}", "problem": "is unknown or given twice"}],
            )
        seen.add(name)


def _refuse_twins(raw: bytes) -> None:
    """Raises Problem `malformed_json`."""
    try:
        refuse_twins(raw.decode())
    except TwinNames:
        raise Problem("malformed_json", "A field stands twice in one object of the body.") from None


def _declared_size(request: Request) -> int:
    """How large the body will be, as far as it is announced."""
    announced = request.headers.get("content-length", "")
    return int(announced) if announced.isdecimal() else 0


def _is_json(content_type: str | None) -> bool:
    return content_type is not None and content_type.partition(";")[0].strip().lower() == "application/json"
