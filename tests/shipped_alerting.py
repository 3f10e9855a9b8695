"""The alerting that is shipped, as processes with addresses of a test and ten times as fast."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.alerting import Server, Webhook, alertmanager, prometheus, webhook
from tests.otlp_receiver import free_port
from tests.rule_files import PROMETHEUS, ROOT

FACTOR: Final = 10
WATCHDOG: Final = "TranslationWatchdog"
TOKEN: Final = "t0ken"  # noqa: S105 - of a webhook that lives as long as the test
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# A key that holds a time, or the window of a query: all that may differ from what is shipped.
_TIME: Final = re.compile(
    r"(?P<before>(?:interval|timeout|for|keep_firing_for|group_wait): |\[)(?P<count>\d+)(?P<unit>[smhd])\b"
)
# An age in minutes.
_AGE: Final = re.compile(r"(process_start_time_seconds < \d+ \* )60\b")

Faster = Callable[[str, str], str]
"""(file's name, its text) → the text with shorter times."""


def tenfold(name: str, text: str) -> str:
    """`text` with every time divided by ten, so that all keep their proportions; nothing else is changed."""

    def shorter(found: re.Match[str]) -> str:
        time_ms = int(found["count"]) * _SECONDS[found["unit"]] * 1000 // FACTOR
        return f"{found['before']}{time_ms}ms"

    faster = _TIME.sub(shorter, text)
    assert re.sub(r"\d+ms\b", "TIME", faster) == _TIME.sub(r"\g<before>TIME", text), name
    return _AGE.sub(rf"\g<1>{60 // FACTOR}", faster)


def write_prometheus(folder: Path, addresses: dict[str, str], faster: Faster) -> None:
    """The shipped configuration and rules in `folder`, with addresses of a test and shorter times."""
    (folder / "rules").mkdir()
    for path in sorted((PROMETHEUS / "rules").glob("*.yml")):
        name = f"rules/{path.name}"
        (folder / name).write_text(faster(name, path.read_text()))
    text = faster("prometheus.yml", (PROMETHEUS / "prometheus.yml").read_text())
    for shipped, address in addresses.items():
        assert f'"{shipped}"' in text
        text = text.replace(f'"{shipped}"', f'"{address}"')
    (folder / "prometheus.yml").write_text(text)


def write_alertmanager(folder: Path, url: str, faster: Faster) -> Path:
    """What render.sh makes of the webhook's address, with shorter times."""
    config = folder / "alertmanager.yml"
    environ = {
        "PATH": "/usr/bin:/bin",
        "MONITOR_ALERT_WEBHOOK_URL": url,
        "MONITOR_ALERT_WEBHOOK_TOKEN": TOKEN,
        "MONITOR_ALERT_WATCHDOG_URL": url,
    }
    render = ROOT / "deploy" / "alertmanager" / "render.sh"
    subprocess.run(("sh", render, config), timeout=30, check=True, env=environ)
    config.write_text(faster("alertmanager.yml", config.read_text()))
    return config


@dataclass(frozen=True, slots=True)
class Alerting:
    """Prometheus, Alertmanager, and the webhook that Alertmanager tells."""

    prometheus: Server
    alertmanager: Server
    received: Webhook

    async def firing(self, alertname: str, state: str = "firing") -> list[dict[str, Any]]:
        """The alerts of that name that Prometheus has in that state."""
        alerts = (await self.prometheus.get("/api/v1/alerts"))["data"]["alerts"]
        return [a for a in alerts if (a["labels"]["alertname"], a["state"]) == (alertname, state)]

    async def names(self) -> set[str]:
        """The alerts that are pending or firing in Prometheus, without the watchdog."""
        alerts = (await self.prometheus.get("/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts} - {WATCHDOG}

    async def value(self, query: str) -> float | None:
        """The first value a query returns."""
        found = (await self.prometheus.get("/api/v1/query", query=query))["data"]["result"]
        return float(found[0]["value"][1]) if found else None

    async def heard(self, alertname: str, *wanted: str) -> bool:
        """Whether the webhook has heard that of the alert, in this order."""
        return [status for status, _ in self.received.about(alertname)] == list(wanted)

    def told(self) -> set[str]:
        """The alerts the webhook has heard of, without the watchdog."""
        return {note["groupLabels"]["alertname"] for note in self.received.notes} - {WATCHDOG}


@asynccontextmanager
async def shipped_alerting(folder: Path, monitor_port: int, faster: Faster) -> AsyncIterator[Alerting]:
    """All of it, watching the monitor at that port, until the end of the block."""
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    addresses = {
        "service:8090": f"127.0.0.1:{monitor_port}",
        "alertmanager:9093": f"127.0.0.1:{ports['alertmanager']}",
        "localhost:9090": f"127.0.0.1:{ports['prometheus']}",
        "otel-collector:8888": f"127.0.0.1:{ports['prometheus']}",  # it has /metrics too
    }
    write_prometheus(folder, addresses, faster)
    async with webhook() as received:
        config = write_alertmanager(folder, received.url, faster)
        async with (
            alertmanager(folder, config, ports["alertmanager"]) as manager,
            prometheus(folder, ports["prometheus"]) as server,
        ):
            yield Alerting(server, manager, received)
