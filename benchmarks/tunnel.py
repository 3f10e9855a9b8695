"""P12: what SSH adds to a segment, over one held connection and over a connection made for each."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.row import Row, median
from benchmarks.session import BenchSession
from service.config import load_config
from service.logs import configure_logs
from sshworker.command import run
from sshworker.connection import Connection
from sshworker.lease import Lease
from sshworker.pool import Pool
from sshworker.spec import WorkerSpec
from sshworker.tunnel import Tunnel
from sshworker.work import run_all
from tests.sshd import SSHD, Account, Sshd, account

NAMES: Final = ("P12",)
RATIO: Final = 20.0
ONE_BY_ONE: Final = 300
CONNECTIONS: Final = 20
SEGMENTS: Final = 500
WORKERS: Final = 20
# As many at once as an sshd's default MaxSessions lets one connection carry, for either way.
AT_ONCE: Final = 10
TEXT: Final = "A sentence of a book, as long as sentences are, and a little longer still.\n"
_TIMEOUT_S: Final = 60.0


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Both ways against private sshds on loopback; the rows are P12's target, and many segments at once."""
    if os.geteuid() != 0 or not SSHD.exists() or not all(map(shutil.which, ("useradd", "pgrep"))):
        session.note("P12 is left out: it needs openssh-server, and root for an account of its own")
        return []
    configure_logs(load_config(environ={}, argv_overrides={"logging.level": "warning"}).logging)
    single: list[dict[str, float]] = []
    many: list[dict[str, float]] = []
    with account() as made:
        for _ in range(session.reps):
            session.quiet()
            single.append(uvloop.run(_one_by_one(made, quick=session.quick)))
            session.record("P12", "one by one", single[-1])
            session.quiet()
            many.append(uvloop.run(_at_once(made, quick=session.quick)))
            session.record("P12", "at once", many[-1])
    found = {name: median(figures[name] for figures in single) for name in single[0]}
    sums = {name: median(figures[name] for figures in many) for name in many[0]}
    ratio = found["connection_ms"] / found["tunnel_ms"]
    return [
        Row(
            "P12",
            "what SSH adds to a segment: held tunnel against a connection a command",
            f"≥ {RATIO:.0f} × less",
            f"{found['tunnel_ms']:.2f} ms against {found['connection_ms']:.0f} ms: {ratio:.0f} × less; "
            f"a command over the held connection {found['command_ms']:.1f} ms",
            met=ratio >= RATIO,
        ),
        Row(
            "P12",
            f"{sums['segments']:.0f} commands, {AT_ONCE} at a time: one connection against one for each",
            "–",
            f"{sums['held_s']:.1f} s against {sums['each_s']:.1f} s: {sums['each_s'] / sums['held_s']:.1f} × "
            f"less; {sums['workers']:.0f} workers {sums['workers_s']:.1f} s",
        ),
    ]


async def _one_by_one(made: Account, *, quick: bool) -> dict[str, float]:
    """Milliseconds that SSH adds to a segment, each way: the median with it less the median without."""
    rounds = ONE_BY_ONE // 10 if quick else ONE_BY_ONE
    connections = CONNECTIONS // 4 if quick else CONNECTIONS
    async with AsyncExitStack() as stack:
        spec = _start(stack, made).spec()
        url = await stack.enter_async_context(_Engine())
        connection = await stack.enter_async_context(Connection(spec))
        tunnel = await stack.enter_async_context(Tunnel(connection, url))
        client = await stack.enter_async_context(aiohttp.ClientSession())

        async def ask(address: str) -> None:
            async with client.post(address, json={"messages": [{"role": "user", "content": TEXT}]}) as answer:
                assert (await answer.json())["choices"][0]["message"]["content"] == TEXT

        async def alone() -> None:
            async with Connection(spec) as one:
                await _command(one)

        direct_ms = await _median_ms(lambda: ask(url), rounds)
        tunnel_ms = await _median_ms(lambda: ask(tunnel.url), rounds)
        here_ms = await _median_ms(_here, connections)
        command_ms = await _median_ms(lambda: _command(connection), connections)
        alone_ms = await _median_ms(alone, connections)
    return {
        "tunnel_ms": tunnel_ms - direct_ms,
        "command_ms": command_ms - here_ms,
        "connection_ms": alone_ms - here_ms,
        "direct_ms": direct_ms,
        "here_ms": here_ms,
    }


async def _at_once(made: Account, *, quick: bool) -> dict[str, float]:
    """Seconds that all segments take: over one connection, over one each, and by many workers."""
    segments = SEGMENTS // 10 if quick else SEGMENTS
    workers = WORKERS // 5 if quick else WORKERS
    async with AsyncExitStack() as stack:
        spec = _start(stack, made).spec()
        connection = await stack.enter_async_context(Connection(spec))
        await connection.open()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(segments):
                tasks.create_task(_command(connection), name=f"held {number}")
        held_s = time.perf_counter() - began

        free = asyncio.Semaphore(AT_ONCE)

        async def alone() -> None:
            async with free, Connection(spec) as one:
                await _command(one)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(segments):
                tasks.create_task(alone(), name=f"alone {number}")
        each_s = time.perf_counter() - began

        specs = [_start(stack, made).spec(id=f"worker-{n}", max_capacity=2) for n in range(workers)]
        held = {one.id: await stack.enter_async_context(Connection(one)) for one in specs}
        for one in held.values():
            await one.open()
        began = time.perf_counter()
        await _by_pool(specs, held, segments)
        workers_s = time.perf_counter() - began
    return {
        "held_s": held_s,
        "each_s": each_s,
        "workers_s": workers_s,
        "segments": segments,
        "workers": workers,
    }


async def _by_pool(specs: Sequence[WorkerSpec], held: dict[str, Connection], segments: int) -> None:
    async def do(lease: Lease, _: int) -> None:
        await _command(held[lease.worker.id])

    async def keep(_: object) -> None:
        return None

    done = await run_all(
        Pool(specs), range(segments), do, concurrency=sum(one.max_capacity for one in specs), on_result=keep
    )
    assert all(delivery.error is None for delivery in done)
    assert {delivery.worker for delivery in done} == set(held)


async def _command(connection: Connection) -> None:
    result = await run(connection, "cat", TEXT, timeout_s=_TIMEOUT_S, allowed=("cat",))
    assert result.stdout == TEXT


async def _here() -> None:
    """The same command without SSH."""
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(TEXT.encode())
    assert out == TEXT.encode()


async def _median_ms(work: Callable[[], Awaitable[None]], rounds: int) -> float:
    await work()  # what only the first one pays
    took: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def _start(stack: AsyncExitStack, made: Account) -> Sshd:
    sshd = Sshd(made)
    stack.callback(sshd.stop)
    sshd.start()
    return sshd


class _Engine:
    """The worker's engine: it speaks OpenAI's API and answers at once with what it was asked."""

    def __init__(self) -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(application)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{port}/v1/chat/completions"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        asked: Any = await request.json()
        return web.json_response({"choices": [{"message": asked["messages"][-1]}]})
