"""What the readers know survives a restart: summaries and a replay end where the first run did."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from service.keys import READERS
from tests.monitor_process import MonitorProcess
from tests.monitor_server import config_with, event, running, until

WORKER = {"host": "gpu-1", "port": 2222, "type": "ssh-llamacpp", "model": "llama", "capacity": 4}


async def publish(monitor: MonitorProcess, events: list[Any]) -> None:
    """Publish, all of them acknowledged."""
    async with aiohttp.ClientSession() as client:
        for start in range(0, len(events), 500):
            body = b"\n".join(orjson.dumps(one) for one in events[start : start + 500])
            headers = {"Content-Type": "application/x-ndjson"}
            async with client.post(f"{monitor.url}/events", data=body, headers=headers) as response:
                assert response.status == 200, await response.text()


def book(items: int) -> list[Any]:
    """A translation of a book, with all that a session can remember."""
    events = [
        event(
            "book",
            "translation_started",
            step="parsing",
            total_items=items,
            traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            data={"engine": "llm", "model": "m1"},
        ),
        event("book", "step_completed", step="parsing"),
    ]
    for item in range(1, items + 1):
        fields: dict[str, Any] = {"step": "translation", "current_item": item, "message": f"item {item}"}
        if item % 50 == 0:
            fields["usage"] = {
                "provider": "p",
                "model": "m",
                "input_tokens": 7,
                "output_tokens": 3,
                "cost_usd": 0.5,
            }
        if item % 100 == 0:
            fields["worker_info"] = {**WORKER, "port": 2222 + item % 3}
        events.append(event("book", **fields))
        if item % 1000 == 0:
            events.append(
                event("book", "translation_error", error=f"item {item} failed", error_type="timeout")
            )
    return events


def _without_clock(session: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in session.items() if name != "duration_s"}


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "running"])
async def test_a_session_is_the_same_after_kill_9(monitor: MonitorProcess, ended: bool) -> None:
    """5,000 events, trimmed, `kill -9`: `/sessions/{id}` is equal field by field, the trace id too."""
    await publish(monitor, book(5000))
    if ended:
        await publish(monitor, [event("book", "translation_completed", failed_items=5)])
    before = await monitor.get("/sessions/book")
    workers = (await monitor.get("/workers"))["workers"]
    assert (await monitor.get("/status"))["event_log"]["first_seq"] > 1, "trimmed"
    await monitor.kill()
    await monitor.start()
    after = await monitor.get("/sessions/book")
    assert before["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (before["errors"], before["usage"]["input_tokens"], before["items_done"]) == (5, 700, 5000)
    if ended:
        assert after == before
        assert (await monitor.get("/sessions/history"))["sessions"] == [before]
    else:
        assert _without_clock(after) == _without_clock(before)
        # Its ETA goes on from what it knew.
        assert after["eta_s"] == before["eta_s"] != None  # noqa: E711
    assert len(workers) == 3
    assert (await monitor.get("/workers"))["workers"] == workers


async def test_metrics_begin_at_zero_while_sessions_are_complete(monitor: MonitorProcess) -> None:
    """Counters begin at 0 with the process; state is whole, and goes on."""
    await publish(monitor, book(1200))
    await publish(monitor, [event("other"), event("other", "translation_cancelled")])
    await monitor.kill()
    await monitor.start()
    metrics = await monitor.metrics()
    assert metrics['translation_events_total{type="translation_progress"}'] == 0
    assert metrics['translation_sessions_started_total{kind="translation"}'] == 0
    assert metrics['translation_sessions_active{kind="translation",state="running"}'] == 1
    assert metrics["translation_log_last_seq"] == 1205
    await publish(monitor, [event("book", "translation_completed")])
    metrics = await monitor.metrics()
    assert metrics['translation_events_total{type="translation_completed"}'] == 1
    finished = 'translation_sessions_finished_total{kind="translation",result="completed_with_failures"}'
    assert metrics[finished] == 1
    session = await monitor.get("/sessions/book")
    assert (session["status"], session["attempt"], session["first_seq"]) == ("completed_with_failures", 1, 1)


async def test_a_quick_restart_after_a_quiet_time_replays_next_to_nothing(tmp_path: Path) -> None:
    """A server that ended in order starts from its summaries alone."""
    config = config_with(tmp_path / "events.db")
    async with running(config) as server:
        await server.post([event(f"s{n % 50}", message=f"m{n}") for n in range(2000)])
        before = [await server.get(f"/sessions/s{n}/events?limit=1000") for n in (0, 49)]
        sessions = {s["session_id"]: _without_clock(s) for s in (await server.get("/sessions"))["sessions"]}
    async with running(config) as server:
        again = {s["session_id"]: _without_clock(s) for s in (await server.get("/sessions"))["sessions"]}
        assert again == sessions
        assert [await server.get(f"/sessions/s{n}/events?limit=1000") for n in (0, 49)] == before
        assert await server.app[READERS].passed(2000, 0.0)


async def test_a_get_that_cannot_wait_says_by_how_much_it_lags(tmp_path: Path) -> None:
    """It waits at most 1 s for the readers it needs; past that the answer carries `X-Lag-Events`."""
    async with running(config_with()) as server:
        readers: Any = server.app[READERS]
        await server.post([event() for _ in range(5)])
        await server.get("/sessions")
        readers.cursor = 2  # as if folding had stopped there
        began = asyncio.get_running_loop().time()
        async with server.client.get(f"{server.url}/sessions") as response:
            assert response.status == 200
            assert response.headers["X-Lag-Events"] == "3"
        assert 0.9 < asyncio.get_running_loop().time() - began < 4
        async with server.client.get(f"{server.url}/readyz") as response:
            assert response.status == 503
            assert "behind" in (await response.json())["reasons"][0]
        await server.post(event())
        await until(lambda: bool(readers.cursor == 6), "the readers")
        async with server.client.get(f"{server.url}/sessions") as response:
            assert "X-Lag-Events" not in response.headers
