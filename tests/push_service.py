"""Services that tell people, as far as they take HTTP: a webhook for JSON and one that speaks ntfy's API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web


class PushService:
    """What it was sent, in order, as (title, body). `status` is what it answers, `delay_s` how late."""

    def __init__(self) -> None:
        self.port = 0
        self.messages: list[tuple[str, str]] = []
        self.tries = 0
        self.status = 200
        self.delay_s = 0.0
        self.authorization: set[str | None] = set()
        self._runner: web.AppRunner | None = None

    @property
    def titles(self) -> list[str]:
        """The titles alone."""
        return [title for title, _ in self.messages]

    @property
    def json_url(self) -> str:
        """Its webhook as Apprise writes it, with a password."""
        return f"json://ana:hush@127.0.0.1:{self.port}/hook"

    @property
    def ntfy_url(self) -> str:
        """Its topic as Apprise writes it."""
        return f"ntfy://ana:hush@127.0.0.1:{self.port}/translations"

    async def start(self) -> None:
        """Listen, on the port it had before if any."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.tries += 1
        body: dict[str, Any] = orjson.loads(await request.read())
        await asyncio.sleep(self.delay_s)
        self.authorization.add(request.headers.get("Authorization"))
        if self.status == 200:
            self.messages.append((body["title"], body["message"]))
        return web.json_response({}, status=self.status)


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    """One that listens until the end of the block."""
    service = PushService()
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
