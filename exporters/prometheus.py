"""The metrics face of the events: counts them as they pass and shows the counts at `/metrics`.

Source: docs/metrics.md, which is written from `exporters.prometheus_families`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import assert_never

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector

from exporters.prometheus_cells import Capped, counters, histograms
from exporters.prometheus_collector import ServiceCollector
from exporters.prometheus_families import FAMILIES, STEPS
from exporters.prometheus_family import OTHER, FamilyType
from exporters.prometheus_llm import LlmUsage
from exporters.prometheus_render import render
from exporters.prometheus_sessions import SessionSeries
from exporters.prometheus_workers import WorkerId, WorkerSeries
from exporters.snapshot import Snapshot
from translation_events.event import EventType
from translation_events.session import (
    Applied,
    Change,
    Checkpoint,
    Ended,
    ErrorCounted,
    ItemsDone,
    Session,
    Started,
    StepEnded,
)

log = structlog.get_logger(__name__)


class PrometheusExporter:
    """Counters that begin at 0 with the process; state is read through `snapshot` at each scrape."""

    name = "metrics"

    def __init__(
        self,
        *,
        version: str,
        revision: str,
        snapshot: Callable[[], Snapshot],
        workers: Collection[str] = (),
        worker_id: WorkerId = lambda info: info.label,
    ) -> None:
        """`workers` are the configured ones; `worker_id` tells which worker an event means."""
        self._counters = {f.name: counters(f) for f in FAMILIES if f.type is FamilyType.COUNTER}
        self._histograms = {f.name: histograms(f) for f in FAMILIES if f.type is FamilyType.HISTOGRAM}
        models = Capped()
        self._llm = LlmUsage(self._counters, self._histograms, Capped(), models)
        sessions = SessionSeries(self._counters["translation_session_series_dropped_total"].cell(), models)
        self._workers = WorkerSeries(
            self._counters, self._histograms, models, configured=workers, worker_id=worker_id
        )
        self._registry = CollectorRegistry()
        self._registry.register(
            ServiceCollector(
                self._counters,
                self._histograms,
                lambda state: sessions.read(state) | self._workers.read(state),
                snapshot,
                version=version,
                revision=revision,
            )
        )
        ProcessCollector(registry=self._registry)

        self._events = {t.value: self._counters["translation_events_total"].cell(t.value) for t in EventType}
        self._started = self._counters["translation_sessions_started_total"]
        self._finished = self._counters["translation_sessions_finished_total"]
        self._durations = self._histograms["translation_session_duration_seconds"]
        self._step_durations = self._histograms["translation_step_duration_seconds"]
        self._items = self._counters["translation_items_total"]
        self._errors = self._counters["translation_errors_total"]
        self._errors.open(OTHER)
        self._unused_steps = set(STEPS) - {OTHER}
        self._faults = self._counters["translation_metrics_errors_total"].cell()
        self._rejected = self._counters["translation_events_rejected_total"]
        self._duplicates = self._counters["translation_events_duplicate_total"]
        self._ingest = self._histograms["translation_ingest_duration_seconds"]
        self._append_time = self._histograms["translation_log_append_duration_seconds"].cell()
        self._append_events = self._histograms["translation_log_append_events"].cell()
        self._log_errors = self._counters["translation_log_errors_total"]
        self._messages = self._counters["translation_relay_messages_total"].cell()
        self._bytes = self._counters["translation_relay_bytes_total"].cell()
        self._latency = self._histograms["translation_relay_latency_seconds"].cell()
        self._gaps = self._counters["translation_relay_gaps_total"].cell()
        self._missed = self._counters["translation_relay_missed_events_total"].cell()
        self._closed = self._counters["translation_relay_closed_total"]
        self._resumes = self._counters["translation_relay_resumes_total"]
        self._auth_failures = self._counters["translation_auth_failures_total"]
        self._loop_lag = self._histograms["translation_event_loop_lag_seconds"].cell()
        self._spans = self._counters["translation_spans_total"]
        self._notifications = self._counters["translation_notifications_total"]

    def export(self, batch: Sequence[Applied]) -> None:
        """Count stored events and what they brought about; about 1 µs an event. Never raises."""
        for applied in batch:
            try:
                self._count(applied)
            except Exception:  # the border: metrics never stop the relay
                self._faults.value += 1
                log.exception("event_not_counted", seq=applied.stored.seq)

    def snapshot(self, session_id: str) -> bytes:
        """Nothing: counters begin at 0 with the process, which Prometheus knows how to read."""
        return b""

    def restore(self, session_id: str, blob: bytes) -> None:
        """Nothing to take back."""

    def event_rejected(self, source: str, reason: str) -> None:
        """An event was refused; `source` is ws or http, `reason` the stable code."""
        self._rejected.cell(source, reason).value += 1

    def event_duplicate(self, source: str) -> None:
        """An event was acknowledged as a repeat."""
        self._duplicates.cell(source).value += 1

    def ingest_observed(self, source: str, seconds: float, count: int = 1) -> None:
        """`count` events took `seconds` each from receipt to durable."""
        self._ingest.cell(source).observe(seconds, count)

    def append_observed(self, seconds: float, events: int) -> None:
        """A group of `events` took `seconds` to become durable."""
        self._append_time.observe(seconds)
        self._append_events.observe(events)

    def log_failed(self, op: str) -> None:
        """An operation on the log failed."""
        self._log_errors.cell(op).value += 1

    def relay_flushed(self, messages: int, size_bytes: int) -> None:
        """Deliveries, and their bytes, were written to sockets."""
        self._messages.value += messages
        self._bytes.value += size_bytes

    def relay_latency(self, seconds: float, count: int) -> None:
        """`count` deliveries were written `seconds` after their event's receipt."""
        self._latency.observe(seconds, count)

    def relay_gap(self, missed: int | None) -> None:
        """A viewer was told of a gap; `missed` is None where the number is unknown."""
        self._gaps.value += 1
        self._missed.value += missed or 0

    def relay_closed(self, role: str, reason: str) -> None:
        """A WebSocket was closed."""
        self._closed.cell(role, reason).value += 1

    def relay_resumed(self, result: str) -> None:
        """A viewer came back with a position: complete, or with a gap."""
        self._resumes.cell(result).value += 1

    def auth_failed(self, reason: str) -> None:
        """A request was refused for who sent it."""
        self._auth_failures.cell(reason).value += 1

    def loop_lag(self, seconds: float) -> None:
        """A sleeper woke `seconds` late."""
        self._loop_lag.observe(seconds)

    def spans(self, outcome: str, count: int = 1) -> None:
        """`count` spans met this outcome."""
        self._spans.cell(outcome).value += count

    def notifications(self, outcome: str, count: int = 1) -> None:
        """`count` notices met this outcome."""
        self._notifications.cell(outcome).value += count

    def worker_probed(self, worker: str, result: str, layers_s: Mapping[str, float]) -> None:
        """A probe of a configured worker has finished; `layers_s` holds the seconds each layer took."""
        self._workers.probed(worker, result, layers_s)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type; gives way to the loop every ms.

        Cost: about 20 µs a series.
        """
        return await render(self._registry, accept)

    def _count(self, applied: Applied) -> None:
        stored, session, changes = applied
        event = stored.event
        cell = self._events[event.type]
        cell.value += 1
        trace_id = None
        if session is not None:
            trace_id = session.attempt.root.trace_id
            cell.exemplar = (trace_id, event.session_id, 1.0, stored.received_at)
        if event.step in self._unused_steps:
            self._unused_steps.discard(event.step)
            self._errors.open(event.step)
        if event.usage is not None:
            usages = event.usages
            self._llm.count(usages, trace_id, event.session_id, stored.received_at)
            self._workers.count(usages, event.worker)
        for change in changes:
            self._follow(change, session, stored.received_at)

    def _follow(self, change: Change, session: Session | None, at: float) -> None:
        session_id = "" if session is None else session.session_id
        match change:
            case ItemsDone(kind, items):
                self._items.cell(kind.value).value += items
            case Checkpoint():
                pass  # a matter for the spans
            case ErrorCounted(step, error_type):
                mark = None if session is None else (session.attempt.root.trace_id, session_id, 1.0, at)
                self._errors.cell(step or OTHER, error_type).add(1, mark)
            case StepEnded(attempt, step, start_at, end_at):
                seconds = end_at - start_at
                mark = (attempt.root.trace_id, session_id, seconds, at)
                self._step_durations.cell(step).observe(seconds, mark=mark)
            case Started(_, kind):
                self._started.cell(kind.value).value += 1
                self._durations.open(kind.value)
            case Ended(attempt, kind, result):
                seconds = attempt.duration_s or 0.0
                mark = (attempt.root.trace_id, session_id, 1.0, at)
                self._finished.cell(kind.value, result.value).add(1, mark)
                duration = (attempt.root.trace_id, session_id, seconds, at)
                self._durations.cell(kind.value, result.value).observe(seconds, mark=duration)
            case _:
                assert_never(change)
