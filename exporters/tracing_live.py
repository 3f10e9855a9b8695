"""Spans made live, while the work goes on: the translator's `chat {model}` and `ssh {command}`, and
the service's probes of workers.

They are short and many, so they go through the SDK's batch processor: a bounded queue that drops when full
and never holds up the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from exporters.tracing_otlp import otlp_exporter_from_environment
from exporters.tracing_spans import resource_of

SHUTDOWN_S: Final = 2.0
_MAX_QUEUE: Final = 2048
_BATCH: Final = 256
_DELAY_MS: Final = 1000.0  # the SDK's 5 s would show a call long after its step


def live_provider(environ: Mapping[str, str], *, service_name: str) -> TracerProvider | None:
    """A provider for live spans, None (silently) where `environ` configures no collector.

    Whoever calls this calls `shutdown()` at the end, which takes 2 s at most.
    Raises: ConfigError: a variable has a value that is not allowed.
    """
    exporter = otlp_exporter_from_environment(environ)
    if exporter is None:
        return None
    provider = TracerProvider(
        resource=resource_of({}, service_name=service_name),
        shutdown_on_exit=False,  # at exit no thread can be started any more, and the SDK waits 30 s
    )
    batches = BatchSpanProcessor(
        exporter, max_queue_size=_MAX_QUEUE, max_export_batch_size=_BATCH, schedule_delay_millis=_DELAY_MS
    )
    provider.add_span_processor(_ShortShutdown(batches))
    return provider


class _ShortShutdown(SpanProcessor):
    """The batch processor, given `SHUTDOWN_S` to send what it holds instead of 30 s."""

    def __init__(self, inner: BatchSpanProcessor) -> None:
        self._inner = inner

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._inner.on_end(span)

    def shutdown(self) -> None:
        self._within(self._inner.shutdown, SHUTDOWN_S)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True if everything was sent in time; the SDK's own ignores the time."""
        return self._within(self._inner.force_flush, timeout_millis / 1000)

    @staticmethod
    def _within(work: Callable[[], object], seconds: float) -> bool:
        thread = threading.Thread(target=work, name="spans-shutdown", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()
