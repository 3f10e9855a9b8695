"""The event log in memory: the same contract and retention, gone with the process.

For trying things out, and for tests that are not about the disk.
Source: docs/architecture.md, "The event log".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future as Outcome
from typing import TypeVar

from service.eventlog.grouped import GroupedLog
from service.eventlog.memory_store import MemoryStore
from translation_events.event import StoredEvent
from translation_events.log import LogStats

T = TypeVar("T")


class MemoryEventLog(GroupedLog):
    """An `EventLog` that acknowledges at once and keeps nothing. To be made inside a running loop."""

    kind = "memory"
    durable = False

    def __init__(self, *, node: str = "local") -> None:
        self._memory = MemoryStore(node=node)
        super().__init__(self._memory, node=node, totals={}, complete=True)

    async def read(
        self,
        after: int,
        *,
        limit: int,
        session_id: str | None = None,
        types: Collection[str] | None = None,
    ) -> Sequence[StoredEvent]:
        """Return kept events with seq > after, ascending, at most `limit` (empty = caught up)."""
        self._check_open()
        return self._memory.read(after, self.last_seq, limit, session_id, types)

    async def newest(
        self, count: int, *, session_id: str | None = None, types: Collection[str] | None = None
    ) -> Sequence[StoredEvent]:
        """Return the newest `count` kept events that match, ascending."""
        self._check_open()
        return self._memory.newest(count, self.last_seq, session_id, types)

    async def missed(
        self, after: int, before: int, *, session_id: str | None = None, seen: int | None = None
    ) -> int | None:
        """Count events with after < seq < before that retention has removed: 0 for none, None for "some"."""
        self._check_open()
        before = min(before, self.last_seq + 1)
        if before - after <= 1:
            return 0
        return self._memory.missed(after, before, session_id, seen)

    async def load(self, name: str) -> Mapping[str, tuple[bytes, int]]:
        """Return key -> (blob, seq) of everything saved under `name`."""
        self._check_open()
        return self._memory.load(name)

    async def stats(self) -> LogStats:
        """Return sizes and counts; the size is that of the bodies kept."""
        self._check_open()
        return LogStats(
            kind=self.kind,
            events=self._memory.events,
            sessions=self._memory.sessions,
            size_bytes=self._memory.size_bytes,
            free_bytes=None,
            durable=self.durable,
            unavailable_since=self._unavailable_since,
        )

    def _run(self, job: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        outcome: Outcome[T] = Outcome()
        try:
            outcome.set_result(job())
        except Exception as err:  # noqa: BLE001  # carried to whoever asked
            outcome.set_exception(err)
        self._loop.call_soon(done, outcome)
