"""What the tests of probes share: a probe of its own, and an engine that says what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from sshworker.probe import Probe
from sshworker.probe_result import ProbeResult
from sshworker.spec import WorkerSpec
from tests.sshd import Sshd, free_port


async def probe(spec: WorkerSpec, *, timeout_s: float = 20.0) -> ProbeResult:
    """One probe of its own."""
    async with Probe(spec) as prober:
        return await prober.run(timeout_s=timeout_s)


@contextlib.asynccontextmanager
async def engine(
    *,
    processing: bool = True,
    tells_slots: bool = True,
    prefix: str = "",
    answering: asyncio.Event | None = None,
) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that speaks as llama.cpp does; the list holds its decoded and its prefilled tokens."""
    tokens = [7, 0]
    never = asyncio.Event()

    async def health(_: web.Request) -> web.Response:
        if answering is not None and not answering.is_set():
            await never.wait()
        return web.json_response({"status": "ok"})

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "small"}]})

    async def slots(_: web.Request) -> web.Response:
        if not tells_slots:
            await never.wait()
        busy = {"id": 0, "is_processing": processing, "n_prompt_tokens_processed": tokens[1]}
        return web.json_response([busy, {"id": 1, "is_processing": False}])

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            text=f"llamacpp:prompt_tokens_total 3\nllamacpp:tokens_predicted_total {tokens[0]}\n"
        )

    app = web.Application()
    app.router.add_get(f"{prefix}/health", health)
    app.router.add_get(f"{prefix}/v1/models", models)
    app.router.add_get(f"{prefix}/slots", slots)
    app.router.add_get(f"{prefix}/metrics", metrics)
    async with serving(app, prefix) as url:
        try:
            yield url, tokens
        finally:
            never.set()


@contextlib.asynccontextmanager
async def serving(app: web.Application, prefix: str = "") -> AsyncIterator[str]:
    """Serve on a free port; yields the address an engine's would be."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}{prefix}/v1"
    finally:
        await runner.cleanup()


def fake_tools(sshd: Sshd, scripts: dict[str, str]) -> Sshd:
    """The same worker with programs of these names first on its PATH; restarts its sshd."""
    folder = sshd.account.folder / f"tools-{sshd.port}"
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    sshd.cut()
    sshd.lines = (f"SetEnv PATH={folder}:/usr/bin:/bin", *sshd.lines)
    sshd.start()
    return sshd
