"""The readers of the log that keep state: one fold moves sessions, workers, metrics and spans forward.

They share a cursor, so the faces of an event agree; what they know survives a restart as summaries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from exporters.prometheus import PrometheusExporter
from exporters.tracing import TracingExporter
from service.notify.notifier import Notifier
from service.projections import sessions as session_summaries
from service.projections import workers as worker_summaries
from service.projections.sessions import SessionProjection
from service.projections.workers import WorkerProjection
from translation_events.errors import LogDamaged, LogUnavailable
from translation_events.event import StoredEvent
from translation_events.log import EventLog, Exporter, Saved

log = structlog.get_logger(__name__)

CURSORS: Final = "cursor"
SLICE_EVENTS: Final = 256  # about 2 ms of folding between two turns of the loop
READ_EVENTS: Final = 2000
SAVE_EVERY_S: Final = 5.0


class Readers:
    """Follows the log for everything that is not a viewer. `cursor` is the last seq folded in."""

    def __init__(
        self,
        event_log: EventLog,
        sessions: SessionProjection,
        workers: WorkerProjection,
        metrics: PrometheusExporter,
        tracing: TracingExporter | None,
        notifier: Notifier | None = None,
    ) -> None:
        self._log = event_log
        self._sessions = sessions
        self._workers = workers
        self._tracing = tracing
        self._notifier = notifier
        # Counters begin at 0 with the process; these make up for what happened before it.
        self._catching_up: list[Exporter] = [one for one in (tracing, notifier) if one is not None]
        self._exporters: list[Exporter] = [metrics, *self._catching_up]
        self.cursor = 0
        self._saved_cursors: tuple[int, int] = (0, 0)
        self._moved: asyncio.Future[None] | None = None

    async def catch_up(self) -> None:
        """Load the summaries and fold what follows them; before anybody is let in.

        Counters begin at 0 with the process, so this is not for them.
        Raises: LogUnavailable; LogDamaged where a summary cannot be read.
        """
        cursors = await self._log.load(CURSORS)
        self.cursor = cursors["sessions"][1] if "sessions" in cursors else 0
        self._saved_cursors = self.cursor, cursors["spans"][1] if "spans" in cursors else 0
        try:
            self._sessions.restore(await self._log.load(session_summaries.SAVED_AS))
            self._workers.load(await self._log.load(worker_summaries.SAVED_AS))
        except ValueError as err:  # msgspec.DecodeError is one
            raise LogDamaged(
                f"A session's summary in the event log cannot be read ({err}); it was written by another "
                "version or damaged. Move the event log aside and start again, or restore a copy."
            ) from err
        # What the log forgot while it was away is in the summaries: reading begins at their cursor.
        while events := await self._log.read(self.cursor, limit=READ_EVENTS):
            applied = self._sessions.apply(events)
            self._workers.apply(applied)
            for exporter in self._catching_up:
                exporter.export(applied)
            self.cursor = events[-1].seq
            await asyncio.sleep(0)
        self.cursor = max(self.cursor, self._log.last_seq)
        self._workers.caught_up()
        if self._notifier is not None:
            self._notifier.caught_up(self._sessions)

    async def run(self) -> None:
        """Follow the log until cancelled. A failure here ends the process: nothing acknowledged is lost."""
        async for batch in self._log.follow(self.cursor):
            for start in range(0, len(batch), SLICE_EVENTS):
                self._take(batch[start : start + SLICE_EVENTS])
                await asyncio.sleep(0)

    def _take(self, events: Sequence[StoredEvent]) -> None:
        applied = self._sessions.apply(events)
        self._workers.apply(applied)
        for exporter in self._exporters:
            exporter.export(applied)
        self.cursor = events[-1].seq
        if self._moved is not None:
            self._moved.set_result(None)
            self._moved = None

    async def passed(self, seq: int, timeout_s: float) -> bool:
        """Wait until `seq` has been folded in; False if it takes longer than `timeout_s`."""
        if self.cursor >= seq:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                while self.cursor < seq:
                    if self._moved is None:
                        self._moved = asyncio.get_running_loop().create_future()
                    await asyncio.shield(self._moved)
        except TimeoutError:
            return False
        return True

    def lag_events(self) -> dict[str, int]:
        """How far each reader is behind the log."""
        behind = max(0, self._log.last_seq - self.cursor)
        spans = behind if self._tracing is None else max(behind, self._tracing.lag(self._log.last_seq))
        return {"sessions": behind, "metrics": behind, "spans": spans}

    async def keep_saving(self) -> None:
        """Save summaries every few seconds, so that a start replays little; runs until cancelled.

        The first time at once: a server that is killed again and again must not replay more each time.
        """
        while True:
            try:
                await self.save()
            except LogUnavailable:
                log.warning("summaries not saved: the event log cannot be written")
            await asyncio.sleep(SAVE_EVERY_S)

    async def save(self) -> None:
        """Save what changed, with the cursors, in one transaction. Raises: LogUnavailable."""
        spans = self.cursor if self._tracing is None else min(self._tracing.cursor, self.cursor)
        dirty = self._sessions.take_dirty()
        workers = self._workers.take_dirty()  # first: the summaries need not carry them once more
        entries = [
            Saved(session_summaries.SAVED_AS, session_id, *summary)
            for session_id in dirty
            if (summary := self._sessions.summarise(session_id)) is not None
        ]
        entries += [
            Saved(worker_summaries.SAVED_AS, worker_id, blob, self.cursor)
            for worker_id, blob in workers.items()
        ]
        notices = None if self._notifier is None else self._notifier.saved()
        if notices is not None:
            entries.append(notices)
        cursors = (self.cursor, spans)
        if not entries and cursors == self._saved_cursors:
            return
        entries += [Saved(CURSORS, "sessions", b"", cursors[0]), Saved(CURSORS, "spans", b"", cursors[1])]
        self._workers.begin_saving(workers)
        try:
            await self._log.save(entries)
        except BaseException:
            self._sessions.mark_dirty(dirty)
            self._workers.end_saving(saved=False)
            if self._notifier is not None:
                self._notifier.not_saved()
            raise
        self._workers.end_saving(saved=True)
        self._saved_cursors = cursors
