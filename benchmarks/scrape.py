"""P8: how long a scrape takes, and how long it holds the loop that everything else runs in."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from typing import Final

import uvloop

from benchmarks import story
from benchmarks.machine import CLIENT_CORE, pinned
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession
from service.config import load_config
from service.logs import configure_logs
from service.run import serve

NAMES: Final = ("P8",)
SESSIONS: Final = 200
WORKERS: Final = 20
SCRAPES: Final = 20
SCRAPE_MS: Final = 80.0
HOLD_MS: Final = 15.0
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Scrape the server as a user runs it; then one in this process, beside a watch on its loop."""
    times: list[float] = []
    holds: list[float] = []
    series = 0
    for _ in range(session.reps):
        with (
            session.directory() as directory,
            Server(relay(directory), log=session.server_log, ready_path="/readyz") as server,
        ):
            story.post(server.port, story.running(SESSIONS, WORKERS))
            session.quiet()
            took, series = scrape(server.port)
        with session.directory() as directory:
            hold = uvloop.run(_longest_turn(f"sqlite:///{directory / 'events.db'}"))
        figures = {"p50_ms": median(took), "max_ms": max(took), "longest_turn_cpu_ms": hold, "series": series}
        session.record("P8", RELAY, figures)
        times.append(median(took))
        holds.append(hold)
    return [
        Row(
            "P8",
            f"scrape with {SESSIONS} sessions and {WORKERS} workers",
            f"< {SCRAPE_MS:.0f} ms, loop never held > {HOLD_MS:.0f} ms",
            f"{median(times):.1f} ms for {series} series, longest turn {median(holds):.1f} ms of CPU",
            met=median(times) < SCRAPE_MS and median(holds) <= HOLD_MS,
        )
    ]


def scrape(port: int) -> tuple[Sequence[float], int]:
    """Milliseconds of each scrape, and the number of series."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    took: list[float] = []
    body = b""
    for _ in range(SCRAPES):
        began = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept": OPENMETRICS})
        body = connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1000)
    return took, sum(1 for line in body.splitlines() if line and not line.startswith(b"#"))


async def _longest_turn(url: str) -> float:
    """The most CPU in ms that one turn of the loop took while it was scraped.

    CPU of this thread, not time: what other processes take of the core is not the server's doing.
    """
    config = load_config(environ={}, argv_overrides={"event_log.url": url, "logging.level": "warning"})
    configure_logs(config.logging)
    sockets = [socket.create_server(("127.0.0.1", 0))]
    port: int = sockets[0].getsockname()[1]
    ended = asyncio.Event()
    ready = asyncio.Event()
    longest = 0.0

    def stop_with(stopping: asyncio.Event) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, stopping.set)

    async def scrape_it() -> None:
        await ready.wait()
        command = [sys.executable, "-m", "benchmarks.scrape", str(port)]
        process = await asyncio.create_subprocess_exec(*pinned(command, CLIENT_CORE), stdout=subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()  # the events are in
        watching.set()
        await process.wait()
        ended.set()
        os.kill(os.getpid(), signal.SIGUSR1)

    watching = asyncio.Event()

    async def watch() -> None:
        nonlocal longest
        await watching.wait()
        before = time.thread_time()
        while not ended.is_set():
            await asyncio.sleep(0)
            now = time.thread_time()
            longest = max(longest, now - before)
            before = now

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            serve(config, sockets, stop=stop_with, on_ready=lambda _: ready.set()), name="server"
        )
        tasks.create_task(scrape_it(), name="scraper")
        tasks.create_task(watch(), name="watch on the loop")
    return longest * 1000


def main(port: int) -> None:
    """Fill the server, say so, scrape it."""
    story.post(port, story.running(SESSIONS, WORKERS))
    print("filled", flush=True)
    scrape(port)


if __name__ == "__main__":
    main(int(sys.argv[1]))
