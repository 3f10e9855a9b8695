"""Who may ask: `Host` and `Origin`. Source: docs/protocol.md, "Who may ask"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.monitor_server import Server, StartServer, event


async def _ask(server: Server, method: str = "GET", path: str = "/status", **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.client.request(method, server.url + path, headers=named) as response:
        return response.status, response.headers


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8090", "LOCALHOST.", "127.0.0.1:1", "127.8.9.1", "[::1]:8090"]
)
async def test_loopback_names_are_taken(server: Server, host: str) -> None:
    """`Host` must be loopback, the bind address or in `server.allowed_hosts`."""
    assert (await _ask(server, Host=host))[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8090",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[::2]",
        "x@localhost",
    ],
)
async def test_foreign_names_are_refused_everywhere(server: Server, host: str) -> None:
    """DNS rebinding: a name that leads here is not a name of ours."""
    for path in ("/status", "/sessions", "/ws", "/monitor", "/metrics", "/nothing", "/healthz"):
        status, headers = await _ask(server, path=path, Host=host)
        assert (status, headers["Content-Type"]) == (403, "application/problem+json"), path
    assert (await server.post(event(), headers={"Host": host}))[1]["code"] == "host_not_allowed"
    assert (await server.get("/status"))["event_log"]["last_seq"] == 0


async def test_allowed_hosts_are_taken(start: StartServer) -> None:
    """`server.allowed_hosts`, whatever the port and the case."""
    server = await start(server={"allowed_hosts": ("Monitor.example.org",)})
    assert (await _ask(server, Host="monitor.example.org:443"))[0] == 200
    assert (await _ask(server, Host="other.example.org"))[0] == 403


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://localhost",
        "http://127.0.0.1:1",
        "file://",
        "http://127.0.0.1:{port}.evil",
    ],
)
async def test_a_foreign_origin_is_refused(server: Server, origin: str) -> None:
    """403 unless it equals the request's own scheme, host and port; `null` only if listed."""
    headers = {"Origin": origin.format(port=server.port)}
    assert (await _ask(server, **headers))[0] == 403
    status, problem = await server.post(event(), headers=headers)
    assert (status, problem["code"]) == (403, "origin_not_allowed")
    assert (await server.get("/status"))["event_log"]["last_seq"] == 0


async def test_the_scheme_is_part_of_the_origin(server: Server) -> None:
    """A page over TLS is another origin."""
    assert (await _ask(server, Origin=f"https://127.0.0.1:{server.port}"))[0] == 403
    assert (await _ask(server, Origin=f"http://127.0.0.1:{server.port}"))[0] == 200
    status, _ = await _ask(server, Origin="http://localhost:99", Host="localhost:99")
    assert status == 200


async def test_listed_origins_may_ask_and_read(start: StartServer) -> None:
    """`security.cors_origins`: the answer, an error too, can be read by that page and by no other."""
    server = await start(security={"cors_origins": ("https://ours.example", "null")})
    for origin in ("https://ours.example", "null"):
        for path, expected in (("/status", 200), ("/sessions/none", 404), ("/nothing", 404)):
            status, headers = await _ask(server, path=path, Origin=origin)
            assert (status, headers["Access-Control-Allow-Origin"]) == (expected, origin)
            assert "Origin" in headers["Vary"]
    status, headers = await _ask(server, Origin="https://other.example")
    assert status == 403
    assert "Access-Control-Allow-Origin" not in headers
    assert "Access-Control-Allow-Origin" not in (await _ask(server))[1]
    await server.ws("", headers={"Origin": "https://ours.example"})


async def test_a_listed_page_may_ask_before_it_posts(start: StartServer) -> None:
    """A browser asks first whether JSON may be posted; only a listed page is told yes."""
    server = await start(security={"cors_origins": ("https://ours.example",)})
    asking = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "content-type"}
    status, headers = await _ask(server, "OPTIONS", "/events", Origin="https://ours.example", **asking)
    assert status == 204
    assert headers["Access-Control-Allow-Origin"] == "https://ours.example"
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert headers["Access-Control-Allow-Headers"] == "Content-Type"
    assert (await _ask(server, "OPTIONS", "/events", Origin="https://evil.example", **asking))[0] == 403
    assert (await _ask(server, "OPTIONS", "/events"))[0] == 405
