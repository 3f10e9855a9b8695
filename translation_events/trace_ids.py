"""Trace and span ids that are derived, never drawn: a span made twice, by anyone, is the same span.

Source: docs/architecture.md, "Traces".
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple


class SpanRef(NamedTuple):
    """A place in a trace, as 32 and 16 lower-case hex digits."""

    trace_id: str
    span_id: str


def attempt_span(log_id: str, session_id: str, first_seq: int) -> SpanRef:
    """The root span of a session's attempt: the same for the same log, session and first event, for ever."""
    digest = blake2b(f"{log_id}\0{session_id}\0{first_seq}".encode(), digest_size=24).hexdigest()
    return SpanRef(digest[:32], digest[32:])


def child_span_id(root: SpanRef, name: str, seq: int) -> str:
    """The id of the span `name` that the event `seq` completed under `root`."""
    return blake2b(f"{root.trace_id}\0{root.span_id}\0{name}\0{seq}".encode(), digest_size=8).hexdigest()


def parse_traceparent(traceparent: str) -> SpanRef:
    """The span a (validated) W3C `traceparent` names."""
    _, trace_id, span_id, _ = traceparent.split("-")
    return SpanRef(trace_id, span_id)
