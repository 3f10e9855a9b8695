"""Frames as bytes: what goes out is what RFC 6455 and RFC 7692 say, for every payload."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

import msgspec
import orjson
import pytest
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given, settings
from hypothesis import strategies as st

from service.relay.frames import PING, Encoding, close_frame, control_frame, text_frame
from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import StoredEvent

TAIL = b"\x00\x00\xff\xff"

texts = st.text(max_size=400)
runs = st.lists(st.lists(texts, min_size=1, max_size=12), min_size=1, max_size=6)


def stored(seq: int, message: str) -> StoredEvent:
    """A stored event with a message."""
    raw = msgspec.json.encode({"type": "translation_progress", "session_id": "s1", "message": message})
    return read_stored(stored_body(decode_event(raw), seq, 1.79e9))


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Whole frames as (first byte, payload); unmasked, as a server's are."""
    frames = []
    while data:
        first, size = data[0], data[1]
        assert not size & 0x80
        head = 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
            assert size >= 126, "RFC 6455 §5.2: the shortest form"
        elif size == 127:
            size, head = int.from_bytes(data[2:10], "big"), 10
            assert size >= 65536, "RFC 6455 §5.2: the shortest form"
        frames.append((first, data[head : head + size]))
        assert len(frames[-1][1]) == size
        data = data[head + size :]
    return frames


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000])
def test_a_text_frame_holds_its_payload(size: int) -> None:
    """The three forms of a length, at their borders."""
    payload = b"x" * size
    assert parse(text_frame(payload)) == [(0x81, payload)]
    assert parse(text_frame(payload, compressed=True)) == [(0xC1, payload)]


@given(
    st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, st.lists, max_leaves=20)
)
def test_a_control_frame_is_one_json_object(value: Any) -> None:
    """Control frames are whole and uncompressed."""
    ((first, payload),) = parse(control_frame({"type": "error", "detail": value}))
    assert first == 0x81
    assert json.loads(payload) == {"type": "error", "detail": value}


def test_ping_and_close_are_control_frames_of_the_protocol() -> None:
    """RFC 6455 §5.5."""
    assert parse(PING) == [(0x89, b"")]
    assert parse(close_frame(1013)) == [(0x88, (1013).to_bytes(2, "big"))]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("window_bits", [0, 9, 12, 15])
@pytest.mark.parametrize("takeover", [False, True])
@given(runs=runs)
@settings(deadline=None, max_examples=40)
def test_every_viewer_of_an_encoding_reads_the_same(
    batch: bool, window_bits: int, takeover: bool, runs: list[list[str]]
) -> None:
    """Frames inflate, in the window agreed on, for those who came first and those who come later.

    A viewer that keeps no window between messages (RFC 7692 §7.1.1) inflates each with a fresh one.
    """
    encoding = Encoding(batch=batch, window_bits=window_bits, takeover=takeover)
    viewers: list[tuple[Any, list[str], list[str]]] = []
    seq = 0
    for run in runs:
        viewers.append((zlib.decompressobj(-window_bits) if window_bits else None, [], []))
        events = []
        for message in run:
            seq += 1
            events.append(stored(seq, message))
        frames = [frame for data in encoding.encode(events) for frame in parse(data)]
        assert len(frames) == (1 if batch else len(run))
        for inflater, got, expected in viewers:
            expected += run
            for first, payload in frames:
                assert first == (0xC1 if window_bits else 0x81)
                if window_bits and not takeover:
                    inflater = zlib.decompressobj(-window_bits)
                data = inflater.decompress(payload + TAIL) if window_bits else payload
                value = orjson.loads(data)
                got += [one["message"] for one in (value if isinstance(value, list) else [value])]
            assert got == expected


@given(run=st.lists(texts, min_size=1, max_size=30))
@settings(deadline=None, max_examples=40)
async def test_a_client_library_reads_them_however_the_network_cuts(run: list[str]) -> None:
    """A real client's parser, fed a few bytes at a time, with a window it keeps."""
    loop = asyncio.get_running_loop()
    queue = WebSocketDataQueue(BaseProtocol(loop), 2**20, loop=loop)
    reader = WebSocketReader(queue, 2**20, compress=True, decode_text=True)
    data = b"".join(
        Encoding(batch=False, window_bits=15, takeover=True).encode(
            [stored(n, text) for n, text in enumerate(run, 1)]
        )
    )
    for start in range(0, len(data), 7):
        reader.feed_data(data[start : start + 7])
    got = [orjson.loads((await queue.read()).data) for _ in run]
    assert [one["message"] for one in got] == run
