"""Looks at an event log file without changing it: is it ours, and is it whole."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from service.eventlog.sqlite_schema import APPLICATION_ID, MIGRATIONS, connect, damaged, unusable
from translation_events.errors import LogDamaged

CHECK_LIMIT_S: Final = 10.0  # about a gigabyte; a check of everything belongs to a quiet hour
_STEPS_BETWEEN_LOOKS: Final = 100_000


def check_file(path: Path) -> str:
    """What the file holds, in words. Safe beside a running server; takes 10 s at most.

    Raises: LogDamaged: what is wrong with it and what to do.
    """
    try:
        with path.open("r+b"):
            pass
    except OSError as err:
        raise unusable(path, err) from err
    try:
        with closing(connect(path, read_only=True)) as connection:
            return _check(connection, path)
    except sqlite3.Error as err:
        raise damaged(path, err) from err


def _check(connection: sqlite3.Connection, path: Path) -> str:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        return "empty"
    if application_id != APPLICATION_ID:
        raise LogDamaged(
            f"{path} is an SQLite database, but not an event log of this program. "
            "Give another path with --event-log sqlite:///PATH."
        )
    if version > len(MIGRATIONS):
        raise LogDamaged(
            f"The event log {path} was written by a newer version of this program (schema {version}). "
            "Upgrade, or give another path with --event-log sqlite:///PATH."
        )
    until = time.monotonic() + CHECK_LIMIT_S
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as err:
        if "interrupted" not in str(err):
            raise
        return f"no fault found within {CHECK_LIMIT_S:g} s (the file is large)"
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        raise damaged(path, sqlite3.DatabaseError(verdict))
    (events,) = connection.execute("SELECT coalesce(sum(kept), 0) FROM sessions").fetchone()
    return f"whole, {events} events"
