"""Appends into groups, groups into the store, one after another: what makes durability cheap.

While one write is under way, whatever arrives forms the next group. Between two groups a session that has
grown past its limit is trimmed. No task is needed: each job's end starts the next, so cancelling a caller of
`append` hurts nobody else. Source: docs/architecture.md, "The path of one event".
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future as Outcome
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from service.eventlog.intake import Call, Chore, Intake, size_of
from service.eventlog.store import Forgotten, Store, Target, Written
from service.eventlog.tail import TailedLog
from translation_events.errors import LogUnavailable
from translation_events.event import Event
from translation_events.log import Appended, Saved, Summarise

LOOP_TURNS: Final = 3  # between a group and its trim: readers wake, fold it in, and summaries are current
SESSIONS_A_CARE: Final = 8  # trimmed in one transaction: bounds how long appends wait for it
SESSIONS_A_FORGET: Final = 8
FULL_RETRY_S: Final = 0.02
FULL_PATIENCE_S: Final = 1.0
PROBE_FIRST_S: Final = 1.0
PROBE_MOST_S: Final = 5.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class GroupedLog(TailedLog):
    """A log over a `Store`: group commit, trimming, refusal and recovery."""

    def __init__(self, store: Store, *, node: str, totals: Mapping[str, int], complete: bool) -> None:
        super().__init__(
            log_id=store.log_id, node=node, last_seq=store.last_seq, totals=totals, complete=complete
        )
        self._store = store
        self.first_seq = store.first_seq
        self._loop = asyncio.get_running_loop()
        self._intake = Intake()
        self._last_received = store.last_received
        self._summarise: tuple[Summarise, str] | None = None
        self._running = False
        self._closing: asyncio.Future[None] | None = None
        self._unavailable_since: float | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._probing: asyncio.Future[None] | None = None
        self._full_since: float | None = None
        self._told_full = False

    @abstractmethod
    def _run(self, job: Callable[[], T], done: Callable[[Outcome[T]], None]) -> None:
        """Run a job of the store where it may block, then `done` in the loop, in a later turn.

        Never called while one is under way.
        """

    async def append(self, events: Sequence[Event]) -> Sequence[Appended]:
        """Store events in order; returns once durable. A repeat of (`session_id`, `id`) is a duplicate.

        A cancelled caller's events are stored all the same.
        Raises: LogUnavailable: nothing of this call was stored if it fits one group (1,024 events); of a
        longer one a beginning may be. Sending the same events again under the same ids is safe.
        """
        if not events:
            return []
        await self._intake.admit(size_of(events))
        self._check_open()
        self._last_received = received_at = max(self._last_received, round(time.time(), 6))
        call = Call(events, received_at, self._loop.create_future())
        self._enqueue(call)
        return await call.future

    async def save(self, entries: Sequence[Saved]) -> None:
        """Store readers' blobs, all or none. Raises: LogUnavailable.

        None takes the place of one with a higher seq: while it waits a trim may have saved a newer one.
        """
        if entries:
            await self._take_turn("save", partial(self._store.save, list(entries)))

    async def forget(self, session_ids: Collection[str], *, name: str) -> int:
        """Remove sessions whole: events, ids and the blobs saved under `name`; returns events removed.

        A few sessions a transaction, so that appends get their turn in between.
        """
        ids, events = list(session_ids), 0
        for start in range(0, len(ids), SESSIONS_A_FORGET):
            part = ids[start : start + SESSIONS_A_FORGET]
            job = partial(self._store.forget, part, name)
            gone = await self._take_turn("forget", job, partial(self._forgotten, part))
            events += gone.events
        return events

    def retain(self, events_per_session: int, summarise: Summarise, *, name: str) -> None:
        """Begin trimming: keep at least the newest `events_per_session` of each session, never twice that.

        An event goes only once it is folded into the summary, or if it is a `worker_status`, which no summary
        takes in. Where a reader does not keep up for a second, the bound yields, with a warning.
        """
        if events_per_session < 1:
            raise ValueError("events_per_session must be at least 1")
        self._summarise = summarise, name
        job = partial(self._store.recount, events_per_session)
        self._enqueue(Chore("trim", job, self._loop.create_future()))

    async def aclose(self) -> None:
        """Finish the running write, refuse what waits, close; later calls raise LogUnavailable."""
        if self._closing is None:
            self._closing = self._loop.create_future()
            if self._probe is not None:
                self._probe.cancel()
            if not self._running:
                self._next()
        await asyncio.shield(self._closing)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise self._closed()

    def _closed(self) -> LogUnavailable:
        return LogUnavailable("The event log is closed.", since=self._unavailable_since or time.time())

    async def _take_turn(self, op: str, job: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        self._check_open()
        future: asyncio.Future[T] = self._loop.create_future()
        self._enqueue(Chore(op, job, future, then))
        return await future

    def _forgotten(self, session_ids: Collection[str], gone: Forgotten) -> None:
        self._unlearn(session_ids, gone.through)

    def _enqueue(self, item: Call | Chore) -> None:
        self._intake.put(item)
        if not self._running:
            # The next turn, not now: what this turn still brings shares the group, and its fsync.
            self._running = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """Start the next job; the only place that does, and only when none is under way."""
        self._running = True
        if self._closing is not None:
            self._intake.refuse_all(self._closed)
            self._run(self._store.close, self._finish)
        elif not self._intake:
            self._running = False
        elif isinstance(chore := self._intake.head, Chore):
            self._intake.pop()
            self._run(chore.job, partial(self._chore_done, chore))
        else:
            events, received = self._intake.group()
            over = self._full_since is not None and time.monotonic() - self._full_since > FULL_PATIENCE_S
            if over and not self._told_full:
                self._told_full = True
                log.warning(
                    "session_above_bound_reader_lags", events_per_session=self._store.events_per_session
                )
            job = partial(self._store.write, events, received, over=over)
            self._run(job, partial(self._group_done, len(events), over, time.monotonic()))

    def _finish(self, done: Outcome[None]) -> None:
        if done.exception() is not None:
            log.warning("event_log_close_failed", error=str(done.exception()))
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def _chore_done(self, chore: Chore, done: Outcome[Any]) -> None:
        error = done.exception()
        if error is not None:
            self._count_failure(chore.op)
            refused = self._failed(error)
            if not chore.future.done():
                chore.future.set_exception(refused())
                chore.future.exception()  # a probe's is nobody's to fetch, and that is no fault
        else:
            self._works()
            self.first_seq = self._store.first_seq
            if chore.then is not None:
                chore.then(done.result())
            if not chore.future.done():
                chore.future.set_result(done.result())
        self._care_or_next()

    def _group_done(self, count: int, over: bool, began: float, done: Outcome[Written]) -> None:
        error = done.exception()
        if error is not None:
            self._count_failure("append")
            self._intake.refuse(count, self._failed(error))
            self._next()
            return
        self._works()
        written = done.result()
        self.first_seq = self._store.first_seq
        self._publish(written.stored, written.totals)
        self._intake.answer(written.appended)
        if written.appended:
            for observer in self._observers:
                observer.append_observed(time.monotonic() - began, len(written.appended))
            if not over:
                self._full_since = None
            self._care_or_next()
        else:  # a session is full to the brim: nothing goes in before something goes out
            self._full_since = self._full_since or time.monotonic()
            self._loop.call_later(FULL_RETRY_S, self._care)

    def _care_or_next(self) -> None:
        if self._store.needs_care and self._closing is None:
            self._loop.call_soon(self._after_turns, LOOP_TURNS, self._care)
        else:
            self._next()

    def _after_turns(self, turns: int, callback: Callable[[], None]) -> None:
        if turns > 1:
            self._loop.call_soon(self._after_turns, turns - 1, callback)
        else:
            callback()

    def _care(self) -> None:
        if self._closing is not None:
            self._next()
            return
        targets, name = [], ""
        if self._summarise is not None:
            summarise, name = self._summarise
            for session_id in self._store.due(SESSIONS_A_CARE):
                try:
                    targets.append(Target(session_id, summarise(session_id)))
                except Exception:  # a border: a reader's fault must not stop the writing
                    log.exception("summary_failed", session_id=session_id)
        self._run(partial(self._store.care, targets, name), self._care_done)

    def _care_done(self, done: Outcome[int]) -> None:
        error = done.exception()
        if error is not None:
            self._count_failure("trim")
            self._failed(error)
        else:
            self.first_seq = self._store.first_seq
            if done.result():
                self._full_since, self._told_full = None, False
            if self._store.needs_care and done.result() and not self._intake:
                self._care()  # idle, and it helps: go on
                return
        self._next()

    def _failed(self, error: BaseException) -> Callable[[], Exception]:
        """Note that the store refused; returns what makes the error for each caller."""
        if not isinstance(error, LogUnavailable):
            log.error("event_log_job_failed", exc_info=error)
            return partial(RuntimeError, f"The event log failed: {error!r}")
        if self._unavailable_since is None:
            self._unavailable_since = error.since
            log.error("event_log_unavailable", detail=error.detail)
            self._tell_watchers(error.since)
            self._probe_after(PROBE_FIRST_S)
        return partial(LogUnavailable, error.detail, since=self._unavailable_since)

    def _works(self) -> None:
        if self._unavailable_since is None:
            return
        log.info("event_log_available", after_s=round(time.time() - self._unavailable_since, 1))
        self._unavailable_since = None
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._tell_watchers(None)

    def _probe_after(self, delay_s: float) -> None:
        if self._closing is None:
            self._probe = self._loop.call_later(delay_s, self._try_again, min(delay_s * 1.5, PROBE_MOST_S))

    def _try_again(self, delay_s: float) -> None:
        """The probe is a chore like any other; its success is noticed where every chore's is."""
        if self._unavailable_since is None or self._closing is not None:
            return
        if self._probing is None or self._probing.done():
            self._probing = self._loop.create_future()
            self._enqueue(Chore("append", self._store.probe, self._probing))
        self._probe_after(delay_s)
