"""The overflow of a spool: a bounded queue in memory for events the disk does not take."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

OVERFLOW_EVENTS: Final = 2_000
OVERFLOW_BYTES: Final = 4 << 20


class Overflow:
    """Lines in order, of which the first `read` have been handed out. Not thread-safe: its spool is."""

    def __init__(self) -> None:
        self.read = 0
        self._lines: deque[tuple[bytes, bool]] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, line: bytes, *, droppable: bool) -> int:
        """Take a line; when full, the oldest droppable one not in flight goes for it, else the line itself.

        Returns how many lines went.
        """
        dropped = 0
        while len(self._lines) >= OVERFLOW_EVENTS or self._size_bytes + len(line) > OVERFLOW_BYTES:
            dropped += 1
            if not self._drop_oldest():
                return dropped
        self._lines.append((line, droppable))
        self._size_bytes += len(line)
        return dropped

    def take(self, count: int) -> list[bytes]:
        """Hand out the next lines, at most `count`; they stay until `pop`."""
        lines = [line for line, _ in islice(self._lines, self.read, self.read + count)]
        self.read += len(lines)
        return lines

    def first(self) -> tuple[bytes, bool]:
        """The oldest line and whether it may be dropped."""
        return self._lines[0]

    def pop(self) -> None:
        """Forget the oldest line."""
        line, _ = self._lines.popleft()
        self._size_bytes -= len(line)
        self.read = max(0, self.read - 1)

    def _drop_oldest(self) -> bool:
        for at in range(self.read, len(self._lines)):
            line, droppable = self._lines[at]
            if droppable:
                self._size_bytes -= len(line)
                del self._lines[at]
                return True
        return False
