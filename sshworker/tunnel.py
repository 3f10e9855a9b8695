"""A port here that leads to the worker's engine, so that its model stays loaded between segments."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit, urlunsplit

import asyncssh
import structlog

from sshworker.connection import Connection
from sshworker.errors import WorkerError

log = structlog.get_logger(__name__)

LOOPBACK: Final = "127.0.0.1"
# Each is one HTTP connection of the engine's client; beyond it they wait in the listener's backlog.
MOST_STREAMS: Final = 256
# A knock that finds the backlog full is repeated by the kernel only after 1, 3, 7 and 15 s.
BACKLOG: Final = 1024
_READ_BYTES: Final = 65536


class Tunnel:
    """`async with Tunnel(connection, "http://127.0.0.1:8080/v1") as tunnel: … tunnel.url`.

    The port stays the same while the tunnel is held. After a loss the next request reopens the connection;
    one that was under way when it broke, or cannot get through, sees its own end, and `failure` says why.
    It listens on loopback only, yet any user of this machine can connect to it.
    """

    def __init__(self, connection: Connection, engine_url: str) -> None:
        parts = urlsplit(engine_url)
        self.failure: WorkerError | None = None
        self._connection = connection
        self._parts = parts
        self._host = parts.hostname or LOOPBACK
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(MOST_STREAMS)
        self._server: asyncio.Server | None = None
        self._local_port = 0

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0, backlog=BACKLOG)
        self._local_port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._running):
            task.cancel()
        # Not told of the error: the group would wrap it, and its tasks have been ended here already.
        await self._tasks.__aexit__(None, None, None)

    @property
    def url(self) -> str:
        """The engine's URL with this end's address in place of the worker's."""
        return urlunsplit(self._parts._replace(netloc=f"{LOOPBACK}:{self._local_port}"))

    @property
    def streams(self) -> int:
        """How many connections pass through it now."""
        return len(self._running)

    async def open(self) -> None:
        """Make sure that the engine's port answers through the worker.

        Raises: WorkerError: the connection's, or ENGINE_DOWN.
        """
        _, writer = await self._connection.stream(self._host, self._port)
        await _end(writer)
        self.failure = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._tasks.create_task(self._carry(reader, writer), name="ssh tunnel stream")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncssh.SSHWriter[bytes] | None = None
        try:
            async with self._free:
                far_reader, far = await self._connection.stream(self._host, self._port)
                self.failure = None
                async with asyncio.TaskGroup() as pumps:
                    out = pumps.create_task(_pump(reader, far), name="ssh tunnel out")
                    # An engine that has ended its side has no use for more.
                    await _pump(far_reader, writer)
                    out.cancel()
        except WorkerError as err:
            self.failure = err
            log.warning("ssh tunnel failed", worker=self._connection.spec.id, failure=err.failure)
        finally:
            if far is not None:
                far.close()
            writer.close()


async def _pump(source: Any, target: Any) -> None:
    """Copy until the source ends, then end the target's direction; both ends pause the other when full."""
    with suppress(asyncssh.Error, OSError):
        while chunk := await source.read(_READ_BYTES):
            target.write(chunk)
            await target.drain()
    with suppress(asyncssh.Error, OSError, RuntimeError):
        target.write_eof()


async def _end(writer: asyncssh.SSHWriter[bytes]) -> None:
    writer.close()
    with suppress(asyncssh.Error, OSError):
        await writer.wait_closed()
