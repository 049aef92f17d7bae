"""Around every request: its id, its one log event, its metrics, and the headers that keep browsers safe."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
import uuid_utils
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from loyalty.api.problems import Problem, response_to_problem
from loyalty.store.database import Fault, fault_of, took_too_long
from loyalty.telemetry import REQUESTS, SECONDS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_REQUEST_ID = 64
_CLIENT_LEFT = 499
"""What the log and the metrics say of a client that hung up in the middle of its request."""
_SAFE = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]

log = structlog.get_logger()


class Observed:
    """ASGI middleware; plain, because it is on the way of every request."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = scope["loyalty.request_id"] = _request_id(scope)
        status = 0
        replayed = False

        async def observe(message: Message) -> None:
            nonlocal status, replayed
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", ()))
                replayed = any(name == b"idempotency-replayed" for name, _ in headers)
                headers.append((b"x-request-id", request_id.encode()))
                headers.extend(_SAFE)
            await send(message)

        try:
            await self.app(scope, receive, observe)
        except ClientDisconnect:
            status = _CLIENT_LEFT
        except Exception as error:
            if status:  # half an answer is out already: the connection must break
                raise
            await _answer_to(error, request_id)(scope, receive, observe)
        finally:
            _report(scope, status or 500, time.perf_counter() - begun, request_id, replayed)


def _answer_to(error: Exception, request_id: str) -> Response:
    """The database is away: 503. Anything else is a mistake of ours: logged with its trace, told without."""
    if fault_of(error) is Fault.RESTART or took_too_long(error):
        log.warning("database_away", cause=type(error).__name__, request_id=request_id)
        return response_to_problem(Problem("unavailable", "The ledger's database did not answer."), request_id)
    log.error("unexpected", exc_info=error, request_id=request_id)
    detail = "The request failed. Whether it took effect, its key tells."
    return response_to_problem(Problem("internal_error", detail), request_id)


def _report(scope: Scope, status: int, seconds: float, request_id: str, replayed: bool) -> None:
    """One log event and the metrics. The route's pattern, never the path: a path may hold what is personal."""
    route = getattr(scope.get("route"), "path", "unmatched")
    REQUESTS.labels(route, status).inc()
    SECONDS.labels(route).observe(seconds)
    caller = scope.get("loyalty.caller")
    log.info(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        ms=round(seconds * 1000, 2),
        request_id=request_id,
        programme=caller and caller.programme.code,
        client=caller and caller.client_id,
        replayed=replayed,
    )


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-Id where it is harmless, else one of ours."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.replace("-", "").isalnum():
                return str(given)
    return uuid_utils.uuid7().hex
