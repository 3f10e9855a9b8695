"""Commands on real workers: what counts as a result, each failure by its name, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.spec import Engine
from tests.sshd import Sshd, names, until

Start = Callable[..., Sshd]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def sh(connection: Connection, script: str, stdin: str = "", **options: object) -> str:
    """Run a script there."""
    usual: dict[str, object] = {"timeout_s": 20, "allowed": ("sh",), "values": {"script": script}}
    result = await run(connection, "sh -c {script}", stdin, **{**usual, **options})  # type: ignore[arg-type]  # by name
    return result.stdout


async def failure_of(work: Awaitable[object]) -> WorkerError:
    """How it fails."""
    with pytest.raises(WorkerError) as caught:
        await work
    return caught.value


async def clean(sshd: Sshd, pattern: str) -> None:
    """The far side has no such process and no folder any more."""
    await asyncio.to_thread(until, lambda: not sshd.account.processes(pattern) and not sshd.leftovers())


async def test_text_goes_in_and_the_result_comes_line_by_line(sshd: Sshd) -> None:
    """Text on stdin, result on stdout, streamed."""
    lines: list[str] = []
    async with Connection(sshd.spec()) as connection:
        script = 'while read -r line; do echo "<$line>"; done; echo warned >&2'
        result = await run(
            connection,
            "sh -c {script}",
            "раз\nдва\n",
            timeout_s=10,
            values={"script": script},
            allowed=("sh",),
            on_line=lines.append,
        )
    assert result.stdout == "<раз>\n<два>\n"
    assert lines == ["<раз>", "<два>"]
    assert result.stderr == "warned\n"
    assert 0 < result.duration_s < 10
    assert sshd.leftovers() == []


async def test_a_line_is_told_before_the_command_ends(sshd: Sshd) -> None:
    """Progress is real: a line is seen when it is printed."""
    seen = asyncio.Event()
    async with Connection(sshd.spec()) as connection, asyncio.TaskGroup() as tasks:
        script = 'echo first; while [ ! -e "$SSH_WORKER_REMOTE_DIR/../go" ]; do sleep 0.05; done; echo last'
        work = tasks.create_task(sh(connection, script, on_line=lambda _: seen.set()), name="work")
        async with asyncio.timeout(5):
            await seen.wait()
        assert not work.done()
        (sshd.remote_dir / "go").touch()
        assert await work == "first\nlast\n"


async def test_a_large_text_goes_through_while_both_outputs_are_drained(sshd: Sshd) -> None:
    """Always drained: 3 MB in, 3 MB out, and as much on stderr."""
    text = "абв\n" * 430_000
    async with Connection(sshd.spec()) as connection:
        assert await sh(connection, "tee /dev/stderr", text) == text


async def test_a_nonzero_exit_is_told_with_the_last_of_stderr(sshd: Sshd) -> None:
    """Not a result, whatever was printed before."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, "echo half; seq 100000 >&2; echo no model >&2; exit 3"))
    assert (error.failure, error.exit_status) == (Failure.EXIT, 3)
    assert error.detail == "sh exited with 3"
    assert error.stderr.endswith("100000\nno model\n")
    assert len(error.stderr) <= 4096
    assert not error.worker_is_gone


async def test_a_signal_is_told(sshd: Sshd) -> None:
    """A crash is not an exit."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, "echo half; kill -s SEGV $$"))
    assert (error.failure, error.detail) == (Failure.SIGNAL, "sh was ended by signal SEGV")


async def test_exit_0_with_nothing_is_a_failure(sshd: Sshd) -> None:
    """Unless the caller says that silence is fine."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, "echo; echo tired >&2"))
        assert (error.failure, error.exit_status, error.stderr) == (Failure.EMPTY, 0, "tired\n")
        assert await sh(connection, "true", allow_empty=True) == ""


async def test_a_last_line_without_an_end_is_a_failure(sshd: Sshd) -> None:
    """A program cut short ends in the middle of a line."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, "echo one; printf tw"))
        assert (error.failure, error.detail) == (Failure.BAD_OUTPUT, "sh ended in the middle of a line")
        assert await sh(connection, "printf tw", whole_lines=False) == "tw"


async def test_what_is_not_text_is_a_failure(sshd: Sshd) -> None:
    """Results are UTF-8."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, r"printf '\377\376\n'"))
    assert (error.failure, error.detail) == (Failure.BAD_OUTPUT, "sh printed what is not UTF-8")


async def test_a_gigabyte_of_output_is_cut_and_ended(sshd: Sshd) -> None:
    """Size-bounded here, and the program is ended there."""
    async with Connection(sshd.spec()) as connection:
        began = time.monotonic()
        error = await failure_of(
            run(connection, "head -c 1000000000 /dev/zero", timeout_s=60, max_bytes=10**6, allowed=("head",))
        )
        assert (error.failure, "more than 1000000 bytes" in error.detail) == (Failure.TOO_LARGE, True)
        assert time.monotonic() - began < 10
        await clean(sshd, "head -c")
        assert await sh(connection, "echo still here") == "still here\n"


async def test_a_command_over_its_time_is_ended_there(sshd: Sshd) -> None:
    """TIMEOUT here, TERM there."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(sh(connection, "echo x; sleep 22360; echo y", timeout_s=0.5))
        assert (error.failure, "within 0.5 s" in error.detail) == (Failure.TIMEOUT, True)
        await clean(sshd, "sleep 22360")


@pytest.mark.slow
async def test_a_command_that_ignores_term_is_killed(sshd: Sshd) -> None:
    """TERM, then KILL after 5 s, and its channel is free again."""
    async with Connection(sshd.spec()) as connection:
        began = time.monotonic()
        error = await failure_of(sh(connection, "trap '' TERM; while :; do sleep 26457; done", timeout_s=0.5))
        assert error.failure is Failure.TIMEOUT
        await asyncio.to_thread(until, lambda: not sshd.account.processes("26457"))
        assert 4 < time.monotonic() - began < 9
        await clean(sshd, "26457")
        await asyncio.to_thread(until, lambda: connection.channels.active == 0)


async def test_a_cancelled_command_is_ended_there(sshd: Sshd) -> None:
    """Also one that is cancelled while its channel opens: no task, channel or process stays."""
    async with Connection(sshd.spec()) as connection:
        await connection.open()
        before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as tasks:
            for pause_s in (0, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2):
                work = tasks.create_task(sh(connection, "sleep 28284"), name="work")
                await asyncio.sleep(pause_s)
                work.cancel()
        await clean(sshd, "sleep 28284")
        await asyncio.to_thread(until, lambda: connection.channels.active == 0)
        assert asyncio.all_tasks() <= before


async def test_a_worker_that_dies_in_the_middle_of_a_line_is_lost(sshd: Sshd) -> None:
    """Half a line is never a result, and what ran there ends by itself."""
    started = asyncio.Event()
    async with Connection(sshd.spec()) as connection, asyncio.TaskGroup() as tasks:
        script = "echo one; printf tw; exec sleep 31622"
        work = tasks.create_task(
            failure_of(sh(connection, script, on_line=lambda _: started.set())), name="work"
        )
        async with asyncio.timeout(5):
            await started.wait()
        sshd.cut()
        error = await work
        assert error.failure is Failure.LOST
        assert error.worker_is_gone
        await clean(sshd, "sleep 31622")


async def test_a_program_that_is_not_there_is_told(sshd: Sshd) -> None:
    """The commonest mistake on a new worker."""
    async with Connection(sshd.spec()) as connection:
        error = await failure_of(run(connection, "llama-cli", timeout_s=5, allowed=("llama-cli",)))
    assert error.failure is Failure.COMMAND_REFUSED
    said, remedy = "no program llama-cli here", "install it there, or name it by its full path"
    assert error.detail == f"the worker did not run llama-cli: {said}; {remedy}"


async def test_only_allowed_programs_are_asked_for(sshd: Sshd) -> None:
    """The allow-list is on our side, and needs no connection to say no."""
    spec = sshd.spec(engine=Engine(kind="command", command="tr a-z {upper}"), allow=("tr", "nproc"))
    async with Connection(spec) as connection:
        error = await failure_of(run(connection, "cat /etc/passwd", timeout_s=5))
        assert (error.failure, connection.is_open) == (Failure.COMMAND_REFUSED, False)
        assert error.detail == "cat is not among the programs allowed on this worker (allowed: nproc, tr)"
        result = await run(connection, "tr a-z {upper}", "a\n", values={"upper": "A-Z"}, timeout_s=5)
        assert result.stdout == "A\n"


async def test_values_arrive_as_they_are(sshd: Sshd, caplog: pytest.LogCaptureFixture) -> None:
    """Through sshd and two shells, and into no log."""
    caplog.set_level(logging.INFO)
    odd = "a'b\"c$(id)`id`\\ * ~ {x} %41 \n š; rm -rf /"
    async with Connection(sshd.spec()) as connection:
        result = await run(
            connection, "printf '%s\\n' {v}", values={"v": odd}, timeout_s=5, allowed=("printf",)
        )
    assert result.stdout == odd + "\n"
    assert "translation-worker" not in caplog.text


async def test_each_command_has_a_folder_of_its_own(sshd: Sshd) -> None:
    """SSH_WORKER_REMOTE_DIR, by environment and by placeholder, private, gone afterwards."""
    async with Connection(sshd.spec()) as connection:
        script = 'cd "$SSH_WORKER_REMOTE_DIR" && pwd && stat -c %a . && touch left'
        shown = (await sh(connection, script)).split()
        assert shown[0].startswith(f"{sshd.remote_dir}/")
        assert shown[1] == "700"
        result = await run(connection, "ls -d {remote_dir}", timeout_s=5, allowed=("ls",))
        assert result.stdout.startswith(f"{sshd.remote_dir}/")
    assert sshd.leftovers() == []


async def test_a_full_disk_in_the_remote_folder_is_told(sshd: Sshd, full_disk: Path) -> None:
    """Whether the text does not fit, or the program itself finds no room."""
    async with Connection(sshd.spec(remote_dir=str(full_disk))) as connection:
        error = await failure_of(sh(connection, "cat", "x" * 200_000 + "\n"))
        assert error.failure is Failure.DISK_FULL
        error = await failure_of(
            sh(connection, 'dd if=/dev/zero of="$SSH_WORKER_REMOTE_DIR/x" bs=1000 count=200')
        )
        assert error.failure is Failure.DISK_FULL
        assert error.detail == f"sh found its disk full; make room on the worker in {full_disk}"
        assert names(full_disk) == []
        assert await sh(connection, "cat", "small\n") == "small\n"


async def test_a_forced_command_serves_like_a_plain_account(forced: Sshd) -> None:
    """The documented `restrict,command=` target: the same request, its own allow-list, TRACEPARENT too."""
    async with Connection(forced.spec()) as connection:
        result = await run(connection, "tr a-z A-Z", "abc\n", timeout_s=5, allowed=("tr",))
        assert result.stdout == "ABC\n"
        assert await sh(connection, 'echo "$TRACEPARENT"', traceparent=TRACE) == TRACE + "\n"
        error = await failure_of(run(connection, "cat /etc/passwd", timeout_s=5, allowed=("cat",)))
        assert error.failure is Failure.COMMAND_REFUSED
        assert error.detail == "the worker did not run cat: this key may not run cat"


async def test_a_forced_command_is_ended_without_ssh_signals(forced: Sshd) -> None:
    """sshd refuses signals to forced commands; ours does not need them."""
    async with Connection(forced.spec()) as connection:
        error = await failure_of(sh(connection, "sleep 34641; echo no", timeout_s=0.5))
        assert error.failure is Failure.TIMEOUT
        await clean(forced, "sleep 34641")


async def test_a_worker_whose_sshd_passes_no_environment_still_gets_the_trace(start_sshd: Start) -> None:
    """TRACEPARENT by AcceptEnv, else by the wrapper."""
    sshd = start_sshd(accept_env=False)
    async with Connection(sshd.spec()) as connection:
        assert await sh(connection, 'echo "$TRACEPARENT"', traceparent=TRACE) == TRACE + "\n"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a configured exporter would send."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name: provider.get_tracer(name))
    yield exporter
    provider.shutdown()


def _story(span: ReadableSpan) -> tuple[str, dict[str, object], str]:
    return span.name, dict(span.attributes or {}), span.status.status_code.name


async def test_a_command_is_a_client_span_that_the_remote_program_joins(
    sshd: Sshd, spans: InMemorySpanExporter
) -> None:
    """`ssh {command}`: address, port, exit code, error type, and never what was said."""
    async with Connection(sshd.spec()) as connection:
        shown = await sh(connection, 'echo "$TRACEPARENT"; cat', "secret text\n", traceparent=TRACE)
        await failure_of(sh(connection, "echo secret; exit 4"))
    joined, failed = spans.get_finished_spans()
    assert joined.kind is trace.SpanKind.CLIENT
    where = {"server.address": "127.0.0.1", "server.port": sshd.port}
    assert _story(joined) == ("ssh sh", {**where, "process.exit.code": 0}, "UNSET")
    assert _story(failed) == ("ssh sh", {**where, "process.exit.code": 4, "error.type": "exit"}, "ERROR")
    assert joined.context is not None
    assert joined.parent is not None
    assert f"{joined.context.trace_id:032x}" == TRACE.split("-")[1]
    assert f"{joined.parent.span_id:016x}" == TRACE.split("-")[2]
    assert shown.splitlines()[0] == TRACE.replace("b7ad6b7169203331", f"{joined.context.span_id:016x}")
    assert "secret" not in joined.to_json() + failed.to_json()
