"""Who may ask: `Host` and `Origin` are checked on every request, before any upgrade.

`Host` guards against DNS rebinding, `Origin` against other pages in the user's browser: WebSockets know no
same-origin policy of their own. Source: docs/protocol.md, "Who may ask".
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from aiohttp import web

from exporters.prometheus import PrometheusExporter
from service.config import Config, is_loopback
from service.problems import problem

PREFLIGHT: Final = "Access-Control-Request-Method"


def guard(config: Config, metrics: PrometheusExporter) -> Any:
    """A middleware that refuses (403) foreign hosts and origins, and counts them."""
    allowed_hosts = {host.lower() for host in (*config.server.allowed_hosts, config.server.host)}
    origins = {origin.lower() for origin in config.security.cors_origins}

    @web.middleware
    async def check(request: web.Request, handler: Any) -> web.StreamResponse:
        host = _host_name(request.headers.get("Host", ""))
        if not (is_loopback(host) or host in allowed_hosts or _is_own_address(host, request)):
            metrics.auth_failed("host")
            return problem(
                "host_not_allowed",
                "The Host header does not name this server; add the name to server.allowed_hosts.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() not in origins and not _is_same_origin(origin, request):
            metrics.auth_failed("origin")
            return problem(
                "origin_not_allowed",
                "Pages of this origin may not talk to the monitor; add it to security.cors_origins.",
            )
        if request.method == "OPTIONS" and origin is not None and PREFLIGHT in request.headers:
            return web.Response(status=204, headers=_preflight(origin))
        response: web.StreamResponse = await handler(request)
        if origin is not None and origin.lower() in origins and not response.prepared:
            response.headers.update(_allowing(origin))
        return response

    return check


def _allowing(origin: str) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "X-Lag-Events, Retry-After",
        "Vary": "Origin",
    }


def _preflight(origin: str) -> dict[str, str]:
    """The answer to a browser that asks before it sends JSON from an allowed page."""
    return _allowing(origin) | {
        "Access-Control-Allow-Methods": "GET, HEAD, POST",
        "Access-Control-Allow-Headers": "Content-Type",
        "Access-Control-Max-Age": "600",
    }


def _host_name(value: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0].rstrip(".")


def _is_own_address(host: str, request: web.Request) -> bool:
    """True for the literal address this connection came in on (a server bound to all of them has many).

    A name would not do: rebinding needs a name, an address in the Host header was typed by someone.
    """
    own = request.transport.get_extra_info("sockname") if request.transport is not None else None
    try:
        return own is not None and ipaddress.ip_address(host) == ipaddress.ip_address(own[0])
    except ValueError:
        return False


def _is_same_origin(origin: str, request: web.Request) -> bool:
    return origin.lower() == f"{request.scheme}://{request.headers.get('Host', '')}".lower()
