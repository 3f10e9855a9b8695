"""The event log in one SQLite file: the default, embedded, fsynced before anything is acknowledged.

Source: docs/architecture.md, "The event log".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future as Outcome
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import structlog

from service.eventlog.grouped import GroupedLog
from service.eventlog.sqlite_lock import FileLock
from service.eventlog.sqlite_reader import SqliteReader
from service.eventlog.sqlite_schema import connect, damaged, prepare, unusable
from service.eventlog.sqlite_writer import SqliteWriter
from service.eventlog.tail import MAX_TOTALS
from translation_events.errors import LogDamaged, LogUnavailable
from translation_events.event import StoredEvent
from translation_events.log import LogStats

READERS: Final = 2  # a long search must not hold up a viewer that catches up

T = TypeVar("T")
log = structlog.get_logger(__name__)


class _Parts(NamedTuple):
    lock: FileLock
    writer: SqliteWriter
    reader: SqliteReader
    totals: Mapping[str, int]


class SqliteEventLog(GroupedLog):
    """An `EventLog` in a file: one writing thread, a few reading ones. Made by `open`."""

    kind = "sqlite"
    durable = True

    def __init__(self, parts: _Parts, path: Path, writing: ThreadPoolExecutor, *, node: str) -> None:
        super().__init__(
            parts.writer, node=node, totals=parts.totals, complete=parts.writer.sessions <= len(parts.totals)
        )
        self.path = path
        self._lock = parts.lock
        self._reader = parts.reader
        self._writing = writing
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="event-log-read")

    @classmethod
    async def open(cls, path: Path | str, *, node: str = "local") -> SqliteEventLog:
        """Open the log at `path`, or make it. Raises: LogDamaged, whose `detail` says what to do."""
        path = Path(os.path.abspath(os.path.expanduser(path)))  # noqa: ASYNC240  # touches no disk
        writing = ThreadPoolExecutor(1, thread_name_prefix="event-log-write")
        try:
            parts = await asyncio.get_running_loop().run_in_executor(writing, _open, path, node)
        except BaseException:
            writing.shutdown(wait=False)
            raise
        return cls(parts, path, writing, node=node)

    async def read(
        self,
        after: int,
        *,
        limit: int,
        session_id: str | None = None,
        types: Collection[str] | None = None,
    ) -> Sequence[StoredEvent]:
        """Return kept events with seq > after, ascending, at most `limit` (empty = caught up).

        An answer also ends after about 4 MiB. Raises: LogUnavailable.
        """
        return await self._ask(partial(self._reader.read, after, self.last_seq, limit, session_id, types))

    async def newest(
        self, count: int, *, session_id: str | None = None, types: Collection[str] | None = None
    ) -> Sequence[StoredEvent]:
        """Return the newest `count` kept events that match, ascending. Raises: LogUnavailable."""
        return await self._ask(partial(self._reader.newest, count, self.last_seq, session_id, types))

    async def missed(
        self, after: int, before: int, *, session_id: str | None = None, seen: int | None = None
    ) -> int | None:
        """Count events with after < seq < before that retention has removed: 0 for none, None for "some"."""
        before = min(before, self.last_seq + 1)
        if before - after <= 1:
            return 0
        return await self._ask(partial(self._reader.missed, after, before, session_id, seen))

    async def load(self, name: str) -> Mapping[str, tuple[bytes, int]]:
        """Return key -> (blob, seq) of everything saved under `name`. Raises: LogUnavailable."""
        return await self._ask(partial(self._reader.load, name))

    async def stats(self) -> LogStats:
        """Return sizes and counts; cheap enough for every scrape."""
        size_bytes, free_bytes = await self._ask(partial(_sizes, self.path))
        return LogStats(
            kind=self.kind,
            events=self._store.events,
            sessions=self._store.sessions,
            size_bytes=size_bytes,
            free_bytes=free_bytes,
            durable=self.durable,
            unavailable_since=self._unavailable_since,
        )

    async def aclose(self) -> None:
        """Finish the running append and close; later calls raise LogUnavailable."""
        first = self._closing is None
        await super().aclose()
        if first:
            await asyncio.to_thread(self._reading.shutdown)
            self._reader.close()
            await asyncio.to_thread(self._writing.shutdown)
            self._lock.release()

    def _run(self, job: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        # Straight to `done`: run_in_executor would cost every group one more turn of the loop.
        self._writing.submit(job).add_done_callback(partial(self._back_in_loop, done))

    def _back_in_loop(self, done: Callable[[Outcome[T]], None], outcome: Outcome[T]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed without closing the log
            self._loop.call_soon_threadsafe(done, outcome)

    async def _ask(self, question: Callable[[], T]) -> T:
        self._check_open()
        try:
            return await self._loop.run_in_executor(self._reading, question)
        except LogUnavailable:
            self._count_failure("read")
            raise


def _open(path: Path, node: str) -> _Parts:
    started = time.monotonic()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(path)
    except OSError as err:
        raise unusable(path, err) from err
    connection = None
    try:
        # Events are the user's text: nobody else's to read. The -wal and -shm files follow this mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path)
        log_id = prepare(connection, path)
        writer = SqliteWriter(connection, path, log_id=log_id, node=node)
        parts = _Parts(
            lock, writer, SqliteReader(path, node=node, connections=READERS), writer.totals(MAX_TOTALS)
        )
    except BaseException as err:
        if connection is not None:
            connection.close()
        lock.release()
        if isinstance(err, OSError):
            raise unusable(path, err) from err
        if isinstance(err, sqlite3.Error):
            raise _explained(path, err) from err
        raise
    log.info(
        "event_log_open",
        path=str(path),
        events=writer.events,
        sessions=writer.sessions,
        last_seq=writer.last_seq,
        took_s=round(time.monotonic() - started, 3),
    )
    return parts


def _explained(path: Path, error: sqlite3.Error) -> LogDamaged:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_FULL", "SQLITE_BUSY")):
        return unusable(path, error)
    return damaged(path, error)


def _sizes(path: Path) -> tuple[int, int | None]:
    size = 0
    for suffix in ("", "-wal"):
        try:
            size += os.stat(f"{path}{suffix}").st_size
        except FileNotFoundError:
            continue
    try:
        return size, shutil.disk_usage(path.parent).free
    except OSError:
        return size, None
