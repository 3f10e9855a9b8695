"""The reading end of the SQLite log: its own connections, so that no read waits for a write.

Source: docs/architecture.md, "The event log".
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import msgspec
import structlog

from service.eventlog.missed import missed_of_session
from service.eventlog.sqlite_schema import connect
from translation_events.decode import read_stored
from translation_events.errors import LogUnavailable
from translation_events.event import StoredEvent

READ_BYTES: Final = 4 * 2**20  # of bodies in one answer: 1,024 events of 64 KiB would be 64 MiB

log = structlog.get_logger(__name__)


class SqliteReader:
    """A few connections, each used by one thread at a time. Every method blocks; none changes the file.

    `upto` is the newest event that has been announced: what is durable but not yet announced is not shown.
    """

    def __init__(self, path: Path, *, node: str, connections: int) -> None:
        """Raises: sqlite3.Error."""
        self._node = node
        self._path = path
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._all = [connect(path, read_only=True) for _ in range(connections)]
        for connection in self._all:
            self._idle.put(connection)

    def read(
        self, after: int, upto: int, limit: int, session_id: str | None, types: Collection[str] | None
    ) -> list[StoredEvent]:
        """Kept events with after < seq <= upto, ascending, at most `limit` and about 4 MiB."""
        where, values = _filter(session_id, types)
        sql = f"SELECT body FROM events WHERE seq > ? AND seq <= ?{where} ORDER BY seq LIMIT ?"  # noqa: S608
        bodies: list[bytes] = []
        size = 0
        with self._connection() as connection:
            for (body,) in connection.execute(sql, (after, upto, *values, limit)):
                bodies.append(body)
                size += len(body)
                if size >= READ_BYTES:
                    break
        return self._decode(bodies)

    def newest(
        self, count: int, upto: int, session_id: str | None, types: Collection[str] | None
    ) -> list[StoredEvent]:
        """The newest `count` kept events that match, ascending."""
        where, values = _filter(session_id, types)
        sql = f"SELECT body FROM events WHERE seq <= ?{where} ORDER BY seq DESC LIMIT ?"  # noqa: S608
        with self._connection() as connection:
            rows = connection.execute(sql, (upto, *values, count)).fetchall()
        return self._decode([body for (body,) in reversed(rows)])

    def missed(self, after: int, before: int, session_id: str | None, seen: int | None) -> int | None:
        """How many events with after < seq < before are gone; None for "some"."""
        with self._connection() as connection:
            if session_id is None:
                kept: int = connection.execute(
                    "SELECT count(*) FROM events WHERE seq > ? AND seq < ?", (after, before)
                ).fetchone()[0]
                return max(0, before - after - 1 - kept)
            row = connection.execute(
                "SELECT total - kept, first_seq, trimmed_through FROM sessions WHERE session_id = ?",
                (session_id,),
            ).fetchone()
            if row is not None:
                return missed_of_session(after, before, seen, *row)
            forgotten = connection.execute(
                "SELECT value FROM meta WHERE key = 'forgotten_through'"
            ).fetchone()
            return None if forgotten and after < forgotten[0] else 0

    def load(self, name: str) -> Mapping[str, tuple[bytes, int]]:
        """Everything saved under `name`: key -> (blob, seq)."""
        with self._connection() as connection:
            rows = connection.execute("SELECT key, blob, seq FROM saved WHERE name = ?", (name,))
            return {key: (blob, seq) for key, blob, seq in rows}

    def close(self) -> None:
        """Close every connection; none may be in use."""
        for connection in self._all:
            connection.close()

    def _decode(self, bodies: Sequence[bytes]) -> list[StoredEvent]:
        try:
            return [read_stored(body, node=self._node) for body in bodies]
        except msgspec.DecodeError as err:
            log.exception("event_log_damaged", path=str(self._path))
            raise LogUnavailable("The event log holds a damaged event.", since=time.time()) from err

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.get()
        try:
            yield connection
        except sqlite3.Error as err:
            log.exception("event_log_read_failed", path=str(self._path))
            raise LogUnavailable(f"The event log cannot be read: {err}.", since=time.time()) from err
        finally:
            self._idle.put(connection)


def _filter(session_id: str | None, types: Collection[str] | None) -> tuple[str, list[Any]]:
    where, values = "", []
    if session_id is not None:
        where += " AND session = (SELECT key FROM sessions WHERE session_id = ?)"
        values.append(session_id)
    if types is not None:
        where += f" AND type IN ({','.join('?' * len(types))})"
        values += types
    return where, values
