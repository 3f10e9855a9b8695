"""The tables of the SQLite log, and how a file is opened, migrated or refused with a way on.

Source: docs/architecture.md, "The event log".
"""

from __future__ import annotations

import shlex
import sqlite3
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from translation_events.errors import LogDamaged

APPLICATION_ID: Final = 0x544D4C47  # "TMLG": tells our file from another program's
BUSY_TIMEOUT_S: Final = 5.0  # someone looks into the file with a tool of his own
CACHED_STATEMENTS: Final = 256
CACHE_KIB: Final = 8192
CHECKPOINT_PAGES: Final = 2000

# Each script takes the file from version n to n + 1, in one transaction. Never edit one; add.
MIGRATIONS: Final[Sequence[str]] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE sessions (
        key INTEGER PRIMARY KEY,
        session_id TEXT NOT NULL UNIQUE,
        total INTEGER NOT NULL,           -- events ever stored
        kept INTEGER NOT NULL,            -- rows in events
        ids INTEGER NOT NULL,             -- rows in ids
        first_seq INTEGER NOT NULL,       -- of the first event ever
        trimmed_through INTEGER NOT NULL  -- every event up to here has been removed
    );
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        session INTEGER NOT NULL,
        type TEXT NOT NULL,
        body BLOB NOT NULL                -- as relayed
    );
    CREATE INDEX events_by_session ON events (session);  -- within a session it is in order of seq
    CREATE TABLE ids (
        session INTEGER NOT NULL,
        id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (session, id)
    ) WITHOUT ROWID;
    CREATE TABLE saved (
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        blob BLOB NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (name, key)
    );
    """,
)


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time. Raises: sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    if read_only:
        connection.execute("PRAGMA query_only = 1")
    return connection


def prepare(connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS) -> str:
    """Make the file ours and current, set for durable writes; returns the log's id.

    Raises: LogDamaged: newer than this program, or another program's. sqlite3.Error: torn or corrupt.
    """
    version: int = _value(connection, "PRAGMA user_version")
    application_id = _value(connection, "PRAGMA application_id")
    empty = not _value(connection, "SELECT count(*) FROM sqlite_master")
    if not (empty or application_id == APPLICATION_ID):
        raise LogDamaged(
            f"{path} is an SQLite database, but not an event log of this program. "
            "Give another path with --event-log sqlite:///PATH."
        )
    if version > len(migrations):
        raise LogDamaged(
            f"The event log {path} has schema version {version}; this program knows up to {len(migrations)}. "
            "It was written by a newer version: upgrade, or give another path with --event-log sqlite:///PATH."
        )
    if _value(connection, "PRAGMA journal_mode = WAL") != "wal":
        raise LogDamaged(
            f"The event log {path} cannot use SQLite's write-ahead log there; network file systems often "
            "cannot. Put it on a local disk: --event-log sqlite:///PATH."
        )
    for pragma in (
        "synchronous = FULL",  # an acknowledged event has been fsynced
        *(("fullfsync = 1", "checkpoint_fullfsync = 1") if sys.platform == "darwin" else ()),
        f"cache_size = -{CACHE_KIB}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        "journal_size_limit = 67108864",
        "secure_delete = 0",  # some builds overwrite what is removed, which doubles the cost of trimming
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}")
    migrate(connection, version, migrations)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('log_id', ?)", (uuid.uuid4().hex,))
    return str(_value(connection, "SELECT value FROM meta WHERE key = 'log_id'"))


def migrate(connection: sqlite3.Connection, version: int, migrations: Sequence[str]) -> None:
    """Run what is missing after `version`, each script in a transaction of its own."""
    for number, script in enumerate(migrations[version:], version + 1):
        try:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number};"
                f"PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def damaged(path: Path, error: sqlite3.Error) -> LogDamaged:
    """What to tell the one who meets a torn or corrupt file, with the exact commands."""
    aside = f"{path}.damaged"
    moves = " && ".join(
        f"mv {shlex.quote(f'{path}{suffix}')} {shlex.quote(f'{aside}{suffix}')}"
        for suffix in ("", "-wal", "-shm")
        if Path(f"{path}{suffix}").exists()
    )
    return LogDamaged(
        f"The event log {path} is damaged ({error}). Move it aside and start again: {moves}. What can be "
        "read goes into the new file if, before that start, an sqlite3 command with .recover runs: "
        f"sqlite3 {shlex.quote(aside)} .recover | sqlite3 {shlex.quote(str(path))}"
    )


def unusable(path: Path, error: OSError | sqlite3.Error) -> LogDamaged:
    """What to tell where the place itself is at fault."""
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return LogDamaged(
        f"The event log {path} cannot be opened for writing ({reason}). Give the account that runs the "
        f"server write access to {path.parent}, or another path with --event-log sqlite:///PATH."
    )


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row else None
