"""The application: its routes, its problems, its life from the first connection to the last answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response

from loyalty.api import (
    accruals,
    adjustments,
    analytics,
    channels,
    codes,
    docs,
    drift,
    entries,
    events,
    explanations,
    health,
    holds,
    identities,
    inbound,
    ledger,
    members,
    merges,
    parked,
    reassignments,
    redemptions,
    returns,
    reviews,
    rules,
    statements,
    tags,
    tiers,
    transfers,
    what_ifs,
)
from loyalty.api.answers import ProblemAnswer
from loyalty.api.links import add_links
from loyalty.api.observed import Observed
from loyalty.api.problems import MEDIA_TYPE, Problem, body_of_refusal, published, response_to_problem
from loyalty.api.service import Service
from loyalty.config import Settings
from loyalty.domain.refusals import Refusal

DESCRIPTION = (
    "A double-entry points ledger and tiers behind an idempotent API. Send an `Idempotency-Key` with every write;"
    " the same key and request replay the same answer. Every refusal is a problem (RFC 9457) with a stable `code`."
)
_CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}

log = structlog.get_logger()


def create_app(settings: Settings) -> FastAPI:
    """The service over one database; it connects when the server starts it and drains when the server stops it."""
    app = FastAPI(
        title="Loyalty",
        version=version("loyalty"),
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would answer before it knows who asks, and to whatever Host says
    )
    app.state.service = Service.over(settings)
    for router in (
        accruals.router,  # routes are tried in this order: the hot ones first
        redemptions.router,
        holds.router,
        returns.router,
        transfers.router,
        adjustments.router,
        reassignments.router,
        reviews.router,
        rules.router,
        what_ifs.router,
        codes.router,
        inbound.router,
        channels.router,
        drift.router,
        explanations.router,
        members.lean,
        members.router,
        merges.router,
        tags.router,
        tiers.router,
        identities.router,
        statements.router,
        entries.router,
        parked.router,
        events.router,
        ledger.router,
        analytics.router,
        health.router,
        docs.router,
    ):
        app.include_router(router)
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Observed)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Ready between the first and the last line; afterwards the lanes are empty and the connections closed."""
    service: Service = app.state.service
    service.lanes.start()
    service.ready = True
    try:
        yield
    finally:
        service.ready = False
        drained = await service.lanes.drain(service.settings.shutdown_s)
        log.info("drained", complete=drained)
        await service.database.close()


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return response_to_problem(problem, request.scope.get("loyalty.request_id"))


async def _on_refusal(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    status, body = body_of_refusal(refusal, request.scope.get("loyalty.request_id"))
    return Response(body, status, media_type=MEDIA_TYPE)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Where the request does not fit, and why; never what was in it."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"field": ".".join(str(part)[:64] for part in one["loc"]), "problem": one["msg"]} for one in error.errors()
    ]
    problem = Problem("invalid_request", f"{errors[0]['field']}: {errors[0]['problem']}", errors=errors[:20])
    return await _on_problem(request, problem)


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses, in our words."""
    assert isinstance(error, HTTPException)
    problem = Problem(_CODE_OF_STATUS.get(error.status_code, "malformed_request"), str(error.detail))
    response = await _on_problem(request, problem)
    response.headers.update(error.headers or {})
    return response


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The contract, with the problem's schema and the way to authenticate."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = document.setdefault("components", {})
        schema = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
        components.setdefault("schemas", {})[ProblemAnswer.__name__] = schema
        components["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer", "description": "An API key: `Bearer lk_...`."}
        }
        document["x-problems"] = published()
        add_links(document)
        app.openapi_schema = document
    return app.openapi_schema
