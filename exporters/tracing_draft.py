"""What a change in a session's life says about a span: a small frozen value, made the moment it happens.

The attempt goes on changing and the collector may be away for hours, so nothing is read from it later.
Source: docs/architecture.md, "Traces".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

from translation_events import semconv
from translation_events.event import ErrorType
from translation_events.session import Applied, Attempt, Checkpoint, Ended, Kind, Status, StepEnded
from translation_events.trace_ids import SpanRef, child_span_id

SKEW_WORTH_KEEPING_S: Final = 1.0  # below it the network explains the difference
LARGEST_INTEGER: Final = 2**63 - 1  # an OTLP attribute is a signed 64-bit integer

AttributeValue = str | int | float | list[str]
Attributes = dict[str, AttributeValue]

_ROOT_NAMES: Final = {Kind.TRANSLATION: "translate", Kind.CONVERSION: "convert"}
# What a failed attempt is called where no error of the producer explains it.
_ERROR_TYPE_OF: Final = {Status.LOST: ErrorType.WORKER_LOST, Status.TIMED_OUT: ErrorType.TIMEOUT}
_FAILURES: Final = frozenset({Status.FAILED, Status.LOST, Status.TIMED_OUT})


class Role(IntEnum):
    """What a span stands for; also its rank when room is short, the lowest given up first."""

    CHECKPOINT = 0
    STEP = 1
    ROOT = 2


class MomentDraft(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A span event: a moment in Unix seconds."""

    at: float
    name: str
    attributes: Attributes


class SpanDraft(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A span before it is one. Times are Unix seconds, ids lower-case hex; `seq` is the event that made it.

    `error_type` is set where the span failed. `parent_remote`: the parent is a producer's own span.
    """

    seq: int
    session_id: str
    role: Role
    name: str
    trace_id: str
    span_id: str
    parent_span_id: str | None
    parent_remote: bool
    start_at: float
    end_at: float
    attributes: Attributes
    moments: list[MomentDraft] = []
    links: list[SpanRef] = []
    error_type: str | None = None


def drafts_of(applied: Applied, monitor_url: str) -> Iterator[SpanDraft]:
    """The spans that one event has completed, none for most events.

    `seq` is that of the event being folded, not that of the change: the end of a superseded attempt comes
    about with the next attempt's first event.
    """
    session, seq = applied.session, applied.stored.seq
    if session is None:
        return
    for change in applied.changes:
        match change:
            case StepEnded():
                yield _step(change, session.session_id, seq)
            case Checkpoint():
                yield _checkpoint(change, session.session_id, seq, applied.stored.event.step)
            case Ended():
                yield _root(change, session.session_id, seq, monitor_url)


def _root(ended: Ended, session_id: str, seq: int, monitor_url: str) -> SpanDraft:
    attempt = ended.attempt
    start = attempt.started_at
    end = max(start, attempt.ended_at if attempt.ended_at is not None else attempt.updated_at)
    error_type = _error_type(attempt, ended.result)
    usage = attempt.usage
    attributes = _attributes(
        {
            semconv.SESSION_ID: session_id,
            semconv.KIND: ended.kind.value,
            semconv.RESULT: ended.result.value,
            semconv.ATTEMPT: attempt.number,
            semconv.FIRST_SEQ: attempt.first_seq,
            semconv.LAST_SEQ: ended.seq,
            semconv.LAST_EVENT_TYPE: attempt.last_type or None,
            semconv.PROGRESS: attempt.progress,
            semconv.ITEMS_DONE: attempt.items_done,
            semconv.ITEMS_TOTAL: attempt.total_items,
            semconv.ITEMS_RESUMED: attempt.items_resumed or None,
            semconv.ITEMS_FAILED: attempt.failed_items,
            semconv.ERRORS: attempt.errors,
            semconv.ENGINE: attempt.engine,
            semconv.MODEL: attempt.model,
            semconv.WORKER: attempt.workers[-1] if attempt.workers else None,
            semconv.WORKERS: list(attempt.workers) or None,
            semconv.REQUESTS: usage.requests or None,
            semconv.INPUT_TOKENS: usage.input_tokens if usage.requests else None,
            semconv.OUTPUT_TOKENS: usage.output_tokens if usage.requests else None,
            semconv.COST_USD: usage.cost_usd if usage.requests else None,
            semconv.CLOCK_SKEW_S: attempt.skew_s if abs(attempt.skew_s) > SKEW_WORTH_KEEPING_S else None,
            semconv.MONITOR_URL: f"{monitor_url}/monitor?session={session_id}",
            semconv.ERROR_TYPE: error_type,
        }
    )
    moments = [
        MomentDraft(
            min(max(milestone.at, start), end),
            milestone.name,
            _attributes(
                {
                    semconv.SEQ: milestone.seq,
                    semconv.STEP: milestone.step,
                    semconv.PROGRESS: milestone.progress,
                    semconv.ERROR_TYPE: milestone.error_type,
                }
            ),
        )
        for milestone in attempt.milestones
    ]
    return SpanDraft(
        seq=seq,
        session_id=session_id,
        role=Role.ROOT,
        name=_ROOT_NAMES[ended.kind],
        trace_id=attempt.root.trace_id,
        span_id=attempt.root.span_id,
        parent_span_id=attempt.parent_span_id,
        parent_remote=attempt.parent_span_id is not None,
        start_at=start,
        end_at=end,
        attributes=attributes,
        moments=moments,
        links=list(attempt.links),
        error_type=error_type,
    )


def _step(change: StepEnded, session_id: str, seq: int) -> SpanDraft:
    return _child(
        change.attempt,
        session_id,
        seq,
        Role.STEP,
        f"step {change.step}",
        (change.start_at, change.end_at),
        {semconv.STEP: change.step},
    )


def _checkpoint(change: Checkpoint, session_id: str, seq: int, step: str | None) -> SpanDraft:
    return _child(
        change.attempt,
        session_id,
        seq,
        Role.CHECKPOINT,
        "checkpoint",
        (change.start_at, change.end_at),
        {
            semconv.STEP: step,
            semconv.PROGRESS: change.progress,
            semconv.ITEMS_DONE: change.items_done,
            semconv.ITEMS_TOTAL: change.attempt.total_items,
        },
    )


def _child(
    attempt: Attempt,
    session_id: str,
    seq: int,
    role: Role,
    name: str,
    times: tuple[float, float],
    own: dict[str, AttributeValue | None],
) -> SpanDraft:
    start = max(times[0], attempt.started_at)  # a clock that ran backwards: no child before its parent
    return SpanDraft(
        seq=seq,
        session_id=session_id,
        role=role,
        name=name,
        trace_id=attempt.root.trace_id,
        span_id=child_span_id(attempt.root, name, seq),
        parent_span_id=attempt.root.span_id,
        parent_remote=False,
        start_at=start,
        end_at=max(times[1], start),
        attributes=_attributes(
            {
                semconv.SESSION_ID: session_id,
                semconv.KIND: attempt.kind.value if attempt.kind is not None else None,
                semconv.ATTEMPT: attempt.number,
                semconv.SEQ: seq,
                **own,
            }
        ),
    )


def _error_type(attempt: Attempt, result: Status) -> str | None:
    """`error.type` of a failed attempt, None for one that did what it could or was told to stop."""
    if result not in _FAILURES:
        return None
    given = _ERROR_TYPE_OF.get(result)
    return given.value if given is not None else attempt.last_error_type or ErrorType.OTHER.value


def _attributes(values: dict[str, AttributeValue | None]) -> Attributes:
    return {
        name: min(value, LARGEST_INTEGER) if isinstance(value, int) else value
        for name, value in values.items()
        if value is not None
    }
