"""Drafts become the SDK's spans here, at the last moment before they leave.

`ReadableSpan` is built directly: a tracer would hold spans open for hours and draw ids of its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from exporters.tracing_draft import Role, SpanDraft
from translation_events import semconv
from translation_events.version import __version__

SCOPE: Final = InstrumentationScope("translation-monitor", __version__)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_KINDS: Final = {
    Role.ROOT: SpanKind.CONSUMER,
    Role.STEP: SpanKind.INTERNAL,
    Role.CHECKPOINT: SpanKind.INTERNAL,
}


def resource_of(attributes: Mapping[str, str], *, service_name: str) -> Resource:
    """Who made the spans; `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` (read by the SDK) win."""
    ours = {
        semconv.SERVICE_NAME: service_name,
        semconv.SERVICE_VERSION: __version__,
        semconv.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
        **attributes,
    }
    # Without the SDK's "process" detector, which would put command lines and paths on every span.
    return Resource(ours).merge(OTELResourceDetector().detect())


def span_of(draft: SpanDraft, resource: Resource) -> ReadableSpan:
    """The span that `draft` describes, sampled and ended."""
    failed = draft.error_type is not None
    return ReadableSpan(
        name=draft.name,
        context=_context(draft.trace_id, draft.span_id, remote=False),
        parent=(
            _context(draft.trace_id, draft.parent_span_id, remote=draft.parent_remote)
            if draft.parent_span_id is not None
            else None
        ),
        resource=resource,
        attributes=draft.attributes,
        events=[Event(m.name, m.attributes, epoch_ns(m.at)) for m in draft.moments],
        links=[Link(_context(link.trace_id, link.span_id, remote=True)) for link in draft.links],
        kind=_KINDS[draft.role],
        status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
        start_time=epoch_ns(draft.start_at),
        end_time=epoch_ns(draft.end_at),
        instrumentation_scope=SCOPE,
    )


def epoch_ns(seconds: float) -> int:
    """Unix seconds as whole nanoseconds; to the microsecond, which is what a float holds."""
    return max(0, round(seconds * 1_000_000)) * 1_000


def _context(trace_id: str, span_id: str, *, remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=remote, trace_flags=_SAMPLED)
