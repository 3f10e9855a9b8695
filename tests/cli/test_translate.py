"""`translate` as a person runs it: a process, real files, a real monitor, real engines."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.llama import running_model
from tests.otlp_receiver import http_receiver
from tests.parts import need
from translator.engines.apertium import mode_for

PROGRAM = [sys.executable, "-m", "cli.main"]
TEXT = "# The old house\n\n- A **dog** reads `log.txt`.\n- [The book](https://example.org/x) is blue.\n"
LONG = "\n\n".join(f"The dog saw a house. {n}" for n in range(200)) + "\n"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of this machine is configured."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MONITOR_", "OTEL_"))}
    return {**kept, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONWARNINGS": "ignore"}


@pytest.fixture
def monitor(environ: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of a real monitor with a log in memory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "serve.log").open("w") as log:
        process = subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(port), "--event-log", "memory:"],
            env=environ, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until(lambda: answers(f"{url}/readyz"))
            yield url
        finally:
            process.terminate()
            process.wait(20)


@pytest.fixture
def llama_url() -> Iterator[str]:
    """The address of a real model's server, `/v1` included."""
    with running_model() as url:
        yield url


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own address
        return json.load(answer)


def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition did not come about"
        time.sleep(0.02)


def translate(environ: dict[str, str], *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, "translate", *map(str, args)], env=environ, capture_output=True, text=True, timeout=120
    )


def events(monitor: str, session: str) -> list[dict[str, Any]]:
    return list(get(f"{monitor}/sessions/{session}/events?limit=1000")["events"])


@pytest.mark.parametrize("engine", ["glossary", "apertium"])
def test_a_file_is_translated_and_every_step_reaches_the_monitor(
    environ: dict[str, str], monitor: str, tmp_path: Path, engine: str
) -> None:
    """Translates real files and emits events; names the engine and what it is; exit code 0."""
    if engine == "apertium":
        need(mode_for("en", "es") is not None, "apt-get install apertium apertium-eng-spa")
    (tmp_path / "in.md").write_text(TEXT)
    done = translate(
        environ, tmp_path / "in.md", "-o", tmp_path / "out.md", "--from", "en", "--to", "es",
        "--engine", engine, "--monitor", monitor, "--session-id", "book-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = (tmp_path / "out.md").read_text()
    assert re.sub(r"[^\W\d_]+", "w", out.replace("log.txt", "").lower()).count("\n") == TEXT.count("\n")
    for kept in ("# ", "- ", "**", "`log.txt`", "](https://example.org/x)"):
        assert out.count(kept) == TEXT.count(kept)
    assert "dog" not in out
    session = get(f"{monitor}/sessions/book-1")
    assert (session["status"], session["items_done"], session["failed_items"]) == ("completed", 3, 0)
    assert session["engine"] == engine
    assert [e["step"] for e in events(monitor, "book-1") if e["type"] == "step_completed"] == [
        "reading", "parsing", "conversion", "translation", "generation",
    ]  # fmt: skip
    assert {"glossary": "not a translation", "apertium": "rule-based"}[engine] in done.stderr
    assert "3 of 3 segments" in done.stderr


def test_a_model_behind_a_real_server_translates_and_its_tokens_reach_the_monitor(
    environ: dict[str, str], monitor: str, tmp_path: Path, llama_url: str
) -> None:
    """`usage`: tokens and seconds of each request; a segment the model cannot do is a failed item."""
    (tmp_path / "in.md").write_text("# The dog\n\nThe dog reads.\n")
    done = translate(
        {**environ, "OPENAI_BASE_URL": llama_url}, tmp_path / "in.md", "-o", tmp_path / "out.md",
        "--from", "en", "--to", "es", "--monitor", monitor, "--session-id", "m", "--concurrency", 1,
    )  # fmt: skip
    session = get(f"{monitor}/sessions/m")
    assert session["engine"] == "llm"
    assert session["model"].endswith(".gguf")
    assert "/" not in session["model"]
    assert session["usage"]["input_tokens"] > 0
    assert session["usage"]["output_tokens"] > 0
    failed = session["failed_items"]
    assert done.returncode == (1 if failed else 0), done.stderr
    assert session["status"] == ("completed_with_failures" if failed else "completed")
    assert session["items_done"] == 2 - failed
    usages = [usage for event in events(monitor, "m") for usage in event.get("usage", [])]
    assert sum(usage["output_tokens"] for usage in usages) == session["usage"]["output_tokens"]
    assert all(usage["decode_s"] <= usage["duration_s"] for usage in usages)
    assert (tmp_path / "out.md").read_text().startswith("# ")


def test_without_a_monitor_it_translates_and_says_so(environ: dict[str, str], tmp_path: Path) -> None:
    """Translation goes on regardless; what could not be told waits in the spool, and that is said."""
    (tmp_path / "in.txt").write_text("The dog.\n")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        done = translate(
            environ, tmp_path / "in.txt", "-o", tmp_path / "out.txt", "--from", "en", "--to", "es",
            "--engine", "glossary", "--monitor", url,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_text() == "El perro.\n"
    assert "spool" in done.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["in.md", "--from", "en", "--to", "es"], "-o"),
        (["in.md", "-o", "in.md", "--from", "en", "--to", "es"], "overwritten"),
        (["in.md", "-o", "out.md", "--from", "en", "--to", "en"], "nothing to translate"),
        (["in.md", "-o", "out.md", "--from", "english!", "--to", "es"], "language code"),
        (["in.md", "-o", "out.md", "--from", "en", "--to", "es", "--engine", "magic"], "magic"),
        (["in.md", "-o", "out.md", "--from", "en", "--to", "es", "--session-id", "a b"], "--session-id"),
        (["in.md", "-o", "out.md", "--from", "en", "--to", "es", "--concurrency", "0"], "1 to 64"),
        (
            ["in.md", "-o", "out.md", "--from", "en", "--to", "es", "--engine", "glossary", "--model", "m"],
            "llm",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    environ: dict[str, str], tmp_path: Path, args: list[str], said: str
) -> None:
    """Errors are one line that says what, where and what to do."""
    (tmp_path / "in.md").write_text(TEXT)
    done = subprocess.run(
        [*PROGRAM, "translate", *args], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (tmp_path / "in.md").read_text() == TEXT
    assert not (tmp_path / "out.md").exists()


@pytest.mark.parametrize(
    ("name", "options", "error_type"),
    [
        ("missing.md", ["--engine", "glossary"], "read_failed"),
        ("in.pdf", ["--engine", "glossary"], "unsupported_format"),
        ("in.md", ["--engine", "llm"], "engine_down"),
        ("in.md", ["--engine", "glossary", "--to", "fi"], "engine_down"),
    ],
)
def test_what_cannot_be_done_fails_the_session(
    environ: dict[str, str], monitor: str, tmp_path: Path, name: str, options: list[str], error_type: str
) -> None:
    """Fatal errors: `translation_error` with `fatal`, exit code 1, no output."""
    for existing in ("in.md", "in.pdf"):
        (tmp_path / existing).write_text(TEXT)
    done = translate(
        {**environ, "MONITOR_URL": monitor}, tmp_path / name, "-o", tmp_path / "out.md",
        "--from", "en", "--to", "es", "--session-id", "s", *options,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    session = get(f"{monitor}/sessions/s")
    assert session["status"] == "failed"
    assert session["last_error_type"] == error_type
    assert events(monitor, "s")[-1]["fatal"] is True
    assert not (tmp_path / "out.md").exists()


class RefusesKeys(BaseHTTPRequestHandler):
    """An endpoint that lists a model and refuses to work for this key."""

    def do_GET(self) -> None:  # http.server's name
        self._answer(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(401, {"error": {"message": "wrong key sk-secret", "code": "invalid_api_key"}})

    def _answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def test_an_engine_that_fails_fails_the_session_and_shows_no_secret(
    environ: dict[str, str], monitor: str, tmp_path: Path
) -> None:
    """Failing engine: exit 1, the events say why, nothing is written; never a secret."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), RefusesKeys)
    thread = Thread(target=server.serve_forever, name="endpoint")
    thread.start()
    try:
        (tmp_path / "in.md").write_text(TEXT)
        done = translate(
            {
                **environ,
                "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
                "OPENAI_API_KEY": "sk-secret",
            },
            tmp_path / "in.md", "-o", tmp_path / "out.md", "--from", "en", "--to", "es",
            "--monitor", monitor, "--session-id", "s",
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr
    told = events(monitor, "s")
    assert (told[-1]["fatal"], told[-1]["error_type"], told[-1]["step"]) == (True, "auth", "translation")
    assert told[-1]["usage"][0]["result"] == "auth"
    assert "sk-secret" not in done.stderr + done.stdout + json.dumps(told)
    assert not (tmp_path / "out.md").exists()


def test_it_says_at_its_end_how_many_spans_are_lost(environ: dict[str, str], tmp_path: Path) -> None:
    """A dead collector fails no translation; that its spans are gone is said once, with their number."""
    (tmp_path / "in.txt").write_text("The keeper dog reads.\n")
    with socket.socket() as nobody:  # bound, and not listening
        nobody.bind(("127.0.0.1", 0))
        collector = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{nobody.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        done = translate(
            {**environ, **collector}, tmp_path / "in.txt", "-o", tmp_path / "out.txt",
            "--from", "en", "--to", "es", "--engine", "glossary",
        )  # fmt: skip
    assert done.returncode == 0
    (lost,) = (line for line in done.stderr.splitlines() if "spans of this run are lost" in line)
    assert "export_failed=1 exported=0" in lost


async def test_its_spans_join_the_session_where_a_collector_is_configured(
    environ: dict[str, str], monitor: str, tmp_path: Path, llama_url: str
) -> None:
    """`chat {model}` spans below the translation's own, which the first event names; no document text."""
    (tmp_path / "in.txt").write_text("The keeper dog reads.\n")
    async with http_receiver() as received:
        collector = {
            "OPENAI_BASE_URL": llama_url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        await asyncio.to_thread(
            translate, {**environ, **collector}, tmp_path / "in.txt", "-o", tmp_path / "out.txt",
            "--from", "en", "--to", "es", "--monitor", monitor, "--session-id", "s",
        )  # fmt: skip
        await received.until(lambda: bool(received.named("translation")))
        (root,) = received.named("translation")
        chats = [span for span in received.spans if span.name.startswith("chat ")]
    first, *rest = await asyncio.to_thread(events, monitor, "s")
    assert first["traceparent"].startswith(f"00-{root.trace_id.hex()}-{root.span_id.hex()}-")
    assert not any("traceparent" in event for event in rest)
    session = await asyncio.to_thread(get, f"{monitor}/sessions/s")
    assert session["trace_id"] == root.trace_id.hex()
    assert len(chats) == session["usage"]["requests"] > 0
    for span in chats:
        assert (span.trace_id, span.parent_span_id) == (root.trace_id, root.span_id)
        assert b"keeper" not in span.SerializeToString()


@pytest.mark.parametrize(
    ("sent", "code", "status"),
    [(signal.SIGINT, 130, "cancelled"), (signal.SIGTERM, 130, "cancelled"), (signal.SIGKILL, -9, "running")],
)
def test_stopped_midway_it_leaves_no_half_file(
    environ: dict[str, str], monitor: str, tmp_path: Path, sent: signal.Signals, code: int, status: str
) -> None:
    """Ctrl-C: `translation_cancelled`, exit 130. Killed: the old file stays, whole."""
    (tmp_path / "in.md").write_text(LONG)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "in.md").write_text("the result of yesterday")
    process = subprocess.Popen(
        [*PROGRAM, "translate", str(tmp_path / "in.md"), "-o", str(folder), "--from", "en", "--to", "es",
         "--engine", "glossary", "--pace", "0.1", "--monitor", monitor, "--session-id", "s"],
        env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: answers(f"{monitor}/sessions/s") and (get(f"{monitor}/sessions/s")["items_done"] or 0) >= 2)
    process.send_signal(sent)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert get(f"{monitor}/sessions/s")["status"] == status
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"in.md": "the result of yesterday"}


def test_several_files_go_into_a_folder(environ: dict[str, str], tmp_path: Path) -> None:
    """Several INPUTs with -o DIR; a slow hand is said to be one."""
    for name in ("a.md", "b.txt"):
        (tmp_path / name).write_text("The dog.\n")
    done = translate(
        environ, tmp_path / "a.md", tmp_path / "b.txt", "-o", tmp_path / "es", "--from", "en", "--to", "es",
        "--engine", "glossary", "--pace", "0.01",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {p.name: p.read_text() for p in (tmp_path / "es").iterdir()} == {
        "a.md": "El perro.\n",
        "b.txt": "El perro.\n",
    }
    assert "on purpose" in done.stderr
