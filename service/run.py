"""Runs the server from start to signal: bind, open, catch up, listen, and all of it back at the end."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from service.app import create_app
from service.config import Config
from service.port import bind, url_of
from translation_events.version import __version__

log = structlog.get_logger(__name__)

BACKLOG: Final = 1024
HANDLERS_END_WITHIN_S: Final = 3.0
# A young-generation sweep per 10,000 allocations instead of 2,000: events are not cyclic. Measured with
# gc.freeze: a few percent of CPU at 10,000 events a second.
GC_THRESHOLD: Final = 10_000

Ready = Callable[[str], None]


def run_server(config: Config, *, on_ready: Ready | None = None) -> int:
    """Serve until SIGINT or SIGTERM; returns the exit code (0, or 1 where a vital part failed).

    `on_ready` is called with the server's URL once it answers.
    Raises: ConfigError (a busy port), LogDamaged, LogUnavailable: it could not start.
    """
    sockets = bind(config.server.host, config.server.port)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(serve(config, sockets, stop=_stop_on_signal, on_ready=on_ready))


async def serve(
    config: Config,
    sockets: list[socket.socket],
    *,
    stop: Callable[[asyncio.Event], None],
    on_ready: Ready | None = None,
) -> int:
    """Serve on bound sockets until the event handed to `stop` is set."""
    stopping, failed = asyncio.Event(), asyncio.Event()
    stop(stopping)
    for warning in config.warnings:
        log.warning("configuration", detail=warning)
    port = sockets[0].getsockname()[1]
    config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, port=port))
    app = await create_app(config, on_failure=failed)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=HANDLERS_END_WITHIN_S)
    await runner.setup()
    try:
        for bound in sockets:
            await web.SockSite(runner, bound, backlog=BACKLOG).start()
        url = url_of(config.server.host, port)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        log.info("monitor ready", url=url, version=__version__, event_log=config.event_log.url)
        if on_ready is not None:
            on_ready(url)
        await _first_of(stopping, failed)
        log.info("monitor stopping")
    finally:
        await runner.cleanup()
    log.info("monitor stopped")
    return 1 if failed.is_set() else 0


async def _first_of(*events: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(event.wait(), name="wait for the end") for event in events]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()


def _stop_on_signal(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop, where there is one."""
    if sys.platform == "win32":
        return None
    import uvloop

    factory: Any = uvloop.new_event_loop
    return factory  # type: ignore[no-any-return]  # uvloop's stubs know its Loop, not this alias
