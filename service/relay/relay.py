"""The relay: follows the log and writes what becomes durable to the viewers, each in its own order and pace.

Viewers that are caught up and alike form a group: their bytes are joined once and written to each socket. One
whose socket falls behind leaves and reads the log from its own cursor until it has caught up. There is no
queue per viewer and no hand-over, hence no gap and no repeat. Source: docs/architecture.md, "The relay".
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

import structlog

from exporters.prometheus import PrometheusExporter
from service.relay.catch_up import CatchUp
from service.relay.frames import Encoding
from service.relay.viewer import MAX_BUFFERED_BYTES, POLL_S, Style, Viewer
from translation_events.errors import LogUnavailable
from translation_events.event import StoredEvent
from translation_events.log import EventLog

log = structlog.get_logger(__name__)

SLICE_BYTES: Final = 64 * 1024  # one write; four of them fill what may be buffered for a viewer
TICK_S: Final = 0.005  # one write per viewer per tick: measured 3 × less CPU per delivery than one per event
LONG_TICK_S: Final = 0.020
# Of the time at most a seventh goes into writing, until the tick is the longer pause: with little to write an
# event does not wait for the tick, with much it never waits longer.
PAUSE_PER_WRITING: Final = 6.0
MANY_VIEWERS: Final = 500  # from here the tick grows, so that writing to all of them fits in it
STUCK_AFTER_S: Final = 600.0
_received_at: Final = attrgetter("received_at")


class _Group(NamedTuple):
    style: Style
    encoding: Encoding
    members: set[Viewer]


class Relay:
    """Delivers the log to its viewers. `cursor` is the seq up to which the live ones have been served."""

    def __init__(self, event_log: EventLog, metrics: PrometheusExporter) -> None:
        self._log = event_log
        self._metrics = metrics
        self._groups: dict[Style, _Group] = {}
        self._by_session: dict[str | None, list[_Group]] = defaultdict(list)
        self._viewers: set[Viewer] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._standing: bytes | None = None
        self.cursor = event_log.last_seq
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            self.started.set()
            clock = asyncio.get_running_loop().time
            async for batch in self._log.follow(self.cursor):
                began = clock()
                for events in _slices(batch):
                    self._deliver(events)
                    # The loop flushes sockets between turns: without this pause a burst would look like lag.
                    await asyncio.sleep(0)
                if self._viewers:
                    tick = min(LONG_TICK_S, TICK_S * max(1.0, len(self._viewers) / MANY_VIEWERS))
                    took = clock() - began
                    await asyncio.sleep(max(0.0, min(tick - took, PAUSE_PER_WRITING * took)))

    def attach(self, viewer: Viewer) -> None:
        """Take a viewer in at its cursor: live at once if that is where the relay stands."""
        self._viewers.add(viewer)
        viewer.seen = self._seen(viewer)
        if self._standing is not None:
            viewer.write(self._standing)
        self._settle(viewer)

    def detach(self, viewer: Viewer) -> None:
        """Forget a viewer whose connection is gone."""
        viewer.closed = True
        self._viewers.discard(viewer)
        self._leave(viewer)

    def tell_all(self, frame: bytes, *, until_revoked: bool) -> None:
        """Write a control frame to every viewer; `until_revoked`: to each that comes later as well."""
        self._standing = frame if until_revoked else None
        for viewer in self._viewers:
            viewer.write(frame)

    @property
    def lag_events(self) -> int:
        """How far the farthest-behind viewer is behind the log."""
        behind = min((self._position(viewer) for viewer in self._viewers), default=self._log.last_seq)
        return max(0, self._log.last_seq - behind)

    def lag_of(self, viewer: Viewer) -> int:
        """How far one viewer is behind the log, in events of all sessions."""
        return max(0, self._log.last_seq - self._position(viewer))

    def _seen(self, viewer: Viewer) -> int | None:
        session_id, types = viewer.style.filter
        if session_id is None or types is not None:
            return None
        return self._log.seen(session_id, viewer.cursor) if viewer.cursor else 0

    def _position(self, viewer: Viewer) -> int:
        return self.cursor if viewer.live else viewer.cursor

    def _settle(self, viewer: Viewer) -> None:
        """Join the live ones, or begin to read for itself."""
        if viewer.cursor == self.cursor and viewer.buffered_bytes <= MAX_BUFFERED_BYTES // 2:
            self._join(viewer)
        elif self._tasks is not None:
            self._tasks.create_task(self._catch_up(viewer), name="viewer catching up")

    def _join(self, viewer: Viewer) -> None:
        group = self._groups.get(viewer.style)
        if group is None:
            style = viewer.style
            group = self._groups[style] = _Group(style, style.encoding(), set())
            self._by_session[style.filter.session_id].append(group)
        group.members.add(viewer)
        viewer.live = True
        if viewer.resuming:
            viewer.resuming = False
            self._metrics.relay_resumed("gap" if viewer.gap_told else "complete")

    def _leave(self, viewer: Viewer) -> None:
        group = self._groups.get(viewer.style)
        if group is None or not viewer.live:
            return
        group.members.discard(viewer)
        viewer.live = False
        if not group.members:
            del self._groups[viewer.style]
            session_id = viewer.style.filter.session_id
            self._by_session[session_id].remove(group)
            if not self._by_session[session_id]:
                del self._by_session[session_id]

    async def _catch_up(self, viewer: Viewer) -> None:
        """Serve one viewer from its own cursor until it stands where the relay stands."""
        catch_up = CatchUp(viewer, self._log, self._metrics)
        try:
            while not viewer.closed and not viewer.transport.is_closing():
                if not await viewer.drained(STUCK_AFTER_S):
                    log.warning("viewer closed: its socket took nothing", after_s=STUCK_AFTER_S)
                    viewer.cut(1013, "slow")
                    return
                if await catch_up.step(self.cursor):
                    # No await since the cursors were found equal: nothing can slip between.
                    self._join(viewer)
                    return
                # A resume may stand ahead of the relay for a tick; then there is nothing to do but wait.
                await asyncio.sleep(POLL_S if viewer.cursor > self.cursor else 0)
        except LogUnavailable:
            # The log cannot be read: the client comes back by `after` when it can.
            viewer.cut(1013, "shutdown")

    def _deliver(self, events: Sequence[StoredEvent]) -> None:
        before, self.cursor = self.cursor, events[-1].seq
        if not self._groups:
            return
        now = time.time()
        by_session: dict[str, list[StoredEvent]] = {}
        if len(self._by_session) > (None in self._by_session):
            for stored in events:
                if stored.event.session_id in self._by_session:
                    by_session.setdefault(stored.event.session_id, []).append(stored)
        plain: list[tuple[_Group, Sequence[StoredEvent]]] = [
            (group, events) for group in self._by_session.get(None, ())
        ]
        for session_id, own in by_session.items():
            plain.extend((group, own) for group in self._by_session[session_id])
        for group, candidates in plain:
            self._deliver_to(group, candidates, before, now)

    def _deliver_to(self, group: _Group, candidates: Sequence[StoredEvent], before: int, now: float) -> None:
        types = group.style.filter.types
        events = candidates if types is None else [s for s in candidates if s.event.type in types]
        if not events:
            return
        payload = b"".join(group.encoding.encode(events))
        size, most = len(payload), max(0, MAX_BUFFERED_BYTES - len(payload))
        late: list[Viewer] = []
        served = 0
        for viewer in group.members:
            transport = viewer.transport
            if transport.get_write_buffer_size() > most:
                late.append(viewer)
            elif not transport.is_closing():
                transport.write(payload)
                served += 1
        if served:
            self._metrics.relay_flushed(served * len(events), served * size)
            # What was appended together came in at one time: observed in one go.
            for received_at, together in groupby(events, _received_at):
                self._metrics.relay_latency(now - received_at, served * len(list(together)))
        for viewer in late:
            viewer.cursor = before
            viewer.seen = self._seen(viewer)
            self._leave(viewer)
            self._settle(viewer)


def _slices(batch: Sequence[StoredEvent]) -> Iterator[Sequence[StoredEvent]]:
    """Cut a batch into runs of about `SLICE_BYTES`."""
    start = size = 0
    for index, stored in enumerate(batch):
        size += len(stored.body)
        if size >= SLICE_BYTES:
            yield batch[start : index + 1]
            start, size = index + 1, 0
    if start < len(batch):
        yield batch[start:]
