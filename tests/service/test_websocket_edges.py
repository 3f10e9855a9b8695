"""Limits and borders of `/ws`: sizes, compression, places, pings, the end. Source: docs/protocol.md."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from service.connections import Connections, Role
from service.keys import CONNECTIONS
from tests.monitor_server import Server, StartServer, event, receive, receive_many, until
from tests.raw_websocket import masked

LIMIT = 64 * 1024


def _padded(size: int, **fields: Any) -> str:
    """An event of exactly `size` bytes."""
    bare = len(orjson.dumps(event(message="", **fields)))
    text = orjson.dumps(event(message="x" * (size - bare), **fields)).decode()
    assert len(text) == size
    return text


async def test_a_frame_of_exactly_the_limit_is_taken(server: Server) -> None:
    """64 KiB an event and a frame."""
    ws = await server.ws("role=publisher&ack=1")
    await ws.send_str(_padded(LIMIT, id="full"))
    assert (await receive(ws))["id"] == "full"


async def test_a_frame_over_the_limit_closes_with_1009_and_is_counted(server: Server) -> None:
    """1009: frame over its limit, also counted as `too_large`; others are not disturbed."""
    other = await server.ws("role=publisher&ack=1")
    ws = await server.ws("role=publisher&ack=1")
    await ws.send_str(_padded(LIMIT + 1))
    message = await ws.receive(timeout=10)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
    await other.send_json(event(id="fine"))
    assert (await receive(other))["seq"] == 1
    await until(lambda: len(server.app[CONNECTIONS]) == 1, "the end of the connection")
    metrics = await server.metrics()
    assert 'translation_events_rejected_total{reason="too_large",source="ws"} 1.0' in metrics
    assert 'translation_relay_closed_total{reason="too_large",role="publisher"} 1.0' in metrics


async def test_what_came_before_an_oversized_frame_is_kept_and_answered(server: Server) -> None:
    """The frames before the one that closes the connection are acknowledged or stored all the same."""
    ws = await server.ws("role=publisher&ack=1")
    for number in range(20):
        await ws.send_json(event(id=f"e{number}"))
    await ws.send_str("x" * (LIMIT + 1))
    await until(lambda: len(server.app[CONNECTIONS]) == 0, "the end of the connection")
    assert (await server.get("/status"))["event_log"]["last_seq"] == 20


async def test_batch_frames_may_hold_a_mebibyte(server: Server) -> None:
    """1 MiB a frame with `batch=1`; above, 1009."""
    ws = await server.ws("role=publisher&ack=1&batch=1")
    events = [_padded(LIMIT, id=f"e{n}") for n in range(15)]
    await ws.send_str("[" + ",".join(events) + "]")
    replies = await receive(ws)
    assert [r["type"] for r in replies] == ["ack"] * 15
    await ws.send_str("[" + " " * 1024 * 1024 + "]")
    assert (await ws.receive(timeout=10)).data == 1009


async def test_a_decompression_bomb_is_cut_off(server: Server) -> None:
    """60 MiB of zeros in 60 KiB of deflate close the connection with 1009 without being unpacked."""
    ws = await server.raw("role=publisher", extensions="permessage-deflate")
    assert "permessage-deflate" in ws.headers["sec-websocket-extensions"]
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"0" * (1024 * 1024)
    data = b"".join(squeezer.compress(zeros) for _ in range(60)) + squeezer.flush(zlib.Z_SYNC_FLUSH)
    assert len(data) < 2 * LIMIT
    ws.send(data.removesuffix(b"\x00\x00\xff\xff"), first=0xC1)
    assert await ws.close_code() == 1009
    await until(lambda: len(server.app[CONNECTIONS]) == 0, "the end of the connection")
    assert 'rejected_total{reason="too_large",source="ws"} 1.0' in await server.metrics()


@pytest.mark.parametrize(
    ("offer", "bits"),
    [
        ("permessage-deflate", 15),
        ("permessage-deflate; client_max_window_bits", 15),  # Chromium, Firefox
        ("x-webkit-deflate-frame, permessage-deflate; client_max_window_bits", 15),
        ("permessage-deflate; server_max_window_bits=9", 9),
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits=10", 12),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", 15),
    ],
)
async def test_compressed_frames_inflate_within_the_window_agreed_on(
    server: Server, offer: str, bits: int
) -> None:
    """permessage-deflate is offered; replay, live frames and control frames inflate to what was sent."""
    sent = [event(message=f"text {n} " * 40, id=f"e{n}") for n in range(60)]
    await server.post(sent[:40])
    ws = await server.raw("role=viewer&after=0", extensions=offer, window_bits=bits)
    answer = ws.headers["sec-websocket-extensions"]
    assert answer.startswith("permessage-deflate")
    assert (f"server_max_window_bits={bits}" in answer) == (bits < 15)
    got = [await ws.message() for _ in range(40)]
    await server.post(sent[40:])
    got += [await ws.message() for _ in range(20)]
    assert [m["id"] for m in got] == [e["id"] for e in sent]
    assert [m["message"] for m in got] == [e["message"] for e in sent]
    ws.send(b"\x89hello", first=0x81)  # not JSON: an error frame, uncompressed between others
    assert (await ws.message())["code"] == "read_only"
    await server.post(event(id="after the control frame"))
    assert (await ws.message())["id"] == "after the control frame"


async def test_a_client_that_offers_no_compression_gets_none(server: Server) -> None:
    """RSV1 is set only where it was agreed on."""
    ws = await server.raw("role=viewer", extensions=None)
    assert "sec-websocket-extensions" not in ws.headers
    await server.post(event(message="y" * 5000))
    assert (await ws.message())["message"] == "y" * 5000


async def test_compressed_publishing_is_understood(server: Server) -> None:
    """A client may compress what it publishes, with a context it keeps from message to message."""
    ws = await server.ws("ack=1&role=publisher", compress=15)
    for number in range(50):
        await ws.send_json(event(id=f"e{number}", message="the same words again and again " * 20))
    assert [r["id"] for r in await receive_many(ws, 50)] == [f"e{n}" for n in range(50)]


async def test_viewers_that_compress_and_that_do_not_see_the_same(server: Server) -> None:
    """Plain, compressed and batch viewers are different groups of one stream."""
    sockets = [
        await server.ws(f"role=viewer&batch={batch}", compress=compress)
        for batch in (0, 1)
        for compress in (0, 15, 10)
    ]
    await server.post([event(f"s{n}", message="word " * 50) for n in range(300)])
    for ws in sockets:
        seqs: list[int] = []
        while len(seqs) < 300:
            message = await receive(ws)
            seqs += [m["seq"] for m in (message if isinstance(message, list) else [message])]
        assert seqs == list(range(1, 301))


async def test_a_ping_is_answered_with_its_own_bytes(server: Server) -> None:
    """RFC 6455 §5.5.3: a pong carries the ping's data."""
    ws = await server.raw("")
    ws.send(b"are you there", first=0x89)
    assert await ws.frame() == (10, b"are you there")


async def test_fragments_make_one_event(server: Server) -> None:
    """RFC 6455 §5.4: a message in three frames, a ping between them."""
    ws = await server.raw("role=publisher&ack=1")
    text = orjson.dumps(event(id="whole"))
    ws.send(text[:10], first=0x01)
    ws.send(b"", first=0x89)
    ws.send(text[10:20], first=0x00)
    ws.send(text[20:], first=0x80)
    assert (await ws.frame())[0] == 10
    assert orjson.loads((await ws.frame())[1])["id"] == "whole"


@pytest.mark.parametrize("first", [0x83, 0x8B, 0xF1, 0xA1], ids=["opcode 3", "opcode 11", "rsv", "rsv2"])
async def test_a_broken_protocol_closes_that_connection_alone(server: Server, first: int) -> None:
    """Frames that RFC 6455 does not know end the connection with 1002; the server goes on."""
    ws = await server.raw("role=publisher&ack=1")
    ws.send(b"x", first=first)
    assert await ws.close_code() == 1002
    other = await server.ws("role=publisher&ack=1")
    await other.send_json(event())
    assert (await receive(other))["seq"] == 1


async def test_the_places_are_limited_and_some_are_kept_for_publishers(start: StartServer) -> None:
    """503 with `Retry-After` at the limit; ten of the 100 places are kept for publishers."""
    server = await start()
    viewers = [await server.ws("role=viewer" if n % 2 else "") for n in range(90)]
    for query in ("", "role=viewer"):
        with pytest.raises(WSServerHandshakeError) as refused:
            await server.ws(query)
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) > 0  # type: ignore[index]
    publishers = [await server.ws("role=publisher&ack=1") for _ in range(10)]
    with pytest.raises(WSServerHandshakeError) as refused:
        await server.ws("role=publisher")
    assert refused.value.status == 503
    await publishers[9].send_json(event())
    assert (await receive(publishers[9]))["seq"] == 1
    assert (await server.get("/health"))["websockets"] == 100
    await viewers[0].close()
    await until(lambda: len(server.app[CONNECTIONS]) == 99, "a free place")
    await server.ws("role=viewer")


async def test_a_crowd_that_comes_at_once_does_not_get_past_the_limit(start: StartServer) -> None:
    """Of 200 that knock together 20 get in: no place is given twice."""
    server = await start(server={"max_connections": 20})
    results = await asyncio.gather(
        *(server.ws("role=publisher" if n % 2 else "") for n in range(120)), return_exceptions=True
    )
    opened = [r for r in results if isinstance(r, aiohttp.ClientWebSocketResponse)]
    refused = [r for r in results if isinstance(r, WSServerHandshakeError)]
    assert len(opened) + len(refused) == 120
    assert len(opened) <= 20
    assert {r.status for r in refused} == {503}
    assert server.app[CONNECTIONS].count(Role.BOTH) <= 18


async def test_a_request_without_upgrade_is_told_so(server: Server) -> None:
    """426 with `Upgrade: websocket`."""
    async with server.client.get(f"{server.url}/ws") as response:
        assert (response.status, response.headers["Upgrade"]) == (426, "websocket")
        assert (await response.json(content_type=None))["code"] == "upgrade_required"


async def test_a_half_hearted_upgrade_is_refused_and_holds_no_place(server: Server) -> None:
    """A missing key or an unknown version is a 400; the place is free again."""
    for headers in (
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"},
        {"Upgrade": "websocket"},
    ):
        async with server.client.get(f"{server.url}/ws", headers=headers) as response:
            assert response.status == 400, headers
    assert len(server.app[CONNECTIONS]) == 0


async def test_a_foreign_origin_is_refused_before_the_upgrade(server: Server) -> None:
    """403 before the upgrade: a page from elsewhere may neither view nor publish."""
    for origin in ("https://evil.example", "null", f"https://127.0.0.1:{server.port}", "http://127.0.0.1:1"):
        with pytest.raises(WSServerHandshakeError) as refused:
            await server.ws("", headers={"Origin": origin})
        assert refused.value.status == 403
    await server.ws("", headers={"Origin": server.url})


async def test_shutdown_says_1001_to_everybody(start: StartServer) -> None:
    """Live connections close with 1001 server going away, idle or busy."""
    server = await start()
    sockets = [await server.ws(query) for query in ("", "role=viewer&after=0", "role=publisher", "batch=1")]
    async with asyncio.TaskGroup() as tasks:
        closing = [tasks.create_task(ws.receive(timeout=10), name="read to the end") for ws in sockets]
        await server.app[CONNECTIONS].goodbye()
    assert [(m.type, m.data) for m in (task.result() for task in closing)] == [(WSMsgType.CLOSE, 1001)] * 4
    assert 'translation_relay_closed_total{reason="shutdown",role="viewer"} 1.0' in await server.metrics()
    with pytest.raises(WSServerHandshakeError) as refused:
        await server.ws("role=publisher")
    assert refused.value.status == 503


async def test_a_silent_connection_is_pinged_and_cut_only_if_it_does_not_answer(server: Server) -> None:
    """Ping after 20 s of nothing; no pong within 20 s closes; any byte received is life."""
    ws = await server.raw("role=viewer")
    (connection,) = server.app[CONNECTIONS]
    start = time.monotonic()
    connection.look(start + 19.0)
    connection.look(start + 25.0)
    assert (await ws.frame())[0] == 9
    heard = connection.heard
    ws.write(masked(b"", first=0x8A)[:1])  # one byte of a pong
    await until(lambda: connection.heard > heard, "the byte")
    connection.heard = start + 26.0  # as if it had come then
    connection.look(start + 45.5)
    assert not connection.transport.is_closing()
    connection.look(start + 46.5)  # 20.5 s after the byte: the next ping
    assert (await ws.frame())[0] == 9
    connection.look(start + 67.0)
    assert await ws.close_code() == 1001
    await until(lambda: len(server.app[CONNECTIONS]) == 0, "the end of the connection")
    assert 'translation_relay_closed_total{reason="ping_timeout",role="viewer"} 1.0' in await server.metrics()


async def test_a_publisher_we_do_not_read_from_is_not_cut_for_its_silence(server: Server) -> None:
    """While the log is slow we stop reading: a pong may lie in the socket, so its absence proves nothing."""
    await server.raw("role=publisher")
    (connection,) = server.app[CONNECTIONS]
    start = time.monotonic()
    connection.look(start + 25.0)
    assert connection.pinged is not None
    connection.transport.pause_reading()
    connection.look(start + 46.0)
    connection.look(start + 90.0)
    assert not connection.transport.is_closing()
    connection.transport.resume_reading()


async def test_a_socket_that_takes_nothing_for_ten_minutes_is_closed_with_1013(start: StartServer) -> None:
    """A socket that takes not one byte for 10 min is closed with 1013; a slow one is not."""
    server = await start()
    await server.raw("role=viewer", receive_buffer=4096)
    (connection,) = server.app[CONNECTIONS]
    await server.post([event(message="x" * 10_000) for _ in range(100)])
    await until(lambda: connection.transport.get_write_buffer_size() > 0, "a full socket")
    start_at = time.monotonic()
    connection.look(start_at)
    connection.look(start_at + 590.0)
    assert not connection.transport.is_closing()
    connection.unsent += 1  # a byte was taken since
    connection.look(start_at + 595.0)
    connection.look(start_at + 1190.0)
    assert not connection.transport.is_closing()
    connection.look(start_at + 1196.0)
    assert connection.transport.is_closing()
    await until(lambda: len(server.app[CONNECTIONS]) == 0, "the end of the connection")
    assert 'translation_relay_closed_total{reason="slow",role="viewer"} 1.0' in await server.metrics()


def test_a_limit_of_one_leaves_a_place_for_a_viewer() -> None:
    """A tenth is kept for publishers, but a server for one viewer is still one."""
    assert [(Connections(n).viewer_limit) for n in (1, 2, 10, 100, 1000)] == [1, 1, 9, 90, 900]
