"""What the SQLite log's writer knows by heart of its sessions, so that an append need not look them up."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Mapping
from typing import Final

from service.eventlog.session_row import SessionRow
from service.eventlog.store import CROWDED_IDS, due_above

MAX_ROWS: Final = 20_000  # sessions known by heart; the others are looked up


class RowBook:
    """The rows of the youngest sessions, and which sessions want care.

    `due` are those above their limit with what they hold, `crowded` those that remember too many ids.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Count the sessions. Raises: sqlite3.Error."""
        self.due: dict[str, int] = {}
        self.crowded: set[str] = set()
        self.count: int
        self.next_key: int
        self._db = connection
        self._rows: dict[str, SessionRow] = {}
        self.count, self.next_key = connection.execute(
            "SELECT count(*), coalesce(max(key), 0) + 1 FROM sessions"
        ).fetchone()

    def look_up(self, session_id: str) -> SessionRow | None:
        """A copy of what is known of the session, to be changed and remembered once it is durable."""
        row = self._rows.get(session_id)
        if row is not None:
            return copy.copy(row)
        found = self._db.execute(
            "SELECT key, total, kept, ids, first_seq, trimmed_through FROM sessions WHERE session_id = ?",
            (session_id,),
        ).fetchone()
        return SessionRow(*found) if found else None

    def get(self, session_id: str) -> SessionRow:
        """As `look_up`. Raises: KeyError: the log has no such session."""
        row = self.look_up(session_id)
        if row is None:
            raise KeyError(session_id)
        return row

    def remember(self, rows: Mapping[str, SessionRow], events_per_session: int) -> None:
        """Take what is durable now, and whether these sessions are due for trimming or pruning."""
        threshold = due_above(events_per_session)
        for session_id, row in rows.items():
            if row.key >= self.next_key:
                self.next_key = row.key + 1
                self.count += 1
            self._rows.pop(session_id, None)  # to the young end
            self._rows[session_id] = row
            if row.kept > threshold:
                self.due[session_id] = row.kept
            else:
                self.due.pop(session_id, None)
            if row.ids > CROWDED_IDS:
                self.crowded.add(session_id)
            else:
                self.crowded.discard(session_id)
        while len(self._rows) > MAX_ROWS:
            del self._rows[next(iter(self._rows))]

    def forget(self, session_id: str) -> None:
        """The session has been removed from the log."""
        self._rows.pop(session_id, None)
        self.due.pop(session_id, None)
        self.crowded.discard(session_id)
        self.count -= 1
