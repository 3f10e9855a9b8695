"""Log, stream, metrics and traces tell the same story, whatever the producers do."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from typing import Any

import aiohttp
import orjson

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event
from tests.otlp_receiver import Received

PUBLISHERS = 20
EVENTS_EACH = 500
BAD = [b"{", b'{"type":"hello"}', b'{"type":"translation_progress","seq":1}', b"[1]", b"\xff"]


async def produce(url: str, number: int, seen: Counter[str]) -> None:
    """One pipeline: 500 events, some sent twice, bad frames between, a cut connection now and then."""
    rng = random.Random(number)
    session_id = f"book-{number}"
    last = EVENTS_EACH - 1
    types = {0: "translation_started", last: "translation_completed"}
    events = [
        event(
            session_id,
            types.get(n, "translation_progress"),
            id=f"{session_id}-{n}",
            current_item=n,
            total_items=last,
            **({"failed_items": 0} if n == last else {}),
        )
        for n in range(EVENTS_EACH)
    ]
    done = 0
    async with aiohttp.ClientSession() as client:
        while done < len(events):
            query = f"role=publisher&ack=1&session_id={session_id}"
            async with client.ws_connect(f"{url}/ws?{query}") as ws:
                # A connection lives for some dozens of events; what it had unanswered is sent again.
                for _ in range(rng.randint(3, 8)):
                    if done >= len(events):
                        break
                    bunch: list[dict[str, Any]] = events[max(0, done - 2) : done + rng.randint(5, 25)]
                    frames = [orjson.dumps(one) for one in bunch]
                    frames.insert(rng.randrange(len(frames)), rng.choice(BAD))
                    for frame in frames:
                        await ws.send_frame(frame, aiohttp.WSMsgType.TEXT)
                    if rng.random() < 0.1:
                        break  # gone before the answers
                    for _ in frames:
                        reply = orjson.loads((await ws.receive(timeout=30)).data)
                        if reply["type"] == "error":
                            seen[f"error {reply['code']}"] += 1
                        elif reply.get("duplicate"):
                            seen["duplicate"] += 1
                        else:
                            seen["stored"] += 1
                    done = events.index(bunch[-1]) + 1
    seen["ended"] += 1


async def test_log_stream_metrics_and_traces_agree(
    traced_monitor: MonitorProcess, collector: Received
) -> None:
    """Log rows = counter = what a full viewer counted; one trace a session, fetched from a real receiver."""
    monitor, seen = traced_monitor, Counter[str]()
    total = PUBLISHERS * EVENTS_EACH
    viewed: list[tuple[int, str]] = []
    async with aiohttp.ClientSession() as client:
        viewer = await client.ws_connect(f"{monitor.url}/ws?role=viewer", max_msg_size=0)

        async def watch() -> None:
            async for message in viewer:
                shown = orjson.loads(message.data)
                viewed.append((shown["seq"], shown["id"]))
                if len(viewed) == total:
                    return

        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(), name="full viewer")
            for number in range(PUBLISHERS):
                tasks.create_task(produce(monitor.url, number, seen), name=f"publisher {number}")
        await viewer.close()

    assert seen["ended"] == PUBLISHERS
    assert seen["duplicate"] > 0, "the run must have had repeats"
    seqs = [seq for seq, _ in viewed]
    assert seqs == list(range(1, total + 1)), "every event once, in order"
    assert len({event_id for _, event_id in viewed}) == total

    with sqlite3.connect(f"file:{monitor.path}?mode=ro", uri=True) as log:
        rows = dict(log.execute("SELECT seq, body FROM events").fetchall())
    assert sorted(rows) == seqs
    assert [orjson.loads(rows[seq])["id"] for seq in seqs] == [event_id for _, event_id in viewed]

    metrics = await monitor.metrics()
    counted = {k: v for k, v in metrics.items() if k.startswith("translation_events_total{")}
    assert sum(counted.values()) == total
    assert counted['translation_events_total{type="translation_completed"}'] == PUBLISHERS
    assert metrics['translation_sessions_started_total{kind="translation"}'] == PUBLISHERS
    finished = 'translation_sessions_finished_total{kind="translation",result="completed"}'
    assert metrics[finished] == PUBLISHERS
    assert metrics['translation_items_total{kind="translation"}'] == PUBLISHERS * (EVENTS_EACH - 1)
    assert metrics["translation_relay_missed_events_total"] == 0
    assert metrics["translation_relay_messages_total"] == total
    # Appended: what was stored, and the repeats that were found in the append.
    appended = metrics["translation_log_append_events_sum"]
    assert appended == total + sum(v for k, v in metrics.items() if "_duplicate_total{" in k)

    await collector.until(lambda: len(collector.named("translate")) >= PUBLISHERS)
    roots = {root.trace_id.hex() for root in collector.named("translate")}
    sessions = (await monitor.get("/sessions/history?limit=100"))["sessions"]
    assert len(sessions) == len(collector.named("translate")) == PUBLISHERS
    assert roots == {session["trace_id"] for session in sessions}
    for session in sessions:
        assert (session["status"], session["items_done"]) == ("completed", EVENTS_EACH - 1)
