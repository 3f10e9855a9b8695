"""`/workers`: what is known of each, and orders to drain one. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from service.http.reading import json_response, settled
from service.keys import PROBER, WORKERS
from service.problems import problem

routes = web.RouteTableDef()

MAX_REASON: Final = 500


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order: why, for people."""

    reason: Annotated[str, Meta(max_length=MAX_REASON)] | None = None


@routes.get("/workers")
async def workers(request: web.Request) -> web.Response:
    """The configured and the seen workers."""
    lag = await settled(request)
    return json_response({"workers": request.app[WORKERS].views()}, lag_events=lag)


@routes.get("/workers/{worker_id}")
async def worker(request: web.Request) -> web.Response:
    """One worker."""
    lag = await settled(request)
    view = request.app[WORKERS].view(request.match_info["worker_id"])
    if view is None:
        return problem("not_found", "No such worker: it is neither configured nor named by an event.")
    return json_response(view, lag_events=lag)


@routes.post("/workers/{worker_id}/drain")
async def drain(request: web.Request) -> web.Response:
    """Let the worker finish what it does and give it nothing new, until `undrain`."""
    return await _obey(request, drains=True)


@routes.post("/workers/{worker_id}/undrain")
async def undrain(request: web.Request) -> web.Response:
    """Let the worker work again; it is then what its last probe found."""
    return await _obey(request, drains=False)


async def _obey(request: web.Request, *, drains: bool) -> web.Response:
    """Do it, durably, and answer with the worker. Raises: LogUnavailable."""
    if request.content_type != "application/json":
        return problem("unsupported_media_type", 'Send application/json: {} or {"reason": "…"}.')
    worker_id = request.match_info["worker_id"]
    known = request.app[WORKERS]
    if known.configured_worker(worker_id) is None:
        ids = ", ".join(known.configured_ids()) or "none"
        return problem("not_found", f"No such worker is configured and enabled; those are: {ids}.")
    try:
        order = msgspec.json.decode(await request.read() or b"{}", type=_Order)
    except msgspec.ValidationError:
        detail = f"The body may hold reason, a text of at most {MAX_REASON} characters, and nothing else."
        return problem("bad_request", detail, field="reason")
    except msgspec.DecodeError:
        return problem("bad_request", 'The body must be JSON: {} or {"reason": "…"}.')
    prober = request.app[PROBER]
    if drains:
        await prober.drain(worker_id, (order.reason or "").strip() or None)
    else:
        await prober.undrain(worker_id)
    lag = await settled(request)
    return json_response(known.view(worker_id), lag_events=lag)
