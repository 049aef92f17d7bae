"""`/docs`: the contract for people, in a browser. Every byte of the page comes from here."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from loyalty.api.problems import Problem

router = APIRouter(include_in_schema=False)

_STATIC: Final = Path(__file__).parent / "static"
_SERVED: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "docs.js": "text/javascript",
}
_SAFE: Final = {
    # Swagger UI styles its elements inline and draws its icons from data: URLs; nothing else is let in.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
}


@router.get("/docs")
async def page() -> Response:
    return FileResponse(_STATIC / "docs.html", headers=_SAFE, media_type="text/html")


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    if name not in _SERVED:
        raise Problem("not_found", "There is no such file.")
    return FileResponse(_STATIC / name, media_type=_SERVED[name])
