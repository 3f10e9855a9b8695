"""Malformed, oversized and hostile frames by the ten thousand: no crash, all counted, memory flat."""

from __future__ import annotations

import asyncio
import itertools
import random
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event
from tests.raw_websocket import CLOSE, TEXT, RawWebSocket, masked

FLAT_BYTES = 24 * 2**20
LIMIT = 64 * 1024
FORMS = 12


def hostile(rng: random.Random, number: int) -> tuple[bytes, str]:
    """A frame's payload and the code that must answer it."""
    good = orjson.dumps(event(f"s{number % 50}", message="x" * rng.randrange(200)))
    match number % FORMS:
        case 0:
            return good[: rng.randrange(1, len(good))], "invalid_json"
        case 1:
            return rng.randbytes(rng.randrange(1, 300)) + b"\xff", "invalid_json"
        case 2:
            return b'{"a":' * 5000, "invalid_json"
        case 3:
            return b"[" * 60_000, "invalid_json"
        case 4:
            deep = b'{"a":' * 40 + b"1" + b"}" * 40
            return b'{"type":"translation_progress","session_id":"s","data":%b}' % deep, "invalid_json"
        case 5:
            return orjson.dumps(event(type=f"type{number}")), "invalid_event"
        case 6:
            session_id = rng.choice(["", "..", "a/b", "_x", "history", "x" * 129])
            return orjson.dumps(event(session_id)), "invalid_event"
        case 7:
            choices: list[tuple[str, object]] = [
                ("progress", 1e9),
                ("total_items", -1),
                ("data", []),
                ("seq", 1),
            ]
            name, value = rng.choice(choices)
            return orjson.dumps({**event(), name: value}), "invalid_event"
        case 8:
            return b'{"type":"translation_progress","session_id":"s","message":"\\ud800"}', "invalid_json"
        case 9:
            return good[:-1] + b',"current_item":' + b"9" * 5000 + b"}", "invalid_event"
        case 10:
            return orjson.dumps([event(), event()]), "invalid_event"
        case _:
            return rng.choice([b"", b"null", b"0", b'""', b"NaN", b"\x00" * 100, b"  "]), "invalid"


def breaking(number: int) -> tuple[bytes, int]:
    """Bytes that end the connection and the code that must close it."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    blown = bomb.compress(b"0" * 2**22) + bomb.flush(zlib.Z_SYNC_FLUSH)
    return [
        (masked(b"x" * (LIMIT + 1)), 1009),
        (masked(blown[:-4], first=0xC1), 1009),
        (masked(b"x", first=0x83), 1002),
        (masked(b"x" * 126, first=0x89), 1002),
        (masked(b"x", first=0x80), 1002),
        (masked(b"not deflate at all", first=0xC1), 0),
    ][number % 6]


async def attack(monitor: MonitorProcess, frames: Iterator[int], counted: Counter[str], seed: int) -> None:
    """Send hostile frames over one connection after the other and check every answer."""
    rng = random.Random(seed)
    for turn in itertools.count():
        window = list(itertools.islice(frames, 500))
        if not window:
            return
        ws = await RawWebSocket.connect(monitor.port, "role=publisher&ack=1", extensions="permessage-deflate")
        try:
            expected = []
            for number in window:
                payload, code = hostile(rng, number)
                ws.send(payload, first=0x80 | TEXT if number % 3 else 0x82)
                expected.append(code)
                if len(expected) % 50 == 0:
                    for code in expected[-50:]:
                        reply = await ws.message()
                        assert reply["type"] == "error", reply
                        assert reply["code"].startswith(code), (reply, code)
                        counted[reply["code"]] += 1
            data, close_code = breaking(turn + seed)
            ws.write(data)
            opcode, payload = await ws.frame()
            assert opcode == CLOSE
            if close_code:
                assert int.from_bytes(payload[:2], "big") == close_code
            counted["too_large"] += close_code == 1009
        finally:
            ws.abort()


async def _survives(tmp_path: Path, count: int) -> None:
    monitor = MonitorProcess(tmp_path / "events.db")
    await monitor.start()
    watcher: RawWebSocket | None = None
    try:
        counted: Counter[str] = Counter()
        resident: list[int] = []
        for part in range(5):
            frames = iter(range(count * part // 5, count * (part + 1) // 5))
            async with asyncio.TaskGroup() as tasks:
                for seed in range(4):
                    attacking = attack(monitor, frames, counted, seed)
                    tasks.create_task(attacking, name=f"attacker {seed}")
            resident.append(monitor.rss_bytes())
        metrics = await monitor.metrics()
        for code in ("invalid_json", "invalid_event", "too_large"):
            assert counted[code] > 0
            sample = f'translation_events_rejected_total{{reason="{code}",source="ws"}}'
            assert metrics[sample] == counted[code], code
        assert counted["invalid_json"] + counted["invalid_event"] == count
        assert metrics["translation_log_last_seq"] == 0
        # From the first fifth on, nothing grows.
        assert max(resident[1:]) - resident[0] < FLAT_BYTES, resident
        # Whoever means well is served as before.
        ws = await RawWebSocket.connect(monitor.port, "role=publisher&ack=1")
        ws.send(orjson.dumps(event(id="well meant")))
        assert await ws.message() == {"type": "ack", "id": "well meant", "seq": 1}
        watcher = await RawWebSocket.connect(monitor.port, "role=viewer&after=0")
        assert (await watcher.message())["seq"] == 1
        ws.abort()
    finally:
        if watcher is not None:
            watcher.abort()
        assert await monitor.stop() == 0


@pytest.mark.slow
async def test_fifty_thousand_hostile_frames_change_nothing(tmp_path: Path) -> None:
    """No crash, every refusal counted, memory flat."""
    await _survives(tmp_path, 50_000)


@pytest.mark.soak
@pytest.mark.timeout(1800)
async def test_a_million_hostile_frames_change_nothing(tmp_path: Path) -> None:
    """No crash, every refusal counted, memory flat."""
    await _survives(tmp_path, 1_000_000)
