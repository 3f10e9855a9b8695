"""The relay under load: no gap, no repeat, no order lost, and nobody waits for a slow viewer."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from service.eventlog.ring import Ring
from service.keys import CONNECTIONS, LOG, RELAY
from service.relay.relay import SLICE_BYTES
from service.relay.viewer import MAX_BUFFERED_BYTES
from tests.monitor_server import Server, StartServer, event, receive, until
from tests.raw_websocket import RawWebSocket

LAST = "the last one"
FRAME = 64 * 1024 + 14


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, start: StartServer, tmp_path: Path) -> Server:
    """A server over each kind of log, with a ring so small that replays come from the log itself."""
    server = await start(path=None if request.param == "memory" else tmp_path / "events.db")
    shrink_ring(server, 300)
    return server


def shrink_ring(server: Server, events: int) -> None:
    """Let the log keep so few events in memory that laggards must read the log itself."""
    event_log: Any = server.app[LOG]
    event_log._ring = Ring(event_log.last_seq + 1, max_events=events)


async def read_all(ws: Any) -> list[int]:
    """The seqs a viewer receives, up to the last event."""
    seqs: list[int] = []
    while True:
        message = await (ws.message() if isinstance(ws, RawWebSocket) else receive(ws))
        for one in message if isinstance(message, list) else [message]:
            assert "seq" in one, one
            seqs.append(one["seq"])
            if one.get("message") == LAST:
                return seqs


async def publish(server: Server, count: int, *, sessions: int = 4, size: int = 0, at_once: int = 50) -> None:
    """Publish `count` events over some sessions."""
    rng = random.Random(count)

    def text() -> str:
        return rng.randbytes(size // 2).hex()  # another each time, so that compression does not make it small

    for begin in range(0, count, at_once):
        numbers = range(begin, min(begin + at_once, count))
        status, _ = await server.post([event(f"s{n % sessions}", message=text()) for n in numbers])
        assert status == 200


async def publish_last(server: Server, *sessions: str) -> None:
    """One last event in each session, by which its viewers know the end."""
    await server.post([event(session_id, message=LAST) for session_id in sessions])


@pytest.mark.slow
async def test_viewers_that_come_at_any_time_miss_nothing_and_get_nothing_twice(store: Server) -> None:
    """`after=SEQ` under concurrent publishing: across replay and live, no gap and no repeat."""
    rng = random.Random(7)
    styles = ["", "batch=1"]

    async def view() -> tuple[int, list[int]]:
        await asyncio.sleep(rng.random() * 0.8)  # at random, while others publish
        after = rng.randint(0, store.app[LOG].last_seq)
        compress = rng.choice([0, 15])
        ws = await store.ws(f"role=viewer&after={after}&{rng.choice(styles)}", compress=compress)
        return after, await read_all(ws)

    async with asyncio.TaskGroup() as tasks:
        viewers = [tasks.create_task(view(), name=f"viewer {n}") for n in range(25)]
        publishers = [
            tasks.create_task(publish(store, 500, at_once=rng.choice([1, 7, 40])), name=f"publisher {n}")
            for n in range(3)
        ]
        await asyncio.wait(publishers)
        await until(lambda: len(store.app[CONNECTIONS]) == 25, "the last viewer")
        await publish_last(store, "s0")
    last = 500 * 3 + 1
    for viewer in viewers:
        after, seqs = viewer.result()
        assert seqs == list(range(after + 1, last + 1))


async def test_live_viewers_all_see_the_same_order(store: Server) -> None:
    """Order by `seq` everywhere, whatever the filter."""
    sockets = {
        query: await store.ws(f"role=viewer&{query}")
        for query in ("", "batch=1", "session_id=s1", "session_id=s1&batch=1", "types=translation_progress")
    }
    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(publish(store, 600, at_once=3), name=f"publisher {number}")
    await publish_last(store, "s1")
    everything = list(range(1, 1802))
    by_session = [e["seq"] for e in (await store.get("/sessions/s1/events?limit=1000"))["events"]]
    assert len(by_session) == 451
    for query, ws in sockets.items():
        assert await read_all(ws) == (by_session if "session_id" in query else everything), query


async def test_a_viewer_that_stops_reading_does_not_hold_up_the_others(store: Server) -> None:
    """Nobody waits for a slow viewer, what is held for it is bounded, and it misses nothing at the end."""
    slow = {
        query: await store.raw(f"role=viewer&{query}", receive_buffer=4096, extensions=extensions)
        for query, extensions in (
            ("", None),
            ("batch=1", None),
            ("session_id=s1", None),
            ("types=translation_progress&a", "permessage-deflate"),
            ("after=0", "permessage-deflate"),
        )
    }
    fast = await store.ws("role=viewer")
    worst = 0.0
    most = 0

    async def watch() -> None:
        nonlocal worst, most
        for _ in range(3000):
            message = await receive(fast)
            worst = max(worst, time.time() - message["received_at"])
            most = max(most, *(c.transport.get_write_buffer_size() for c in store.app[CONNECTIONS]))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(), name="the fast one")
        tasks.create_task(publish(store, 3000, size=2000, at_once=20), name="publisher")
    assert worst < 2.0  # bounded by the machine, not by the slow ones: they have not read at all
    assert most <= MAX_BUFFERED_BYTES + FRAME
    lags = [c["lag"] for c in (await store.get("/status?connections=1"))["connections"]]
    assert sorted(lags)[0] == 0
    assert sorted(lags)[1] > 0
    await publish_last(store, "s0", "s1")
    for query, ws in slow.items():
        if "session_id" in query:
            expected = [*range(2, 3001, 4), 3002]
            got: list[int] = []
            while not got or got[-1] != 3002:
                got.append((await ws.message())["seq"])
        else:
            expected = list(range(1, 3002))
            got = await read_all(ws)
        assert got == expected, query
    await until(lambda: store.app[RELAY].lag_events == 0, "everybody's catching up")
    members = [c.viewer for c in store.app[CONNECTIONS] if c.viewer is not None]
    assert all(viewer.live for viewer in members)
    await publish(store, 1)
    assert (await slow[""].message())["seq"] == 3002
    assert (await slow[""].message())["seq"] == 3003


async def test_large_events_stay_within_the_bound_too(store: Server) -> None:
    """One frame may be 64 KiB: what is held is 256 KiB and one frame at most."""
    slow = await store.raw("role=viewer", receive_buffer=4096)
    deflated = await store.raw("role=viewer&batch=1", receive_buffer=4096, extensions="permessage-deflate")
    most = 0
    noise = random.Random(1)
    for number in range(60):
        await store.post(event(message=noise.randbytes(30_000).hex(), id=f"e{number}"))
        most = max(most, *(c.transport.get_write_buffer_size() for c in store.app[CONNECTIONS]))
    assert SLICE_BYTES < most <= MAX_BUFFERED_BYTES + FRAME
    await publish_last(store, "s1")
    assert await read_all(slow) == list(range(1, 62))
    assert await read_all(deflated) == list(range(1, 62))


@pytest.fixture
async def trimmed(start: StartServer, tmp_path: Path) -> Server:
    """A server that keeps 50 events of a session and 200 in memory, with 400 in each of three sessions."""
    server = await start(path=tmp_path / "events.db", event_log={"events_per_session": 50})
    shrink_ring(server, 200)
    await publish(server, 1200, sessions=3, at_once=30)
    await settle(server)
    return server


async def settle(server: Server) -> None:
    """Wait until trimming has come to rest."""
    event_log = server.app[LOG]
    before = -1
    while before != (now := (await event_log.stats()).events):
        before = now
        await asyncio.sleep(0.1)
    assert before <= 300


async def kept(server: Server, session_id: str | None = None) -> list[int]:
    """What the log holds."""
    found = await server.app[LOG].read(0, limit=10_000, session_id=session_id)
    return [stored.seq for stored in found]


async def drain(ws: Any, count: int) -> list[Any]:
    """The next messages up to the event with seq `count`."""
    got: list[Any] = []
    while not got or got[-1].get("seq") != count:
        got.append(await receive(ws))
    return got


async def test_a_viewer_of_all_is_told_once_what_retention_has_taken(trimmed: Server) -> None:
    """One `gap` with the exact number missed, before the first event that is left."""
    held = await kept(trimmed)
    ws = await trimmed.ws("role=viewer&after=0")
    gap, *events = await drain(ws, 1200)
    assert gap == {"type": "gap", "missed": 1200 - len(held), "after": 0, "next": held[0]}
    assert [e["seq"] for e in events] == held
    metrics = await trimmed.metrics()
    assert "translation_relay_gaps_total 1.0" in metrics
    assert f"translation_relay_missed_events_total {1200.0 - len(held)}" in metrics
    assert 'translation_relay_resumes_total{result="gap"} 1.0' in metrics


async def test_a_viewer_of_a_session_is_told_the_sessions_number(trimmed: Server) -> None:
    """N as its own filter would have counted them."""
    held = await kept(trimmed, "s1")
    ws = await trimmed.ws("role=viewer&session_id=s1&after=0")
    gap, *events = await drain(ws, 1199)
    assert gap == {"type": "gap", "missed": 400 - len(held), "after": 0, "next": held[0]}
    assert [e["seq"] for e in events] == held


@pytest.mark.parametrize("query", ["", "session_id=s1&"])
async def test_a_filter_by_type_is_told_that_some_are_missing(trimmed: Server, query: str) -> None:
    """Null where nobody can know how many of the lost ones the filter would have taken."""
    ws = await trimmed.ws(f"role=viewer&{query}types=translation_progress&after=0")
    gap = await receive(ws)
    assert (gap["type"], gap["missed"], gap["after"]) == ("gap", None, 0)
    assert (await receive(ws))["seq"] == gap["next"]


async def test_a_resume_above_what_was_taken_is_told_nothing(trimmed: Server) -> None:
    """No gap where nothing is missing."""
    held = await kept(trimmed)
    newest = max(seq for seq in range(1, 1201) if seq not in set(held))
    ws = await trimmed.ws(f"role=viewer&after={newest}")
    assert [m["seq"] for m in await drain(ws, 1200)] == list(range(newest + 1, 1201))
    assert 'translation_relay_resumes_total{result="complete"} 1.0' in await trimmed.metrics()


async def test_last_is_no_gap(trimmed: Server) -> None:
    """Whoever asks for the newest N has missed nothing."""
    held = await kept(trimmed)
    ws = await trimmed.ws(f"role=viewer&last={len(held)}")
    assert [m["seq"] for m in await drain(ws, 1200)] == held


@pytest.mark.parametrize("query", ["", "session_id=s1"])
async def test_a_viewer_overtaken_by_retention_is_told_exactly_what_it_missed(
    trimmed: Server, query: str
) -> None:
    """Stalled while thousands pass: one gap with exactly what never came, then live."""
    ws = await trimmed.raw(f"role=viewer&{query}", receive_buffer=4096)
    await publish(trimmed, 2400, sessions=3, size=3000, at_once=30)
    await publish_last(trimmed, "s1")
    await settle(trimmed)
    got: list[int] = []
    missed = 0
    gaps = 0
    while not got or got[-1] != 3601:
        message = await ws.message()
        if message.get("type") == "gap":
            gaps += 1
            missed += message["missed"]
            assert message["after"] >= (got[-1] if got else 1200)
            following = await ws.message()
            assert following["seq"] == message["next"]
            message = following
        got.append(message["seq"])
    assert got == sorted(set(got))
    assert gaps == 1
    everything = 2401 if not query else 801
    assert missed == everything - len(got)
    await publish_last(trimmed, "s1")
    assert (await ws.message())["seq"] == 3602
