"""`translate --resume` as a person needs it: after a kill, a failure, an edit, with another engine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.conftest import WAIT_S, Command, Ended, Run, Start
from tests.monitor_process import MonitorProcess
from tests.parts import need
from translator.engines.apertium import mode_for

LINES = [f"The keeper wrote line number {n} of his long book." for n in range(30)]
TEXT = "\n\n".join(LINES) + "\n"


class Endpoint:
    """A model server that counts how often it is asked for each text, and holds back after `answers` of them.

    It answers with the text in a made-up language. Texts with a word of `refused` get `status`.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: int | None = None
        self.answered = 0
        self.refused = "no such word"
        self.status = 400
        self.word = "zu"
        self.url = ""
        self._open = asyncio.Event()

    def app(self) -> web.Application:
        """The server."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        return app

    def hold_after(self, answers: int) -> None:
        """Answer so many requests more, then none until `go_on`."""
        self.answers = self.answered + answers

    def go_on(self, *, word: str = "zu") -> None:
        """Count anew, answer everything."""
        self.answers, self.word = None, word
        self.asked = Counter()
        self._open.set()
        self._open = asyncio.Event()

    def translation(self, text: str) -> str:
        """What it makes of a text."""
        return f"{self.word} {text}"

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.Response:
        text = (await request.json())["messages"][-1]["content"]
        self.asked[text] += 1
        if self.refused in text:
            return web.json_response({"error": {"message": "no", "code": "no"}}, status=self.status)
        if self.answers is not None and self.answered >= self.answers:
            await self._open.wait()
        self.answered += 1
        message = {"role": "assistant", "content": self.translation(text)}
        return web.json_response({
            "id": "c", "object": "chat.completion", "created": 1, "model": "tiny",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        })  # fmt: skip


@pytest.fixture
async def endpoint(environ: dict[str, str]) -> AsyncIterator[Endpoint]:
    """A running one; the commands know its address."""
    endpoint = Endpoint()
    runner = web.AppRunner(endpoint.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    environ["OPENAI_BASE_URL"] = endpoint.url
    yield endpoint
    endpoint.go_on()
    await runner.cleanup()


@pytest.fixture(autouse=True)
def quiet_libraries(environ: dict[str, str]) -> None:
    """Warnings of the model's client library are not ours to fail for."""
    environ["PYTHONWARNINGS"] = "ignore"


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """`translate in.md -o out.md`, English to Spanish."""
    (tmp_path / "in.md").write_text(TEXT)
    return [
        "translate",
        str(tmp_path / "in.md"),
        "-o",
        str(tmp_path / "out.md"),
        "--from",
        "en",
        "--to",
        "es",
    ]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.01)


def records(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / ".local/state/translation-monitor/translations").glob("*.ndjson"))


def kept(tmp_path: Path) -> int:
    """How many finished segments are on disk: whole lines but for the headers."""
    return sum(path.read_bytes().count(b'"segment"') for path in records(tmp_path))


async def stop_after(
    start: Start, endpoint: Endpoint, tmp_path: Path, answers: int, arguments: list[str],
    sent: signal.Signals = signal.SIGKILL,
) -> Ended:  # fmt: skip
    """Start a translation and end it when `answers` segments more are kept and others are under way."""
    before = kept(tmp_path) if "--resume" in arguments else 0
    endpoint.hold_after(answers)
    command: Command = await start(*arguments)
    await until(lambda: kept(tmp_path) == before + answers)
    command.process.send_signal(sent)
    return await command.end()


def resumable(said: str, kept_segments: int, total: int = len(LINES)) -> bool:
    told, _, command = said.strip().rpartition("\n  ")
    return (
        f"{kept_segments} of {total} segments are kept; to go on from there:" in told
        and command.startswith("translation-monitor translate /")
        and command.endswith(" --resume")
    )


async def segments_told(monitor: MonitorProcess, session_id: str) -> list[str]:
    """The segments that events tell as done, in order."""
    events = (await monitor.get(f"/sessions/{session_id}/events?limit=1000"))["events"]
    return [
        event["data"]["segment"]
        for event in events
        if event["type"] == "translation_progress" and "segment" in event.get("data", {})
    ]


async def test_after_a_kill_no_finished_segment_is_asked_for_again(
    start: Start, run: Run, endpoint: Endpoint, monitor: MonitorProcess, tmp_path: Path, arguments: list[str]
) -> None:
    """`translate --resume` after a kill -9 repeats no finished segment; the session goes on as one."""
    watched = [*arguments, "--monitor", monitor.url]
    endpoint.hold_after(12)
    command = await start(*watched, "--session-id", "book-1")
    await until(lambda: kept(tmp_path) == 12 and endpoint.asked.total() == 16)
    async with asyncio.timeout(WAIT_S):
        while len(await segments_told(monitor, "book-1")) < 12:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
    command.process.kill()
    await command.end()
    assert not (tmp_path / "out.md").exists()
    first = set(endpoint.asked)
    endpoint.go_on()
    done = await run(*watched, "--resume", "--concurrency", "2")
    assert done.code == 0, done.err
    assert "12 of 30 segments of an earlier run are kept; going on from there." in done.err
    assert "12 of 30 segments were kept from an earlier run (llm tiny)." in done.err
    assert "18 of 18 segments translated" in done.err
    assert set(endpoint.asked.values()) == {1}
    assert len(endpoint.asked) == 18
    assert len(first - set(endpoint.asked)) == 12
    assert (tmp_path / "out.md").read_text() == "\n\n".join(map(endpoint.translation, LINES)) + "\n"
    assert records(tmp_path) == []

    session = await monitor.get("/sessions/book-1")
    assert (session["status"], session["items_done"], session["total_items"]) == ("completed", 30, 30)
    assert session["failed_items"] == 0
    events = (await monitor.get("/sessions/book-1/events?limit=1000"))["events"]
    told = {e["data"]["items_resumed"] for e in events if "items_resumed" in e.get("data", {})}
    assert told == {12}
    told_done = await segments_told(monitor, "book-1")
    assert len(told_done) == len(set(told_done)) == 30
    metrics = await monitor.metrics()
    assert metrics['translation_items_total{kind="translation"}'] == 30


async def test_a_real_engine_killed_twice_makes_the_same_document(
    start: Start, run: Run, monitor: MonitorProcess, tmp_path: Path, arguments: list[str]
) -> None:
    """The output is that of a run that nobody stopped, and every segment was told as done once."""
    need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
    whole = tmp_path / "whole.md"
    done = await run(*arguments, "-o", str(whole), "--engine", "apertium")
    assert done.code == 0, done.err
    watched = [*arguments, "--engine", "apertium", "--monitor", monitor.url]
    for more in (["--session-id", "book-1"], ["--resume"]):
        before = kept(tmp_path)
        command = await start(*watched, "--pace", "0.05", *more)
        await until(lambda: kept(tmp_path) >= before + 6)  # noqa: B023  # used before it changes
        command.process.kill()
        await command.end()
    finished = kept(tmp_path)
    assert 12 <= finished < len(LINES)
    done = await run(*watched, "--resume")
    assert done.code == 0, done.err
    assert f"{finished} of 30 segments of an earlier run" in done.err
    assert (tmp_path / "out.md").read_text() == whole.read_text()
    session = await monitor.get("/sessions/book-1")
    assert (session["status"], session["items_done"]) == ("completed", 30)
    told = await segments_told(monitor, "book-1")
    # A segment is kept first and told then: a kill between the two leaves it untold, never told twice.
    assert len(told) == len(set(told)) >= 30 - 2


@pytest.mark.parametrize("torn", [1, 40, 10_000])
async def test_a_torn_last_line_costs_one_segment(
    start: Start, run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str], torn: int
) -> None:
    """The line that was being written when the power went is translated again, the others are not."""
    await stop_after(start, endpoint, tmp_path, 10, arguments)
    (path,) = records(tmp_path)
    content = path.read_bytes()
    last = len(content) - content.rstrip(b"\n").rfind(b"\n") - 1
    os.truncate(path, len(content) - min(torn, last - 1))
    endpoint.go_on()
    done = await run(*arguments, "--resume")
    assert done.code == 0, done.err
    assert (len(endpoint.asked), set(endpoint.asked.values())) == (21, {1})
    assert (tmp_path / "out.md").read_text() == "\n\n".join(map(endpoint.translation, LINES)) + "\n"


async def test_an_edited_document_is_translated_where_it_was_edited(
    start: Start, run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str]
) -> None:
    """A segment counts as finished while the document says what was translated; elsewhere it may change."""
    await stop_after(start, endpoint, tmp_path, 10, arguments, signal.SIGINT)
    finished = [line for line in LINES if line in records(tmp_path)[0].read_text()]
    changed = finished[0].replace("keeper", "sailor")
    text = "A new beginning.\n\n" + TEXT.replace(finished[0], changed).replace(finished[1] + "\n\n", "")
    (tmp_path / "in.md").write_text(text)
    endpoint.go_on()
    done = await run(*arguments, "--resume")
    assert done.code == 0, done.err
    assert set(endpoint.asked) == {"A new beginning.", changed, *(set(LINES) - set(finished))}
    lines = text.strip().split("\n\n")
    assert (tmp_path / "out.md").read_text() == "\n\n".join(map(endpoint.translation, lines)) + "\n"


async def test_another_engine_goes_on_and_the_end_says_who_made_what(
    start: Start, run: Run, endpoint: Endpoint, monitor: MonitorProcess, tmp_path: Path, arguments: list[str]
) -> None:
    """With another engine, model and concurrency if asked; the session named otherwise if asked."""
    watched = [*arguments, "--monitor", monitor.url]
    stopped = await stop_after(
        start, endpoint, tmp_path, 10, [*watched, "--concurrency", "1", "--session-id", "a"], signal.SIGTERM
    )
    assert (stopped.code, resumable(stopped.err, 10)) == (130, True), stopped.err
    assert (await monitor.get("/sessions/a"))["status"] == "cancelled"
    done = await run(*watched, "--resume", "--engine", "glossary", "--session-id", "b")
    assert done.code == 0, done.err
    assert "10 of 30 segments were kept from an earlier run (llm tiny)." in done.err
    assert "20 of 20 segments translated" in done.err
    lines = (tmp_path / "out.md").read_text().strip().split("\n\n")
    assert lines[:10] == list(map(endpoint.translation, LINES[:10]))
    assert not any(line.startswith("zu ") for line in lines[10:])
    session = await monitor.get("/sessions/b")
    assert (session["status"], session["items_done"], session["engine"]) == ("completed", 30, "glossary")
    metrics = await monitor.metrics()
    assert metrics['translation_items_total{kind="translation"}'] == 30


async def test_failed_segments_are_tried_again_and_only_they(
    run: Run, endpoint: Endpoint, monitor: MonitorProcess, tmp_path: Path, arguments: list[str]
) -> None:
    """A run that ended with failures (exit 1) keeps what it did, so that --resume repairs it."""
    watched = [*arguments, "--monitor", monitor.url]
    endpoint.refused = "number 7 "
    failed = await run(*watched, "--session-id", "book-1")
    assert (failed.code, resumable(failed.err, 29)) == (1, True), failed.err
    assert LINES[7] in (tmp_path / "out.md").read_text().split("\n\n")
    assert (await monitor.get("/sessions/book-1"))["status"] == "completed_with_failures"
    endpoint.go_on()
    endpoint.refused = "no such word"
    done = await run(*watched, "--resume")
    assert done.code == 0, done.err
    assert endpoint.asked == {LINES[7]: 1}
    assert (tmp_path / "out.md").read_text() == "\n\n".join(map(endpoint.translation, LINES)) + "\n"
    assert records(tmp_path) == []
    session = await monitor.get("/sessions/book-1")
    assert (session["status"], session["items_done"], session["failed_items"]) == ("completed", 30, 0)


async def test_a_fatal_error_keeps_what_was_done(
    run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str]
) -> None:
    """The message says how to go on; so does the next run that does not."""
    endpoint.refused, endpoint.status = "number 20 ", 401
    failed = await run(*arguments, "--concurrency", "1")
    assert (failed.code, resumable(failed.err, 20)) == (1, True), failed.err
    assert not (tmp_path / "out.md").exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in records(tmp_path)} == {0o600}
    assert "keeper" not in failed.err + failed.out

    endpoint.go_on()
    endpoint.refused = "no such word"
    done = await run(*arguments)
    assert done.code == 0, done.err
    (line,) = [line for line in done.err.splitlines() if "earlier run" in line]
    assert line == "20 of 30 segments of an earlier run are kept; --resume continues, this run starts anew."
    assert (len(endpoint.asked), set(endpoint.asked.values())) == (30, {1})
    assert records(tmp_path) == []


async def test_everything_finished_needs_no_engine_calls(
    start: Start, run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str]
) -> None:
    """Where only the writing failed, --resume writes."""
    blocked = [*arguments[:3], str(tmp_path / "folder" / "out.md"), *arguments[4:]]
    endpoint.hold_after(29)
    writing = await start(*blocked)
    await until(lambda: kept(tmp_path) == 29)
    (tmp_path / "folder").rmdir()
    (tmp_path / "folder").write_text("in the way")
    endpoint.go_on()
    failed = await writing.end()
    assert (failed.code, resumable(failed.err, 30)) == (1, True), failed.err
    (tmp_path / "folder").unlink()
    endpoint.go_on()
    done = await run(*blocked, "--resume")
    assert done.code == 0, done.err
    assert endpoint.asked == {}
    assert (tmp_path / "folder" / "out.md").read_text().startswith("zu The keeper")


async def test_the_same_work_twice_at_a_time_is_refused(
    start: Start, run: Run, endpoint: Endpoint, monitor: MonitorProcess, tmp_path: Path, arguments: list[str]
) -> None:
    """The second run ends at once with 1, asks no engine, and leaves the first one's session alone."""
    watched = [*arguments, "--monitor", monitor.url, "--session-id", "book-1"]
    endpoint.hold_after(5)
    first = await start(*watched)
    await until(lambda: kept(tmp_path) == 5 and endpoint.asked.total() == 9)
    for more in ([], ["--resume"]):
        second = await run(*watched, *more)
        assert second.code == 1
        (line,) = second.err.strip().splitlines()
        assert re.search(r"in\.md is being translated to .*out\.md by another process", line)
    assert endpoint.asked.total() == 9
    endpoint.go_on()
    ended = await first.end()
    assert ended.code == 0, ended.err
    events: list[dict[str, Any]] = (await monitor.get("/sessions/book-1/events?limit=1000"))["events"]
    assert [e["type"] for e in events].count("translation_started") == 1


async def test_of_several_files_each_goes_on_where_it_stopped(
    start: Start, run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str]
) -> None:
    """Finished files are not translated again, nor the finished part of the one under way."""
    (tmp_path / "b.txt").write_text("One.\n\nTwo.\n\nThree.\n")
    several = [
        "translate",
        str(tmp_path / "b.txt"),
        arguments[1],
        "-o",
        str(tmp_path / "es/"),
        *arguments[4:],
    ]
    several += ["--concurrency", "1"]
    await stop_after(start, endpoint, tmp_path, 8, several)
    assert len(records(tmp_path)) == 2
    endpoint.go_on()
    done = await run(*several, "--resume")
    assert done.code == 0, done.err
    assert "8 of 33 segments of an earlier run" in done.err
    assert set(endpoint.asked) == set(LINES[5:])
    assert (tmp_path / "es/b.txt").read_text() == "zu One.\n\nzu Two.\n\nzu Three.\n"
    assert (tmp_path / "es/in.md").read_text() == "\n\n".join(map(endpoint.translation, LINES)) + "\n"


async def test_with_nothing_to_resume_it_begins_and_says_so(
    run: Run, endpoint: Endpoint, tmp_path: Path, arguments: list[str]
) -> None:
    """A first run may carry --resume, in a script that is called until it succeeds."""
    done = await run(*arguments, "--resume")
    assert done.code == 0, done.err
    assert "Nothing is kept of an earlier run" in done.err
    assert len(endpoint.asked) == 30


async def test_where_nothing_can_be_kept_it_translates_all_the_same(
    run: Run, endpoint: Endpoint, environ: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    """A home that cannot be written to stops nobody, unless resuming was asked for."""
    (tmp_path / "file").write_text("")
    environ["XDG_STATE_HOME"] = str(tmp_path / "file")
    done = await run(*arguments)
    assert done.code == 0, done.err
    assert "--resume will not be possible" in done.err
    endpoint.go_on()
    refused = await run(*arguments, "--resume")
    assert refused.code == 1
    assert str(tmp_path / "file") in refused.err
    assert endpoint.asked == {}
