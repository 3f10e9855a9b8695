"""`/sessions` and what lies below it. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import time
from typing import Any, Final

import orjson
from aiohttp import web

from service.http.history_order import sort_of
from service.http.reading import json_response, limit, settled
from service.keys import LOG, SESSIONS
from service.problems import problem
from service.query import MOST, names_of, number_of
from translation_events.event import EventType
from translation_events.session import Session, Status

routes = web.RouteTableDef()

STATUSES: Final = tuple(status.value for status in Status)
TYPES: Final = tuple(event_type.value for event_type in EventType)


@routes.get("/sessions")
async def active(request: web.Request) -> web.Response:
    """The sessions that have not ended, newest first."""
    lag = await settled(request)
    sessions, now = request.app[SESSIONS], time.time()
    running = sorted(sessions.running(), key=lambda s: s.attempt.last_seq, reverse=True)
    return json_response({"sessions": [sessions.view(s, now) for s in running]}, lag_events=lag)


@routes.get("/sessions/history")
async def history(request: web.Request) -> web.Response:
    """The ended sessions a page at a time: the newest first, or as `sort` says."""
    query, most = request.query, limit(request)
    before, offset = number_of(query, "before", MOST), number_of(query, "offset", 0)
    order = sort_of(query)
    wanted = names_of(query, "status", STATUSES)
    lag = await settled(request)
    needle = query.get("q", "").strip().casefold()
    sessions, now = request.app[SESSIONS], time.time()
    found = [
        session
        for session in sessions.newest_first()
        if session.attempt.ended
        and session.attempt.last_seq < before
        and (wanted is None or session.attempt.status in wanted)
        and (not needle or _mentions(session, needle))
    ]
    if order is not None:
        found = order.sorted(found)
    page = found[offset : offset + most]
    more = len(found) > offset + most
    return json_response(
        {
            "sessions": [sessions.view(s, now) for s in page],
            "next_before": page[-1].attempt.last_seq if more and order is None else None,
            "next_offset": offset + most if more else None,
            "total": len(found),
        },
        lag_events=lag,
    )


@routes.get("/sessions/{session_id}")
async def one(request: web.Request) -> web.Response:
    """One summary."""
    lag = await settled(request)
    sessions = request.app[SESSIONS]
    session = sessions.get(request.match_info["session_id"])
    if session is None:
        return _unknown()
    return json_response(sessions.view(session, time.time()), lag_events=lag)


@routes.get("/sessions/{session_id}/events")
async def events(request: web.Request) -> web.Response:
    """A session's events in order, a page at a time."""
    session_id = request.match_info["session_id"]
    found, response = await _page_of_events(request, session_id)
    if not found and request.app[SESSIONS].get(session_id) is None and session_id[:1] != "_":
        return _unknown()
    return response


@routes.get("/events")
async def all_events(request: web.Request) -> web.Response:
    """The events of all sessions in order, a page at a time."""
    _, response = await _page_of_events(request, None)
    return response


@routes.get("/api/v1/status/{session_id}")
async def old_status(request: web.Request) -> web.Response:
    """The earlier program's status route; an unknown session is no error there."""
    lag = await settled(request)
    session_id = request.match_info["session_id"]
    sessions = request.app[SESSIONS]
    session = sessions.get(session_id)
    status: Any = "unknown"
    message = "No such session."
    if session is not None:
        status = session.status(time.time(), sessions.stalled_after_s)
        message = session.attempt.message or session.attempt.reason or ""
    return json_response({"session_id": session_id, "status": status, "message": message}, lag_events=lag)


async def _page_of_events(request: web.Request, session_id: str | None) -> tuple[int, web.Response]:
    """How many kept events the page holds, and the answer; `session_id` None: of all sessions."""
    most, after = limit(request), number_of(request.query, "after", 0)
    types = names_of(request.query, "types", TYPES)
    lag = await settled(request)
    event_log = request.app[LOG]
    found = await event_log.read(after, limit=most, session_id=session_id, types=types)
    # The log bounds an answer by bytes too, so a short page is not yet the last.
    more = found and await event_log.read(found[-1].seq, limit=1, session_id=session_id, types=types)
    body = b'{"events":[%s],"next_after":%s}' % (
        b",".join(stored.body for stored in found),
        orjson.dumps(found[-1].seq if more else None),
    )
    response = json_response(None, lag_events=lag)
    response.body = body
    return len(found), response


def _unknown() -> web.Response:
    return problem("not_found", "No such session; it may have ended so long ago that it was forgotten.")


def _mentions(session: Session, needle: str) -> bool:
    attempt = session.attempt
    texts = (session.session_id, attempt.message, attempt.engine, attempt.model, attempt.last_error)
    return any(needle in text.casefold() for text in (*texts, *attempt.workers) if text)
