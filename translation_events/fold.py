"""The life of a session: events in `seq` order move a `Session` and bring about changes.

Pure: no clock, no I/O, so a replay after a restart ends where the first run did.
Source: docs/protocol.md, "Life of a session".
"""

from __future__ import annotations

from typing import Any, Final

from translation_events.decode import session_end_of
from translation_events.event import (
    SAFE_INTEGER,
    ErrorType,
    Event,
    EventData,
    EventType,
    StoredEvent,
    WorkerInfo,
)
from translation_events.session import (
    Attempt,
    Change,
    Checkpoint,
    Ended,
    ErrorCounted,
    ItemsDone,
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
NEWEST_ITEMS: Final = 50  # the sample an ETA is read from
CHECKPOINT_PERCENT: Final = 10.0
CHECKPOINT_S: Final = 600.0
MAX_MILESTONES: Final = 100
MAX_LINKS: Final = 32
MAX_WORKERS: Final = 32
MAX_OPEN_STEPS: Final = 64
ROUNDING: Final = 1e-6  # of an item: what a percentage loses on its way through a float
MAX_ITEM_DIGITS: Final = 15  # exact in a double
# Reaching an enum's member through its class costs more than comparing with it.
_TRANSLATION: Final = Kind.TRANSLATION
_CONVERSION: Final = Kind.CONVERSION
_STEP_COMPLETED: Final = EventType.STEP_COMPLETED.value
_CANCELLED: Final = EventType.TRANSLATION_CANCELLED.value
_SESSION_ENDED: Final = EventType.SESSION_ENDED.value
_ENDS: Final = {"translation_completed": Kind.TRANSLATION, "conversion_completed": Kind.CONVERSION}
_KIND_OF: Final = {
    e.value: Kind.TRANSLATION if e.value.startswith("translation_") else Kind.CONVERSION
    for e in EventType
    if e.value.startswith(("translation_", "conversion_"))
}
_ERRORS: Final = {"translation_error": Kind.TRANSLATION, "conversion_error": Kind.CONVERSION}
_MAY_END: Final = frozenset({*_ENDS, *_ERRORS, _CANCELLED, _SESSION_ENDED})


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
    elif session.attempt.kind is _CONVERSION and kind is _TRANSLATION and event_type != _CANCELLED:
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
    elif event_type in _ERRORS:
        attempt.errors += 1
        attempt.last_error = event.error or event.message
        attempt.last_error_type = ErrorType.of(event.error_type).value
        changes.append(ErrorCounted(event.step or attempt.step, attempt.last_error_type))
        _milestone(attempt, stored, "error", error_type=attempt.last_error_type)
    status = _terminal_status(attempt, stored) if event_type in _MAY_END else None
    if status is not None:
        _end(attempt, stored, status, changes)
    else:
        _checkpoint(attempt, stored, at, changes)
    return session, changes


def eta_s(attempt: Attempt) -> tuple[float, float] | None:
    """Seconds left as (low, high): remaining × p25 and p75 of the newest items' seconds; None before 5."""
    times, total, done = attempt.item_seconds, attempt.total_items, attempt.items_done
    if attempt.ended or total is None or done is None or len(times) < 5:
        return None
    ranked = sorted(times)
    remaining = max(0, total - done)
    last = len(ranked) - 1
    return remaining * ranked[round(last * 0.25)], remaining * ranked[round(last * 0.75)]


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
        _fold_progress(attempt, stored, changes)


def _fold_progress(attempt: Attempt, stored: StoredEvent, changes: list[Change]) -> None:
    event = stored.event
    if event.total_items is not None:
        attempt.total_items = event.total_items
    if event.current_item is not None:
        attempt.current_item = event.current_item
    if event.failed_items is not None:
        attempt.failed_items = event.failed_items
    if event.type in _ERRORS:
        return  # an item that failed is not an item done
    if event.progress is not None:
        attempt.progress = event.progress
    elif _completes(attempt, event):
        attempt.progress = 100.0
    data = event.data
    if data is not None and data.items_resumed is not None:
        resumed = _count(data.items_resumed) or 0
        if resumed > attempt.items_resumed:
            attempt.items_resumed = resumed
            # A killed run's session is still the same attempt: the hours in between are no item's.
            attempt.last_item_received = stored.received_at
    done = _items_done(attempt, event)
    if done is None:
        return
    before = attempt.items_done or 0
    new = done - max(before, attempt.items_resumed)
    attempt.items_done = max(before, done)
    if new <= 0:
        return
    # Its own constructor, written in Python, would take three times as long.
    changes.append(tuple.__new__(ItemsDone, (attempt.kind or _TRANSLATION, new)))
    if stored.seq == attempt.first_seq:
        return  # what its first event says is done took a time nobody has seen: no sample for the ETA
    received_at, times = stored.received_at, attempt.item_seconds
    each = max(0.0, received_at - attempt.last_item_received) / new
    times += [each] * min(new, NEWEST_ITEMS)
    if len(times) > NEWEST_ITEMS:
        del times[:-NEWEST_ITEMS]
    attempt.last_item_received = received_at


def _items_done(attempt: Attempt, event: Event) -> int | None:
    total, item = attempt.total_items, event.current_item
    done = None if event.data is None or event.data.items_done is None else _count(event.data.items_done)
    if done is None and isinstance(item, int):
        done = _count(item)
    if done is None and isinstance(item, str) and (digits := item[len(item.rstrip("0123456789")) :]):
        done = int(digits[-MAX_ITEM_DIGITS:])
    if done is None and total is not None and attempt.progress is not None:
        completes = _completes(attempt, event)
        if event.progress is None and not completes:
            return None
        # 7 of 11 is 63.63636363636363 %, of which 11 % must give 7 again, not 6.
        done = int(attempt.progress * total / 100 + ROUNDING)
        if completes:
            done = max(0, done - (attempt.failed_items or 0))
    if done is None:
        return None
    return done if total is None else min(done, total)


def _completes(attempt: Attempt, event: Event) -> bool:
    """Whether the event reports what the attempt is there for as complete."""
    completed = _ENDS.get(event.type)
    return completed is not None and completed is attempt.kind


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # to a JavaScript client 5 and 5.0 are the same number, and both folds must agree
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SAFE_INTEGER:
        return value
    return None


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


def _terminal_status(attempt: Attempt, stored: StoredEvent) -> Status | None:
    event = stored.event
    if event.type == _SESSION_ENDED:
        end = session_end_of(stored.body)
        attempt.reason = end.reason
        return Status(end.status)
    if event.type == _CANCELLED:
        return Status.CANCELLED
    if _completes(attempt, event):
        # A count on an earlier event is not the last word: only the one on this event can outweigh errors.
        failures = event.failed_items
        if failures is None:
            failures = attempt.errors or attempt.failed_items
        return Status.COMPLETED_WITH_FAILURES if failures else Status.COMPLETED
    if event.fatal and _ERRORS.get(event.type) is attempt.kind and event.type in _ERRORS:
        return Status.LOST if event.error_type == ErrorType.WORKER_LOST else Status.FAILED
    return None


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
