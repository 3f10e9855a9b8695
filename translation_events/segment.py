"""A segment of the spool: a file of events, one JSON object a line, appended to and read by position."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from translation_events.event import EventType
from translation_events.journal import Journal

_DROPPABLE_TYPES: Final = frozenset(
    {EventType.TRANSLATION_PROGRESS.value, EventType.CONVERSION_PROGRESS.value, EventType.WORKER_STATUS.value}
)


class Head(msgspec.Struct, gc=False):
    """What a spool must know of an event."""

    type: str
    id: str


read_head: Final = msgspec.json.Decoder(Head).decode


def is_droppable(event_type: str) -> bool:
    """True for events whose successors say the same anew: progress and the state of a worker."""
    return event_type in _DROPPABLE_TYPES


class Segment:
    """`events` lines wait behind the first `acknowledged` of `size_bytes` bytes.

    `droppable` says how many lines may go when the spool is full (None: not counted yet). Only whole lines
    count: what a crash left behind the last line break was never promised to anyone.
    """

    def __init__(self, journal: Journal, path: Path, fd: int, size_bytes: int, events: int) -> None:
        self.journal = journal
        self.path = path
        self.size_bytes = size_bytes
        self.acknowledged = 0
        self.events = events
        self.droppable: int | None = None
        self._fd = fd

    @classmethod
    def create(cls, journal: Journal, number: int) -> Segment:
        """A new, empty segment. Raises: OSError, FileExistsError where the number is taken."""
        path = journal.path / f"{number:08d}.0.ndjson"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        segment = cls(journal, path, os.open(path, flags, 0o600), 0, 0)
        segment.droppable = 0
        return segment

    @classmethod
    def open(cls, journal: Journal, path: Path, acknowledged: int) -> Segment:
        """An existing segment, of which so many bytes need not be sent again. Raises: OSError."""
        data = path.read_bytes()
        size = data.rfind(b"\n") + 1
        segment = cls(journal, path, -1, size, data.count(b"\n", acknowledged))
        segment.acknowledged = min(acknowledged, size)
        return segment

    @property
    def number(self) -> int:
        """Its place among the journal's segments."""
        return int(self.path.name[:8])

    def append(self, line: bytes, *, droppable: bool) -> None:
        """Write one line (with its line break) or nothing. Raises: OSError."""
        written = os.write(self._fd, line)
        if written != len(line):
            os.ftruncate(self._fd, self.size_bytes)
            raise OSError("the disk took only a part of the event")
        # Asked, not added up, and never lowered: a signal handler may emit or raise between any two lines.
        end = os.lseek(self._fd, 0, os.SEEK_CUR)
        if end > self.size_bytes:
            self.size_bytes = end
        self.events += 1
        if droppable and self.droppable is not None:
            self.droppable += 1

    def lines(self, offset: int, max_bytes: int) -> bytes:
        """Whole lines from `offset` on, b"" at the end. Raises: OSError."""
        if offset >= self.size_bytes:
            return b""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._fd, min(max_bytes, self.size_bytes - offset), offset)
        return data[: data.rfind(b"\n") + 1]

    def without_droppable(self) -> tuple[Segment | None, int]:
        """Rewrite what waits without what may go: the new segment (None if empty), events dropped.

        Cost: some 4 ms for 1 MiB.  Raises: OSError, the segment is then as it was.
        """
        data = self.path.read_bytes()[self.acknowledged : self.size_bytes]
        lines = [line + b"\n" for line in data.split(b"\n")[:-1]]
        kept = [line for line in lines if not _may_go(line)]
        dropped = len(lines) - len(kept)
        if not dropped:
            self.droppable = 0
            return self, 0
        if not kept:
            self.delete()
            return None, dropped
        number, generation, _ = self.path.name.split(".")
        path = self.path.with_name(f"{number}.{int(generation) + 1}.ndjson")
        body = b"".join(kept)
        draft = path.with_suffix(".new")
        draft.write_bytes(body)
        draft.rename(path)
        self.delete()
        segment = Segment(self.journal, path, -1, len(body), len(kept))
        segment.droppable = 0
        return segment, dropped

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def delete(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _may_go(line: bytes) -> bool:
    try:
        return is_droppable(read_head(line).type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True  # a damaged line can never be delivered
