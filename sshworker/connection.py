"""The one connection to a worker: opened when needed, held, shared by all its work, reopened after a loss."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import asyncssh
import structlog

from sshworker.channels import ChannelLimit
from sshworker.connect import Link, connect
from sshworker.errors import Failure, WorkerError
from sshworker.opening import C, Opener, Stream, close_stream, loss_of, lost, open_channel, open_stream
from sshworker.spec import WorkerSpec

log = structlog.get_logger(__name__)

BACKOFF_BASE_S: Final = 0.5
BACKOFF_CAP_S: Final = 15.0
# The wrapper gives a process 5 s between TERM and KILL; a channel that has not ended then is given up.
CHANNEL_END_S: Final = 10.0
# A server that refuses a channel while none of ours is open may still be ending processes of before.
REFUSED_PATIENCE_S: Final = 8.0
_FINAL: Final = frozenset({Failure.AUTH, Failure.HOST_KEY, Failure.INTERNAL})
_T = TypeVar("_T")


class Connection:
    """One worker's connection: `async with Connection(spec) as connection`.

    Many may use it at once; whoever needs it first opens it, and all others wait for the same attempt. The
    next use after a loss reopens it. What ran over a lost connection fails with LOST, and is not repeated.
    Leave the block in the task that entered it.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.channels = ChannelLimit()
        self._tasks = asyncio.TaskGroup()
        self._link: Link | None = None
        self._opening: asyncio.Task[Link | WorkerError] | None = None
        self._running: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._warned = False

    async def __aenter__(self) -> Self:
        # asyncssh logs each command line at INFO, with the values in it.
        asyncssh.set_log_level(logging.WARNING)
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        try:
            if self._link is not None:
                await self._link.close()
        finally:
            for task in tuple(self._running):
                task.cancel()
            # Not told of the error: the group would wrap it, and its tasks have been ended here already.
            await self._tasks.__aexit__(None, None, None)

    @property
    def is_open(self) -> bool:
        """Whether a connection is up now, as far as the keepalive knows."""
        return self._link is not None and not self._link.is_lost

    async def open(self) -> None:
        """Make sure that the connection is up; many callers share one attempt.

        Raises: WorkerError: after `max_retries` repeats, or at once where a repeat cannot help.
        """
        await self._get()

    @asynccontextmanager
    async def session(
        self, line: str, *, env: Mapping[str, str] | None = None
    ) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """Run `line` on the worker; streams are bytes. Waits its turn while the server's channels are full.

        On leaving, the channel is closed, which ends the standard input of what still runs there; its place
        is free once the far side has ended.

        Raises: WorkerError: no connection, or the server gives no channel.
        """
        variables = dict(env or {})
        process = await self._begin(
            lambda ssh: ssh.create_process(line, env=variables, encoding=None, request_pty=False)
        )
        try:
            yield process
        finally:
            self._abandon(process)

    @asynccontextmanager
    async def sftp(self) -> AsyncIterator[asyncssh.SFTPClient]:
        """File transfer over a channel of its own, in the same queue.

        Raises: WorkerError: no connection, no channel, or no file transfer on this worker.
        """
        client = await self._begin(lambda ssh: ssh.start_sftp_client())
        try:
            yield client
        finally:
            self._abandon(client)

    async def stream(self, host: str, port: int) -> Stream:
        """A byte stream to `host:port` as the worker sees it. These do not count against MaxSessions.

        Raises: WorkerError: ENGINE_DOWN where the worker cannot reach it, COMMAND_REFUSED where it forbids.
        """
        link = await self._get()
        task = self._spawn(open_stream(self.spec, link, host, port), "ssh stream open")
        outcome = await self._outcome(task, undo=close_stream)
        if isinstance(outcome, WorkerError):
            raise outcome
        return outcome

    async def _get(self) -> Link:
        if self._closing:
            raise WorkerError(Failure.LOST, "the connection was closed here", worker=self.spec.id)
        if self._link is not None and not self._link.is_lost:
            return self._link
        if self._opening is None or self._opening.done():
            self._opening = self._spawn(self._open(), f"ssh connect {self.spec.id}")
        outcome = await self._outcome(self._opening)
        if isinstance(outcome, WorkerError):
            # One each: an exception raised by many would gather all their tracebacks.
            raise WorkerError(outcome.failure, outcome.detail, worker=outcome.worker)
        return outcome

    async def _open(self) -> Link | WorkerError:
        if self._link is not None:
            log.warning("ssh connection lost", worker=self.spec.id, reason=loss_of(self._link))
            await self._link.close()
            self._link = None
        if self.spec.password is not None and not self._warned:
            self._warned = True
            log.warning("ssh password configured, a key is safer", worker=self.spec.id)
        failures = 0
        while True:
            began = time.monotonic()
            try:
                self._link = await connect(self.spec)
            except WorkerError as err:
                failures += 1
                if err.failure in _FINAL or failures > self.spec.max_retries:
                    return err
                log.info("ssh connect failed", worker=self.spec.id, failure=err.failure, attempt=failures)
            else:
                log.info("ssh connected", worker=self.spec.id, duration_s=round(time.monotonic() - began, 3))
                return self._link
            pause_s = min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2 ** (failures - 1))
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret

    async def _begin(self, opener: Opener[C]) -> C:
        give_up_at: float | None = None
        again = False
        while True:
            await self._get()
            await self.channels.acquire(first=again)
            try:
                link = await self._get()
                task = self._spawn(open_channel(self.spec, link, opener), "ssh channel open")
            except BaseException:
                self.channels.release()
                raise
            # From here the place belongs to the channel: also if we are cancelled while it opens.
            outcome = await self._outcome(task, undo=self._abandon, failed=self.channels.release)
            if isinstance(outcome, WorkerError):
                self.channels.release()
                raise outcome
            if not isinstance(outcome, asyncssh.ChannelOpenError):
                self.channels.opened()
                return outcome
            if self.channels.refused() == 0:
                now = time.monotonic()
                give_up_at = give_up_at or now + REFUSED_PATIENCE_S
                if now > give_up_at:
                    words = f"the worker opens no session: {outcome.reason} (is its MaxSessions 0?)"
                    raise WorkerError(Failure.COMMAND_REFUSED, words, worker=self.spec.id)
                await asyncio.sleep(random.uniform(0.1, 0.3))  # noqa: S311  # jitter, no secret
            again = True

    def lost(self) -> WorkerError:
        """The error for what ran over the connection when it broke."""
        return lost(self.spec, self._link)

    def _abandon(self, opened: object) -> None:
        if isinstance(opened, asyncssh.SSHClientProcess | asyncssh.SFTPClient):
            if isinstance(opened, asyncssh.SFTPClient):
                opened.exit()
            else:
                opened.close()
            if not self._closing:
                self._spawn(self._end(opened), "ssh channel end")
                return
        self.channels.release()

    async def _end(self, channel: asyncssh.SSHClientProcess[bytes] | asyncssh.SFTPClient) -> None:
        """Free the place once the far side has ended."""
        try:
            with suppress(TimeoutError, asyncssh.Error, OSError):
                async with asyncio.timeout(CHANNEL_END_S):
                    await channel.wait_closed()
        finally:
            self.channels.release()

    def _spawn(self, work: Coroutine[Any, Any, _T], name: str) -> asyncio.Task[_T]:
        task = self._tasks.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _outcome(
        self,
        task: asyncio.Task[_T],
        *,
        undo: Callable[[Any], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> _T:
        """The task's result. A cancelled caller leaves the task to end, and `undo` takes back what it made.

        asyncssh leaks a channel whose opening is cancelled, so an opening is never cancelled.
        """
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            if undo is not None:
                task.add_done_callback(lambda done: None if done.cancelled() else undo(done.result()))
            raise
        if task.cancelled():
            if failed is not None:
                failed()
            raise WorkerError(Failure.LOST, "the connection was closed here", worker=self.spec.id)
        return task.result()
