"""A real server in the test's own loop (real sockets, a free port, a real log) and how to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import orjson
import pytest
from aiohttp import web

from service.app import create_app
from service.config import Config
from tests.raw_websocket import RawWebSocket

WAIT_S = 10.0


class Server:
    """A running server and a client session for it."""

    def __init__(self, app: web.Application, port: int, client: aiohttp.ClientSession) -> None:
        self.app = app
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.client = client
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        self._raw: list[RawWebSocket] = []

    async def get(self, path: str, **kwargs: Any) -> Any:
        """The JSON answer of a GET that must succeed."""
        async with self.client.get(self.url + path, **kwargs) as response:
            assert response.status == 200, await response.text()
            return orjson.loads(await response.read())

    async def post(self, events: Any, **kwargs: Any) -> tuple[int, Any]:
        """Status and JSON answer of a POST of events."""
        headers = {"Content-Type": "application/json", **kwargs.pop("headers", {})}
        data = events if isinstance(events, bytes) else orjson.dumps(events)
        body = io.BytesIO(data)  # aiohttp warns of large bytes
        async with self.client.post(f"{self.url}/events", data=body, headers=headers, **kwargs) as response:
            return response.status, orjson.loads(await response.read())

    async def publish(self, *events: dict[str, Any]) -> list[int]:
        """Publish over HTTP, all of them taken; returns the seq of each."""
        status, answer = await self.post(list(events))
        assert status == 200, answer
        return [result["seq"] for result in answer["results"]]

    async def ws(self, query: str = "", **kwargs: Any) -> aiohttp.ClientWebSocketResponse:
        """A WebSocket to `/ws` with the query, closed with the server at the latest."""
        ws = await self.client.ws_connect(f"{self.url}/ws?{query}", max_msg_size=0, **kwargs)
        self._sockets.append(ws)
        return ws

    async def raw(self, query: str = "", **kwargs: Any) -> RawWebSocket:
        """A WebSocket frame by frame, cut with the server at the latest."""
        ws = await RawWebSocket.connect(self.port, query, **kwargs)
        self._raw.append(ws)
        return ws

    async def metrics(self) -> str:
        """`/metrics` as text."""
        async with self.client.get(f"{self.url}/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def close_sockets(self) -> None:
        """Close every WebSocket made here, without waiting for the other side."""
        for raw in self._raw:
            raw.abort()
        for ws in self._sockets:
            transport = ws.get_extra_info("transport", None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await ws.close()
            if transport is not None:
                transport.abort()


StartServer = Callable[..., Awaitable[Server]]


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """Serve `config` on a free port."""
    app = await create_app(config)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3.0)
    await runner.setup()
    try:
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        await web.SockSite(runner, bound).start()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            server = Server(app, bound.getsockname()[1], client)
            try:
                yield server
            finally:
                await server.close_sockets()
    finally:
        await runner.cleanup()


def config_with(path: Path | None = None, **sections: dict[str, Any]) -> Config:
    """The default configuration with an SQLite log at `path` (None: in memory) and changes by section."""
    config = Config()
    url = "memory:" if path is None else f"sqlite:///{path}"
    sections["event_log"] = {"url": url, **sections.get("event_log", {})}
    for name, changes in sections.items():
        section = msgspec.structs.replace(getattr(config, name), **changes)
        config = msgspec.structs.replace(config, **{name: section})
    return config


def event(session_id: str = "s1", type: str = "translation_progress", **fields: Any) -> dict[str, Any]:  # noqa: A002
    """An event as a producer writes it."""
    return {"type": type, "session_id": session_id, **fields}


async def receive(ws: aiohttp.ClientWebSocketResponse) -> Any:
    """The next JSON message."""
    message = await ws.receive(timeout=WAIT_S)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return orjson.loads(message.data)


async def receive_many(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """The next `count` JSON messages."""
    return [await receive(ws) for _ in range(count)]


async def until(condition: Callable[[], bool], what: str = "the condition") -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - any condition, not only one that can be signalled
                await asyncio.sleep(0.005)
    except TimeoutError:
        pytest.fail(f"{what} did not come about in {WAIT_S} s")
