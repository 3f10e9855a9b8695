"""`POST /events`: forms, limits, answers. Source: docs/protocol.md, "HTTP"."""

from __future__ import annotations

import asyncio
import gzip
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from service.keys import LOG
from tests.monitor_server import Server, event, until

NDJSON = {"Content-Type": "application/x-ndjson"}
MEBIBYTE = 1024 * 1024


def _lines(events: list[Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in events)


async def _last_seq(server: Server) -> int:
    last: int = (await server.get("/status"))["event_log"]["last_seq"]
    return last


async def test_one_event_is_answered_with_its_seq(server: Server) -> None:
    """One object: 200 `{"accepted":1,"results":[{"index","id","seq"}]}`."""
    status, answer = await server.post(event(id="a"))
    assert (status, answer) == (200, {"accepted": 1, "results": [{"index": 0, "id": "a", "seq": 1}]})


async def test_a_repeat_counts_as_accepted_and_is_marked(server: Server) -> None:
    """`accepted` counts duplicates."""
    await server.post(event(id="a"))
    status, answer = await server.post([event(id="b"), event(id="a"), event()])
    assert status == 200
    assert answer == {
        "accepted": 3,
        "results": [
            {"index": 0, "id": "b", "seq": 2},
            {"index": 1, "id": "a", "seq": 1, "duplicate": True},
            {"index": 2, "id": None, "seq": 3},
        ],
    }
    assert 'translation_events_duplicate_total{source="http"} 1.0' in await server.metrics()


@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_all_that_is_valid_is_taken(server: Server, form: str) -> None:
    """207 where some of several were refused: each in its place, with code, field and detail."""
    events = [event(id="a"), event(progress=101), {"type": "translation_started"}, event(id="d")]
    if form == "array":
        status, answer = await server.post(events)
    else:
        status, answer = await server.post(_lines(events), headers=NDJSON)
    assert status == 207
    assert answer["accepted"] == 2
    rows = answer["results"]
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert [row.get("seq") for row in rows] == [1, None, None, 2]
    assert [row.get("code") for row in rows] == [None, "invalid_event", "invalid_event", None]
    assert [row.get("field") for row in rows] == [None, "progress", "session_id", None]
    assert rows[1]["detail"]
    rejected = 'translation_events_rejected_total{reason="invalid_event",source="http"} 2.0'
    assert rejected in await server.metrics()


async def test_207_also_where_all_were_refused(server: Server) -> None:
    """200, or 207 where some or all of several were refused."""
    status, answer = await server.post([{"type": "x"}, 17])
    assert (status, answer["accepted"]) == (207, 0)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"type":"translation_progress"}', "invalid_event", "session_id"),
        (b'{"type":"translation_progress","session_id":"s","progress":"x"}', "invalid_event", "progress"),
        (b'{"type":"translation_progress","session_id":"s","seq":1}', "invalid_event", "seq"),
        (b"{", "invalid_json", None),
        (b"", "invalid_json", None),
        (b"[{", "invalid_json", None),
        (b'[{"type":"translation_progress","session_id":"\xff"}]', "invalid_json", None),
        (b"\xff\xfe", "invalid_json", None),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"a":' * 10_000, "invalid_json", None),
    ],
)
async def test_a_single_refused_object_is_a_400_problem(
    server: Server, body: bytes, code: str, field: str | None
) -> None:
    """A single refused object, or an array that cannot be read, is a 400 problem with a stable code."""
    async with server.client.post(
        f"{server.url}/events", data=body, headers={"Content-Type": "application/json"}
    ) as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
        problem = orjson.loads(await response.read())
    assert (problem["code"], problem.get("field")) == (code, field)
    assert await _last_seq(server) == 0


async def test_nothing_to_take_is_no_error(server: Server) -> None:
    """An empty array or an empty NDJSON body: nothing was refused."""
    assert await server.post([]) == (200, {"accepted": 0, "results": []})
    assert await server.post(b"\n \n\r\n", headers=NDJSON) == (200, {"accepted": 0, "results": []})


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
async def test_only_json_and_ndjson_are_taken(server: Server, content_type: str) -> None:
    """415 for what a form of a foreign page could send."""
    status, problem = await server.post(event(), headers={"Content-Type": content_type})
    assert (status, problem["code"]) == (415, "unsupported_media_type")
    assert await _last_seq(server) == 0


async def test_a_charset_beside_the_type_is_fine(server: Server) -> None:
    """`application/json; charset=utf-8` is JSON."""
    assert (await server.post(event(), headers={"Content-Type": "application/json; charset=utf-8"}))[0] == 200


async def test_an_event_over_its_limit_is_refused_alone(server: Server) -> None:
    """64 KiB an event: 413 for a single one, `too_large` in its place among others; the rest is taken."""
    big = event(message="x" * 70_000)
    status, problem = await server.post(big)
    assert (status, problem["code"]) == (413, "too_large")
    status, answer = await server.post([event(id="a"), big, event(id="c")])
    assert status == 207
    assert [row.get("code") for row in answer["results"]] == [None, "too_large", None]
    status, answer = await server.post(_lines([event(id="d"), big, event(id="f")]), headers=NDJSON)
    assert status == 207
    assert [row.get("code") for row in answer["results"]] == [None, "too_large", None]
    assert 'rejected_total{reason="too_large",source="http"} 3.0' in await server.metrics()


async def test_an_oversized_line_is_skipped_not_kept(server: Server) -> None:
    """A line of 8 MiB, in pieces, costs one refusal: the lines around it are taken."""

    async def body() -> AsyncIterator[bytes]:
        yield orjson.dumps(event(id="before")) + b'\n{"message":"'
        for _ in range(128):
            yield b"x" * 65_536
        yield b'"}\n' + orjson.dumps(event(id="after"))  # and no line end

    async with server.client.post(f"{server.url}/events", data=body(), headers=NDJSON) as response:
        answer = orjson.loads(await response.read())
    assert response.status == 207
    assert [row.get("code") for row in answer["results"]] == [None, "too_large", None]
    assert [row.get("id") for row in answer["results"]] == ["before", None, "after"]


async def test_lines_may_be_cut_anywhere_by_the_network(server: Server) -> None:
    """NDJSON is streamed: a line that comes byte by byte is a line."""
    data = _lines([event(id=f"e{n}", message="é" * 20) for n in range(5)]).replace(b"\n", b"\r\n")

    async def body() -> AsyncIterator[bytes]:
        for byte in data:
            yield bytes([byte])

    async with server.client.post(f"{server.url}/events", data=body(), headers=NDJSON) as response:
        answer = orjson.loads(await response.read())
    assert (response.status, answer["accepted"]) == (200, 5)


async def test_a_stream_is_taken_as_it_comes(server: Server) -> None:
    """The first events of a stream are in the log while the last are not sent yet."""
    seen = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield _lines([event() for _ in range(600)])
        await asyncio.wait_for(seen.wait(), 10)
        yield _lines([event()])

    async def watch() -> None:
        await until(lambda: server.app[LOG].last_seq > 0, "the first events")
        seen.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(), name="watch the log")
        async with server.client.post(f"{server.url}/events", data=body(), headers=NDJSON) as response:
            assert orjson.loads(await response.read())["accepted"] == 601


@pytest.mark.parametrize("form", ["array", "ndjson"])
async def test_ten_thousand_events_fit_and_one_more_does_not(server: Server, form: str) -> None:
    """≤ 10,000 events, then 413 after what fitted."""
    events = [event(f"s{n % 3}") for n in range(10_001)]
    headers = {} if form == "array" else NDJSON

    def data(count: int) -> Any:
        return events[:count] if form == "array" else _lines(events[:count])

    status, answer = await server.post(data(10_000), headers=headers)
    assert (status, answer["accepted"]) == (200, 10_000)
    status, answer = await server.post(data(10_001), headers=headers)
    assert (status, answer["code"], answer["accepted"]) == (413, "too_large", 10_000)
    assert len(answer["results"]) == 10_000
    assert await _last_seq(server) == 20_000


async def test_sixteen_mebibytes_of_lines_are_taken_up_to_the_limit(server: Server) -> None:
    """16 MiB, then 413 after what fitted: whole lines, exactly those within the limit."""
    line = orjson.dumps(event(message="x" * 16_000)) + b"\n"
    count = 16 * MEBIBYTE // len(line) + 20
    status, answer = await server.post(line * count, headers=NDJSON)
    assert (status, answer["code"]) == (413, "too_large")
    assert answer["accepted"] == 16 * MEBIBYTE // len(line)
    assert len(answer["results"]) == answer["accepted"]
    assert await _last_seq(server) == answer["accepted"]


async def test_an_array_over_sixteen_mebibytes_is_taken_up_to_the_limit(server: Server) -> None:
    """16 MiB, then 413 after what fitted: whole elements, exactly those within the limit."""
    one = orjson.dumps(event(message="é" * 8_000))
    size = len(one) + 2  # the comma and the space
    status, answer = await server.post(b"[" + b", ".join([one] * 1100) + b"]")
    assert (status, answer["code"]) == (413, "too_large")
    # The last whole one counts only where its comma is within the limit as well.
    assert answer["accepted"] == (16 * MEBIBYTE - 1) // size
    assert len(answer["results"]) == answer["accepted"]
    assert await _last_seq(server) == answer["accepted"]


@pytest.mark.parametrize(
    "body", [b'{"type": "' + b"x" * 17 * MEBIBYTE, b"\xff" * 17 * MEBIBYTE, b" " * 17 * MEBIBYTE]
)
async def test_another_body_over_sixteen_mebibytes_is_refused(server: Server, body: bytes) -> None:
    """What is no array of UTF-8 has nothing whole in it."""
    status, answer = await server.post(body)
    assert (status, answer["code"], answer["accepted"]) == (413, "too_large", 0)
    assert await _last_seq(server) == 0


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
async def test_a_body_that_stands_still_is_answered_and_what_came_is_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """No byte for 30 s: 408; the lines that were whole are taken and the answer says so."""
    monkeypatch.setattr("service.http.publish.BODY_IDLE_S", 0.2)
    line = orjson.dumps(event(id="a")) + b"\n"
    reader, writer = await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
    head = (
        f"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 500000\r\n\r\n"
    )
    writer.write(head.encode() + line)
    try:
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = re.search(r"Content-Length: (\d+)", head)
            assert size is not None, head
            problem = orjson.loads(await reader.readexactly(int(size[1])))
    finally:
        writer.close()
        await writer.wait_closed()
    assert head.startswith("HTTP/1.1 408 ")
    assert "Connection: close" in head
    taken = int(kind == "application/x-ndjson")
    assert (problem["code"], problem["accepted"]) == ("request_timeout", taken)
    assert await _last_seq(server) == taken


async def test_a_compressed_bomb_is_stopped_at_the_limit(server: Server) -> None:
    """The limit is on what comes out of the decompressor."""
    bomb = gzip.compress(b" " * (200 * MEBIBYTE))
    headers = {"Content-Encoding": "gzip"}
    status, answer = await server.post(bomb, headers=headers)
    assert (status, answer["code"]) == (413, "too_large")
    status, answer = await server.post(gzip.compress(orjson.dumps(event(id="z"))), headers=headers)
    assert (status, answer["accepted"]) == (200, 1)


async def test_millions_of_values_in_an_array_are_refused_quickly(server: Server) -> None:
    """Sixteen million bytes of `[1,1,1…` would become half a gigabyte of objects: refused unread."""
    began = time.monotonic()
    status, answer = await server.post(b"[" + b"1," * (7 * MEBIBYTE) + b"1]")
    assert (status, answer["code"]) == (413, "too_large")
    assert time.monotonic() - began < 5
    status, answer = await server.post(b"[" + b"1," * 200_000 + b"1]")
    assert (status, answer["accepted"], len(answer["results"])) == (413, 0, 10_000)


async def test_a_viewer_sees_what_was_posted_in_its_order(server: Server) -> None:
    """HTTP and WebSocket publish into one log."""
    ws = await server.ws("role=viewer")
    await server.post(_lines([event(message=f"{n}") for n in range(1500)]), headers=NDJSON)
    got = [await ws.receive_json(timeout=10) for _ in range(1500)]
    assert [m["message"] for m in got] == [f"{n}" for n in range(1500)]
    assert [m["seq"] for m in got] == list(range(1, 1501))


async def test_a_client_that_hangs_up_in_the_middle_disturbs_nobody(server: Server) -> None:
    """What came whole is kept, the rest never was; the server goes on."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = _lines([event(id=f"e{n}") for n in range(600)])
    head = f"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) * 2}\r\n"
    writer.write(f"{head}Content-Type: application/x-ndjson\r\n\r\n".encode() + body)
    await writer.drain()
    await until(lambda: server.app[LOG].last_seq >= 500, "the first events")
    writer.transport.abort()
    assert (await server.post(event(id="next")))[0] == 200
