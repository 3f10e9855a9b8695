"""Nobody hears of a failed session, since the receiver is away: the shipped alerts tell that another way."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.alerting import until
from tests.monitor_process import MonitorProcess
from tests.monitor_server import event
from tests.otlp_receiver import free_port
from tests.push_service import push_service
from tests.shipped_alerting import shipped_alerting, tenfold

pytestmark = pytest.mark.soak

ALERT = "TranslationNotificationsFailing"
FIRES_WITHIN_S = 120.0  # `for: 10m` is 60 s here


@pytest.mark.timeout(240)
async def test_a_receiver_that_takes_nothing_is_an_alert(tmp_path: Path) -> None:
    """Only the receiver that takes nothing is told of, by its number and kind; its address stays secret."""
    async with push_service() as fine:
        away = f"json://ana:hush@127.0.0.1:{free_port()}/hook"
        monitor = MonitorProcess(
            tmp_path / "events.db", environ={"MONITOR_NOTIFY": f"{away},{fine.json_url}"}
        )
        await monitor.start()
        try:
            async with shipped_alerting(tmp_path, monitor.port, tenfold) as alerting:

                async def is_scraped() -> bool:
                    waiting = await alerting.value("count(translation_notifications_waiting == 0)")
                    return waiting == 2

                await until(is_scraped, "both receivers are shown and nothing waits")
                failure = event("book", "translation_error", error_type="timeout", fatal=True)
                async with (
                    aiohttp.ClientSession() as client,
                    client.post(f"{monitor.url}/events", json=failure) as answer,
                ):
                    assert answer.status == 200
                await until(lambda: alerting.firing(ALERT), "the alert fires", FIRES_WITHIN_S)
                (alert,) = await alerting.firing(ALERT)
                assert alert["labels"] == {
                    "alertname": ALERT,
                    "job": "translation-monitor",
                    "receiver": "1 (json)",
                    "severity": "warning",
                }
                assert alert["annotations"]["summary"] == "Receiver 1 (json) is not told"
                assert fine.titles == ["Translation failed: book"]
                assert "hush" not in str(alert)
        finally:
            await monitor.stop()
        assert "hush" not in "".join(monitor.log_lines)
