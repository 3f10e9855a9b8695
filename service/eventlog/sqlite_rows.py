"""Many rows into SQLite in few statements.

Python's sqlite3 gives the interpreter lock away and takes it back around every step of a statement; while the
event loop is busy each taking back can wait for milliseconds. Many rows a statement make that rare: with
`executemany` 1,024 rows cost 1,024 such hand-overs, here one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

_MOST_ROWS: Final = 1_024  # times six columns stays far below SQLite's 32,766 parameters


class RowInsert:
    """An INSERT for any number of rows, as statements of 1,024, 512 … 2, 1 rows that stay prepared."""

    def __init__(self, head: str, columns: int, tail: str = "") -> None:
        row = f"({','.join('?' * columns)})"
        self._columns = columns
        self._statements: list[tuple[int, str]] = []
        rows = _MOST_ROWS
        while rows:
            self._statements.append((rows, f"{head} VALUES {','.join([row] * rows)} {tail}"))
            rows //= 2

    def run(self, connection: sqlite3.Connection, values: Sequence[Any]) -> int:
        """Insert the rows that `values` holds one after another; returns how many rows changed."""
        at, left, changed = 0, len(values) // self._columns, 0
        for rows, statement in self._statements:
            while left >= rows:
                end = at + rows * self._columns
                changed += connection.execute(statement, values[at:end]).rowcount
                at, left = end, left - rows
        return changed
