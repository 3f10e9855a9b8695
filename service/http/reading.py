"""What the reading routes share: read-your-writes, parameters, JSON answers."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from service.keys import LOG, READERS
from service.query import number_of

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


def limit(request: web.Request) -> int:
    """The query's `limit`, 1 to 1000."""
    return number_of(request.query, "limit", 100, least=1, most=MAX_LIMIT)
