"""How an attempt went, from the events that are still kept: curve, steps, errors, workers. Pure.

The same fold as everywhere, so the report tells the story that the page tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from translation_events import fold
from translation_events.event import EventType, StoredEvent
from translation_events.session import ErrorCounted, Session, StepEnded

MAX_ERRORS: Final = 200
MAX_STEPS: Final = 200


class Point(NamedTuple):
    """How far it was at a time (Unix seconds); `percent` 0 to 100."""

    at: float
    percent: float


class Step(NamedTuple):
    """A step and when it ran, Unix seconds; `end` is None where no event has said that it is done."""

    name: str
    start: float
    end: float | None


class Error(NamedTuple):
    """An error as it was reported."""

    seq: int
    at: float
    step: str | None
    item: str | int | None
    error_type: str
    text: str | None


class WorkerShare(NamedTuple):
    """What the events say of one worker."""

    name: str
    events: int
    errors: int
    first: float
    last: float


class Course:
    """Takes a session's events in `seq` order; holds the newest attempt's course.

    `errors` are the newest, `errors_left_out` how many more there were; `first_seq` is the oldest event it
    was made of, None for none.
    """

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._session: Session | None = None
        self._attempt = 0
        self._begin()

    def _begin(self) -> None:
        self.first_seq: int | None = None
        self.events = 0
        self.points: list[Point] = []
        self.ended_steps: list[Step] = []
        self.errors: list[Error] = []
        self.errors_left_out = 0
        self._workers: dict[str, WorkerShare] = {}

    def add(self, events: Iterable[StoredEvent]) -> None:
        """Fold events in; about 10 µs each."""
        for stored in events:
            if stored.event.type != EventType.WORKER_STATUS:
                self._add(stored)

    @property
    def steps(self) -> list[Step]:
        """The steps by their start, those that are not done among them."""
        open_ = {} if self._session is None else self._session.attempt.open_steps
        running = [Step(name, step.at, None) for name, step in open_.items()]
        return sorted([*self.ended_steps, *running], key=lambda step: step.start)

    @property
    def workers(self) -> list[WorkerShare]:
        """The workers by when they were first named."""
        return list(self._workers.values())

    def _add(self, stored: StoredEvent) -> None:
        session, changes = fold.apply(self._session, stored, self._log_id)
        self._session, attempt = session, session.attempt
        if attempt.number != self._attempt:
            self._attempt = attempt.number
            self._begin()
        if self.first_seq is None:
            self.first_seq = stored.seq
        self.events += 1
        at = fold.event_time(stored)
        # A step that came from a superseded attempt is not this one's.
        for change in changes:
            if isinstance(change, StepEnded) and change.attempt is attempt:
                self.ended_steps = [
                    *self.ended_steps,
                    Step(change.step, change.start_at, change.end_at),
                ][-MAX_STEPS:]
        failed = any(isinstance(change, ErrorCounted) for change in changes)
        if failed:
            self._note_error(stored, at)
        self._note_worker(stored, at, failed=failed)
        if attempt.progress is not None and (not self.points or self.points[-1].percent != attempt.progress):
            self.points.append(Point(at, attempt.progress))

    def _note_error(self, stored: StoredEvent, at: float) -> None:
        event, attempt = stored.event, self._session.attempt if self._session else None
        step = event.step or (attempt.step if attempt else None)
        error_type = (attempt.last_error_type if attempt else None) or "other"
        text = event.error or event.message
        self.errors.append(Error(stored.seq, at, step, event.current_item, error_type, text))
        if len(self.errors) > MAX_ERRORS:
            del self.errors[0]
            self.errors_left_out += 1

    def _note_worker(self, stored: StoredEvent, at: float, *, failed: bool) -> None:
        info = stored.event.worker
        if info is None or (name := info.label) is None:
            return
        before = self._workers.get(name)
        if before is None and len(self._workers) >= fold.MAX_WORKERS:
            return
        first = at if before is None else before.first
        events, errors = (0, 0) if before is None else (before.events, before.errors)
        self._workers[name] = WorkerShare(name, events + 1, errors + failed, first, at)
