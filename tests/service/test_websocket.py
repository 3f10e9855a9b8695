"""Viewing over `/ws`: filters, replay, resume, control frames. Source: docs/protocol.md, "WebSocket"."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import WSMsgType

from service.keys import CONNECTIONS
from tests.monitor_server import Server, config_with, event, receive, receive_many, running, until

TYPES = "translation_started,translation_completed"


async def _fill(server: Server, count: int, *, sessions: int = 3) -> None:
    """Publish `count` events over `sessions` sessions in turn; seq n belongs to session (n-1) % sessions."""
    status, answer = await server.post([event(f"s{n % sessions}", message=f"m{n + 1}") for n in range(count)])
    assert (status, answer["accepted"]) == (200, count)


async def _seqs(server: Server, query: str, count: int) -> list[int]:
    ws = await server.ws(query)
    return [message["seq"] for message in await receive_many(ws, count)]


async def test_without_after_or_last_a_viewer_sees_only_what_comes(server: Server) -> None:
    """Neither `after` nor `last`: live only."""
    await _fill(server, 10)
    ws = await server.ws("role=viewer")
    await _fill(server, 1)
    assert (await receive(ws))["seq"] == 11


@pytest.mark.parametrize("query", ["", "session_id=*", "session_id="])
async def test_no_session_or_a_star_means_all(server: Server, query: str) -> None:
    """No `session_id`, or `*`: all sessions."""
    await _fill(server, 6)
    assert await _seqs(server, query + "&after=0", 6) == [1, 2, 3, 4, 5, 6]


async def test_a_session_filter_shows_that_session_alone(server: Server) -> None:
    """`session_id` filters, in the replay and live."""
    await _fill(server, 9)
    ws = await server.ws("session_id=s1&after=0")
    assert [m["seq"] for m in await receive_many(ws, 3)] == [2, 5, 8]
    await _fill(server, 3)
    assert (await receive(ws))["seq"] == 11


async def test_types_filter_events_in_replay_and_live(server: Server) -> None:
    """`types=a,b` filters events."""
    await server.post(
        [event(type="translation_started"), event(), event(), event(type="translation_completed")]
    )
    ws = await server.ws(f"types={TYPES}&after=0")
    assert [m["type"] for m in await receive_many(ws, 2)] == TYPES.split(",")
    await server.post([event(), event(type="translation_started")])
    assert (await receive(ws))["seq"] == 6


async def test_types_never_filter_control_frames(server: Server) -> None:
    """`types` never filters `reset`, `error` and `ack`."""
    await _fill(server, 2)
    ws = await server.ws("types=conversion_started&ack=1&after=99")
    assert (await receive(ws))["type"] == "reset"
    await ws.send_json(event(id="hidden"))
    assert (await receive(ws))["type"] == "ack"
    await ws.send_str("{")
    assert (await receive(ws))["type"] == "error"


async def test_after_replays_then_goes_live(server: Server) -> None:
    """`after=SEQ`: first what the log holds after SEQ, then live, with no gap and no repeat."""
    await _fill(server, 50)
    ws = await server.ws("after=20")
    await _fill(server, 10)
    assert [m["seq"] for m in await receive_many(ws, 40)] == list(range(21, 61))


async def test_after_the_very_end_is_live_without_reset(server: Server) -> None:
    """A position at the end is a position in the log."""
    await _fill(server, 5)
    ws = await server.ws("after=5")
    await _fill(server, 1)
    assert (await receive(ws))["seq"] == 6


async def test_after_in_an_empty_log_is_its_beginning(server: Server) -> None:
    """`after=0` is never beyond the end."""
    ws = await server.ws("after=0")
    await _fill(server, 1)
    assert (await receive(ws))["seq"] == 1


@pytest.mark.parametrize("query", ["after=8", "after=9223372036854775807", "after=3@another-log"])
async def test_a_position_of_another_log_resets_the_viewer(server: Server, query: str) -> None:
    """Another log's position, or one beyond the end: `reset` comes first, then all from the beginning."""
    await _fill(server, 7)
    log_id = (await server.get("/status"))["event_log"]["id"]
    ws = await server.ws(query)
    assert await receive(ws) == {"type": "reset", "log": log_id, "last_seq": 7}
    assert [m["seq"] for m in await receive_many(ws, 7)] == list(range(1, 8))


async def test_a_position_with_its_logs_id_is_taken(server: Server) -> None:
    """`after=SEQ@LOGID` of this log is `after=SEQ`."""
    await _fill(server, 7)
    log_id = (await server.get("/status"))["event_log"]["id"]
    assert await _seqs(server, f"after=5@{log_id}", 2) == [6, 7]


async def test_a_log_keeps_its_id_over_a_restart(tmp_path: Path) -> None:
    """A viewer resumes on the restarted server with the position it had."""
    config = config_with(tmp_path / "events.db")
    async with running(config) as first:
        await _fill(first, 5)
        log_id = (await first.get("/status"))["event_log"]["id"]
    async with running(config) as second:
        await _fill(second, 2)
        assert await _seqs(second, f"after=4@{log_id}", 3) == [5, 6, 7]


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("last=3", [10, 11, 12]),
        ("last=1000", list(range(1, 13))),
        ("last=2&session_id=s0", [7, 10]),
        ("last=2&session_id=s0&types=translation_progress", [7, 10]),
        ("last=2&after=9", [10, 11, 12]),
        ("last=5&after=11", [12]),
    ],
)
async def test_last_gives_the_newest_that_match_and_after_wins(
    server: Server, query: str, seqs: list[int]
) -> None:
    """`last=N`: the newest N that match the filter, ascending, then live; with `after` too, `after` wins."""
    await _fill(server, 12)
    ws = await server.ws(query)
    assert [m["seq"] for m in await receive_many(ws, len(seqs))] == seqs
    await server.post(event("s0"))
    assert (await receive(ws))["seq"] == 13


async def test_last_counts_only_what_the_types_let_through(server: Server) -> None:
    """`last=2` of a rare type reaches far back."""
    await server.post([event(type="translation_started"), event("s2", type="translation_started")])
    await _fill(server, 500)
    assert await _seqs(server, "types=translation_started&last=2", 2) == [1, 2]


async def test_last_of_a_session_without_events_is_live(server: Server) -> None:
    """Nothing matches yet: the viewer waits for what will."""
    await _fill(server, 3)
    ws = await server.ws("session_id=new&last=5")
    await server.post(event("new"))
    assert (await receive(ws))["seq"] == 4


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("role=admin", "role"),
        ("types=translation_started,nonsense", "types"),
        ("after=x", "after"),
        ("after=-1", "after"),
        ("after=" + "9" * 5000, "after"),
        ("last=1001", "last"),
        ("last=1.5", "last"),
        ("ack=yes", "ack"),
        ("batch=2", "batch"),
        ("session_id=a/b", "session_id"),
        ("session_id=" + "x" * 129, "session_id"),
        ("session_id=history", "session_id"),
    ],
)
async def test_a_wrong_parameter_is_named_before_the_upgrade(server: Server, query: str, field: str) -> None:
    """A parameter that cannot be understood is a 400 that names it."""
    async with server.client.get(f"{server.url}/ws?{query}", headers=UPGRADE) as response:
        assert response.status == 400
        problem = await response.json(content_type="application/problem+json")
        assert (problem["code"], problem["field"]) == ("bad_request", field)


async def test_unknown_parameters_are_let_be(server: Server) -> None:
    """A client of a newer or another server may send more than is known here."""
    await _fill(server, 1)
    assert await _seqs(server, "after=0&token=abc&version=9", 1) == [1]


async def test_frames_hold_one_object_each(server: Server) -> None:
    """Text frames; one JSON object a frame, so `JSON.parse(event.data)` always works."""
    ws = await server.ws("after=0")
    await _fill(server, 100)
    for _ in range(100):
        message = await ws.receive(timeout=10)
        assert message.type is WSMsgType.TEXT
        assert isinstance(message.json(), dict)


async def test_a_batch_viewer_gets_arrays_with_every_event_once(server: Server) -> None:
    """`batch=1`: a frame may be an array of events, in both directions."""
    await _fill(server, 700)
    ws = await server.ws("batch=1&after=0")
    await _fill(server, 300)
    seqs: list[int] = []
    frames = 0
    while len(seqs) < 1000:
        message = await receive(ws)
        frames += 1
        seqs += [e["seq"] for e in message] if isinstance(message, list) else [message["seq"]]
    assert seqs == list(range(1, 1001))
    assert frames < 100


async def test_the_documents_own_client_works(server: Server) -> None:
    """`/ws?session_id=…&client_id=dashboard`: the page's code reads `type`, `progress`, `worker_info`."""
    ws = await server.ws("session_id=session-123&client_id=dashboard")
    sent = {
        "type": "translation_progress",
        "session_id": "session-123",
        "step": "translation",
        "message": "Translating line 5/10",
        "progress": 55.0,
        "current_item": "line_5",
        "total_items": 10,
        "timestamp": 1640995200,
        "worker_info": {
            "host": "localhost",
            "port": 8444,
            "type": "ssh-llamacpp",
            "model": "llama-2-7b-chat",
            "capacity": 10,
        },
        "something_new": {"kept": [1, 2.5, None, "\u00e9"]},
    }
    await server.post(sent)
    got = await receive(ws)
    assert got.pop("seq") == 1
    assert got.pop("received_at") > 1.6e9
    assert got == sent
    (connection,) = (await server.get("/status?connections=1"))["connections"]
    assert connection["client_id"] == "dashboard"
    assert connection["role"] == "both"
    assert connection["filter"]["session_id"] == "session-123"
    assert connection["lag"] == 0


async def test_a_closed_connection_leaves_nothing_behind(server: Server) -> None:
    """Whoever closes is counted out, whatever was under way."""
    for query in ("", "role=viewer&after=0", "role=publisher&session_id=s1", "batch=1&last=5"):
        ws = await server.ws(query)
        await ws.close()
    await until(lambda: len(server.app[CONNECTIONS]) == 0, "the end of all connections")
    status = await server.get("/status")
    assert (status["viewers"], status["publishers"]) == (0, 0)
    assert 'translation_relay_closed_total{reason="client",role="viewer"} 1.0' in await server.metrics()


UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
