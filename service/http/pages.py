"""The HTML monitor: one page under two names and its files, with a strict Content-Security-Policy."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from service.http.asset import Asset
from service.http.page_build import PageBuild
from service.keys import PAGE

routes = web.RouteTableDef()

STATIC: Final = Path(str(files("service"))) / "static"
ASK: Final = "no-cache"  # kept by the browser, but asked for each time; usually answered with a 304
KEEP: Final = "public, max-age=31536000, immutable"


@routes.get("/")
async def root(request: web.Request) -> web.Response:
    """The monitor is the front page."""
    query = f"?{request.query_string}" if request.query_string else ""
    raise web.HTTPFound(f"/monitor{query}")


@routes.get("/monitor")
@routes.get("/enhanced-monitor.html")
async def monitor(request: web.Request) -> web.Response:
    """The page; which panels are open it reads from its own address."""
    build = request.app[PAGE]
    page = build.session_page if request.query.get("session") else build.page
    return page.response(request, ASK)


@routes.get("/service-worker.js")
async def service_worker(request: web.Request) -> web.Response:
    """The service worker, from the root since it may only serve what lies below its own path."""
    return request.app[PAGE].service_worker.response(request, ASK)


@routes.get("/static/{build:[0-9a-f]{24}}/{name:[a-z0-9_-]+\\.[a-z0-9]+}")
async def asset_of_build(request: web.Request) -> web.Response:
    """A file of this build; another's is not here, and one of ours in its place would not fit the rest."""
    if request.match_info["build"] != request.app[PAGE].id:
        raise web.HTTPNotFound
    return _found(request.app[PAGE].asset(request.match_info["name"]), request, KEEP)


@routes.get("/static/{name:[a-z0-9_-]+\\.[a-z0-9]+}")
async def asset(request: web.Request) -> web.Response:
    """A file as it was written: for who reads it, and for what stands alone, as the offline page does."""
    return _found(request.app[PAGE].plain(request.match_info["name"]), request, ASK)


def build() -> PageBuild:
    """The page as it is in the package now."""
    return PageBuild(STATIC)


def _found(asset: Asset | None, request: web.Request, cache: str) -> web.Response:
    """Only what was read at the start has a name, so none leads out of the folder."""
    if asset is None:
        raise web.HTTPNotFound
    return asset.response(request, cache)
