"""Spans made live, while the work goes on: the translator's `chat {model}` and `ssh {command}`, and
the service's probes of workers.

They are short and many, so they go through the SDK's batch processor: a bounded queue that drops when full
and never holds up the caller. The SDK tells nobody how many it dropped, so its bound is kept here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from exporters.tracing_otlp import otlp_exporter_from_environment
from exporters.tracing_spans import resource_of

SHUTDOWN_S: Final = 2.0
CLOSE_S: Final = 0.25
MAX_WAITING: Final = 2048  # spans, the batch under way among them
_BATCH: Final = 256
_DELAY_MS: Final = 1000.0  # the SDK's 5 s would show a call long after its step

Outcomes = Callable[[str, int], None]


def live_provider(
    environ: Mapping[str, str], *, service_name: str, outcomes: Outcomes
) -> TracerProvider | None:
    """A provider for live spans, None (silently) where `environ` configures no collector.

    `outcomes(outcome, n)` is told of every span once: `exported`, `queue_full` or `export_failed`, those left
    at the end among the last; it is called from several threads. Whoever calls this calls `shutdown()` at
    the end, which takes 2.3 s at most.
    Raises: ConfigError: a variable has a value that is not allowed.
    """
    exporter = otlp_exporter_from_environment(environ)
    if exporter is None:
        return None
    provider = TracerProvider(
        resource=resource_of({}, service_name=service_name),
        shutdown_on_exit=False,  # at exit no thread can be started any more, and the SDK waits 30 s
    )
    provider.add_span_processor(_LiveSpans(exporter, outcomes))
    return provider


class _Waiting:
    """How many spans are on their way, at most `MAX_WAITING`. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def add(self) -> bool:
        """One more; False if there is no room."""
        with self._lock:
            if self._count >= MAX_WAITING:
                return False
            self._count += 1
            return True

    def take(self, most: int = MAX_WAITING) -> int:
        """They have left, one way or another; returns how many were still counted."""
        with self._lock:
            taken = min(most, self._count)
            self._count -= taken
            return taken


class _CountedExporter(SpanExporter):
    """Tells what has become of each batch."""

    def __init__(self, inner: SpanExporter, waiting: _Waiting, outcomes: Outcomes) -> None:
        self._inner, self._waiting, self._outcomes = inner, waiting, outcomes
        self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        outcome = "exported" if result is SpanExportResult.SUCCESS else "export_failed"
        if left := self._waiting.take(len(spans)):  # none, where the end had no time for them
            self._outcomes(outcome, left)
        return result

    def shutdown(self) -> None:
        """Once: the SDK complains of a second time."""
        if not self._closed:
            self._closed = True
            self._inner.shutdown()


class _LiveSpans(SpanProcessor):
    """The batch processor, with a counted bound, and given `SHUTDOWN_S` to send what it holds, not 30 s."""

    def __init__(self, exporter: SpanExporter, outcomes: Outcomes) -> None:
        self._waiting = _Waiting()
        self._outcomes = outcomes
        self._exporter = _CountedExporter(exporter, self._waiting, outcomes)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MAX_WAITING,
            max_export_batch_size=_BATCH,
            schedule_delay_millis=_DELAY_MS,
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._batches.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._waiting.add():
            self._batches.on_end(span)
        else:
            self._outcomes("queue_full", 1)

    def shutdown(self) -> None:
        if not self._within(self._batches.shutdown, SHUTDOWN_S):
            # Else its thread would go on trying, a batch after the other, for as long as the process lives.
            self._within(self._exporter.shutdown, CLOSE_S)
        left = self._waiting.take()
        if left:
            self._outcomes("export_failed", left)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """True if everything was sent in time; the SDK's own ignores the time."""
        return self._within(self._batches.force_flush, timeout_millis / 1000)

    @staticmethod
    def _within(work: Callable[[], object], seconds: float) -> bool:
        thread = threading.Thread(target=work, name="spans-shutdown", daemon=True)
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()
