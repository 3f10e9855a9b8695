"""A monitor with sessions of every sort, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event
from tests.otlp_receiver import Received, free_port, http_receiver
from tests.prometheus_process import Prometheus, prometheus_process

# Scraped each second, so that what takes minutes in production takes seconds here.
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: translation-monitor
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
# The panels of alerts need one that fires and the watchdog; the shipped rules have tests of their own.
RULES = """
groups:
  - name: of the test
    rules:
      - {alert: TranslationWatchdog, expr: vector(1), labels: {severity: none}}
      - {alert: TranslationSessionFailed, expr: 'translation_sessions_finished_total{result="failed"} > 0',
         labels: {severity: warning}}
"""
MODEL = {"provider": "openai", "model": "small-1", "worker": "gpu-1"}


@dataclass
class Stage:
    """What a test of the dashboards looks at; `running` is a session that has begun and goes on."""

    monitor: MonitorProcess
    prometheus: Prometheus
    collector: Received
    client: aiohttp.ClientSession
    worker_port: int
    running: str = "novel"
    began: float = field(default_factory=time.time)
    rounds: int = 0

    async def play(self) -> None:
        """A second in the life of a busy monitor: one session goes on, three others come and go."""
        n = self.rounds = self.rounds + 1
        events = [self._progress(n), *self._whole(f"page-{n}"), *self._whole(f"page-{n}", seen_before=True)]
        events += self._failing(f"scan-{n}")
        if n == 1:
            events.insert(0, event(self.running, "translation_started", total_items=1000, step="translation"))
        events.append(event(self.running, "translation_hello"))
        async with self.client.post(f"{self.monitor.url}/events", json=events) as answer:
            assert answer.status == 207, await answer.text()  # one of them is wrong on purpose
        async with self.client.ws_connect(f"{self.monitor.url}/ws?role=publisher&ack=1") as ws:
            await ws.send_json(self._mishap(n))
            assert (await ws.receive_json(timeout=10))["type"] == "ack"
        await asyncio.sleep(1.0)  # a scrape a second: this is the pace, not a wait for something

    async def end(self) -> str:
        """End the running session and say which it was."""
        ending = event(self.running, "translation_completed", failed_items=self.rounds)
        async with self.client.post(f"{self.monitor.url}/events", json=ending) as answer:
            assert answer.status == 200, await answer.text()
        return self.running

    def _progress(self, n: int) -> dict[str, Any]:
        usage = {
            **MODEL,
            "duration_s": 0.2 + 0.01 * n,
            "input_tokens": 300 + n,
            "output_tokens": 200 + n,
            "prefill_s": 0.05,
            "decode_s": 0.15,
            "cost_usd": 0.0007,
            "cache": "miss" if n % 3 else "hit",
        }
        worker = {"host": "127.0.0.1", "port": self.worker_port, "type": "llama.cpp", "model": MODEL["model"]}
        return event(
            self.running,
            step="translation",
            current_item=n,
            total_items=1000,
            progress=n / 10,
            usage=usage,
            worker_info=worker,
        )

    def _whole(self, session_id: str, *, seen_before: bool = False) -> list[dict[str, Any]]:
        told = [
            event(session_id, "translation_started", step="parsing", total_items=2),
            event(session_id, "step_completed", step="parsing"),
            event(session_id, current_item=2, total_items=2, progress=100, step="translation"),
            event(session_id, "translation_completed", failed_items=0),
        ]
        named = [{**one, "id": f"{session_id}/{number}"} for number, one in enumerate(told)]
        return named[-1:] if seen_before else named

    def _failing(self, session_id: str) -> list[dict[str, Any]]:
        failure = {"error": "no text layer", "error_type": "unsupported_format", "fatal": True}
        return [
            event(session_id, "conversion_started", step="reading"),
            event(session_id, "conversion_error", step="reading", **failure),
        ]

    def _mishap(self, n: int) -> dict[str, Any]:
        return event(
            self.running,
            "translation_error",
            step="translation",
            error=f"segment {n} timed out",
            error_type="timeout",
            usage={**MODEL, "result": "timeout", "duration_s": 3.0},
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """The monitor with a collector, a viewer, a configured worker that does not answer, and Prometheus."""
    folder: Path = tmp_path_factory.mktemp("stage")
    worker_port = free_port()
    worker = {"host": "127.0.0.1", "port": worker_port, "user": "nobody", "max_capacity": 2}
    config = {"distributed": {"enabled": True, "health_check_interval": 1, "workers": {"gpu-1": worker}}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "rules.yml").write_text(RULES)
    async with http_receiver() as collector:
        environ = {
            "MONITOR_CONFIG": str(folder / "config.json"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        monitor = MonitorProcess(folder / "events.db", environ=environ)
        await monitor.start()
        try:
            async with (
                prometheus_process(folder, CONFIG.format(port=monitor.port)) as prometheus,
                aiohttp.ClientSession() as client,
                client.ws_connect(f"{monitor.url}/ws?role=viewer") as viewer,
                asyncio.TaskGroup() as tasks,
            ):
                reading = tasks.create_task(_read_on(viewer), name="read the stream")
                yield Stage(monitor, prometheus, collector, client, worker_port)
                reading.cancel()
        finally:
            await monitor.stop()


async def _read_on(viewer: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in viewer:
        pass
