"""What a session is: the state its events leave behind, and the facts one event may bring about.

`translation_events.fold` moves a `Session` from event to event; `/sessions`, the metrics and the spans all
read from here, so they cannot tell different stories. Source: docs/protocol.md, "Life of a session".
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from translation_events.event import StoredEvent
from translation_events.trace_ids import SpanRef


class Kind(StrEnum):
    """What a session does; that of its attempt's first `translation_*` or `conversion_*` event."""

    TRANSLATION = "translation"
    CONVERSION = "conversion"


class Status(StrEnum):
    """The status of a session; all but the first two are ends."""

    RUNNING = "running"
    STALLED = "stalled"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    LOST = "lost"


class UsageTotals(msgspec.Struct, gc=False):
    """What an attempt has consumed so far; seconds, US dollars."""

    requests: int = 0
    failed_requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    duration_s: float = 0.0
    cache_hits: int = 0
    cache_misses: int = 0


class Milestone(msgspec.Struct, gc=False, frozen=True):
    """A moment worth a span event on the root; `error_type` is set where it is an error."""

    at: float
    name: str
    seq: int
    step: str | None = None
    progress: float | None = None
    error_type: str | None = None


class OpenStep(msgspec.Struct, gc=False, frozen=True):
    """A step that has been named and not completed; `at` is Unix seconds."""

    at: float
    seq: int


class Attempt(msgspec.Struct):
    """One run of a session, from its first event to its end. Times are Unix seconds.

    `*_at` come from the events (shown, spans, durations), `*_received` from the server's clock (timeouts,
    rates, order). `status` is never `stalled` here: that is a matter of the time at which one looks.
    """

    number: int
    first_seq: int
    started_at: float
    started_received: float
    root: SpanRef
    parent_span_id: str | None = None
    kind: Kind | None = None
    status: Status = Status.RUNNING
    last_seq: int = 0
    last_type: str = ""
    last_received: float = 0.0
    updated_at: float = 0.0
    ended_at: float | None = None
    ended_received: float | None = None
    progress: float | None = None
    step: str | None = None
    message: str | None = None
    current_item: str | int | None = None
    items_done: int | None = None
    items_resumed: int = 0
    total_items: int | None = None
    errors: int = 0
    last_error: str | None = None
    last_error_type: str | None = None
    failed_items: int | None = None
    reason: str | None = None
    workers: list[str] = msgspec.field(default_factory=list)
    engine: str | None = None
    model: str | None = None
    usage: UsageTotals = msgspec.field(default_factory=UsageTotals)
    open_steps: dict[str, OpenStep] = msgspec.field(default_factory=dict)
    item_seconds: list[float] = msgspec.field(default_factory=list)
    last_item_received: float = 0.0
    checkpoint_progress: float = 0.0
    checkpoint_at: float = 0.0
    checkpoint_received: float = 0.0
    links: list[SpanRef] = msgspec.field(default_factory=list)
    milestones: list[Milestone] = msgspec.field(default_factory=list)
    skew_s: float = 0.0

    @property
    def ended(self) -> bool:
        """True once a terminal event has been folded in."""
        return self.ended_received is not None

    @property
    def duration_s(self) -> float | None:
        """First to last event, at least 0; None while it runs."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.started_at)


class Session(msgspec.Struct):
    """A session and its current attempt; `folded_seq` is the last event folded in, of any type."""

    session_id: str
    log_id: str
    first_seq: int
    attempt: Attempt
    folded_seq: int = 0

    def status(self, now: float, stalled_after_s: float) -> Status:
        """The status at `now` (Unix seconds), `stalled` where nothing has come for `stalled_after_s`."""
        attempt = self.attempt
        if attempt.status is Status.RUNNING and now - attempt.last_received > stalled_after_s:
            return Status.STALLED
        return attempt.status


class Started(NamedTuple):
    """An attempt's kind has become known: it counts as started."""

    attempt: Attempt
    kind: Kind


class ItemsDone(NamedTuple):
    """`items` further ones are done, without those a resume brought along."""

    kind: Kind
    items: int


class ErrorCounted(NamedTuple):
    """A producer reported an error."""

    step: str | None
    error_type: str


class StepEnded(NamedTuple):
    """`step` lasted from `start_at` to `end_at` (Unix seconds); `seq` is its `step_completed`."""

    attempt: Attempt
    step: str
    start_at: float
    end_at: float
    seq: int


class Checkpoint(NamedTuple):
    """Another 10 % or 10 minutes of an attempt have passed, `start_at` to `end_at` (Unix seconds)."""

    attempt: Attempt
    start_at: float
    end_at: float
    seq: int
    progress: float | None
    items_done: int | None


class Ended(NamedTuple):
    """An attempt is over. `attempt` does not change any more; `seq` is its terminal event."""

    attempt: Attempt
    kind: Kind
    result: Status
    seq: int


Change = Started | ItemsDone | ErrorCounted | StepEnded | Checkpoint | Ended


class Applied(NamedTuple):
    """A stored event and what it brought about; `session` is None for `worker_status` and `_workers`."""

    stored: StoredEvent
    session: Session | None
    changes: Sequence[Change]
