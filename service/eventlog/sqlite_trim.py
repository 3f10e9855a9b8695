"""What leaves the SQLite log: a session's oldest events, its oldest ids, a session whole.

Each function runs inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3

from service.eventlog.session_row import SessionRow
from service.eventlog.store import REMEMBERED_IDS, Target
from translation_events.event import EventType


def trim_session(
    connection: sqlite3.Connection, row: SessionRow, target: Target, *, name: str, limit: int
) -> int:
    """Remove all but the newest `limit` events, as far as allowed, and save the summary; returns removed."""
    cut = connection.execute(
        "SELECT seq FROM events WHERE session = ? ORDER BY seq DESC LIMIT 1 OFFSET ?", (row.key, limit)
    ).fetchone()
    if cut is None:
        return 0
    through: int = cut[0]
    folded = target.summary[1] if target.summary is not None else 0
    needed = connection.execute(
        "SELECT seq FROM events WHERE session = ? AND seq > ? AND seq <= ? AND type <> ?"
        " ORDER BY seq LIMIT 1",
        (row.key, folded, through, EventType.WORKER_STATUS.value),
    ).fetchone()
    if needed is not None:
        through = needed[0] - 1
    removed = connection.execute(
        "DELETE FROM events WHERE session = ? AND seq <= ?", (row.key, through)
    ).rowcount
    if removed:
        row.kept -= removed
        row.trimmed_through = through
        if target.summary is not None:
            connection.execute(
                "INSERT OR REPLACE INTO saved (name, key, blob, seq) VALUES (?, ?, ?, ?)",
                (name, target.session_id, *target.summary),
            )
    return removed


def prune_ids(connection: sqlite3.Connection, row: SessionRow) -> None:
    """Forget all but the newest ids of a session."""
    row.ids -= connection.execute(
        "DELETE FROM ids WHERE session = ?1 AND seq <="
        " (SELECT seq FROM ids WHERE session = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        (row.key, REMEMBERED_IDS),
    ).rowcount


def remove_session(connection: sqlite3.Connection, row: SessionRow) -> tuple[int, int]:
    """Remove all that is kept of a session; returns how many events, and the seq of its newest ever."""
    newest = connection.execute("SELECT max(seq) FROM events WHERE session = ?", (row.key,)).fetchone()[0]
    removed = connection.execute("DELETE FROM events WHERE session = ?", (row.key,)).rowcount
    connection.execute("DELETE FROM ids WHERE session = ?", (row.key,))
    connection.execute("DELETE FROM sessions WHERE key = ?", (row.key,))
    return removed, newest or row.trimmed_through
