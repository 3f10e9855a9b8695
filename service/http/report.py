"""`/sessions/{id}/report`: a session as one page to print or keep. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from typing import Final

from aiohttp import web

from service.http.reading import settled
from service.keys import CONFIG, LOG, SESSIONS
from service.port import url_of
from service.problems import problem
from service.report.course import Course
from service.report.page import Report, style
from translation_events.version import __version__

routes = web.RouteTableDef()

MAX_EVENTS: Final = 5_000  # 60 ms of folding, in slices; a curve does not show more with more
SLICE_EVENTS: Final = 64


@routes.get("/sessions/{session_id}/report")
async def report(request: web.Request) -> web.Response:
    """The report; made of the newest 5,000 events that are kept."""
    lag = await settled(request)
    app, now = request.app, time.time()
    session_id = request.match_info["session_id"]
    session = app[SESSIONS].get(session_id)
    if session is None:
        return problem("not_found", "No such session; it may have ended so long ago that it was forgotten.")
    view = app[SESSIONS].view(session, now)
    events = await app[LOG].newest(MAX_EVENTS + 1, session_id=session_id)
    left_out = len(events) > MAX_EVENTS
    events = events[-MAX_EVENTS:]
    course = Course(app[LOG].id)
    for start in range(0, len(events), SLICE_EVENTS):
        course.add(events[start : start + SLICE_EVENTS])
        await asyncio.sleep(0)
    server = app[CONFIG].server
    page = Report(
        session=view,
        course=course,
        monitor_url=server.public_url or url_of(server.host, server.port),
        version=__version__,
        now=now,
        left_out=left_out,
    )
    response = web.Response(text=page.render(), content_type="text/html", headers=_headers())
    if lag:
        response.headers["X-Lag-Events"] = str(lag)
    response.enable_compression()
    return response


def _headers() -> dict[str, str]:
    """Its own style and nothing else: no script, nothing loaded, no form, no frame."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return {
        "Content-Security-Policy": f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
