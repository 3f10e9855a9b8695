"""The HTML monitor: one page under two names and its files, with a strict Content-Security-Policy."""

from __future__ import annotations

from hashlib import blake2b
from importlib.resources import files
from mimetypes import MimeTypes
from pathlib import Path
from typing import Final

from aiohttp import web

from translation_events.version import __version__

routes = web.RouteTableDef()

STATIC: Final = Path(str(files("service"))) / "static"
PAGE: Final = "monitor.html"
WORKER: Final = "service_worker.js"
_types: Final = MimeTypes()  # without the machine's own lists
_types.add_type("application/manifest+json", ".webmanifest")
_UTF8: Final = frozenset(
    {"application/javascript", "application/json", "application/manifest+json", "image/svg+xml"}
)
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept-Encoding",
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
async def monitor(request: web.Request) -> web.Response:
    """The page; which panels are open it reads from its own address."""
    return _file(request, STATIC / PAGE)


@routes.get("/service-worker.js")
async def service_worker(request: web.Request) -> web.Response:
    """The service worker, from the root since it may only serve what lies below its own path.

    It carries the version, so that a browser takes a new one with each.
    """
    return _file(request, STATIC / WORKER, f"// translation-monitor {__version__}\n".encode())


@routes.get("/static/{name:[a-z0-9_-]+\\.[a-z0-9]+}")
async def asset(request: web.Request) -> web.Response:
    """A file of the page; the pattern leaves no way out of the folder."""
    path = STATIC / request.match_info["name"]
    if not path.is_file():
        raise web.HTTPNotFound
    return _file(request, path)


def _file(request: web.Request, path: Path, head: bytes = b"") -> web.Response:
    """The file after the `head`, whole and compressed, or a 304.

    Not a FileResponse: one that compresses sends the end of an empty deflate stream after a 304 and a HEAD.
    """
    body = head + path.read_bytes()
    etag = blake2b(body, digest_size=12).hexdigest()
    response = web.Response(headers=HEADERS)
    response.etag = etag
    if any(tag.value in (etag, "*") for tag in request.if_none_match or ()):
        response.set_status(304)
        return response
    response.body = body
    kind = _types.guess_type(path.name)[0] or "application/octet-stream"
    response.content_type = kind
    if kind.startswith("text/") or kind in _UTF8:
        response.charset = "utf-8"
        response.enable_compression()  # 99 KB become 36
    return response
