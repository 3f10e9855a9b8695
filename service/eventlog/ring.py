"""The newest events of a log, in memory: where nearly every reader reads from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from translation_events.event import StoredEvent

RING_EVENTS: Final = 65_536
RING_BYTES: Final = 32 * 2**20
# What an entry takes is the body, the producer's bytes, the decoded fields and the objects around them.
# Measured: 750 bytes for a body of 101, 2,400 for 393, 29,000 for 8,200.
ENTRY_BYTES: Final = 700
BODY_FACTOR: Final = 4
_KEPT_RATIO: Final = 15 / 16  # evicting a sixteenth at once makes moving the list's tail rare


class Ring:
    """A run of events whose seqs follow one another without a hole, bounded in number and bytes."""

    def __init__(self, next_seq: int, *, max_events: int = RING_EVENTS, max_bytes: int = RING_BYTES) -> None:
        self.first_seq = next_seq
        self._events: list[StoredEvent] = []
        self._bytes = 0
        self._max_events = max_events
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._events)

    @property
    def size_bytes(self) -> int:
        """What the entries take in memory, estimated from their bodies."""
        return self._bytes

    def extend(self, stored: Sequence[StoredEvent]) -> None:
        """Add the events that follow the newest one; the oldest make room."""
        if not stored:
            return
        if stored[0].seq != self.first_seq + len(self._events):
            self.drop_through(stored[0].seq - 1)
            self.first_seq = stored[0].seq
        self._events += stored
        self._bytes += _memory_of(stored)
        if len(self._events) > self._max_events or self._bytes > self._max_bytes:
            self._evict()

    def after(self, cursor: int, limit: int) -> Sequence[StoredEvent] | None:
        """At most `limit` events with seq > cursor, ascending; None where the ring no longer reaches back."""
        start = cursor + 1 - self.first_seq
        if start < 0:
            return None
        return self._events[start : start + limit]

    def drop_through(self, seq: int) -> None:
        """Let go of everything up to `seq`: it is read from the log again, which may have removed it."""
        self._drop(min(max(0, seq + 1 - self.first_seq), len(self._events)))

    def _evict(self) -> None:
        events, size = self._events, self._bytes
        most = int(self._max_events * _KEPT_RATIO)
        size_most = int(self._max_bytes * _KEPT_RATIO)
        count = max(0, len(events) - most)
        size -= _memory_of(events[:count])
        while size > size_most and count < len(events):
            size -= BODY_FACTOR * len(events[count].body) + ENTRY_BYTES
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        self._bytes -= _memory_of(self._events[:count])
        del self._events[:count]
        self.first_seq += count


def _memory_of(entries: Sequence[StoredEvent]) -> int:
    return BODY_FACTOR * sum([len(entry.body) for entry in entries]) + ENTRY_BYTES * len(entries)
