"""Real Prometheus and Alertmanager as processes, and a webhook that keeps what Alertmanager sends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
from aiohttp import web

from tests.otlp_receiver import free_port
from tests.parts import need

READY_WITHIN_S: Final = 20.0
POLL_S: Final = 0.1


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 40.0) -> Any:
    """Poll an awaitable `condition` until it is true and return its answer; else fail with `what`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not (found := await condition()):  # noqa: ASYNC110  # another program's state
                await asyncio.sleep(POLL_S)
            return found
    except TimeoutError:
        raise AssertionError(f"within {timeout_s:.0f} s: {what}") from None


class Server:
    """A program with an HTTP API on 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    async def get(self, path: str, **params: str) -> Any:
        """The JSON of a GET that must succeed."""
        async with aiohttp.ClientSession() as client, client.get(self.url + path, params=params) as answer:
            assert answer.status == 200, await answer.text()
            return orjson.loads(await answer.read())

    async def post(self, path: str, body: Any) -> None:
        """POST JSON; it must succeed."""
        async with aiohttp.ClientSession() as client, client.post(self.url + path, json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def is_ready(self) -> bool:
        """Whether it answers `/-/ready`."""
        try:
            async with (
                aiohttp.ClientSession() as client,
                client.get(f"{self.url}/-/ready", timeout=aiohttp.ClientTimeout(2)) as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@asynccontextmanager
async def running(
    port: int, log_path: Path, program: str, *arguments: str, environ: dict[str, str] | None = None
) -> AsyncIterator[Server]:
    """The program until the end of the block, once it is ready; its output goes to `log_path`."""
    need(shutil.which(program) is not None, f"{program} is not installed")
    server = Server(port)
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=log, stderr=log, env={"PATH": os.environ["PATH"], **(environ or {})}
        )
        try:
            await until(server.is_ready, f"{program} is ready, see {log_path}", READY_WITHIN_S)
            assert process.returncode is None, f"{program} ended, see {log_path}"
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


@asynccontextmanager
async def prometheus(folder: Path, port: int) -> AsyncIterator[Server]:
    """Prometheus with `folder/prometheus.yml`."""
    async with running(
        port,
        folder / "prometheus.log",
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--storage.tsdb.retention.time=35d",
        "--enable-feature=exemplar-storage",
        # An alert that fired before Prometheus had found Alertmanager is repeated after this (1 min).
        "--rules.alert.resend-delay=1s",
    ) as server:
        yield server


@asynccontextmanager
async def alertmanager(folder: Path, config: Path, port: int) -> AsyncIterator[Server]:
    """Alertmanager with `config`, alone (no cluster)."""
    async with running(
        port,
        folder / "alertmanager.log",
        "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ) as server:
        yield server


class Webhook:
    """What a webhook has been sent, in order."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.notes: list[dict[str, Any]] = []
        self.authorization: set[str | None] = set()
        self.queries: list[str] = []

    def about(self, alertname: str) -> list[tuple[str, int]]:
        """(status, number of alerts) of each note about that alert."""
        return [
            (note["status"], len(note["alerts"]))
            for note in self.notes
            if note["groupLabels"].get("alertname") == alertname
        ]


@asynccontextmanager
async def webhook() -> AsyncIterator[Webhook]:
    """An address that takes what Alertmanager posts."""
    port = free_port()
    received = Webhook(f"http://127.0.0.1:{port}/alerts")

    async def take(request: web.Request) -> web.Response:
        received.authorization.add(request.headers.get("Authorization"))
        received.queries.append(request.query_string)
        received.notes.append(orjson.loads(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/alerts", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield received
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(body: bytes, *, status: int = 200, delay_s: float = 0.0) -> AsyncIterator[str]:
    """Something at an address that is no good Alertmanager."""

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(delay_s)
        return web.Response(body=body, status=status, headers={"Location": "http://127.0.0.1:9/"})

    app = web.Application()
    app.router.add_get("/api/v2/alerts", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()
