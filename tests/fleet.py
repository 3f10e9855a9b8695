"""A fleet as a user has it: a configuration file that names real workers, and a monitor that probes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.alerting import until
from tests.monitor_process import MonitorProcess
from tests.sshd import Sshd

TAKES_WORK = ("up", "degraded")  # a busy machine is degraded by its load
HEALTHY_WITHIN_S = 60.0


def worker(sshd: Sshd, **engine: str) -> dict[str, Any]:
    """What the configuration says of a worker with this engine (`command=…` or `url=…`)."""
    kind = "command" if "command" in engine else "openai"
    return {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": sshd.account.user,
        "key_file": str(sshd.account.key),
        "remote_dir": str(sshd.remote_dir),
        "engine": {"kind": kind, **engine},
    }


def write_config(
    folder: Path, sshds: Mapping[str, Sshd], workers: Mapping[str, Mapping[str, Any]], **distributed: Any
) -> Path:
    """A configuration file with these workers, whose hosts' keys are known; `distributed` as in there."""
    known_hosts = folder / "known_hosts"
    known_hosts.write_text("".join(sshd.known_hosts.read_text() for sshd in sshds.values()))
    path = folder / "config.json"
    section = {
        "enabled": True,
        "ssh_timeout": 5,
        "ssh_max_retries": 0,
        "known_hosts": str(known_hosts),
        "workers": workers,
        **distributed,
    }
    path.write_text(json.dumps({"distributed": section}))
    return path


@asynccontextmanager
async def probing_monitor(folder: Path, config: Path, **environ: str) -> AsyncIterator[MonitorProcess]:
    """A monitor with this configuration, once every worker of it has passed a probe."""
    monitor = MonitorProcess(folder / "events.db", environ={"MONITOR_CONFIG": str(config), **environ})
    await monitor.start()
    try:
        for shown in (await monitor.get("/workers"))["workers"]:
            await until_state(monitor, shown["id"], *TAKES_WORK)
        yield monitor
    finally:
        await monitor.stop()


async def until_state(monitor: MonitorProcess, name: str, *states: str) -> dict[str, Any]:
    """Wait until the monitor says so of a worker; returns what it shows of it."""

    async def is_so() -> dict[str, Any] | None:
        shown: dict[str, Any] = await monitor.get(f"/workers/{name}")
        return shown if shown["state"] in states else None

    found: dict[str, Any] = await until(is_so, f"{name} is {' or '.join(states)}", HEALTHY_WITHIN_S)
    return found


async def events_of(monitor: MonitorProcess, session: str) -> list[dict[str, Any]]:
    """All events of a session of at most 1000."""
    return list((await monitor.get(f"/sessions/{session}/events?limit=1000"))["events"])


def done_by(events: list[dict[str, Any]]) -> dict[int, str]:
    """Which worker has translated which segment, by the segment's number; each must be there once."""
    done = [
        (int(event["current_item"].rpartition("_")[2]), event["worker_info"]["name"])
        for event in events
        if event["type"] == "translation_progress" and "segment" in event["data"]
    ]
    assert len(dict(done)) == len(done), "a segment was told twice"
    return dict(done)


async def has_session(monitor: MonitorProcess, session: str) -> bool:
    """Whether the monitor knows it yet."""
    return any(one["session_id"] == session for one in (await monitor.get("/sessions"))["sessions"])


async def ended(process: asyncio.subprocess.Process, timeout_s: float) -> tuple[int, str]:
    """Wait for a command's end: its exit code, and what it wrote to standard error."""
    async with asyncio.timeout(timeout_s):
        _, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, err.decode()
