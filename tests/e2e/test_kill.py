"""`kill -9` while producers write: what was acknowledged is there, once, and the server is back soon."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from pathlib import Path

import aiohttp
import orjson
import pytest

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event

PUBLISHERS = 4
READY_WITHIN_S = 5.0


class Producer:
    """Writes as fast as the server acknowledges, resends what it did not, and notes every ack."""

    def __init__(self, number: int) -> None:
        self.session_id = f"book-{number}"
        self.acked: dict[str, int] = {}
        self._unacked: list[str] = []
        self._next = 0

    async def run(self, url: str) -> None:
        """One connection's life."""
        query = f"role=publisher&ack=1&session_id={self.session_id}"
        async with aiohttp.ClientSession() as client, client.ws_connect(f"{url}/ws?{query}") as ws:
            for event_id in self._unacked:
                await ws.send_json(event(self.session_id, id=event_id))
            while True:
                while len(self._unacked) < 50:
                    event_id = f"{self.session_id}-{self._next}"
                    self._next += 1
                    self._unacked.append(event_id)
                    await ws.send_json(event(self.session_id, id=event_id))
                message = await ws.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                reply = orjson.loads(message.data)
                assert reply["type"] == "ack", reply
                self.acked[reply["id"]] = reply["seq"]
                self._unacked.remove(reply["id"])


async def _kill_again_and_again(tmp_path: Path, kills: int) -> None:
    # Retention is not the matter here: every event ever acknowledged must be found.
    monitor = MonitorProcess(tmp_path / "events.db", environ={"MONITOR_EVENTS_PER_SESSION": "1000000"})
    producers = [Producer(number) for number in range(PUBLISHERS)]
    rng = random.Random(7)
    starts_s: list[float] = []

    async def keep_running(producer: Producer) -> None:
        while True:
            try:
                await producer.run(monitor.url)
            except (aiohttp.ClientError, ConnectionError):
                await asyncio.sleep(0.01)

    await monitor.start()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(keep_running(p), name=p.session_id) for p in producers]
        for _ in range(kills):
            await asyncio.sleep(rng.uniform(0.05, 0.35))
            await monitor.kill()
            await monitor.start()
            starts_s.append(monitor.started_in_s)
        await asyncio.sleep(0.3)
        for task in running:
            task.cancel()
    acked = {event_id: seq for producer in producers for event_id, seq in producer.acked.items()}
    await monitor.stop()
    with sqlite3.connect(f"file:{monitor.path}?mode=ro", uri=True) as log:
        rows = [orjson.loads(body) for (body,) in log.execute("SELECT body FROM events ORDER BY seq")]
    stored = [(row["id"], row["seq"]) for row in rows]
    assert len(acked) > kills * PUBLISHERS, "there must have been load"
    assert len({event_id for event_id, _ in stored}) == len(stored), "an event is stored twice"
    found = dict(stored)
    assert not {k: v for k, v in acked.items() if found.get(k) != v}, "an acknowledged event is gone"
    slow = [f"{s:.1f} s after kill {n}" for n, s in enumerate(starts_s, 1) if s >= READY_WITHIN_S]
    assert not slow, f"{slow} ({len(stored)} events)"


async def test_kill_9_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Ten kills: 0 acknowledged events lost, 0 duplicated, ready again in under 5 s."""
    await _kill_again_and_again(tmp_path, 10)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_two_hundred_kills_under_load_lose_and_double_nothing(tmp_path: Path) -> None:
    """200 kills: 0 acknowledged events lost, 0 duplicated, ready again in under 5 s."""
    await _kill_again_and_again(tmp_path, 200)
