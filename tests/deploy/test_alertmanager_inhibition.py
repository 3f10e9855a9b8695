"""Inhibition in a real Alertmanager with the shipped configuration: one host down is one alert."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.alerting import Server, alertmanager, until
from tests.otlp_receiver import free_port
from tests.rule_files import ROOT, alerts

JOB = "translation-monitor"
SEVERITY = {rule["alert"].removeprefix("Translation"): rule["labels"]["severity"] for rule in alerts()}
Alert = tuple[str, str]
"""(name without the prefix, worker or job): what the tests below speak of."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """What render.sh makes of an empty environment."""
    config = tmp_path / "alertmanager.yml"
    subprocess.run(("sh", ROOT / "deploy/alertmanager/render.sh", config), timeout=30, check=True)
    return config


@pytest.fixture
async def server(tmp_path: Path, config: Path) -> AsyncIterator[Server]:
    """Alertmanager with it."""
    async with alertmanager(tmp_path, config, free_port()) as server:
        yield server


def labels(alert: Alert) -> dict[str, str]:
    """The labels the rules give it."""
    name, about = alert
    where = {"job": about} if name == "TargetDown" else {"job": JOB}
    if name.startswith("Worker") and name != "WorkersAbsent":
        where["worker"] = about
    if name == "TargetDown":
        where["instance"] = f"{about}:1"
    return {"alertname": f"Translation{name}", "severity": SEVERITY[name], **where}


async def inhibited(server: Server, *posted: Alert) -> set[Alert]:
    """Which of the posted alerts Alertmanager holds back."""
    await server.post("/api/v2/alerts", [{"labels": labels(alert)} for alert in posted])

    async def judged() -> list[dict[str, dict[str, str]]] | None:
        found = await server.get("/api/v2/alerts")
        settled = len(found) == len(posted) and all(f["status"]["state"] != "unprocessed" for f in found)
        return found if settled else None

    found = await until(judged, "Alertmanager has judged every alert", 30.0)
    back = {tuple(sorted(labels(alert).items())): alert for alert in posted}
    return {back[tuple(sorted(alert["labels"].items()))] for alert in found if alert["status"]["inhibitedBy"]}


async def test_a_worker_that_is_down_is_one_alert(server: Server) -> None:
    """WorkerDown inhibits Flapping, Wedged and Slow of that worker, of no other, and nothing else."""
    held_back = [("WorkerFlapping", "gpu1"), ("WorkerWedged", "gpu1"), ("WorkerSlow", "gpu1")]
    told = [
        ("WorkerDown", "gpu1"),
        ("WorkerFlapping", "gpu2"),
        ("WorkerWedged", "gpu2"),
        ("WorkerSlow", "gpu2"),
        ("WorkerHostKeyMismatch", "gpu1"),
        ("WorkerProbeStale", "gpu1"),
        ("SessionFailed", ""),
    ]
    assert await inhibited(server, *told, *held_back) == set(held_back)


async def test_all_workers_down_is_one_alert(server: Server) -> None:
    """AllWorkersDown inhibits each WorkerDown, which still inhibits what it did."""
    held_back = [("WorkerDown", "gpu1"), ("WorkerDown", "gpu2"), ("WorkerSlow", "gpu2")]
    told = [("AllWorkersDown", ""), ("SessionStalled", ""), ("BrokerDisconnected", "")]
    assert await inhibited(server, *told, *held_back) == set(held_back)


async def test_a_monitor_that_is_down_is_one_alert(server: Server) -> None:
    """TargetDown inhibits WorkerDown, and AllWorkersDown: neither is told over while nobody can know."""
    held_back = [("WorkerDown", "gpu1"), ("WorkerDown", "gpu2"), ("AllWorkersDown", "")]
    assert await inhibited(server, ("TargetDown", JOB), *held_back) == set(held_back)


async def test_a_dead_collector_hides_no_dead_worker(server: Server) -> None:
    """TargetDown of another job inhibits nothing."""
    told = [("TargetDown", "otel-collector"), ("WorkerDown", "gpu1"), ("AllWorkersDown", "")]
    assert await inhibited(server, *told) == {("WorkerDown", "gpu1")}  # by AllWorkersDown
