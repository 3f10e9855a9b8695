"""One failed session, from the server through real Prometheus and Alertmanager to a webhook, and over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.alerting import until
from tests.monitor_process import MonitorProcess
from tests.shipped_alerting import TOKEN, shipped_alerting

ALERT = "TranslationSessionFailed"
# What is shipped counts in minutes; the copy used here in seconds. Nothing else is changed.
FASTER = {
    "prometheus.yml": {
        "scrape_interval: 15s": "scrape_interval: 500ms",
        "scrape_timeout: 10s": "scrape_timeout: 500ms",
        "evaluation_interval: 15s": "evaluation_interval: 500ms",
    },
    "rules/sessions.yml": {"[15m]": "[6s]", "15 * 60": "6", "for: 30s": "for: 3s"},
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


@pytest.mark.slow
async def test_a_failed_session_is_told_once_and_its_end_once(
    monitor: MonitorProcess, tmp_path: Path
) -> None:
    """Pending → firing → Alertmanager → webhook → resolved, once; the exemplar names the session's trace."""
    async with shipped_alerting(tmp_path, monitor.port, faster) as alerting:
        server, received = alerting.prometheus, alerting.received
        scraped = (
            'count_over_time(translation_sessions_finished_total{result="failed",kind="translation"}[1m])'
        )

        async def is_scraped() -> bool:
            return (await alerting.value(scraped) or 0) >= 3

        await until(is_scraped, "Prometheus scrapes the server")
        assert await alerting.value("count(up == 1)") == 4
        assert ALERT not in await alerting.names()
        # The objective of the relay reads this bucket, written as the server writes it.
        assert await alerting.value('translation_relay_latency_seconds_bucket{le="1.0"}') == 0

        await publish(monitor, "translation_started", "translation_error")

        for state in ("pending", "firing"):

            async def is_state(wanted: str = state) -> bool:
                return bool(await alerting.firing(ALERT, wanted))

            await until(is_state, f"the alert is {state}")

        await until(lambda: alerting.heard(ALERT, "firing"), "the webhook hears of the alert")
        assert len(await alerting.alertmanager.get("/api/v2/alerts", filter=f"alertname={ALERT}")) == 1
        await until(lambda: alerting.heard(ALERT, "firing", "resolved"), "the webhook hears that it is over")
        assert ALERT not in await alerting.names()

        assert received.about(ALERT) == [("firing", 1), ("resolved", 1)]
        (alert,) = next(n["alerts"] for n in received.notes if n["groupLabels"]["alertname"] == ALERT)
        assert alert["labels"]["severity"] == "warning"
        assert alert["annotations"]["summary"] == "A translation has ended as failed"
        assert re.fullmatch(
            r"Sessions of kind translation that have ended as failed in the last 15 min: \d+\.",
            alert["annotations"]["description"],
        )
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks/{ALERT}.md"
        assert f"Bearer {TOKEN}" in received.authorization
        assert alerting.told() == {ALERT}

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
