"""Events as the service hands them to an exporter: decoded, stored, folded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from prometheus_client.samples import Sample

from exporters.prometheus import PrometheusExporter
from exporters.snapshot import Snapshot
from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import EventType
from translation_events.fold import apply
from translation_events.session import Applied, Session

NOW = 1_790_000_000.0
LOG_ID = "log-of-the-tests"


class Page:
    """A scraped page, read back with the parser of the format it claims to have."""

    def __init__(self, text: str, content_type: str) -> None:
        self.text, self.content_type = text, content_type
        parse = openmetrics if content_type.startswith("application/openmetrics-text") else plain
        self.families: dict[str, Metric] = {family.name: family for family in parse(text)}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in self.samples, f"{key} is exposed twice"
                self.samples[key] = sample

    def sample(self, name: str, **labels: str) -> Sample | None:
        return self.samples.get((name, frozenset(labels.items())))

    def value(self, name: str, **labels: str) -> float | None:
        sample = self.sample(name, **labels)
        return None if sample is None else sample.value

    def series(self, name: str) -> list[Sample]:
        return [sample for (sample_name, _), sample in self.samples.items() if sample_name == name]

    def total(self, name: str) -> float:
        return sum(sample.value for sample in self.series(name))


@dataclass
class Service:
    """What stands behind the metrics in a running service, without its network: a numbering and a fold."""

    metrics: PrometheusExporter = field(init=False)
    sessions: dict[str, Session] = field(default_factory=dict)
    now: float = NOW
    last_seq: int = 0
    state: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self.state = Snapshot(
            now=NOW,
            stalled_after_s=300.0,
            sessions=(),
            connections={"viewer": 3, "publisher": 2, "both": 0},
            connections_limit={"viewer": 90, "publisher": 100, "both": 90},
            relay_lag_events=7,
            log_last_seq=0,
            log_free_bytes=10**9,
            log_connected=True,
            reader_lag_events={"sessions": 0, "metrics": 4, "spans": 11},
            workers_configured=2,
        )
        self.metrics = PrometheusExporter(version="1.2.3", revision="abc123", snapshot=self.snapshot)

    def snapshot(self) -> Snapshot:
        return replace(
            self.state, now=self.now, sessions=tuple(self.sessions.values()), log_last_seq=self.last_seq
        )

    def fold(self, at: float | None = None, **event: Any) -> Applied:
        """Store and fold one event received at `at` (Unix seconds)."""
        decoded = decode_event(json.dumps(event).encode(), internal=True)
        self.last_seq += 1
        stored = read_stored(stored_body(decoded, self.last_seq, self.now if at is None else at))
        if decoded.type == EventType.WORKER_STATUS:
            return Applied(stored, None, ())
        session, changes = apply(self.sessions.get(decoded.session_id), stored, LOG_ID)
        self.sessions[decoded.session_id] = session
        return Applied(stored, session, changes)

    def take(self, *events: dict[str, Any]) -> list[Applied]:
        """Store, fold and count events."""
        return self.count(self.fold(**event) for event in events)

    def count(self, batch: Iterable[Applied]) -> list[Applied]:
        applied = list(batch)
        self.metrics.export(applied)
        return applied

    async def page(self, accept: str = "") -> Page:
        body, content_type = await self.metrics.render(accept)
        return Page(body.decode(), content_type)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture(scope="session")
def make_service() -> type[Service]:
    """For properties, which need a new service for each example."""
    return Service
