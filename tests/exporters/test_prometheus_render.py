"""The page: its format by `Accept`, written in pieces that leave the loop to others."""

from __future__ import annotations

import asyncio
import gc
from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from exporters.prometheus_render import MAX_SAMPLES, Encoder, negotiate, render

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from tests.exporters.conftest import Service

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml", TEXT),
        ("text/plain;version=1.0.0", TEXT),
        ("text/plain;version=nonsense", TEXT),
        ("application/openmetrics-text;version=nonsense", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, content_type: str) -> None:
    """OpenMetrics by `Accept`, else the text format, and never an error for a strange header."""
    assert negotiate(accept)[1] == content_type


class _Many(Collector):
    def collect(self) -> Iterator[Metric]:
        for size in (0, 1, MAX_SAMPLES, MAX_SAMPLES + 1, 3 * MAX_SAMPLES):
            counter = CounterMetricFamily(f"c{size}_seconds", "A\nhelp.", labels=["n"], unit="seconds")
            gauge = GaugeMetricFamily(f"g{size}", "A \\ help.", labels=["n"])
            for n in range(size):
                counter.add_metric([f'"{n}"'], n, exemplar=Exemplar({"trace_id": "ab"}, 1.0, 2.5))
                gauge.add_metric([f"{n}\n"], n / 3)
            yield counter
            yield gauge


@pytest.mark.parametrize("accept", ["", PROMETHEUS_2])
async def test_a_page_written_in_pieces_is_the_page_written_in_one_go(accept: str) -> None:
    """A family that is cut into pieces has its help and type once, and every sample."""
    registry = CollectorRegistry()
    registry.register(_Many())
    body, _ = await render(registry, accept)
    in_one_go: Encoder = openmetrics.generate_latest if accept else exposition.generate_latest
    assert body == in_one_go(registry)


async def test_a_scrape_of_200_sessions_leaves_the_loop_to_others(service: Service) -> None:
    """A scrape with 200 sessions never holds the loop longer than 15 ms."""
    for n in range(200):
        name = f"session-{n}"
        service.take(
            {"type": "translation_started", "session_id": name, "total_items": 50, "step": "translation"},
            *({"type": "translation_progress", "session_id": name, "current_item": i} for i in range(1, 12)),
        )
    held: list[float] = []
    done = asyncio.Event()

    async def watch() -> None:
        before = perf_counter()
        longest = 0.0
        while not done.is_set():
            await asyncio.sleep(0)
            longest, before = max(longest, perf_counter() - before), perf_counter()
        held.append(longest)

    async def scrape() -> None:
        done.clear()
        await service.metrics.render(PROMETHEUS_2)
        done.set()

    asyncio.get_running_loop().set_debug(False)  # its bookkeeping is not what is measured
    gc.collect()
    gc.freeze()
    try:
        for _ in range(7):
            async with asyncio.TaskGroup() as group:
                group.create_task(watch(), name="watch")
                group.create_task(scrape(), name="scrape")
    finally:
        gc.unfreeze()
    # The machine may take the processor away at any moment; it does not do so in each of seven scrapes.
    assert min(held) < 0.015, held
