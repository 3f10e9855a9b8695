"""What every log of one process shares at its reading end: the ring, the followers, the watchers.

Source: docs/architecture.md, "Seams".
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Final

import structlog

from service.eventlog.ring import Ring
from translation_events.event import StoredEvent
from translation_events.log import LogObserver, LogWatcher

FOLLOW_EVENTS: Final = 2_048  # a batch that keeps the loop for some milliseconds at most
READ_EVENTS: Final = 1_024
MAX_TOTALS: Final = 50_000  # sessions whose number of events is known by heart; about 150 bytes each

log = structlog.get_logger(__name__)


class TailedLog(ABC):
    """The newest events and everyone who waits for more. `seq` has no holes as it is assigned.

    A subclass stores, then calls `_publish` with what has become durable, in order.
    """

    def __init__(self, *, log_id: str, node: str, last_seq: int, totals: Mapping[str, int], complete: bool):
        self.id = log_id
        self.node = node
        self.first_seq = 0
        self.last_seq = last_seq
        self._ring = Ring(last_seq + 1)
        # A future each: one that all wait for would be cancelled for all with the first task that is.
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._watchers: list[LogWatcher] = []
        self._observers: list[LogObserver] = []
        self._totals = dict(totals)
        self._totals_complete = complete

    @abstractmethod
    async def read(
        self,
        after: int,
        *,
        limit: int,
        session_id: str | None = None,
        types: Collection[str] | None = None,
    ) -> Sequence[StoredEvent]:
        """Return kept events with seq > after, ascending, at most `limit` (empty = caught up)."""

    async def follow(self, after: int) -> AsyncIterator[Sequence[StoredEvent]]:
        """Yield batches of events with seq > after as they become durable; never ends.

        From the ring while `after` is inside it, from the log otherwise. A cursor beyond the end waits.
        Raises: LogUnavailable: the log had to be read and could not.
        """
        cursor = after
        while True:
            batch = self._ring.after(cursor, FOLLOW_EVENTS)
            if batch is None:
                upto = self.last_seq
                batch = await self.read(cursor, limit=READ_EVENTS)
                if not batch:
                    cursor = max(cursor, upto)  # retention has removed all that was between
                    continue
            if batch:
                cursor = batch[-1].seq
                yield batch
            else:
                await self._more()

    def recent(self, after: int, limit: int) -> Sequence[StoredEvent] | None:
        """Return at most `limit` events with seq > after from the ring; None where `after` is below it.

        Without awaiting, so that a viewer can be brought up to date and joined to the live ones in one step.
        """
        return self._ring.after(after, limit)

    def seen(self, session_id: str, upto: int) -> int | None:
        """How many of the session's events ever stored have a seq <= upto; None where that is not known.

        Known for an `upto` inside the ring. Cost: the ring's events past `upto`, about 40 ns each.
        """
        newer = self._ring.after(upto, len(self._ring))
        if newer is None:
            return None
        total = self._totals.get(session_id)
        if total is None:
            return 0 if self._totals_complete else None
        return total - sum([entry.event.session_id == session_id for entry in newer])

    def watch(self, watcher: LogWatcher) -> None:
        """Have `watcher` called with the Unix time the log became unwritable, and with None on recovery."""
        self._watchers.append(watcher)

    def observe(self, observer: LogObserver) -> None:
        """Have `observer` count groups and failures."""
        self._observers.append(observer)

    def _count_failure(self, op: str) -> None:
        for observer in self._observers:
            observer.log_failed(op)

    def _publish(self, stored: Sequence[StoredEvent], totals: Mapping[str, int]) -> None:
        if not stored:
            return
        self._ring.extend(stored)
        self.last_seq = stored[-1].seq
        for session_id, total in totals.items():
            self._totals.pop(session_id, None)  # to the young end
            self._totals[session_id] = total
        while len(self._totals) > MAX_TOTALS:
            del self._totals[next(iter(self._totals))]
            self._totals_complete = False
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _unlearn(self, session_ids: Collection[str], through: int) -> None:
        """Sessions have been removed whole; their newest event was `through`."""
        self._ring.drop_through(through)
        for session_id in session_ids:
            self._totals.pop(session_id, None)

    def _tell_watchers(self, since: float | None) -> None:
        for watcher in self._watchers:
            try:
                watcher(since)
            except Exception:  # a border: a watcher must not stop the writing
                log.exception("log_watcher_failed")

    async def _more(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            self._waiting.pop(waiter, None)
