"""Operations: is the process alive, may requests be sent here, and its metrics."""

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import JSONResponse, Response

from loyalty.api.service import Service
from loyalty.telemetry import is_multiprocess

router = APIRouter(tags=["operations"])


@router.get("/healthz", summary="The process is alive")
async def alive() -> Response:
    return JSONResponse({"status": "alive"})


@router.get("/readyz", summary="Requests may be sent here", responses={503: {"description": "Not now."}})
async def ready(request: Request) -> Response:
    """503 while starting, while draining, and when the database does not answer."""
    service: Service = request.app.state.service
    if service.ready and await service.database.answers():
        return JSONResponse({"status": "ready"})
    return JSONResponse({"status": "not ready"}, 503, {"Retry-After": "1"})


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics() -> Response:
    if not is_multiprocess():
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
