"""Whole-system fixtures: the server as a process, a browser, an OTLP receiver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.conftest import environ, run, start  # noqa: F401  # fixtures
from tests.monitor_process import MonitorProcess
from tests.otlp_receiver import Received, http_receiver


@pytest.fixture
async def collector() -> AsyncIterator[Received]:
    """A real OTLP receiver."""
    async with http_receiver() as received:
        yield received


@pytest.fixture
async def traced_monitor(tmp_path: Path, collector: Received) -> AsyncIterator[MonitorProcess]:
    """A server that exports to the collector."""
    collecting = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    process = MonitorProcess(tmp_path / "events.db", environ=collecting)
    await process.start()
    yield process
    await process.stop()
