"""The reader that tells people: it follows what the events bring about and looks at what they do not say.

What was found and not yet told is saved with the readers' cursors, so a restart repeats nothing and loses
nothing; a crash between a delivery and the saving of it repeats that one. It never waits in the path of an
event. Source: docs/notifications.md.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from service.notify.incidents import Incidents, Open
from service.notify.notice import Notice
from service.notify.outbox import MAX_AGE_S, Outbox
from service.notify.receiver import Receiver
from service.projections.sessions import SessionProjection
from service.projections.workers import WorkerProjection
from translation_events.errors import LogUnavailable
from translation_events.log import EventLog, Saved
from translation_events.session import Applied, Ended

log = structlog.get_logger(__name__)

SAVED_AS: Final = "notify"
KEY: Final = "state"
LOOK_EVERY_S: Final = 1.0
FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 300.0


class State(msgspec.Struct):
    """What outlives the process.

    Events up to `cursor` are dealt with; `waiting` goes by the receivers' order in the configuration.
    """

    cursor: int
    open: Open
    waiting: list[list[Notice]]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(State).decode
_encode_notices: Final = msgspec.msgpack.Encoder().encode
_decode_notices: Final = msgspec.msgpack.Decoder(list[Notice]).decode


class Notifier:
    """Knows what is to be told and to whom. Use it from the event loop.

    `outcomes(outcome, n)` is told of every notice `sent`, of every try that `failed` and of those given up
    (`dropped`).
    """

    name = "notify"

    def __init__(
        self,
        event_log: EventLog,
        receivers: Sequence[Receiver],
        outcomes: Callable[[str, int], None],
        *,
        monitor_url: str,
        worker_down_for_s: float,
    ) -> None:
        self._log = event_log
        self._receivers = receivers
        self._outcomes = outcomes
        self._incidents = Incidents(monitor_url, worker_down_for_s=worker_down_for_s)
        self._monitor_url, self._worker_down_for_s = monitor_url, worker_down_for_s
        self._outboxes = [Outbox() for _ in receivers]
        self._work = [asyncio.Event() for _ in receivers]
        self._after = 0
        self._cursor = 0
        self._saved = b""

    def waiting(self) -> dict[str, int]:
        """How many notices are still to be told, by the receiver's name."""
        return {one.name: len(outbox) for one, outbox in zip(self._receivers, self._outboxes, strict=True)}

    def load(self, saved: Mapping[str, tuple[bytes, int]], last_seq: int) -> None:
        """Take the stored state back; without one, what the log holds already is not news.

        Raises: msgspec.DecodeError if it is damaged.
        """
        if KEY not in saved:
            self._after = self._cursor = last_seq
            return
        state = _decode(saved[KEY][0])
        self._after = self._cursor = state.cursor
        self._incidents = Incidents(
            self._monitor_url, open_=state.open, worker_down_for_s=self._worker_down_for_s
        )
        for outbox, waiting in zip(self._outboxes, state.waiting, strict=False):
            for one in waiting:
                outbox.add(one)

    def export(self, batch: Sequence[Applied]) -> None:
        """Note the attempts that ended; never blocks, never raises."""
        for applied in batch:
            if applied.changes and applied.stored.seq > self._after and applied.session is not None:
                try:
                    for change in applied.changes:
                        if isinstance(change, Ended):
                            session_id = applied.session.session_id
                            self._add(self._incidents.ended(session_id, change.attempt, change.result))
                except Exception:  # a border: telling people never stops the relay
                    log.exception("a notice could not be made", seq=applied.stored.seq)
        if batch:
            self._cursor = max(self._cursor, batch[-1].stored.seq)

    def snapshot(self, session_id: str) -> bytes:
        """What is still to be told of the session to anybody, b"" for nothing."""
        prefix = f"end:{session_id}:"
        found = {one.key: one for box in self._outboxes for one in box.waiting if one.key.startswith(prefix)}
        return _encode_notices(list(found.values())) if found else b""

    def restore(self, session_id: str, blob: bytes) -> None:
        """Take back what `snapshot` gave, but for what the stored state has dealt with."""
        for one in _decode_notices(blob):
            if one.seq > self._after:
                self._add(one)

    def caught_up(self, sessions: SessionProjection) -> None:
        """The log is read to its end: find the ends that a summary had folded in already."""
        for session in sessions.newest_first():
            attempt = session.attempt
            if attempt.last_seq <= self._after:
                break
            if attempt.ended:
                self._add(self._incidents.ended(session.session_id, attempt, attempt.status))
        now = time.time()
        for one, outbox in zip(self._receivers, self._outboxes, strict=True):
            self._given_up(one, outbox.expire(now))

    def saved(self) -> Saved | None:
        """The state to store, None where nothing has changed since it was last given."""
        state = State(self._cursor, self._incidents.open, [box.waiting for box in self._outboxes])
        blob = _encode(state)
        if blob == self._saved:
            return None
        self._saved = blob
        return Saved(SAVED_AS, KEY, blob, self._cursor)

    def not_saved(self) -> None:
        """What `saved` gave could not be stored."""
        self._saved = b""

    async def look(self, sessions: SessionProjection, workers: WorkerProjection) -> None:
        """Find what no event says (a session gone quiet, a worker down), until cancelled."""
        began = time.time()
        while True:
            now = time.time()
            found = self._incidents.sessions(
                sessions.running(), now, sessions.stalled_after_s, listening_since=began
            )
            self._add_all(found)
            known = (workers.configured_worker(worker_id) for worker_id in workers.configured_ids())
            self._add_all(self._incidents.workers((w for w in known if w is not None), now))
            await asyncio.sleep(LOOK_EVERY_S)

    async def deliver(self, place: int) -> None:
        """Tell one receiver what waits for it, the oldest first, until cancelled; each try again, later."""
        receiver, outbox, work = self._receivers[place], self._outboxes[place], self._work[place]
        failures = 0
        while True:
            self._given_up(receiver, outbox.expire(time.time()))
            one = outbox.next()
            if one is None:
                work.clear()
                await work.wait()
                continue
            problem = await receiver.tell(one)
            if problem is None:
                outbox.done(one)
                self._outcomes("sent", 1)
                if failures:
                    log.info("notices are taken again", receiver=receiver.name)
                failures = 0
                await self._save()
                continue
            failures += 1
            self._outcomes("failed", 1)
            if failures == 1:
                hours = MAX_AGE_S / 3600
                log.warning(
                    "notice not taken, trying again", receiver=receiver.name, why=problem, for_hours=hours
                )
            delay_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 16))
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _save(self) -> None:
        """At once, so that a crash does not tell it again."""
        entry = self.saved()
        if entry is None:
            return
        try:
            await self._log.save([entry])
        except LogUnavailable:
            self.not_saved()  # with the readers' next saving

    def _add_all(self, notices: Iterable[Notice]) -> None:
        for one in notices:
            self._add(one)

    def _add(self, one: Notice | None) -> None:
        if one is None:
            return
        for receiver, outbox, work in zip(self._receivers, self._outboxes, self._work, strict=True):
            self._given_up(receiver, outbox.add(one))
            work.set()

    def _given_up(self, receiver: Receiver, notices: int) -> None:
        if notices:
            self._outcomes("dropped", notices)
            log.warning("notices given up", receiver=receiver.name, notices=notices)
