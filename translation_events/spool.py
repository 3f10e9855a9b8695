"""The spool: every event waits here, in order, from `emit` until the monitor has acknowledged it.

`emit` writes to it and the delivery reads from it, with or without a connection: so there is one order, no
copy in memory beyond what is in flight, and nothing to rescue when the process is killed. The events are in
the page cache when `append` returns: they survive the death of the process, not a loss of power.
Source: docs/protocol.md, "The publisher's spool".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from translation_events.journal import Journal
from translation_events.overflow import Overflow
from translation_events.segment import Segment, read_head

SPOOL_BYTES: Final = 100_000_000
SEGMENT_BYTES: Final = 1 << 20  # what a full spool drops at a time, what an acknowledged prefix may occupy
READ_BYTES: Final = 256 * 1024  # four of the largest events
RETRY_DISK_S: Final = 5.0


class Record(NamedTuple):
    """An event that waits: its JSON (no line break), its id ("" if the line is damaged) and where it ends."""

    body: bytes
    id: str
    segment: Segment | None
    end: int


class Spool:
    """Events in order: first what earlier publishers left (their journals' locks were free), then our own.

    Thread-safe. `append` is for the producers' threads, the rest for the one that delivers. `limit_bytes`
    holds for all journals together; events that are neither progress nor a worker's state may exceed it.
    """

    def __init__(self, folder: Path | None, *, limit_bytes: int = SPOOL_BYTES, own: bool = True) -> None:
        """Open the spool of one monitor in `folder` (None: memory only); `own=False` takes no new events."""
        # Re-entrant, since a signal handler may emit while the very same thread is inside `append`.
        self._lock = threading.RLock()
        self.folder = folder
        self.dropped = 0
        self.busy = 0  # journals another process has at work
        self.fault: OSError | None = None
        self._limit_bytes = limit_bytes
        self._segment_bytes = min(SEGMENT_BYTES, limit_bytes // 16)
        self._journals: list[Journal] = []
        self._own: Journal | None = None
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._reading, self._offset = 0, 0  # the segment read next, and from where
        self._full = False
        self._closed = False
        self._next_number = 1
        self._overflow = Overflow()
        self._retry_disk_at = 0.0
        if folder is not None:
            try:
                self._open(folder, own=own)
            except OSError as err:
                self.fault = err

    @property
    def waiting(self) -> int:
        """Events that have been taken and not yet acknowledged."""
        with self._lock:
            return sum(segment.events for segment in self._segments) + len(self._overflow)

    @property
    def drained(self) -> bool:
        """True when nothing waits."""
        with self._lock:
            return not self._overflow and all(s.acknowledged == s.size_bytes for s in self._segments)

    @property
    def size_bytes(self) -> int:
        """Bytes of events on disk."""
        with self._lock:
            return self._stored_bytes

    def append(self, body: bytes, *, droppable: bool) -> int:
        """Take one event of one line; returns how many events had to go for it (itself, if nothing else may).

        Never raises for the disk's sake: what it does not take stays in memory, within bounds.
        """
        line = body + b"\n"
        with self._lock:
            if self._closed:
                self.dropped += 1
                return 1
            if self._own is None or (self._overflow and not self._overflow_to_disk()):
                return self._to_overflow(line, droppable)
            dropped = 0
            try:
                active = self._active
                if active is None or active.size_bytes >= self._segment_bytes:
                    active = self._rotate(self._own)
                    dropped = self._make_room()
                if self._full and droppable:
                    self.dropped += 1
                    return dropped + 1
                active.append(line, droppable=droppable)
            except OSError as err:
                self.fault = err
                self._retry_disk_at = time.monotonic() + RETRY_DISK_S
                return dropped + self._to_overflow(line, droppable)
            return dropped

    def read(self, max_events: int) -> list[Record]:
        """Return what comes next, at most `max_events` and 256 KiB ([]: nothing new)."""
        with self._lock:
            lines = self._next_lines(max_events)
        # Outside the lock, for which a producer's thread may be waiting.
        return [_record(*line) for line in lines]

    def resolve(self, records: Sequence[Record]) -> None:
        """Forget the oldest events read: they are acknowledged, or refused for good."""
        with self._lock:
            for record in records:
                if record.segment is None:
                    self._overflow.pop()
                    continue
                while self._segments[0] is not record.segment:
                    self._drop_first()
                record.segment.acknowledged = record.end
                record.segment.events -= 1
            self._forget_acknowledged()
            self._mark()

    def rewind(self) -> None:
        """Read again from the first event that is not resolved: after a cut, all of it is sent anew."""
        with self._lock:
            self._reading, self._offset, self._overflow.read = 0, self._start(0), 0

    def close(self) -> int:
        """Leave what waits to the next publisher; returns how many events could not be left on disk."""
        with self._lock:
            self._closed = True
            self.rewind()
            if self._overflow:
                self._retry_disk_at = 0.0
                self._overflow_to_disk()
            drained = self.drained
            for segment in self._segments:
                segment.close()
            for journal in self._journals:
                if drained or not any(segment.journal is journal for segment in self._segments):
                    journal.remove()
                else:
                    journal.release()
            self._journals, self._own = [], None
            return len(self._overflow)

    def _open(self, folder: Path, *, own: bool) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = Journal.paths(folder)
        found = [journal for path in paths if (journal := Journal.claim(path)) is not None]
        self.busy = len(paths) - len(found)
        self._journals = found
        for journal in found:
            name, acknowledged = journal.cursor()
            # Never the number of a segment that is gone: the cursor may still speak of it.
            self._next_number = int(name[:8] or 0) + 1
            for path in journal.segments():
                self._segments.append(Segment.open(journal, path, acknowledged if path.name == name else 0))
                self._next_number = max(self._next_number, self._segments[-1].number + 1)
        # A predecessor's journal is continued, or each run without a monitor would leave one more.
        if own:
            self._own = found[-1] if found else Journal.create(folder)
            if not found:
                self._journals.append(self._own)
        self._forget_acknowledged()
        self._offset = self._start(0)

    def _start(self, at: int) -> int:
        return self._segments[at].acknowledged if at < len(self._segments) else 0

    @property
    def _stored_bytes(self) -> int:
        return sum(segment.size_bytes for segment in self._segments)

    def _rotate(self, own: Journal) -> Segment:
        while True:
            try:
                self._active = active = Segment.create(own, self._next_number)
                break
            except FileExistsError:
                self._next_number += 1
        self._next_number += 1
        self._segments.append(active)
        self._forget_acknowledged()
        return active

    def _make_room(self) -> int:
        """Before a new segment: if it is time, drop the oldest droppable events, a segment's worth."""
        if self._stored_bytes + self._segment_bytes <= self._limit_bytes:
            return 0
        # What is in flight has a position that must not change: it is left alone.
        in_flight = self._reading > 0 or self._offset != self._start(0)
        at, dropped = self._reading + 1 if in_flight else 0, 0
        while at < len(self._segments) and self._stored_bytes + 2 * self._segment_bytes > self._limit_bytes:
            segment = self._segments[at]
            if segment is self._active or segment.droppable == 0:
                at += 1
                continue
            rest, gone = segment.without_droppable()
            dropped += gone
            self._segments[at : at + 1] = [] if rest is None else [rest]
            at += rest is not None
        if not in_flight:
            self._offset = self._start(0)
        self._full = self._stored_bytes + self._segment_bytes > self._limit_bytes
        self.dropped += dropped
        return dropped

    def _to_overflow(self, line: bytes, droppable: bool) -> int:
        dropped = self._overflow.append(line, droppable=droppable)
        self.dropped += dropped
        return dropped

    def _overflow_to_disk(self) -> bool:
        """Try the disk again: True once the overflow is empty, so that the order is kept."""
        if self._overflow.read or self._own is None or time.monotonic() < self._retry_disk_at:
            return False
        try:
            active = self._rotate(self._own)
            while self._overflow:
                line, droppable = self._overflow.first()
                active.append(line, droppable=droppable)
                self._overflow.pop()
        except OSError as err:
            self.fault = err
            self._retry_disk_at = time.monotonic() + RETRY_DISK_S
            return False
        self.fault = None
        return True

    def _next_lines(self, max_events: int) -> list[tuple[bytes, Segment | None, int]]:
        while self._reading < len(self._segments):
            segment = self._segments[self._reading]
            data = self._data(segment)
            if data:
                return self._split(segment, data, max_events)
            if segment is self._active:
                break
            self._reading += 1
            self._offset = self._start(self._reading)
            self._forget_acknowledged()
        return [(line[:-1], None, 0) for line in self._overflow.take(max_events)]

    def _data(self, segment: Segment) -> bytes:
        try:
            return segment.lines(self._offset, READ_BYTES)
        except OSError as err:
            self.fault = err
            return b""

    def _split(
        self, segment: Segment, data: bytes, max_events: int
    ) -> list[tuple[bytes, Segment | None, int]]:
        lines: list[tuple[bytes, Segment | None, int]] = []
        # One more part than lines: what follows the last line break of those wanted.
        for line in data.split(b"\n", max_events)[:-1]:
            self._offset += len(line) + 1
            lines.append((line, segment, self._offset))
        return lines

    def _forget_acknowledged(self) -> None:
        """Remove finished segments from the front; the active one goes only when the next has begun."""
        while self._segments and self._segments[0] is not self._active:
            if self._segments[0].acknowledged < self._segments[0].size_bytes:
                return
            self._drop_first()

    def _drop_first(self) -> None:
        first = self._segments.pop(0)
        self._full = False
        if self._reading:
            self._reading -= 1
        else:
            self._offset = self._start(0)
        try:
            first.delete()
        except OSError as err:
            self.fault = err
        journal = first.journal
        if journal is not self._own and not any(segment.journal is journal for segment in self._segments):
            self._journals.remove(journal)
            journal.remove()

    def _mark(self) -> None:
        if not self._segments:
            return
        first = self._segments[0]
        try:
            first.journal.mark(first.path.name, first.acknowledged)
        except OSError as err:
            self.fault = err  # a restart would send some events again, under the same ids


def _record(line: bytes, segment: Segment | None, end: int) -> Record:
    try:
        line.decode()
        return Record(line, read_head(line).id, segment, end)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Record(b"", "", segment, end)
