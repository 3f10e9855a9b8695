"""The ring: bounded, dense, cheap at both ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from service.eventlog.memory import MemoryEventLog
from service.eventlog.ring import BODY_FACTOR, ENTRY_BYTES, Ring
from service.eventlog.sqlite import SqliteEventLog
from translation_events.event import Event, StoredEvent
from translation_events.log import EventLog

MakeEvent = Callable[..., Event]


@pytest.fixture
def entries(make_event: MakeEvent) -> Callable[[int, int], list[StoredEvent]]:
    event = make_event()

    def make(first: int, count: int) -> list[StoredEvent]:
        return [StoredEvent(seq, 0.0, "n", event, b"x" * 100) for seq in range(first, first + count)]

    return make


def test_a_cursor_inside_the_ring_gets_what_follows_it(
    entries: Callable[[int, int], list[StoredEvent]],
) -> None:
    """Ascending, at most `limit`; below the ring None; at or beyond its end nothing."""
    ring = Ring(11)
    assert ring.after(10, 5) == []
    ring.extend(entries(11, 20))
    assert [entry.seq for entry in ring.after(10, 3) or []] == [11, 12, 13]
    assert [entry.seq for entry in ring.after(28, 99) or []] == [29, 30]
    assert ring.after(30, 5) == []
    assert ring.after(99, 5) == []
    assert ring.after(9, 5) is None


def test_the_oldest_make_room_when_there_are_too_many(
    entries: Callable[[int, int], list[StoredEvent]],
) -> None:
    """Never more than the bound, never much less, and always the newest."""
    ring = Ring(1, max_events=160)
    for first in range(1, 2_000, 7):
        ring.extend(entries(first, 7))
        assert len(ring) <= 160
        assert ring.first_seq + len(ring) == first + 7
        assert len(ring) >= min(first + 6, 150)
    assert ring.size_bytes == len(ring) * (BODY_FACTOR * 100 + ENTRY_BYTES)


def test_the_oldest_make_room_when_they_are_too_large(
    entries: Callable[[int, int], list[StoredEvent]],
) -> None:
    """The bound on bytes counts the decoded event beside its body."""
    ring = Ring(1, max_bytes=100_000)
    ring.extend(entries(1, 1_000))
    assert 90_000 < ring.size_bytes <= 100_000
    assert ring.first_seq + len(ring) == 1_001


def test_what_is_dropped_is_below_the_ring(entries: Callable[[int, int], list[StoredEvent]]) -> None:
    """A removed session's events are not served from memory either."""
    ring = Ring(1)
    ring.extend(entries(1, 10))
    ring.drop_through(4)
    assert ring.after(3, 9) is None
    assert [entry.seq for entry in ring.after(4, 2) or []] == [5, 6]
    ring.drop_through(99)
    assert (len(ring), ring.size_bytes, ring.first_seq) == (0, 0, 11)
    assert ring.after(10, 9) == []


async def test_a_follower_older_than_the_ring_reads_from_the_log(
    log: EventLog, make_event: MakeEvent
) -> None:
    """From the ring while the cursor is inside it, from the log otherwise: no gap, no repeat."""
    assert isinstance(log, MemoryEventLog | SqliteEventLog)
    event = make_event()
    for _ in range(7):
        await log.append([event] * 10_000)
    assert log.recent(0, 1) is None
    seen = 0
    async for batch in log.follow(0):
        assert [entry.seq for entry in batch] == list(range(seen + 1, seen + 1 + len(batch)))
        seen = batch[-1].seq
        if seen == 70_000:
            break
    assert log.seen("s", 1_000) is None
    assert log.seen("s", 69_990) == 69_990
