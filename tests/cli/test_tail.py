"""`tail`: follows the stream, resumes by itself, never lets an event steer the terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import sys
from typing import Any

import aiohttp
import pytest

from tests.monitor_process import MonitorProcess

from .conftest import WAIT_S, Command, Run, Start


@pytest.fixture(autouse=True)
def _at_the_monitor(environ: dict[str, str], monitor: MonitorProcess) -> None:
    environ["MONITOR_URL"] = monitor.url


async def publish(monitor: MonitorProcess, *events: dict[str, Any]) -> None:
    """Publish over HTTP."""
    full = [{"type": "translation_progress", "session_id": "s", **event} for event in events]
    async with aiohttp.ClientSession() as client, client.post(f"{monitor.url}/events", json=full) as answer:
        assert answer.status == 200, await answer.text()


async def watched(monitor: MonitorProcess, viewers: int = 1) -> None:
    """Wait until so many viewers are connected."""
    async with asyncio.timeout(WAIT_S):
        while (await monitor.get("/status"))["viewers"] != viewers:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def shows(screen: bytearray, *parts: bytes) -> None:
    """Wait until all parts have been written to a terminal."""
    async with asyncio.timeout(WAIT_S):
        while not all(part in screen for part in parts):  # noqa: ASYNC110 - the reader is a callback
            await asyncio.sleep(0.05)


async def test_json_lines_are_the_events_as_relayed(start: Start, monitor: MonitorProcess) -> None:
    """`--json`: one event a line, each as soon as it comes."""
    command = await start("tail", "--json")
    await watched(monitor)
    await publish(monitor, {"message": "один"})
    event = json.loads(await command.line())
    assert (event["seq"], event["session_id"], event["message"]) == (1, "s", "один")
    ended = await command.stop()
    assert (ended.code, ended.out, ended.err) == (130, "", "")


async def test_it_resumes_without_gap_or_repeat_when_the_server_is_killed(
    start: Start, monitor: MonitorProcess
) -> None:
    """After a cut it goes on after the last event it has shown."""
    command = await start("tail", "--json")
    await watched(monitor)
    await publish(monitor, *({"current_item": number} for number in range(5)))
    shown = [json.loads(await command.line()) for _ in range(5)]
    await monitor.kill()
    assert await command.error_line() == "The connection to the monitor is lost; trying again.\n"
    await monitor.start()
    await publish(monitor, *({"current_item": number} for number in range(5, 10)))
    shown += [json.loads(await command.line()) for _ in range(5)]
    assert await command.error_line() == "Connected again.\n"
    assert [event["seq"] for event in shown] == list(range(1, 11))
    assert [event["current_item"] for event in shown] == list(range(10))


async def test_a_cut_before_the_first_event_loses_nothing(start: Start, monitor: MonitorProcess) -> None:
    """Its place is known from the start, not only from the first event."""
    await publish(monitor, {"message": "before"})
    command = await start("tail", "--json")
    await watched(monitor)
    await monitor.kill()
    await command.error_line()
    await monitor.start()
    await publish(monitor, {"message": "after"})
    assert json.loads(await command.line())["message"] == "after"


async def test_another_log_is_told_and_read_from_its_beginning(start: Start, monitor: MonitorProcess) -> None:
    """`reset`: the position belongs to a log that is no more."""
    await publish(monitor, {}, {}, {})
    command = await start("tail", "--json")
    await watched(monitor)
    await monitor.kill()
    for file in monitor.path.parent.glob("events.db*"):
        file.unlink()
    await monitor.start()
    await publish(monitor, {"message": "new"})
    event = json.loads(await command.line())
    assert (event["seq"], event["message"]) == (1, "new")
    told = [await command.error_line() for _ in range(3)]
    assert "The monitor has another event log now; starting at its beginning.\n" in told


async def test_history_filters_and_positions(run: Run, start: Start, monitor: MonitorProcess) -> None:
    """`--last`, `--after`, `--session` and `--types` choose what is shown."""
    await publish(
        monitor, {"session_id": "a"}, {"session_id": "b"}, {"type": "step_completed", "session_id": "a"}
    )
    log = (await monitor.get("/status"))["event_log"]["id"]
    for options, seqs in (
        (("--last", "2"), [2, 3]),
        (("--after", f"1@{log}"), [2, 3]),
        (("--after", "0", "--session", "a"), [1, 3]),
        (("--after", "0", "--types", "translation_progress"), [1, 2]),
    ):
        command = await start("tail", "--json", *options)
        assert [json.loads(await command.line())["seq"] for _ in seqs] == seqs
        assert (await command.stop()).code == 130


async def test_a_gap_is_told(start: Start, monitor: MonitorProcess) -> None:
    """What retention took before it could be read is announced with its number."""
    for _ in range(3):
        await publish(monitor, *({} for _ in range(1000)))
    async with asyncio.timeout(WAIT_S):
        while (await monitor.get("/status"))["event_log"]["first_seq"] < 1000:
            await publish(monitor, {})
    await monitor.stop()
    await monitor.start()  # the ring in memory still had what the log has not
    command = await start("tail", "--json", "--after", "0", "--session", "s")
    first = json.loads(await command.line())["seq"]
    assert first > 1
    assert await command.error_line() == (
        f"{first - 1} events are gone: removed by retention before they could be read here.\n"
    )


async def test_a_line_of_text_cannot_steer_the_terminal(start: Start, monitor: MonitorProcess) -> None:
    """Event text is only ever shown: control characters of it are not."""
    command = await start("tail", "--last", "1")
    await watched(monitor)
    await publish(monitor, {"message": "a\x1b]0;owned\x07\x9b2Jb\nc\u202ed", "progress": 5, "step": "read"})
    line = await command.line()
    assert "translation_progress  5 %  read" in line
    assert "a\ufffd]0;owned\ufffd\ufffd2Jb\ufffdc\ufffdd" in line
    assert not set(line) & set("\x1b\x07\x9b\u202e")


async def test_a_closed_pipe_ends_it_without_another_event(start: Start, monitor: MonitorProcess) -> None:
    """`tail | head -1` ends when head does."""
    command = await start("tail", "--json")
    await watched(monitor)
    command.process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    async with asyncio.timeout(WAIT_S):
        assert await command.process.wait() == 0
    assert command.process.stderr is not None
    assert await command.process.stderr.read() == b""


async def test_bars_move_in_a_terminal(environ: dict[str, str], monitor: MonitorProcess) -> None:
    """A terminal shows a row a session: status, step, progress, item n of m, errors, worker."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "tail"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environ, "TERM": "xterm", "LINES": "20", "COLUMNS": "160"},
    )
    os.close(theirs)
    screen = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: screen.extend(os.read(ours, 65536)))
    try:
        await watched(monitor)
        await publish(
            monitor,
            {"type": "translation_started", "session_id": "book", "total_items": 40, "step": "translation"},
            {
                "session_id": "book",
                "progress": 37.5,
                "current_item": "line_15",
                "worker_info": {"host": "gpu1"},
            },
            {"session_id": "book", "type": "translation_error", "error": "x"},
        )
        await shows(screen, b"book", b"running", b"38", b"15/40", b"gpu1:22")
        await publish(monitor, {"session_id": "book", "type": "translation_completed", "progress": 100})
        await shows(screen, b"completed_with_failures")
        process.send_signal(2)
        assert await Command(process).process.wait() == 130
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    assert b"Traceback" not in screen
