"""What the reading routes share: read-your-writes, parameters, JSON answers."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from service.keys import LOG, READERS
from translation_events.errors import ErrorCode, InvalidEvent

PASS_WITHIN_S: Final = 1.0
MAX_LIMIT: Final = 1000


async def settled(request: web.Request) -> int:
    """Wait until the readers have passed what was acknowledged before; returns by how much they lag."""
    seq = request.app[LOG].last_seq
    readers = request.app[READERS]
    await readers.passed(seq, PASS_WITHIN_S)
    return max(0, seq - readers.cursor)


def json_response(body: Any, *, lag_events: int = 0) -> web.Response:
    """A JSON answer; a lag is told in `X-Lag-Events`."""
    response = web.Response(body=orjson.dumps(body), content_type="application/json", charset="utf-8")
    response.headers["Cache-Control"] = "no-store"
    if lag_events:
        response.headers["X-Lag-Events"] = str(lag_events)
    return response


def number(request: web.Request, name: str, default: int, *, least: int = 0, most: int = 2**63 - 1) -> int:
    """A whole number of the query. Raises: InvalidEvent naming it and what is allowed."""
    value = request.query.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdecimal()) or not least <= int(value) <= most:
        raise InvalidEvent(
            ErrorCode.INVALID_EVENT,
            f"{name} is wrong; allowed: a whole number from {least} to {most}.",
            field=name,
        )
    return int(value)


def limit(request: web.Request) -> int:
    """The query's `limit`, 1 to 1000."""
    return number(request, "limit", 100, least=1, most=MAX_LIMIT)
