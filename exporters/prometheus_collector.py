"""The one collector: at a scrape it turns our cells and a snapshot of the service into metric families."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from exporters.prometheus_cells import Counter, Histogram, Mark, Table
from exporters.prometheus_families import FAMILIES
from exporters.prometheus_family import Family, FamilyType
from exporters.prometheus_sessions import Samples
from exporters.snapshot import Snapshot

# OpenMetrics allows an exemplar 128 characters in all; trace_id, its value and both names take 50.
MAX_EXEMPLAR_SESSION_ID: Final = 64


class ServiceCollector(Collector):
    """Every family of `FAMILIES` at each scrape, with samples or without."""

    def __init__(
        self,
        counters: Mapping[str, Table[Counter]],
        histograms: Mapping[str, Table[Histogram]],
        gauges: Callable[[Snapshot], Samples],
        snapshot: Callable[[], Snapshot],
        *,
        version: str,
        revision: str,
    ) -> None:
        self._counters, self._histograms = counters, histograms
        self._gauges, self._snapshot = gauges, snapshot
        self._build = (version, revision, platform.python_version())

    def collect(self) -> Iterator[Metric]:
        """The families, one by one: the renderer yields to the loop between them."""
        state = self._snapshot()
        gauges = self._gauges(state) | _service_gauges(state)
        gauges["translation_build_info"] = [(self._build, 1)]
        for family in FAMILIES:
            if family.type is FamilyType.COUNTER:
                yield _counter_family(self._counters[family.name])
            elif family.type is FamilyType.HISTOGRAM:
                yield _histogram_family(self._histograms[family.name])
            else:
                yield _gauge_family(family, gauges)


def _service_gauges(state: Snapshot) -> Samples:
    return {
        "translation_workers_configured": [((), state.workers_configured)],
        "translation_relay_connections": [((role,), count) for role, count in state.connections.items()],
        "translation_relay_connections_limit": [
            ((role,), limit) for role, limit in state.connections_limit.items()
        ],
        "translation_relay_lag_events": [((), state.relay_lag_events)],
        "translation_log_last_seq": [((), state.log_last_seq)],
        "translation_log_free_bytes": [] if state.log_free_bytes is None else [((), state.log_free_bytes)],
        "translation_log_connected": [((), int(state.log_connected))],
        "translation_reader_lag_events": [
            ((reader,), lag) for reader, lag in state.reader_lag_events.items()
        ],
        "translation_notifications_waiting": [
            ((receiver,), count) for receiver, count in state.notices_waiting.items()
        ],
    }


def _counter_family(table: Table[Counter]) -> CounterMetricFamily:
    family = table.family
    metric = CounterMetricFamily(family.name, family.help, labels=family.label_names, unit=family.unit)
    for cell in table.cells.values():
        metric.add_metric(cell.labels, cell.value, exemplar=_exemplar(cell.exemplar))
    return metric


def _histogram_family(table: Table[Histogram]) -> HistogramMetricFamily:
    family = table.family
    metric = HistogramMetricFamily(family.name, family.help, labels=family.label_names, unit=family.unit)
    bounds = [*(str(bound) for bound in family.buckets), "+Inf"]
    for cell in table.cells.values():
        buckets = [
            (bound, count) if mark is None else (bound, count, _mark(mark))
            for bound, count, mark in zip(bounds, accumulate(cell.counts), cell.exemplars, strict=True)
        ]
        metric.add_metric(cell.labels, buckets, cell.sum)
    return metric


def _gauge_family(family: Family, gauges: Samples) -> GaugeMetricFamily:
    metric = GaugeMetricFamily(family.name, family.help, labels=family.label_names, unit=family.unit)
    for labels, value in gauges.get(family.name, ()):
        metric.add_metric(labels, value)
    return metric


def _exemplar(mark: Mark | None) -> Exemplar | None:
    return None if mark is None else _mark(mark)


def _mark(mark: Mark) -> Exemplar:
    trace_id, session_id, value, at = mark
    labels = {"trace_id": trace_id}
    if len(session_id) <= MAX_EXEMPLAR_SESSION_ID:
        labels["session_id"] = session_id
    return Exemplar(labels, value, at)
