"""Real workers that die under real sessions: what the shipped alerting tells, and what it holds back."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.alerting import until
from tests.monitor_process import MonitorProcess
from tests.shipped_alerting import FACTOR, Alerting, shipped_alerting, tenfold
from tests.sshd import Sshd, asked, words_program

pytestmark = pytest.mark.slow

DOWN = "TranslationWorkerDown"
ALL_DOWN = "TranslationAllWorkersDown"
FAILED = "TranslationSessionFailed"
LINES = [f"line {n} of the keeper and his long book" for n in range(24)]
# Three probes fit into the 90 s of the rule and as many into its tenth.
PROBE_EVERY_S = 30 / FACTOR
PATIENCE_S = 90.0


def write_config(folder: Path, workers: Mapping[str, Sshd]) -> Path:
    """A configuration with these workers, each running a small program."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(sshd.known_hosts.read_text() for sshd in workers.values()))
    described = {
        name: {
            "host": "127.0.0.1",
            "port": sshd.port,
            "user": sshd.account.user,
            "key_file": str(sshd.account.key),
            "remote_dir": str(sshd.remote_dir),
            "engine": {"kind": "command", "command": words_program(sshd, pause_s=0.2)},
        }
        for name, sshd in workers.items()
    }
    distributed = {
        "enabled": True,
        "ssh_max_retries": 0,
        "health_check_interval": PROBE_EVERY_S,
        "known_hosts": str(known_hosts),
        "workers": described,
    }
    path = folder / "config.json"
    path.write_text(json.dumps({"distributed": distributed}))
    return path


@asynccontextmanager
async def watched(folder: Path, config: Path) -> AsyncIterator[tuple[MonitorProcess, Alerting]]:
    """A monitor that probes the workers, with the alerting; at first nothing is wrong."""
    monitor = MonitorProcess(folder / "events.db", environ={"MONITOR_CONFIG": str(config)})
    await monitor.start()
    try:
        async with shipped_alerting(folder, monitor.port, tenfold) as alerting:

            async def is_well() -> bool:
                return await alerting.value("min(translation_worker_up)") == 1 and not await alerting.names()

            await until(is_well, "all workers are up and nothing is wrong")
            yield monitor, alerting
    finally:
        await monitor.stop()


async def translate(folder: Path, config: Path, monitor: MonitorProcess) -> asyncio.subprocess.Process:
    """A translation on the workers, in a process of its own, as a user starts it."""
    (folder / "in.md").write_text("\n\n".join(LINES) + "\n")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MONITOR_", "OTEL_", "XDG_"))}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "translate", str(folder / "in.md")),
        *("-o", str(folder / "out.md"), "--from", "en", "--to", "es", "--engine", "ssh"),
        *("--config", str(config), "--session-id", "book", "--monitor", monitor.url, "--patience", "1"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**clean, "HOME": str(folder)},
    )


async def until_they_work(*workers: Sshd) -> None:
    """Wait until each has been given something to translate."""

    async def all_asked() -> bool:
        return all(asked(sshd) for sshd in workers)

    await until(all_asked, "each worker has work")


async def until_told(alerting: Alerting, alertname: str, *statuses: str) -> None:
    """Wait until the webhook has heard just that of the alert."""
    what = f"the webhook hears of {alertname}: {', '.join(statuses)}"
    await until(lambda: alerting.heard(alertname, *statuses), what, PATIENCE_S)


@pytest.mark.timeout(240)
async def test_a_worker_that_dies_is_told_once_and_its_return_once(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """Pending → firing → Alertmanager → webhook → resolved, once; the session ends on the other worker."""
    stays, dies = start_sshd(), start_sshd()
    config = write_config(tmp_path, {"stays": stays, "dies": dies})
    async with watched(tmp_path, config) as (monitor, alerting):
        session = await translate(tmp_path, config, monitor)
        await until_they_work(stays, dies)
        dies.cut()
        async with asyncio.timeout(PATIENCE_S):
            assert await session.wait() == 0
        assert (await monitor.get("/sessions/book"))["status"] == "completed"

        for state in ("pending", "firing"):

            async def is_state(wanted: str = state) -> bool:
                return bool(await alerting.firing(DOWN, wanted))

            await until(is_state, f"the alert is {state}")
        (alert,) = await alerting.firing(DOWN)
        assert alert["labels"] == {
            "alertname": DOWN,
            "job": "translation-monitor",
            "severity": "critical",
            "worker": "dies",
        }
        await until_told(alerting, DOWN, "firing")
        assert await alerting.value("translation_worker_up{worker='stays'}") == 1
        (known,) = await alerting.alertmanager.get("/api/v2/alerts", filter=f"alertname={DOWN}")
        assert known["status"]["state"] == "active"

        dies.start()
        await until_told(alerting, DOWN, "firing", "resolved")
        assert alerting.received.about(DOWN) == [("firing", 1), ("resolved", 1)]
        assert alerting.told() == {DOWN}
        assert await alerting.names() == set()


@pytest.mark.timeout(240)
async def test_when_the_only_worker_dies_one_alert_says_so(
    start_sshd: Callable[..., Sshd], tmp_path: Path
) -> None:
    """AllWorkersDown is told once and holds back WorkerDown, then and later; the session is lost and told."""
    only = start_sshd()
    config = write_config(tmp_path, {"only": only})
    async with watched(tmp_path, config) as (monitor, alerting):
        session = await translate(tmp_path, config, monitor)
        await until_they_work(only)
        only.cut()
        async with asyncio.timeout(PATIENCE_S):
            assert await session.wait() == 1
        assert (await monitor.get("/sessions/book"))["status"] == "lost"

        await until_told(alerting, ALL_DOWN, "firing")
        await until_told(alerting, FAILED, "firing")
        assert len(await alerting.firing(DOWN)) == 1
        (held_back,) = await alerting.alertmanager.get("/api/v2/alerts", filter=f"alertname={DOWN}")
        (cause,) = await alerting.alertmanager.get("/api/v2/alerts", filter=f"alertname={ALL_DOWN}")
        assert held_back["status"]["state"] == "suppressed"
        assert held_back["status"]["inhibitedBy"] == [cause["fingerprint"]]

        only.start()
        await until_told(alerting, ALL_DOWN, "firing", "resolved")
        assert alerting.received.about(ALL_DOWN) == [("firing", 1), ("resolved", 1)]
        assert alerting.received.about(FAILED)[0] == ("firing", 1)
        assert alerting.told() == {ALL_DOWN, FAILED}
        assert await alerting.names() <= {FAILED}  # it tells of the last 15 min, here of 90 s
