"""`/status`, health and metrics. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import time
from typing import Any, Final

from aiohttp import web

from service.connections import Connection, Role
from service.http.reading import json_response, settled
from service.keys import CONFIG, CONNECTIONS, LOG, METRICS, READERS, RELAY, SESSIONS, STARTED_AT, WORKERS
from translation_events.version import __version__

routes = web.RouteTableDef()

# The uids and the variables of dashboards/grafana/json/translation-session.json and translation-workers.json.
SESSION_DASHBOARD: Final = "/d/translation-session?var-session={session_id}"
WORKER_DASHBOARD: Final = "/d/translation-workers?var-worker={worker}"


@routes.get("/status")
async def status(request: web.Request) -> web.Response:
    """What the server is and does; `?connections=1` lists the WebSockets."""
    lag = await settled(request)
    app, now = request.app, time.time()
    event_log, connections = app[LOG], app[CONNECTIONS]
    stats = await event_log.stats()
    body: dict[str, Any] = {
        "version": __version__,
        "uptime_s": now - app[STARTED_AT],
        "event_log": {
            "kind": stats.kind,
            "id": event_log.id,
            "first_seq": event_log.first_seq,
            "last_seq": event_log.last_seq,
            "size_bytes": stats.size_bytes,
            "free_bytes": stats.free_bytes,
            "durable": stats.durable,
            "unavailable_since": stats.unavailable_since,
        },
        "events": stats.events,
        "sessions": app[SESSIONS].counts(now),
        "stalled_after_s": app[SESSIONS].stalled_after_s,
        "viewers": connections.count(Role.VIEWER) + connections.count(Role.BOTH),
        "publishers": connections.count(Role.PUBLISHER) + connections.count(Role.BOTH),
        "connections_limit": connections.limit,
        "viewers_limit": connections.viewer_limit,
        "viewers_free": connections.viewers_free,
        "workers": len(app[WORKERS].views()),
        "lag_events": app[READERS].lag_events(),
        "links": _links(app),
    }
    if request.query.get("connections") == "1":
        body["connections"] = [_connection(app, connection) for connection in connections]
    return json_response(body, lag_events=lag)


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """All metrics, as Prometheus text or OpenMetrics."""
    lag = await settled(request)
    body, content_type = await request.app[METRICS].render(request.headers.get("Accept", ""))
    response = web.Response(body=body, headers={"Content-Type": content_type})
    if lag:
        response.headers["X-Lag-Events"] = str(lag)
    return response


@routes.get("/healthz")
async def alive(_: web.Request) -> web.Response:
    """Live: the loop turns."""
    return json_response({"status": "ok"})


@routes.get("/readyz")
async def ready(request: web.Request) -> web.Response:
    """Ready: the log can be written, the readers have caught up, and nobody is shutting down."""
    app = request.app
    lag = await settled(request)
    stats = await app[LOG].stats()
    reasons = []
    if stats.unavailable_since is not None:
        reasons.append("the event log cannot be written")
    if lag:
        reasons.append(f"the readers are {lag} events behind")
    if app[CONNECTIONS].closing:
        reasons.append("the server is shutting down")
    response = json_response({"status": "not ready" if reasons else "ready", "reasons": reasons})
    if reasons:
        response.set_status(503)
    return response


@routes.get("/health")
async def old_health(request: web.Request) -> web.Response:
    """The earlier program's health answer."""
    return json_response(
        {
            "status": "healthy",
            "component": "ssh-monitor-server",
            "websockets": len(request.app[CONNECTIONS]),
        }
    )


def _links(app: web.Application) -> dict[str, str | None]:
    """Where people look further, as templates; None where nobody has configured an address."""
    telemetry = app[CONFIG].telemetry
    grafana = None if telemetry.grafana_url is None else telemetry.grafana_url.rstrip("/")
    return {
        "session_dashboard": None if grafana is None else grafana + SESSION_DASHBOARD,
        "worker_dashboard": None if grafana is None else grafana + WORKER_DASHBOARD,
        "trace": telemetry.trace_url,
    }


def _connection(app: web.Application, connection: Connection) -> dict[str, Any]:
    viewer = connection.viewer
    return {
        "client_id": connection.client_id,
        "role": connection.role,
        "filter": connection.filter,
        "since": connection.since,
        "lag": None if viewer is None else app[RELAY].lag_of(viewer),
        "buffered_bytes": connection.transport.get_write_buffer_size(),
    }
