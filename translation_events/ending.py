"""How an attempt ends: which events may end one of which kind, and with what status.

Source: docs/protocol.md, "Life of a session".
"""

from __future__ import annotations

from typing import Final

from translation_events.decode import session_end_of
from translation_events.event import ErrorType, Event, EventType, StoredEvent
from translation_events.session import Attempt, Kind, Status

COMPLETIONS: Final = {"translation_completed": Kind.TRANSLATION, "conversion_completed": Kind.CONVERSION}
ERRORS: Final = {"translation_error": Kind.TRANSLATION, "conversion_error": Kind.CONVERSION}
# Reaching an enum's member through its class costs more than comparing with it.
CANCELLED: Final = EventType.TRANSLATION_CANCELLED.value
_SESSION_ENDED: Final = EventType.SESSION_ENDED.value
MAY_END: Final = frozenset({*COMPLETIONS, *ERRORS, CANCELLED, _SESSION_ENDED})


def completes(attempt: Attempt, event: Event) -> bool:
    """Whether the event reports what the attempt is there for as complete."""
    completed = COMPLETIONS.get(event.type)
    return completed is not None and completed is attempt.kind


def terminal_status(attempt: Attempt, stored: StoredEvent) -> Status | None:
    """The status in which the event ends its attempt, the reason noted; None where it ends nothing."""
    event = stored.event
    if event.type == _SESSION_ENDED:
        end = session_end_of(stored.body)
        attempt.reason = end.reason
        return Status(end.status)
    if event.type == CANCELLED:
        return Status.CANCELLED
    if completes(attempt, event):
        # A count on an earlier event is not the last word: only the one on this event can outweigh errors.
        failures = event.failed_items
        if failures is None:
            failures = attempt.errors or attempt.failed_items
        return Status.COMPLETED_WITH_FAILURES if failures else Status.COMPLETED
    if event.fatal and ERRORS.get(event.type) is attempt.kind and event.type in ERRORS:
        return Status.LOST if event.error_type == ErrorType.WORKER_LOST else Status.FAILED
    return None
