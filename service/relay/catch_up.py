"""A viewer that reads the log for itself: replay after a reconnect, or a socket too slow for the live ones.

It loses nothing the log still holds. Where retention has overtaken it, it is told once, with the number of
events missed as its own filter would have counted them, or null where nobody can know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from exporters.prometheus import PrometheusExporter
from service.relay.frames import control_frame
from service.relay.viewer import MAX_BUFFERED_BYTES, Viewer
from translation_events.event import StoredEvent
from translation_events.log import EventLog

READ_EVENTS: Final = 256
CHUNK_BYTES: Final = MAX_BUFFERED_BYTES // 2


class CatchUp:
    """Brings one viewer forward, a bounded chunk a step."""

    def __init__(self, viewer: Viewer, event_log: EventLog, metrics: PrometheusExporter) -> None:
        self._viewer = viewer
        self._log = event_log
        self._metrics = metrics
        self._encoding = viewer.style.encoding()
        # Sized by what has been met: what is read ahead for one viewer stays within its bound.
        self._limit = 64

    async def step(self, relay_cursor: int) -> bool:
        """Send the next chunk; True once the viewer's cursor equals `relay_cursor` (then join at once)."""
        viewer = self._viewer
        recent = self._log.recent(viewer.cursor, 4 * READ_EVENTS)
        if recent is None:
            await self._step_below_ring()
            return False
        live = [stored for stored in recent if stored.seq <= relay_cursor]
        if live:
            self._send(live)
        return viewer.cursor == relay_cursor

    async def _step_below_ring(self) -> None:
        """Send a chunk from the log itself, after telling of what retention has removed before it."""
        viewer = self._viewer
        session_id, types = viewer.style.filter
        upto = self._log.last_seq
        if session_id is None:
            if viewer.cursor >= viewer.region_upto:
                viewer.region_upto = upto
                missed = await self._log.missed(viewer.cursor, upto + 1)
                # Unfiltered, and holes counted as they are met: only a filter by type makes the number
                # unknown.
                events = await self._log.read(viewer.cursor, limit=self._limit)
                if missed:
                    viewer.told += missed
                    self._tell_gap(missed if types is None else None, events, upto)
            else:
                events = await self._log.read(viewer.cursor, limit=self._limit)
        else:
            missed, events = await self._read_session(session_id, upto)
            if missed != 0:
                self._tell_gap(missed if types is None else None, events, upto)
                first = events[0].seq if events else upto + 1
                viewer.cursor = max(viewer.cursor, first - 1)
                viewer.seen = None if viewer.seen is None or missed is None else viewer.seen + missed
        # Only an empty answer means that nothing follows: a short one may have met the log's own bound.
        self._send(events, reached=0 if events else upto)
        if events:
            average = sum(len(stored.body) for stored in events) / len(events)
            self._limit = max(1, min(READ_EVENTS, int(CHUNK_BYTES / max(1.0, average))))

    async def _read_session(self, session_id: str, upto: int) -> tuple[int | None, Sequence[StoredEvent]]:
        """The next chunk of one session, and how many events retention has removed before it.

        The log trims beside us. Counted after the reading, none missed means a chunk without a hole; else the
        chunk counts only if the number was the same before it.
        """
        viewer = self._viewer
        before: int | None = -1
        while True:
            events = await self._log.read(
                viewer.cursor, limit=self._limit, session_id=session_id, types=viewer.style.filter.types
            )
            missed = await self._log.missed(viewer.cursor, upto + 1, session_id=session_id, seen=viewer.seen)
            if missed in (0, before):
                return missed, events
            before = missed

    def _send(self, events: Sequence[StoredEvent], reached: int = 0) -> None:
        """Write a chunk (cut at its bound) and move the cursor; up to `reached` there is nothing further."""
        viewer = self._viewer
        wanted: list[StoredEvent] = []
        size = 0
        for stored in events:
            if viewer.style.filter.session_id is None:
                self._count_hole(stored)
            if viewer.style.filter.takes(stored):
                wanted.append(stored)
                size += len(stored.body) + 10
            viewer.cursor = stored.seq
            if viewer.seen is not None and stored.event.session_id == viewer.style.filter.session_id:
                viewer.seen += 1
            if size >= CHUNK_BYTES:
                break
        else:
            if viewer.style.filter.session_id is None:
                viewer.passed += max(0, reached - viewer.cursor)
            viewer.cursor = max(viewer.cursor, reached)
        if wanted:
            payload = b"".join(self._encoding.encode(wanted))
            viewer.write(payload)
            self._metrics.relay_flushed(len(wanted), len(payload))

    def _count_hole(self, stored: StoredEvent) -> None:
        """Events trimmed while this viewer was reading are a further gap, told where it is met."""
        viewer = self._viewer
        viewer.passed += stored.seq - viewer.cursor - 1
        if viewer.passed > viewer.told:
            missed, viewer.told = viewer.passed - viewer.told, viewer.passed
            self._tell_gap(
                missed if viewer.style.filter.types is None else None, [stored], self._log.last_seq
            )

    def _tell_gap(self, missed: int | None, events: Sequence[StoredEvent], upto: int) -> None:
        viewer = self._viewer
        following = events[0].seq if events else upto + 1
        viewer.gap_told = True
        viewer.write(
            control_frame({"type": "gap", "missed": missed, "after": viewer.cursor, "next": following})
        )
        self._metrics.relay_gap(missed)
