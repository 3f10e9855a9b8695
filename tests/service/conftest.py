"""Fixtures of the service tests: real servers that end with the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.monitor_server import Server, StartServer, config_with, running


@pytest.fixture
async def start() -> AsyncIterator[StartServer]:
    """Start servers that end with the test: `await start(path=…, server={…})`."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(path: Path | None = None, **sections: dict[str, Any]) -> Server:
            return await stack.enter_async_context(running(config_with(path, **sections)))

        yield begin


@pytest.fixture
async def server(start: StartServer) -> Server:
    """A server with its log in memory."""
    return await start()
