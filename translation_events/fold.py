"""The life of a session: events in `seq` order move a `Session` and bring about changes.

Pure: no clock, no I/O, so a replay after a restart ends where the first run did.
Source: docs/protocol.md, "Life of a session".
"""

from __future__ import annotations

from typing import Final

from translation_events.ending import CANCELLED, ERRORS, MAY_END, terminal_status
from translation_events.event import (
    ErrorType,
    Event,
    EventData,
    EventType,
    StoredEvent,
    WorkerInfo,
)
from translation_events.items import fold_progress
from translation_events.session import (
    Attempt,
    Change,
    Checkpoint,
    Ended,
    ErrorCounted,
    Kind,
    Milestone,
    OpenStep,
    Session,
    Started,
    Status,
    StepEnded,
)
from translation_events.trace_ids import attempt_span, parse_traceparent

MAX_SKEW_S: Final = 24 * 3600.0  # a producer's clock further off than a day is not believed
CHECKPOINT_PERCENT: Final = 10.0
CHECKPOINT_S: Final = 600.0
MAX_MILESTONES: Final = 100
MAX_LINKS: Final = 32
MAX_WORKERS: Final = 32
MAX_OPEN_STEPS: Final = 64
# Reaching an enum's member through its class costs more than comparing with it.
_TRANSLATION: Final = Kind.TRANSLATION
_CONVERSION: Final = Kind.CONVERSION
_STEP_COMPLETED: Final = EventType.STEP_COMPLETED.value
_KIND_OF: Final = {
    e.value: Kind.TRANSLATION if e.value.startswith("translation_") else Kind.CONVERSION
    for e in EventType
    if e.value.startswith(("translation_", "conversion_"))
}


def event_time(stored: StoredEvent) -> float:
    """When the event happened: its own `timestamp` within a day of `received_at`, else `received_at`."""
    at, received_at = stored.event.timestamp, stored.received_at
    if at is None or isinstance(at, str) or abs(at - received_at) > MAX_SKEW_S:
        return received_at
    return float(at)


def apply(session: Session | None, stored: StoredEvent, log_id: str) -> tuple[Session, list[Change]]:
    """Fold one event in (None: the session's first); returns the session and what came about.

    `worker_status` events are not for here: they never start, end or refresh a session.
    """
    event = stored.event
    event_type = event.type
    kind = _KIND_OF.get(event_type)
    changes: list[Change] = []
    if session is None:
        session = Session(event.session_id, log_id, stored.seq, _begin(stored, 1, log_id))
    elif session.attempt.ended_received is not None:
        session.attempt = _begin(stored, session.attempt.number + 1, log_id)
    elif session.attempt.kind is _CONVERSION and kind is _TRANSLATION and event_type != CANCELLED:
        _supersede(session.attempt, stored, changes)
        session.attempt = _begin(stored, session.attempt.number + 1, log_id)
    session.folded_seq = stored.seq
    attempt = session.attempt
    if attempt.kind is None and kind is not None:
        attempt.kind = kind
        changes.append(Started(attempt, kind))
        _milestone(attempt, stored, "started")
    at = event_time(stored)
    _fold_state(attempt, stored, at, kind, changes)
    if event_type == _STEP_COMPLETED:
        _complete_step(attempt, stored, changes)
    elif event_type in ERRORS:
        attempt.errors += 1
        attempt.last_error = event.error or event.message
        attempt.last_error_type = ErrorType.of(event.error_type).value
        changes.append(ErrorCounted(event.step or attempt.step, attempt.last_error_type))
        _milestone(attempt, stored, "error", error_type=attempt.last_error_type)
    status = terminal_status(attempt, stored) if event_type in MAY_END else None
    if status is not None:
        _end(attempt, stored, status, changes)
    else:
        _checkpoint(attempt, stored, at, changes)
    return session, changes


def _begin(stored: StoredEvent, number: int, log_id: str) -> Attempt:
    event, at = stored.event, event_time(stored)
    root = attempt_span(log_id, event.session_id, stored.seq)
    parent = None
    if event.traceparent is not None:
        producer = parse_traceparent(event.traceparent)
        root, parent = root._replace(trace_id=producer.trace_id), producer.span_id
    return Attempt(
        number=number,
        first_seq=stored.seq,
        started_at=at,
        started_received=stored.received_at,
        root=root,
        parent_span_id=parent,
        last_item_received=stored.received_at,
        checkpoint_at=at,
        checkpoint_received=stored.received_at,
    )


def _fold_state(
    attempt: Attempt, stored: StoredEvent, at: float, kind: Kind | None, changes: list[Change]
) -> None:
    event, received_at = stored.event, stored.received_at
    attempt.last_seq, attempt.last_type, attempt.last_received = stored.seq, event.type, received_at
    attempt.updated_at = max(attempt.updated_at, at, attempt.started_at)
    timestamp = event.timestamp
    if timestamp is not None and not isinstance(timestamp, str):
        skew = timestamp - received_at
        if abs(skew) > abs(attempt.skew_s):
            attempt.skew_s = skew
    if event.message is not None:
        attempt.message = event.message
    step = event.step
    if step is not None:
        attempt.step = step
        if step not in attempt.open_steps and len(attempt.open_steps) < MAX_OPEN_STEPS:
            attempt.open_steps[step] = OpenStep(at, stored.seq)
    worker, data = event.worker_info, event.data
    if data is not None:
        if worker is None:
            worker = data.worker_info
        if data.engine is not None or data.model is not None:
            _fold_names(attempt, data)
    if worker is not None:
        _fold_worker(attempt, worker)
    if event.usage is not None:
        _fold_usage(attempt, event)
    if event.traceparent is not None:
        _fold_traceparent(attempt, event.traceparent)
    # In a translation, conversion events are steps: their progress is not the session's.
    if kind is None or kind is attempt.kind:
        fold_progress(attempt, stored, changes)


def _fold_worker(attempt: Attempt, worker: WorkerInfo) -> None:
    if (label := worker.label) is not None:
        _note_worker(attempt, label)
    if not attempt.engine:
        attempt.engine = worker.type
    if not attempt.model:
        attempt.model = worker.model


def _fold_names(attempt: Attempt, data: EventData) -> None:
    if isinstance(data.engine, str):
        attempt.engine = data.engine[:256]
    if isinstance(data.model, str):
        attempt.model = data.model[:256]


def _fold_usage(attempt: Attempt, event: Event) -> None:
    totals = attempt.usage
    for usage in event.usages:
        totals.requests += usage.requests
        if usage.result != "success":
            totals.failed_requests += usage.requests
        totals.input_tokens += usage.input_tokens
        totals.output_tokens += usage.output_tokens
        if usage.cost_usd:
            totals.cost_usd += usage.cost_usd
        if usage.duration_s:
            totals.duration_s += usage.duration_s
        if usage.cache is not None:
            totals.cache_hits += usage.cache == "hit"
            totals.cache_misses += usage.cache == "miss"
        if not attempt.engine:
            attempt.engine = usage.provider
        if not attempt.model:
            attempt.model = usage.model
        if usage.worker:
            _note_worker(attempt, usage.worker)


def _note_worker(attempt: Attempt, worker: str) -> None:
    """Keep the workers seen, the newest last."""
    if attempt.workers and attempt.workers[-1] == worker:
        return
    if worker in attempt.workers:
        attempt.workers.remove(worker)
    attempt.workers = [*attempt.workers, worker][-MAX_WORKERS:]


def _fold_traceparent(attempt: Attempt, traceparent: str) -> None:
    """Link another producer span once; the attempt's own parent needs no link."""
    span = parse_traceparent(traceparent)
    if span.span_id == attempt.parent_span_id or span in attempt.links or len(attempt.links) >= MAX_LINKS:
        return
    attempt.links.append(span)


def _complete_step(attempt: Attempt, stored: StoredEvent, changes: list[Change]) -> None:
    step = stored.event.step or attempt.step
    if step is None:
        return
    at = event_time(stored)
    opened = attempt.open_steps.pop(step, OpenStep(at, stored.seq))
    changes.append(StepEnded(attempt, step, opened.at, max(at, opened.at), stored.seq))
    _milestone(attempt, stored, "step_completed")


def _checkpoint(attempt: Attempt, stored: StoredEvent, at: float, changes: list[Change]) -> None:
    progress = attempt.progress or 0.0
    risen = progress // CHECKPOINT_PERCENT > attempt.checkpoint_progress // CHECKPOINT_PERCENT
    if not risen and stored.received_at - attempt.checkpoint_received < CHECKPOINT_S:
        return
    at = max(at, attempt.checkpoint_at)
    changes.append(
        Checkpoint(attempt, attempt.checkpoint_at, at, stored.seq, attempt.progress, attempt.items_done)
    )
    attempt.checkpoint_progress = max(progress, attempt.checkpoint_progress)
    attempt.checkpoint_at, attempt.checkpoint_received = at, stored.received_at


def _milestone(attempt: Attempt, stored: StoredEvent, name: str, *, error_type: str | None = None) -> None:
    # The last place is kept for the end.
    if len(attempt.milestones) < MAX_MILESTONES - 1 or attempt.ended:
        attempt.milestones.append(
            Milestone(
                event_time(stored), name, stored.seq, stored.event.step, stored.event.progress, error_type
            )
        )


def _end(attempt: Attempt, stored: StoredEvent, status: Status, changes: list[Change]) -> None:
    if attempt.kind is None:
        attempt.kind = Kind.TRANSLATION
        changes.append(Started(attempt, attempt.kind))
    attempt.status = status
    attempt.ended_at = (
        attempt.updated_at
    )  # never before what came earlier, whatever the producer's clock says
    attempt.ended_received = stored.received_at
    _milestone(attempt, stored, status.value)
    changes.append(Ended(attempt, attempt.kind, status, stored.seq))


def _supersede(attempt: Attempt, stored: StoredEvent, changes: list[Change]) -> None:
    """A translation begins while the conversion was never reported complete: that attempt has failed."""
    attempt.reason = "a translation began before the conversion was reported complete"
    attempt.status = Status.FAILED
    attempt.ended_at = max(attempt.updated_at, attempt.started_at)
    attempt.ended_received = stored.received_at
    changes.append(Ended(attempt, attempt.kind or Kind.CONVERSION, Status.FAILED, attempt.last_seq))
