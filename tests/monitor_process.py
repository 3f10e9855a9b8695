"""The server as a user runs it: a process of its own that can be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

READY: Final = re.compile(r"url=(http://[0-9.:]+)")
START_WITHIN_S: Final = 15.0


class MonitorProcess:
    """`python -m service` on a free port, which it keeps over restarts, with an SQLite log at `path`.

    Make it, `await start()`, and at the end `await stop()`; `started_in_s` is how long the last start took.
    """

    def __init__(self, path: Path, *, environ: dict[str, str] | None = None) -> None:
        self.path = path
        self.port = 0
        self.started_in_s = 0.0
        self._environ = environ or {}
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Future[Any] | None = None
        self.log_lines: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("MONITOR_", "OTEL_"))}
        began = asyncio.get_running_loop().time()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "--port", str(self.port)),
            *("--event-log", f"sqlite:///{self.path}", "--log-level", "info"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**environ, **self._environ},
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(START_WITHIN_S):
            while True:
                line = (await self._process.stderr.readline()).decode()
                assert line, "the server ended: " + "".join(self.log_lines)
                self.log_lines.append(line)
                if "monitor ready" in line:
                    break
        self.started_in_s = asyncio.get_running_loop().time() - began
        found = READY.search(line)
        assert found is not None, line
        self.port = int(found[1].rpartition(":")[2])
        loop = asyncio.get_running_loop()
        self._reading = loop.create_task(self._read_on(self._process.stderr), name="read the server's log")

    async def kill(self) -> None:
        """`kill -9`."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return await self._end(signal.SIGTERM)

    async def get(self, path: str) -> Any:
        """The JSON answer of a GET that must succeed."""
        async with aiohttp.ClientSession() as client, client.get(self.url + path) as response:
            assert response.status == 200, await response.text()
            return orjson.loads(await response.read())

    async def metrics(self) -> dict[str, float]:
        """All samples of `/metrics` by name and labels as written there."""
        async with aiohttp.ClientSession() as client, client.get(f"{self.url}/metrics") as response:
            text = await response.text()
        samples = (line.rpartition(" ") for line in text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, _, value in samples}

    def rss_bytes(self) -> int:
        """Resident memory (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def _end(self, number: signal.Signals) -> int:
        process = self._process
        assert process is not None
        if process.returncode is None:
            process.send_signal(number)
        async with asyncio.timeout(START_WITHIN_S):
            code = await process.wait()
        if self._reading is not None:
            await self._reading
        return code

    async def _read_on(self, stream: asyncio.StreamReader) -> None:
        # An unread pipe would stop the server once it is full.
        while line := await stream.readline():
            self.log_lines = [*self.log_lines[-500:], line.decode()]
