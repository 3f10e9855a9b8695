"""P10: what metrics, projections and traces cost per event, driven on a prepared stream in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from benchmarks import story
from benchmarks.collector import collector
from benchmarks.row import Row, median
from benchmarks.server import RELAY
from benchmarks.session import BenchSession
from exporters.prometheus import PrometheusExporter
from exporters.snapshot import Snapshot
from exporters.tracing import TracingExporter, otlp_exporter_from_environment
from service.config import load_config
from service.projections.sessions import SessionProjection
from service.projections.workers import WorkerProjection
from service.readers import SLICE_EVENTS
from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import StoredEvent
from translation_events.session import Applied

NAMES: Final = ("P10",)
EVENTS_A_SESSION: Final = 500
SESSIONS: Final = 100
MOST_US: Final = 12.0


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """CPU of each reader per event, exporting the spans to a collector included."""
    events = _stored(SESSIONS // 5 if session.quick else SESSIONS)
    runs: list[Mapping[str, float]] = []
    with collector() as endpoint:
        for _ in range(max(3, session.reps)):
            runs.append(asyncio.run(_fold(events, endpoint)))
            session.record("P10", RELAY, runs[-1])
    parts = {name: median(run[name] for run in runs) for name in runs[0]}
    total = sum(parts.values())
    measured = f"{total:.1f} µs: " + ", ".join(f"{name} {cost:.1f}" for name, cost in parts.items())
    return [Row("P10", "telemetry per event", f"≤ {MOST_US:.0f} µs", measured, met=total <= MOST_US)]


async def _fold(events: Sequence[StoredEvent], endpoint: str) -> Mapping[str, float]:
    """Microseconds of CPU per event, by reader; in slices as the service's readers take them."""
    metrics = PrometheusExporter(version="", revision="", snapshot=_nothing)
    exporter = otlp_exporter_from_environment(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    )
    assert exporter is not None
    tracing = TracingExporter(exporter=exporter, after=0, outcomes=metrics.spans)
    sessions = SessionProjection("log", [metrics, tracing], stalled_after_s=300.0)
    workers = WorkerProjection(load_config(environ={}).distributed)
    spent = {"sessions": 0.0, "workers": 0.0, "metrics": 0.0, "traces": 0.0}

    def timed(name: str, work: Callable[[], object]) -> object:
        began = time.process_time()
        result = work()
        spent[name] += time.process_time() - began
        return result

    for start in range(0, len(events), SLICE_EVENTS):
        part = events[start : start + SLICE_EVENTS]
        applied: list[Applied] = []
        timed("sessions", lambda part=part, applied=applied: applied.extend(sessions.apply(part)))  # type: ignore[misc]
        timed("workers", lambda applied=applied: workers.apply(applied))  # type: ignore[misc]
        timed("metrics", lambda applied=applied: metrics.export(applied))  # type: ignore[misc]
        timed("traces", lambda applied=applied: tracing.export(applied))  # type: ignore[misc]
    began = time.process_time()
    if not await tracing.flush(60.0):
        raise RuntimeError("the spans did not reach the collector")
    spent["traces"] += time.process_time() - began
    return {name: seconds * 1e6 / len(events) for name, seconds in spent.items()}


def _stored(sessions: int) -> list[StoredEvent]:
    """Events of whole sessions as the log hands them out."""
    now = time.time()
    bodies = (
        stored_body(decode_event(raw), seq, now)
        for seq, raw in enumerate(story.lives(sessions, sessions * EVENTS_A_SESSION), start=1)
    )
    return [read_stored(body, node="local") for body in bodies]


def _nothing() -> Snapshot:
    raise NotImplementedError("nobody scrapes here")
