"""The server as a program: how it starts, how it refuses to, how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import orjson
import pytest
from aiohttp import WSMsgType

from tests.monitor_process import MonitorProcess
from tests.monitor_server import event


async def _serve(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Run a server that is to end by itself: exit code, stdout, stderr."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MONITOR_", "OTEL_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, **(environ or {})},
    )
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_sigterm_closes_viewers_with_1001_and_exits_0(monitor: MonitorProcess) -> None:
    """SIGTERM: close viewers with 1001, finish the running append, exit 0."""
    async with aiohttp.ClientSession() as client:
        viewers = [await client.ws_connect(f"{monitor.url}/ws?role=viewer") for _ in range(5)]
        publisher = await client.ws_connect(f"{monitor.url}/ws?role=publisher&ack=1")
        for number in range(50):
            await publisher.send_json(event(id=f"e{number}"))
        acked = [(await publisher.receive_json(timeout=10))["seq"] for _ in range(50)]
        assert acked == list(range(1, 51))
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(monitor.stop(), name="SIGTERM")
            for viewer in viewers:
                seqs = []
                while (message := await viewer.receive(timeout=10)).type is WSMsgType.TEXT:
                    seqs.append(message.json()["seq"])
                assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
                assert seqs == acked
            assert (await publisher.receive(timeout=10)).data == 1001
        assert stopping.result() == 0
    await monitor.start()
    assert (await monitor.get("/status"))["event_log"]["last_seq"] == 50


async def test_sigterm_does_not_wait_for_a_viewer_that_stopped_reading(monitor: MonitorProcess) -> None:
    """A viewer that takes nothing is cut: the end takes seconds, not minutes."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", monitor.port))
        raw.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert raw.recv(12).startswith(b"HTTP/1.1 101")
        async with aiohttp.ClientSession() as client:
            body = orjson.dumps([event(message="x" * 10_000) for _ in range(50)])
            for _ in range(4):
                headers = {"Content-Type": "application/json"}
                async with client.post(f"{monitor.url}/events", data=body, headers=headers) as response:
                    assert response.status == 200
        began = asyncio.get_running_loop().time()
        assert await monitor.stop() == 0
        assert asyncio.get_running_loop().time() - began < 8


async def test_sigint_ends_it_as_well(monitor: MonitorProcess) -> None:
    """Ctrl-C is an orderly end."""
    os.kill(monitor.pid, signal.SIGINT)
    assert await monitor.stop() == 0


async def test_a_busy_port_exits_2_and_names_who_holds_it(monitor: MonitorProcess, tmp_path: Path) -> None:
    """A busy port exits 2, naming who holds it, in one line and without touching the log."""
    other = tmp_path / "other.db"
    code, out, err = await _serve("--port", str(monitor.port), "--event-log", f"sqlite:///{other}")
    assert code == 2
    assert out == ""
    assert f"Port {monitor.port}" in err
    assert f"pid {monitor.pid}" in err
    assert "--port" in err
    assert len(err.strip().splitlines()) == 1
    assert not other.exists()


async def test_a_second_server_on_the_same_log_is_refused(monitor: MonitorProcess) -> None:
    """One log, one server: the second says so and leaves it alone."""
    code, _, err = await _serve("--port", "0", "--event-log", f"sqlite:///{monitor.path}")
    assert code in (1, 2)
    assert str(monitor.path) in err
    assert "Traceback" not in err
    assert (await monitor.get("/readyz"))["status"] == "ready"


@pytest.mark.parametrize("damage", [b"this is no database, it is a diary\n" * 400, b"\x00" * 8192])
async def test_a_damaged_log_is_told_in_a_line_and_left_alone(tmp_path: Path, damage: bytes) -> None:
    """A damaged log exits with a clear message, and the file is as it was."""
    path = tmp_path / "events.db"
    path.write_bytes(damage)
    code, _, err = await _serve("--port", "0", "--event-log", f"sqlite:///{path}")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert str(path) in last
    assert "Traceback" not in err
    assert path.read_bytes() == damage


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (("--port", "70000"), {}, "--port"),
        (("--port", "no"), {}, "--port"),
        (("--event-log", "redis://x"), {}, "--event-log"),
        (("--host", "0.0.0.0", "--port", "0"), {}, "--insecure"),
        (("--host", "no.such.host.invalid", "--port", "0", "--insecure"), {}, "no.such.host.invalid"),
        ((), {"MONITOR_MAX_CONNECTIONS": "0"}, "MONITOR_MAX_CONNECTIONS"),
        ((), {"MONITOR_CONFIG": "/no/such/file.json"}, "/no/such/file.json"),
    ],
)
async def test_a_wrong_setting_exits_2_naming_it(
    arguments: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    """A wrong value stops the start with its path, what was found and what is allowed."""
    code, out, err = await _serve("--event-log", "memory:", *arguments, environ=environ)
    assert code == 2
    assert out == ""
    assert told in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


async def test_the_command_and_the_module_are_the_same_program() -> None:
    """`python -m service` = `translation-monitor serve`."""
    code, out, _ = await _serve("--help")
    assert code == 0
    assert "translation-monitor serve" in out
