"""`/alerts`: what Alertmanager says is firing. Source: docs/protocol.md, "Shapes"."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from service.http.reading import json_response
from service.keys import ALERTMANAGER

routes = web.RouteTableDef()

NOT_CONFIGURED: Final[dict[str, Any]] = {"configured": False, "reachable": False, "alerts": None}


@routes.get("/alerts")
async def alerts(request: web.Request) -> web.Response:
    """The firing alerts, the worst first; `alerts` is null where they could not be read."""
    alertmanager = request.app.get(ALERTMANAGER)
    if alertmanager is None:
        return json_response(NOT_CONFIGURED)
    reading = await alertmanager.read()
    return json_response({"configured": True, **msgspec.to_builtins(reading)})
