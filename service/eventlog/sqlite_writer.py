"""The writing end of the SQLite log: every change of the file happens here, in one thread.

Source: docs/architecture.md, "The event log".
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

from service.eventlog.session_row import SessionRow
from service.eventlog.sqlite_group import Group, plan_group
from service.eventlog.sqlite_row_book import RowBook
from service.eventlog.sqlite_rows import RowInsert
from service.eventlog.sqlite_trim import prune_ids, remove_session, trim_session
from service.eventlog.store import (
    NO_LIMIT,
    Forgotten,
    Target,
    Written,
    ceiling_of,
    due_above,
)
from translation_events.decode import read_stored
from translation_events.errors import LogUnavailable
from translation_events.event import Event
from translation_events.log import Saved

PROBE_BYTES: Final = 64 * 1024  # as much as one event may have: where it fits, events do

_IDS: Final = RowInsert("INSERT OR IGNORE INTO ids", 3)
_EVENTS: Final = RowInsert("INSERT INTO events", 4)
_SESSIONS: Final = RowInsert(
    "INSERT INTO sessions (key, session_id, total, kept, ids, first_seq, trimmed_through)",
    7,
    "ON CONFLICT (key) DO UPDATE SET total = excluded.total, kept = excluded.kept, ids = excluded.ids,"
    " trimmed_through = excluded.trimmed_through",
)
_SAVED: Final = RowInsert(
    "INSERT INTO saved (name, key, blob, seq)",
    4,
    # A blob that waited for its turn while a trim saved a newer one must not undo it.
    "ON CONFLICT (name, key) DO UPDATE SET blob = excluded.blob, seq = excluded.seq"
    " WHERE excluded.seq >= saved.seq",
)
_LOST: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})

log = structlog.get_logger(__name__)


class SqliteWriter:
    """A `Store` in an SQLite file that `sqlite_schema.prepare` has made ready."""

    def __init__(self, connection: sqlite3.Connection, path: Path, *, log_id: str, node: str) -> None:
        """Read the counts. Cost: some milliseconds, whatever the number of events. Raises: sqlite3.Error."""
        self.log_id = log_id
        self.events_per_session = NO_LIMIT
        self._db = connection
        self._path = path
        self._node = node
        self._rows = RowBook(connection)
        (self.events,) = self._one("SELECT coalesce(sum(kept), 0) FROM sessions")
        self.first_seq = self._first()
        newest = self._db.execute("SELECT seq, body FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        self.last_seq = max(newest[0] if newest else 0, self._meta("last_seq"))
        self.last_received = read_stored(newest[1]).received_at if newest else 0.0

    @property
    def sessions(self) -> int:
        """How many sessions the log holds."""
        return self._rows.count

    @property
    def needs_care(self) -> bool:
        """True where a session is due for trimming or remembers too many ids."""
        return bool(self._rows.due or self._rows.crowded)

    def totals(self, most: int) -> Mapping[str, int]:
        """How many events each of the `most` youngest sessions has ever had, the youngest last."""
        found = self._db.execute("SELECT session_id, total FROM sessions ORDER BY key DESC LIMIT ?", (most,))
        return dict(reversed(found.fetchall()))

    def write(self, events: Sequence[Event], received: Sequence[float], *, over: bool = False) -> Written:
        """Store one group, durable on return. Raises: LogUnavailable: nothing was stored."""
        ceiling = NO_LIMIT if over else ceiling_of(self.events_per_session)
        with self._unavailable():
            group = self._plan(events, received, ceiling, None)
            if not self._store(group):
                # Some id was there before: look which, number anew. Rare, so the usual group pays nothing.
                group = self._plan(events, received, ceiling, self._known(events))
                self._store(group)
        self._rows.remember(group.rows, self.events_per_session)
        if group.stored:
            self.last_seq = group.stored[-1].seq
            self.last_received = group.stored[-1].received_at
            self.first_seq = self.first_seq or group.stored[0].seq
            self.events += len(group.stored)
        return Written(group.appended, group.stored, {key: row.total for key, row in group.rows.items()})

    def due(self, most: int) -> Sequence[str]:
        """At most `most` sessions that hold over 1.5 times their limit, the fullest first."""
        return sorted(self._rows.due, key=self._rows.due.__getitem__, reverse=True)[:most]

    def care(self, targets: Sequence[Target], name: str) -> int:
        """Trim and prune in one transaction; returns events removed. Raises: LogUnavailable."""
        removed, crowded = 0, list(self._rows.crowded)
        rows: dict[str, SessionRow] = {}
        with self._unavailable(), self._transaction():
            for target in targets:
                row = rows.setdefault(target.session_id, self._rows.get(target.session_id))
                limit = self.events_per_session
                removed += trim_session(self._db, row, target, name=name, limit=limit)
            for session_id in crowded:
                row = rows.setdefault(session_id, self._rows.get(session_id))
                prune_ids(self._db, row)
            if removed or crowded:  # else nothing is written and nothing waits for the disk
                self._put(rows)
        self._rows.remember(rows, self.events_per_session)
        self.events -= removed
        if removed:
            with self._unavailable():
                self.first_seq = self._first()
        return removed

    def recount(self, events_per_session: int) -> None:
        """Take a new limit and find the sessions that are above it. Raises: LogUnavailable."""
        self.events_per_session = events_per_session
        with self._unavailable():
            found = self._db.execute(
                "SELECT session_id, kept FROM sessions WHERE kept > ?", (due_above(events_per_session),)
            )
            self._rows.due = dict(found.fetchall())

    def save(self, entries: Sequence[Saved]) -> None:
        """Store blobs in one transaction, none over one of a higher seq. Raises: LogUnavailable."""
        with self._unavailable(), self._transaction():
            _SAVED.run(self._db, [value for entry in entries for value in entry])

    def forget(self, session_ids: Collection[str], name: str) -> Forgotten:
        """Remove sessions whole, in one transaction. Raises: LogUnavailable."""
        events, through, gone = 0, 0, []
        with self._unavailable(), self._transaction():
            for session_id in session_ids:
                self._db.execute("DELETE FROM saved WHERE name = ? AND key = ?", (name, session_id))
                row = self._rows.look_up(session_id)
                if row is None:
                    continue
                removed, newest = remove_session(self._db, row)
                events, through = events + removed, max(through, newest)
                gone.append(session_id)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('last_seq', ?)", (self.last_seq,))
            forgotten = max(through, self._meta("forgotten_through"))
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten_through', ?)", (forgotten,))
        for session_id in gone:
            self._rows.forget(session_id)
        self.events -= events
        with self._unavailable():
            self.first_seq = self._first()
        return Forgotten(events, through)

    def probe(self) -> None:
        """Write and remove something as large as an event, durable both times. Raises: LogUnavailable."""
        with self._unavailable():
            with self._transaction():
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(?))", (PROBE_BYTES,))
            with self._transaction():
                self._db.execute("DELETE FROM meta WHERE key = 'probe'")

    def close(self) -> None:
        """Fold the write-ahead log into the file and close it. Raises: LogUnavailable."""
        with self._unavailable():
            try:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                self._db.close()

    def _plan(
        self,
        events: Sequence[Event],
        received: Sequence[float],
        ceiling: int,
        known: dict[tuple[str, str], int] | None,
    ) -> Group:
        return plan_group(
            events,
            received,
            node=self._node,
            last_seq=self.last_seq,
            next_key=self._rows.next_key,
            ceiling=ceiling,
            look_up=self._rows.look_up,
            known=known,
        )

    def _store(self, group: Group) -> bool:
        """Make the plan durable; False, and nothing changed, where an id was not new after all."""
        with self._transaction():
            if _IDS.run(self._db, group.ids) != len(group.ids) // 3:
                self._db.execute("ROLLBACK")
                return False
            _EVENTS.run(self._db, group.events)
            self._put(group.rows)
        return True

    def _known(self, events: Sequence[Event]) -> dict[tuple[str, str], int]:
        names: dict[int, str] = {}
        wanted: list[Any] = []
        for event in events:
            if event.id is not None and (row := self._rows.look_up(event.session_id)) is not None:
                names[row.key] = event.session_id
                wanted += (row.key, event.id)
        if not wanted:
            return {}
        found = self._db.execute(
            f"WITH wanted (session, id) AS (VALUES {','.join(['(?,?)'] * (len(wanted) // 2))})"  # noqa: S608
            " SELECT ids.session, ids.id, ids.seq FROM wanted CROSS JOIN ids USING (session, id)",
            wanted,
        )
        return {(names[key], event_id): seq for key, event_id, seq in found}

    def _put(self, rows: Mapping[str, SessionRow]) -> None:
        values: list[Any] = []
        for session_id, row in rows.items():
            values += (row.key, session_id, row.total, row.kept, row.ids, row.first_seq, row.trimmed_through)
        _SESSIONS.run(self._db, values)

    def _first(self) -> int:
        found = self._db.execute("SELECT seq FROM events ORDER BY seq LIMIT 1").fetchone()
        return found[0] if found else 0

    def _meta(self, key: str) -> int:
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else 0

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._db.execute(sql, values).fetchone()
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _unavailable(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as err:
            if getattr(err, "sqlite_errorname", "") in _LOST:
                log.exception("event_log_damaged", path=str(self._path))
            raise LogUnavailable(f"The event log cannot be written: {err}.", since=time.time()) from err
