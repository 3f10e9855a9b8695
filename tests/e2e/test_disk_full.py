"""A disk that is really full, seen from outside: refused, told to the viewers, and over by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event, receive
from tests.small_disk import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, 4 of them taken by a file named `ballast`."""
    with mounted(tmp_path / "disk", 8) as disk:
        (disk / "ballast").write_bytes(b"x" * 4 * 2**20)
        yield disk


@pytest.fixture
async def monitor(small_disk: Path) -> AsyncIterator[MonitorProcess]:
    """A server whose log is on the small disk."""
    process = MonitorProcess(small_disk / "events.db")
    await process.start()
    yield process
    await process.stop()


async def _control(viewer: aiohttp.ClientWebSocketResponse, type_: str, seen: list[int]) -> Any:
    """The next control frame, which must be of this type; seqs on the way are noted."""
    while True:
        message = await receive(viewer)
        if "seq" not in message:
            assert message["type"] == type_, message
            return message
        seen.append(message["seq"])


async def test_a_full_disk_is_told_and_over_by_itself(monitor: MonitorProcess, small_disk: Path) -> None:
    """Publishers get `log_unavailable` (HTTP 503) and no ack, viewers are told, and it recovers by itself."""
    async with aiohttp.ClientSession() as client:
        viewer = await client.ws_connect(f"{monitor.url}/ws?role=viewer", max_msg_size=0)
        publisher = await client.ws_connect(f"{monitor.url}/ws?role=publisher&ack=1", max_msg_size=0)
        acked: list[int] = []
        number = 0
        while True:
            await publisher.send_json(event("s1", id=f"e{number}", message="x" * 20_000))
            reply = await receive(publisher)
            if reply["type"] != "ack":
                break
            acked.append(reply["seq"])
            number += 1
        assert (reply["type"], reply["code"], reply["id"]) == ("error", "log_unavailable", f"e{number}")
        assert acked == list(range(1, number + 1))

        seen: list[int] = []
        told = await _control(viewer, "log_unavailable", seen)
        assert told["since"] > 1.6e9
        late = await client.ws_connect(f"{monitor.url}/ws?role=viewer&last=1", max_msg_size=0)
        assert (await _control(late, "log_unavailable", []))["since"] == told["since"]

        body = orjson.dumps([event("s1", id=f"h{n}", message="x" * 20_000) for n in range(3)])
        headers = {"Content-Type": "application/json"}
        async with client.post(f"{monitor.url}/events", data=body, headers=headers) as response:
            problem = await response.json(content_type="application/problem+json")
            assert (response.status, problem["code"]) == (503, "log_unavailable")
            assert int(response.headers["Retry-After"]) > 0
            assert problem["accepted"] == 0

        # What was acknowledged can be read all the while.
        assert (await monitor.get("/sessions/s1"))["last_seq"] == acked[-1]
        assert (await monitor.get("/status"))["event_log"]["unavailable_since"] == told["since"]
        async with client.get(f"{monitor.url}/readyz") as response:
            assert response.status == 503
        metrics = await monitor.metrics()
        assert metrics["translation_log_connected"] == 0
        assert metrics['translation_events_rejected_total{reason="log_unavailable",source="ws"}'] == 1
        assert metrics['translation_events_rejected_total{reason="log_unavailable",source="http"}'] == 3

        (small_disk / "ballast").unlink()
        await _control(viewer, "log_available", seen)
        await _control(late, "log_available", [])
        await publisher.send_json(event("s1", id=f"e{number}"))
        ack = await receive(publisher)
        assert (ack["type"], ack["id"]) == ("ack", f"e{number}")
        acked.append(ack["seq"])
        while seen[-1] != acked[-1]:
            seen.append((await receive(viewer))["seq"])
        assert seen == acked
        for ws in (viewer, late, publisher):
            await ws.close()
        assert (await monitor.get("/readyz"))["status"] == "ready"
