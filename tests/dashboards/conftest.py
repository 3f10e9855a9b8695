"""A monitor with sessions of every sort and a real worker, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
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
from tests.parts import need
from tests.prometheus_process import Prometheus, prometheus_process
from tests.push_service import push_service
from tests.sshd import Account, Sshd

# Scraped each second, so that what takes minutes in production takes seconds here.
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: translation-monitor
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: prometheus
    static_configs: [{{targets: ["ITSELF"]}}]
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
# No GPU is here: a program of this name on the worker's PATH prints what the real one does for two cards.
NVIDIA_SMI = "#!/bin/sh\nprintf '%s\\n' '0, 87, 20123, 24564' '1, 3, 415, 24564'\n"
TEXT = "The keeper wrote the day in his book. The lamp was clean and the sea was calm.\n\n" * 6
MODEL = {"provider": "openai", "model": "small-1", "worker": "gpu-1"}


@dataclass
class Stage:
    """What a test of the dashboards looks at; `running` is a session that has begun and goes on."""

    monitor: MonitorProcess
    prometheus: Prometheus
    collector: Received
    client: aiohttp.ClientSession
    folder: Path
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
        if n == 1:
            await self._translate_on_the_worker()
        await asyncio.sleep(1.0)  # a scrape a second: this is the pace, not a wait for something

    async def end(self) -> str:
        """End the running session and say which it was."""
        ending = event(self.running, "translation_completed", failed_items=self.rounds)
        async with self.client.post(f"{self.monitor.url}/events", json=ending) as answer:
            assert answer.status == 200, await answer.text()
        return self.running

    async def _translate_on_the_worker(self) -> None:
        """A translation by Apertium on the worker, as a user starts one; it tells of its slots."""
        (self.folder / "in.md").write_text(TEXT)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("MONITOR_", "OTEL_", "XDG_"))}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "translate", str(self.folder / "in.md")),
            *("-o", str(self.folder / "out.md"), "--from", "en", "--to", "es", "--engine", "ssh"),
            *("--config", str(self.folder / "config.json"), "--tags", "real"),
            *("--monitor", self.monitor.url, "--session-id", "log-book"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**clean, "HOME": str(self.folder)},
        )
        async with asyncio.timeout(60):
            assert await process.wait() == 0

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


def worker_with_gpus(account: Account) -> Sshd:
    """A real worker whose commands find the `nvidia-smi` above first."""
    tools = account.folder / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text(NVIDIA_SMI)
    (tools / "nvidia-smi").chmod(0o755)
    return Sshd(account, lines=(f"SetEnv PATH={tools}:/usr/local/bin:/usr/bin:/bin",))


def write_config(folder: Path, sshd: Sshd) -> None:
    """Two workers: `gpu-1`, where Apertium translates, and `gpu-2`, at a port where nobody listens."""
    account = {"host": "127.0.0.1", "user": sshd.account.user, "key_file": str(sshd.account.key)}
    engine = {"kind": "command", "command": "apertium -u {source_long}-{target_long}"}
    here = {"port": sshd.port, "remote_dir": str(sshd.remote_dir), "engine": engine, "tags": ["real"]}
    workers = {
        "gpu-1": {**account, **here, "max_capacity": 2},
        "gpu-2": {**account, "port": free_port(), "max_capacity": 2},
    }
    distributed = {
        "enabled": True,
        "health_check_interval": 1,
        "ssh_max_retries": 0,
        "known_hosts": str(sshd.known_hosts),
        "workers": workers,
    }
    (folder / "config.json").write_text(json.dumps({"distributed": distributed}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, worker_account: Account) -> AsyncIterator[Stage]:
    """The monitor with a collector, a viewer, a worker that works and one that does not, and Prometheus."""
    need(shutil.which("apertium") is not None, "apertium is not installed")
    folder: Path = tmp_path_factory.mktemp("stage")
    sshd = worker_with_gpus(worker_account)
    sshd.start()
    write_config(folder, sshd)
    (folder / "rules.yml").write_text(RULES)
    try:
        async with http_receiver() as collector, push_service() as push:
            environ = {
                "MONITOR_CONFIG": str(folder / "config.json"),
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "MONITOR_NOTIFY": push.json_url,
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
                    yield Stage(monitor, prometheus, collector, client, folder, sshd.port)
                    reading.cancel()
            finally:
                await monitor.stop()
    finally:
        sshd.stop()


async def _read_on(viewer: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in viewer:
        pass
