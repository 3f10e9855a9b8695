"""One failed session, from the server through real Prometheus and Alertmanager to a webhook, and over."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

from tests.alerting import Server, Webhook, alertmanager, prometheus, until, webhook
from tests.monitor_process import MonitorProcess
from tests.otlp_receiver import free_port
from tests.rule_files import PROMETHEUS, ROOT

ALERT = "TranslationSessionFailed"
# What is shipped counts in minutes; the copy used here in seconds. Nothing else is changed.
FASTER = {
    "prometheus.yml": {
        "scrape_interval: 15s": "scrape_interval: 500ms",
        "scrape_timeout: 10s": "scrape_timeout: 500ms",
        "evaluation_interval: 15s": "evaluation_interval: 500ms",
    },
    "rules/sessions.yml": {"[15m]": "[6s]", "for: 30s": "for: 3s"},
    "alertmanager.yml": {
        "group_wait: 30s": "group_wait: 1s",
        "group_wait: 10s": "group_wait: 1s",
        "group_interval: 5m": "group_interval: 1s",
        "group_interval: 1m": "group_interval: 1s",
    },
}


def faster(name: str, text: str) -> str:
    """`text` with shorter times; each that is to be replaced must be there."""
    for shipped, wanted in FASTER.get(name, {}).items():
        assert shipped in text, f"{name} has no {shipped}"
        text = text.replace(shipped, wanted)
    return text


def write_prometheus(folder: Path, addresses: dict[str, str]) -> None:
    """The shipped configuration and rules, with addresses of this test and shorter times."""
    (folder / "rules").mkdir()
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        name = f"rules/{path.name}"
        (folder / name).write_text(faster(name, path.read_text()))
    text = faster("prometheus.yml", (PROMETHEUS / "prometheus.yml").read_text())
    for shipped, address in addresses.items():
        assert f'"{shipped}"' in text
        text = text.replace(f'"{shipped}"', f'"{address}"')
    (folder / "prometheus.yml").write_text(text)


def write_alertmanager(folder: Path, url: str) -> Path:
    """What render.sh makes of the webhook's address, with shorter times."""
    config = folder / "alertmanager.yml"
    environ = {
        "PATH": "/usr/bin:/bin",
        "MONITOR_ALERT_WEBHOOK_URL": url,
        "MONITOR_ALERT_WEBHOOK_TOKEN": "t0ken",
        "MONITOR_ALERT_WATCHDOG_URL": url,
    }
    render = ROOT / "deploy" / "alertmanager" / "render.sh"
    subprocess.run(("sh", render, config), timeout=30, check=True, env=environ)
    config.write_text(faster("alertmanager.yml", config.read_text()))
    return config


async def publish(monitor: MonitorProcess, *types: str) -> None:
    """One session's events."""
    common: dict[str, Any] = {"session_id": "book", "step": "translation"}
    events = [{**common, "type": type_} for type_ in types]
    events[-1] |= {"error": "no answer", "error_type": "timeout", "fatal": True}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{monitor.url}/events", json=events) as answer,
    ):
        assert answer.status == 200, await answer.text()


async def states(server: Server) -> list[str]:
    """The states of the alert in Prometheus: none, pending, firing."""
    found = await server.get("/api/v1/alerts")
    return [alert["state"] for alert in found["data"]["alerts"] if alert["labels"]["alertname"] == ALERT]


async def value(server: Server, query: str) -> float | None:
    """The first value a query returns."""
    found = (await server.get("/api/v1/query", query=query))["data"]["result"]
    return float(found[0]["value"][1]) if found else None


async def heard(note: Webhook, *wanted: str) -> bool:
    """Whether the webhook has heard that of the alert, in this order."""
    return [status for status, _ in note.about(ALERT)] == list(wanted)


async def test_a_failed_session_is_told_once_and_its_end_once(
    monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Pending → firing → Alertmanager → webhook → resolved, once; the exemplar names the session's trace."""
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    addresses = {
        "service:8090": f"127.0.0.1:{monitor.port}",
        "alertmanager:9093": f"127.0.0.1:{ports['alertmanager']}",
        "localhost:9090": f"127.0.0.1:{ports['prometheus']}",
        "otel-collector:8888": f"127.0.0.1:{ports['prometheus']}",  # it has /metrics too
    }
    write_prometheus(tmp_path, addresses)
    async with (
        webhook() as received,
        alertmanager(tmp_path, write_alertmanager(tmp_path, received.url), ports["alertmanager"]) as manager,
        prometheus(tmp_path, ports["prometheus"]) as server,
    ):
        scraped = (
            'count_over_time(translation_sessions_finished_total{result="failed",kind="translation"}[1m])'
        )

        async def is_scraped() -> bool:
            return (await value(server, scraped) or 0) >= 3

        await until(is_scraped, "Prometheus scrapes the server")
        assert await value(server, "count(up == 1)") == 4
        assert await states(server) == []
        # The objective of the relay reads this bucket, written as the server writes it.
        assert await value(server, 'translation_relay_latency_seconds_bucket{le="1.0"}') == 0

        await publish(monitor, "translation_started", "translation_error")

        for state in ("pending", "firing"):

            async def is_state(wanted: str = state) -> bool:
                return wanted in await states(server)

            await until(is_state, f"the alert is {state}")

        await until(lambda: heard(received, "firing"), "the webhook hears of the alert")
        assert len(await manager.get("/api/v2/alerts", filter=f"alertname={ALERT}")) == 1
        await until(lambda: heard(received, "firing", "resolved"), "the webhook hears that it is over")
        assert await states(server) == []

        assert received.about(ALERT) == [("firing", 1), ("resolved", 1)]
        (alert,) = next(n["alerts"] for n in received.notes if n["groupLabels"]["alertname"] == ALERT)
        assert alert["labels"]["severity"] == "warning"
        assert alert["annotations"]["summary"] == "A translation has ended as failed"
        assert re.fullmatch(
            r"Sessions of kind translation that have ended as failed in the last 15 min: \d+\.",
            alert["annotations"]["description"],
        )
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{ALERT}.md"
        assert "Bearer t0ken" in received.authorization
        others = {note["groupLabels"]["alertname"] for note in received.notes} - {ALERT}
        assert others == {"TranslationWatchdog"}

        groups = (await server.get("/api/v1/rules"))["data"]["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        assert set(health.values()) <= {"ok", "unknown"}, health  # unknown: its first turn is still to come
        assert health[ALERT] == "ok"

        session = await monitor.get("/sessions/book")
        exemplars = await server.get(
            "/api/v1/query_exemplars",
            query='translation_sessions_finished_total{result="failed"}',
            start="0",
            end="9999999999",
        )
        ((found,),) = [series["exemplars"] for series in exemplars["data"]]
        assert found["labels"] == {"trace_id": session["trace_id"], "session_id": "book"}
