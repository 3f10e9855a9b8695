"""The HTML monitor: one page under two names and its files, with a strict Content-Security-Policy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

routes = web.RouteTableDef()

STATIC: Final = Path(str(files("service"))) / "static"
PAGE: Final = "monitor.html"
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Files change with the version and carry no hash in their name: ask, and get a 304.
    "Cache-Control": "no-cache",
}


@routes.get("/")
async def root(request: web.Request) -> web.Response:
    """The monitor is the front page."""
    query = f"?{request.query_string}" if request.query_string else ""
    raise web.HTTPFound(f"/monitor{query}")


@routes.get("/monitor")
@routes.get("/enhanced-monitor.html")
async def monitor(_: web.Request) -> web.FileResponse:
    """The page; which panels are open it reads from its own address."""
    return _file(STATIC / PAGE)


@routes.get("/static/{name:[a-z0-9_-]+\\.[a-z0-9]+}")
async def asset(request: web.Request) -> web.FileResponse:
    """A file of the page; the pattern leaves no way out of the folder."""
    path = STATIC / request.match_info["name"]
    if not path.is_file():
        raise web.HTTPNotFound
    return _file(path)


def _file(path: Path) -> web.FileResponse:
    response = web.FileResponse(path, headers=HEADERS)
    response.enable_compression()  # 99 KB become 36
    return response
