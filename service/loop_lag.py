"""How late the event loop is: a sleeper that notes by how much it overslept."""

from __future__ import annotations

import asyncio
from typing import Final

from exporters.prometheus import PrometheusExporter

SLEEP_S: Final = 0.5


async def watch_loop(metrics: PrometheusExporter) -> None:
    """Observe the loop's lag twice a second until cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        before = clock()
        await asyncio.sleep(SLEEP_S)
        metrics.loop_lag(max(0.0, clock() - before - SLEEP_S))
