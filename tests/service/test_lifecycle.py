"""What the server ends by itself: sessions fallen silent, errors as last words, history past its time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.keys import CONFIG, INGEST, LOG, READERS, SESSIONS
from service.lifecycle import ERROR_SILENCE_S, Lifecycle
from tests.monitor_server import Server, StartServer, config_with, event, receive, running, until


@contextlib.asynccontextmanager
async def impatient(server: Server, *, error_silence_s: float) -> AsyncIterator[None]:
    """A second lifecycle beside the server's own, which takes an error for the last word sooner."""
    app = server.app
    lifecycle = Lifecycle(
        app[LOG],
        app[SESSIONS],
        app[READERS],
        app[INGEST].presence,
        app[CONFIG].event_log,
        error_silence_s=error_silence_s,
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(lifecycle.run(), name="impatient lifecycle")
        try:
            yield
        finally:
            task.cancel()


async def ended(server: Server, session_id: str, status: str) -> Any:
    """The session, once it has ended so."""
    async with asyncio.timeout(10):
        while (session := await server.get(f"/sessions/{session_id}"))["status"] != status:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    return session


async def test_a_session_without_an_event_is_timed_out(start: StartServer) -> None:
    """`timed_out` after the session timeout: in log, stream, metrics and summary alike."""
    server = await start(event_log={"session_timeout_s": 0.5})
    ws = await server.ws("role=viewer")
    await server.post(event("s1", message="last words"))
    assert (await receive(ws))["seq"] == 1
    told = await receive(ws)
    assert (told["type"], told["session_id"], told["status"]) == ("session_ended", "s1", "timed_out")
    assert told["seq"] == 2
    assert told["reason"]
    session = await ended(server, "s1", "timed_out")
    assert session["ended_at"] == pytest.approx(told["received_at"], abs=0.01)
    assert session["last_seq"] == 2
    events = (await server.get("/sessions/s1/events"))["events"]
    assert events[-1] == told
    metrics = await server.metrics()
    assert 'sessions_finished_total{kind="translation",result="timed_out"} 1.0' in metrics
    assert 'translation_events_total{type="session_ended"} 1.0' in metrics
    assert (await server.get("/sessions"))["sessions"] == []


async def test_an_event_after_the_end_begins_another_attempt(start: StartServer) -> None:
    """So does any event but `worker_status` after the end; it is timed out in its turn."""
    server = await start(event_log={"session_timeout_s": 0.5})
    await server.post(event("s1"))
    await ended(server, "s1", "timed_out")
    await server.post(event("s1"))
    assert (await server.get("/sessions/s1"))["status"] == "running"
    session = await ended(server, "s1", "timed_out")
    assert session["attempt"] == 2


async def test_a_session_is_stalled_before_it_is_timed_out(start: StartServer) -> None:
    """`stalled` is what one sees meanwhile; the next event ends it, and no event says so."""
    server = await start(event_log={"stalled_after_s": 0.2})
    await server.post(event("s1"))
    await ended(server, "s1", "stalled")
    assert [s["status"] for s in (await server.get("/sessions"))["sessions"]] == ["stalled"]
    assert (await server.get("/status"))["sessions"]["stalled"] == 1
    await server.post(event("s1"))
    assert (await server.get("/sessions/s1"))["status"] == "running"
    assert (await server.get("/status"))["event_log"]["last_seq"] == 2


def test_an_error_is_the_last_word_after_a_minute() -> None:
    """Closed for 60 s; over HTTP: 60 s of silence."""
    assert ERROR_SILENCE_S == 60.0


@pytest.mark.parametrize("kind", ["translation", "conversion"])
async def test_an_error_as_the_last_word_ends_as_failed_once_its_connection_is_gone(
    server: Server, kind: str
) -> None:
    """If an error is the last event and its connection has been closed for a while: `failed`."""
    ws = await server.ws("role=publisher&ack=1")
    viewer = await server.ws("role=viewer")
    await ws.send_json(event("s1", f"{kind}_error", error="Connection timeout"))
    await receive(ws)
    assert (await receive(viewer))["seq"] == 1
    async with impatient(server, error_silence_s=0.4):
        await asyncio.sleep(1.2)  # longer than the silence: a publisher is still connected
        assert (await server.get("/sessions/s1"))["status"] == "running"
        closed_at = time.time()
        await ws.close()
        session = await ended(server, "s1", "failed")
    told = await receive(viewer)
    assert (told["type"], told["status"], told["seq"]) == ("session_ended", "failed", 2)
    assert told["received_at"] >= closed_at + 0.4
    assert (session["errors"], session["last_error"]) == (1, "Connection timeout")
    assert f'finished_total{{kind="{kind}",result="failed"}} 1.0' in await server.metrics()


async def test_over_http_silence_is_enough(server: Server) -> None:
    """Over HTTP nobody stays connected: silence alone ends it."""
    await server.post(event("s1", "translation_error", error="x"))
    async with impatient(server, error_silence_s=0.3):
        await ended(server, "s1", "failed")


async def test_an_error_that_is_not_the_last_word_ends_nothing(server: Server) -> None:
    """ "Failed to translate line 5", and then line 6."""
    await server.post([event("s1", "translation_error", error="x"), event("s1", current_item="line_6")])
    await server.post(event("s2", "conversion_error", error="x"))
    await server.post(event("s2"))  # in a translation a conversion's error is a step's
    async with impatient(server, error_silence_s=0.1):
        await asyncio.sleep(1.2)
    assert {s["session_id"] for s in (await server.get("/sessions"))["sessions"]} == {"s1", "s2"}
    assert (await server.get("/sessions/s1"))["errors"] == 1


async def test_the_connection_that_comes_back_in_time_keeps_the_session(server: Server) -> None:
    """Someone is there again to say more, for the session of its query or of its events."""
    await server.post([event(s, "translation_error", error="x") for s in ("s1", "s2")])
    await server.ws("role=publisher&session_id=s1")
    await server.ws("role=viewer&session_id=s2")  # a viewer says nothing
    async with impatient(server, error_silence_s=0.3):
        await ended(server, "s2", "failed")
        assert (await server.get("/sessions/s1"))["status"] == "running"


async def test_an_ended_session_is_forgotten_after_its_retention(start: StartServer, tmp_path: Path) -> None:
    """7 days from `ended_at`: summary, events and ids are gone; what runs stays."""
    server = await start(path=tmp_path / "events.db", event_log={"retention_s": 0.2})
    await server.post([event("old", id="x"), event("old", "translation_completed"), event("alive")])
    lifecycle = Lifecycle(
        server.app[LOG],
        server.app[SESSIONS],
        server.app[READERS],
        server.app[INGEST].presence,
        server.app[CONFIG].event_log,
    )
    await until(lambda: len(server.app[SESSIONS].expired(time.time() - 0.2)) == 1, "the retention's end")
    await lifecycle.expire()
    async with server.client.get(f"{server.url}/sessions/old") as response:
        assert response.status == 404
    async with server.client.get(f"{server.url}/sessions/old/events") as response:
        assert response.status == 404
    assert [s["session_id"] for s in (await server.get("/sessions"))["sessions"]] == ["alive"]
    ws = await server.ws("role=viewer&after=0")
    gap = await receive(ws)
    assert (gap["type"], gap["missed"], gap["next"]) == ("gap", 2, 3)
    assert (await receive(ws))["session_id"] == "alive"
    _, answer = await server.post(event("old", id="x"))
    assert answer["results"] == [{"index": 0, "id": "x", "seq": 4}]
    assert (await server.get("/sessions/old"))["attempt"] == 1


async def test_a_restart_keeps_sessions_and_their_ends(tmp_path: Path) -> None:
    """What was running runs on, what has ended stays ended, and nothing is ended twice."""
    config = config_with(tmp_path / "events.db", event_log={"session_timeout_s": 0.5})
    async with running(config) as server:
        await server.post(event("s1"))
        before = await ended(server, "s1", "timed_out")
        await server.post(event("s2"))
    async with running(config) as server:
        assert await server.get("/sessions/s1") == before
        await ended(server, "s2", "timed_out")
        last = (await server.get("/status"))["event_log"]["last_seq"]
        assert last == 4


async def test_after_a_restart_publishers_have_a_moment_to_come_back(tmp_path: Path) -> None:
    """An error as the last word before a restart: the silence counts from the start."""
    config = config_with(tmp_path / "events.db")
    async with running(config) as server:
        await server.post(event("s1", "translation_error", error="x"))
    async with running(config) as server:
        began = time.time()
        async with impatient(server, error_silence_s=0.5):
            session = await ended(server, "s1", "failed")
        assert session["ended_at"] >= began + 0.4
