"""`emit`: publishes events from arguments and standard input."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.monitor_process import MonitorProcess

from .conftest import WAIT_S, Run, Start


@pytest.fixture(autouse=True)
def _at_the_monitor(environ: dict[str, str], monitor: MonitorProcess) -> None:
    environ["MONITOR_URL"] = monitor.url


def line(session_id: str = "s", **fields: Any) -> bytes:
    """A progress event as a line."""
    return json.dumps({"type": "translation_progress", "session_id": session_id, **fields}).encode() + b"\n"


async def stored(monitor: MonitorProcess, session_id: str = "s") -> list[dict[str, Any]]:
    """All events of a session, in order."""
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await monitor.get(f"/sessions/{session_id}/events?after={after}&limit=1000")
        events += page["events"]
        after = page["next_after"]
    return events


async def test_each_event_of_the_arguments_gets_its_seq(run: Run, monitor: MonitorProcess) -> None:
    """`emit` publishes events given as arguments and prints each acknowledged seq."""
    ended = await run("emit", line(message="Привет").decode(), line(progress=5).decode())
    assert (ended.code, ended.out, ended.err) == (0, "1\n2\n", "")
    first, second = await stored(monitor)
    assert (first["message"], second["progress"]) == ("Привет", 5)


async def test_an_event_is_built_from_options(run: Run, monitor: MonitorProcess) -> None:
    """`--type`, `--session` and `--field` spare one the JSON; texts stay texts."""
    fields = ("--field", "progress=55", "--field", "message=12", "--field", 'data={"a": [1]}')
    ended = await run("emit", "--type", "translation_progress", "--session", "s", *fields)
    assert (ended.code, ended.out) == (0, "1\n")
    (event,) = await stored(monitor)
    assert (event["progress"], event["message"], event["data"]) == (55, "12", {"a": [1]})


async def test_each_line_is_sent_as_it_comes(start: Start) -> None:
    """Standard input is a stream: an event is stored and acknowledged before the next one is written."""
    command = await start("emit")
    for seq in (1, 2, 3):
        await command.write(line())
        assert await command.line() == f"{seq}\n"
    assert (await command.end(b"")).code == 0


async def test_a_bad_line_is_named_and_the_rest_goes_on(run: Run) -> None:
    """Bad events stand on standard error with their line and field, and the exit code is 1."""
    lines = [
        line(),
        b"{nonsense\n",
        b"\n",
        line(progress=101),
        b'{"type":"translation_progress"}\n',
        b"\xff\n",
        line("s", type="session_ended"),
        line(message="x" * 70_000),  # taken here, refused by the server
        line(),
    ]
    ended = await run("emit", stdin=b"".join(lines))
    assert ended.code == 1
    assert ended.out == "1\n2\n"
    told = ended.err.splitlines()
    starts = sorted(text.partition(":")[0] for text in told)
    assert starts == [
        "line 2",
        "line 4, progress",
        "line 5, session_id",
        "line 6",
        "line 7, type",
        "line 8",
    ]


async def test_a_session_is_filled_in_where_it_is_missing(run: Run, monitor: MonitorProcess) -> None:
    """`--session` is for events that have none."""
    ended = await run("emit", "--session", "mine", stdin=b'{"type":"translation_started"}\n' + line("other"))
    assert (ended.code, ended.out) == (0, "1\n2\n")
    assert len(await stored(monitor, "mine")) == len(await stored(monitor, "other")) == 1


async def test_a_repeated_id_prints_the_first_seq(run: Run, monitor: MonitorProcess) -> None:
    """The same id in the same session is one event."""
    ended = await run("emit", stdin=line(id="a") + line(id="b") + line(id="a"))
    assert (ended.code, ended.out) == (0, "1\n2\n1\n")
    assert len(await stored(monitor)) == 2


async def test_many_events_keep_their_order(run: Run, monitor: MonitorProcess) -> None:
    """Batches on the wire change neither the order nor the count."""
    ended = await run("emit", stdin=b"".join(line(current_item=number) for number in range(3000)))
    assert ended.code == 0
    assert ended.out.split() == [str(seq) for seq in range(1, 3001)]
    items = [event["current_item"] for event in await stored(monitor)]
    assert items == list(range(3000 - len(items), 3000))


async def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    start: Start, monitor: MonitorProcess
) -> None:
    """After a cut the unacknowledged events are sent again under the same ids."""
    command = await start("emit")
    total = 900
    await command.write(b"".join(line(current_item=number) for number in range(300)))
    first = [await command.line() for _ in range(10)]
    await monitor.kill()
    await command.write(b"".join(line(current_item=number) for number in range(300, total)))
    assert "trying again" in await command.error_line()
    await monitor.start()
    ended = await command.end(b"")
    assert ended.code == 0
    seqs = [int(seq) for seq in (*first, *ended.out.split())]
    assert len(seqs) == total
    assert seqs == sorted(set(seqs))
    assert [event["current_item"] for event in await stored(monitor)] == list(range(total))


async def test_what_a_publisher_left_is_delivered(
    run: Run, monitor: MonitorProcess, tmp_path: Path, environ: dict[str, str]
) -> None:
    """`--spool DIR` delivers what a publisher left behind, once."""
    spool = tmp_path / "spool"
    leaving = (
        "from translation_events import Publisher\n"
        f"with Publisher({monitor.url!r}, session_id='s', spool_dir={str(spool)!r}) as publisher:\n"
        "    publisher.emit('translation_started')\n"
        "    publisher.emit('translation_progress', progress=5)\n"
    )
    await monitor.kill()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", leaving, env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    await monitor.start()
    ended = await run("emit", "--spool", str(spool))
    assert (ended.code, ended.out, ended.err) == (0, "1\n2\n", "")
    assert [event["type"] for event in await stored(monitor)] == [
        "translation_started",
        "translation_progress",
    ]
    assert await run("emit", "--spool", str(spool)) == (0, "", "")
    missing = await run("emit", "--spool", str(tmp_path / "none"))
    assert missing.code == 2
    assert "There is no spool at" in missing.err


async def test_without_events_there_is_nothing_to_do(run: Run) -> None:
    """An empty input is fine."""
    assert await run("emit") == (0, "", "")


async def test_a_closed_output_is_no_success(start: Start) -> None:
    """Unlike a viewer's, its work is not done when nobody reads the seqs."""
    command = await start("emit")
    output = command.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
    output.close()
    await asyncio.sleep(0)
    ended = await command.end(line() * 10)
    assert ended.code == 1
    assert "Standard output was closed" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="another process's limits can be set on Linux only")
async def test_a_log_that_cannot_be_written_is_waited_for(start: Start, monitor: MonitorProcess) -> None:
    """`log_unavailable` is worth a resend: nothing is lost, and the order stays."""
    command = await start("emit")
    await command.write(line(current_item=0))
    assert await command.line() == "1\n"
    limits = resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    await command.write(b"".join(line(current_item=number) for number in range(1, 400)))
    async with asyncio.timeout(WAIT_S):
        while (await monitor.get("/status"))["event_log"]["unavailable_since"] is None:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    resource.prlimit(monitor.pid, resource.RLIMIT_FSIZE, limits)
    ended = await command.end(b"")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.split() == [str(seq) for seq in range(2, 401)]
    assert [event["current_item"] for event in await stored(monitor)] == list(range(400))
