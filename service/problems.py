"""Error codes as HTTP answers: `application/problem+json` (RFC 9457) with a stable `code`.

The one table from code to HTTP status and WebSocket close code.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
import structlog
from aiohttp import web

from service.query import WrongParameter
from translation_events.errors import ErrorCode, InvalidEvent, MonitorError

log = structlog.get_logger(__name__)

RETRY_AFTER_S: Final = 5


class Meaning(NamedTuple):
    """What a code is at the edges; `close` is None where a WebSocket stays open."""

    status: int
    title: str
    close: int | None = None


MEANINGS: Final = {
    ErrorCode.INVALID_JSON: Meaning(400, "Not valid JSON"),
    ErrorCode.INVALID_EVENT: Meaning(400, "Not a valid event"),
    ErrorCode.TOO_LARGE: Meaning(413, "Too large", 1009),
    ErrorCode.UNAUTHORIZED: Meaning(401, "Unauthorized", 1008),
    ErrorCode.RATE_LIMITED: Meaning(429, "Too many requests"),
    ErrorCode.READ_ONLY: Meaning(403, "A viewer may not publish"),
    ErrorCode.LOG_UNAVAILABLE: Meaning(503, "The event log cannot be used just now"),
    "bad_request": Meaning(400, "Bad request"),
    "not_found": Meaning(404, "Not found"),
    "host_not_allowed": Meaning(403, "Host not allowed"),
    "origin_not_allowed": Meaning(403, "Origin not allowed"),
    "method_not_allowed": Meaning(405, "Method not allowed"),
    "unsupported_media_type": Meaning(415, "Unsupported media type"),
    "too_many_connections": Meaning(503, "Too many connections"),
    "request_timeout": Meaning(408, "The request did not come to its end"),
    "upgrade_required": Meaning(426, "A WebSocket is expected here"),
    "internal": Meaning(500, "Internal error"),
}


def problem(code: str, detail: str, *, headers: dict[str, str] | None = None, **members: Any) -> web.Response:
    """An error answer; `members` are added to the document (None: left out)."""
    meaning = MEANINGS[code]
    headers = dict(headers or {})
    if meaning.status in (429, 503):
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    body = {
        "type": "about:blank",
        "title": meaning.title,
        "status": meaning.status,
        "code": str(code),
        "detail": detail,
        **{name: value for name, value in members.items() if value is not None},
    }
    return web.Response(
        status=meaning.status,
        body=orjson.dumps(body),
        content_type="application/problem+json",
        headers=headers,
    )


def problem_of(err: MonitorError) -> web.Response:
    """The answer to an error of ours."""
    code = err.code if err.code in MEANINGS else "internal"
    field = err.field if isinstance(err, InvalidEvent | WrongParameter) else None
    return problem(code, err.detail, field=field)


def error_message(
    err: MonitorError, *, index: int | None = None, event_id: str | None = None
) -> dict[str, Any]:
    """The error as a control message of the WebSocket."""
    message: dict[str, Any] = {"type": "error", "code": str(err.code), "detail": err.detail}
    if isinstance(err, InvalidEvent):
        event_id = err.event_id if event_id is None else event_id
        if err.field is not None:
            message["field"] = err.field
    if event_id is not None:
        message["id"] = event_id
    if index is not None:
        message["index"] = index
    return message


@web.middleware
async def problems(request: web.Request, handler: Any) -> web.StreamResponse:
    """Turn whatever a handler raises into a problem document; nothing of the inside leaks out."""
    try:
        response: web.StreamResponse = await handler(request)
    except MonitorError as err:
        return problem_of(err)
    except web.HTTPNotFound:
        return problem("not_found", f"There is nothing at {request.path[:200]}.")
    except web.HTTPMethodNotAllowed as err:
        allowed = ", ".join(sorted(err.allowed_methods))
        detail = f"{request.method} is not allowed here; allowed: {allowed}."
        return problem("method_not_allowed", detail, headers={"Allow": allowed})
    except web.HTTPRequestEntityTooLarge:
        return problem(ErrorCode.TOO_LARGE, "The request body is too large.")
    except web.HTTPException as err:
        if err.status < HTTPStatus.BAD_REQUEST:
            raise
        return problem("bad_request", err.reason)
    except (ConnectionError, TimeoutError):
        raise  # the client is gone: there is nobody to answer
    except Exception:
        log.exception("request failed", method=request.method, path=request.path[:200])
        return problem("internal", "The server failed to answer; its log says why.")
    return response
