"""Commands as a user runs them: processes of their own, against a server that is one too."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pytest

WAIT_S: Final = 20.0
_OTHERS: Final = ("MONITOR_", "OTEL_", "OPENAI_", "ANTHROPIC_", "DEEPSEEK_", "LOG_", "SSH_", "XDG_")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """A running command; `stop` sends Ctrl-C."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_S):
            return (await self.process.stdout.readline()).decode()

    async def error_line(self) -> str:
        """The next line of its errors and notices."""
        assert self.process.stderr is not None
        async with asyncio.timeout(WAIT_S):
            return (await self.process.stderr.readline()).decode()

    async def write(self, data: bytes) -> None:
        """Put data on its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def end(self, data: bytes | None = None) -> Ended:
        """Wait for its end, `data` and then the end of file being its input (None: no end of file)."""
        async with asyncio.timeout(WAIT_S):
            out, err = await self.process.communicate(data)
        assert self.process.returncode is not None
        return Ended(self.process.returncode, out.decode(), err.decode())

    async def stop(self) -> Ended:
        """Ctrl-C, and wait for the end."""
        self.process.send_signal(signal.SIGINT)
        return await self.end()


Start = Callable[..., Awaitable[Command]]
Run = Callable[..., Awaitable[Ended]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The variables of a user who has set nothing; tests add to them."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    return {**clean, "HOME": str(tmp_path), "COLUMNS": "200", "PYTHONWARNINGS": "error"}


@pytest.fixture
async def start(environ: Mapping[str, str]) -> AsyncIterator[Start]:
    """Starts commands; what still runs at the end of the test is killed."""
    started: list[Command] = []

    async def starting(*arguments: str) -> Command:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
        )
        started.append(Command(process))
        return started[-1]

    yield starting
    for command in started:
        if command.process.returncode is None:
            command.process.kill()
            await command.end()


@pytest.fixture
def run(start: Start) -> Run:
    """Runs a command to its end."""

    async def running(*arguments: str, stdin: bytes = b"") -> Ended:
        return await (await start(*arguments)).end(stdin)

    return running
