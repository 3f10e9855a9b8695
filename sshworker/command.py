"""A command on a worker: text on standard input, output back line by line, and no doubtful success."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import asyncssh
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sshworker.connection import Connection
from sshworker.errors import Failure, WorkerError
from sshworker.output import Output, Tail
from sshworker.spec import WorkerSpec
from sshworker.template import fill, program_of
from sshworker.wrapper import Request, complaint, new_id, request, tells_disk_full

MAX_BYTES: Final = 16 * 1024 * 1024
# A shell says 128 + N for a program ended by signal N.
_SIGNALS: Final = {1: "HUP", 2: "INT", 6: "ABRT", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE", 15: "TERM"}
# What a user can do about the wrapper's complaint, by its exit status; `{base}` is the folder it works in.
_REMEDIES: Final = {
    (Failure.DISK_FULL, 73): "; make room in {base}, or name another `remote_dir`",
    (Failure.INTERNAL, 73): "; let the account write to {base}, or name another `remote_dir`",
    (Failure.COMMAND_REFUSED, 127): "; install it there, or name it by its full path",
}
_READ_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class Result:
    """What a command that succeeded gave. `stderr` is its last few KiB; `duration_s` is without the queue."""

    stdout: str
    stderr: str
    duration_s: float


def allowed_programs(spec: WorkerSpec) -> frozenset[str]:
    """The programs that may be run on this worker: those of its allow-list, or its engine's own alone."""
    if spec.allow:
        return frozenset(spec.allow)
    if spec.engine is not None and spec.engine.command is not None:
        return frozenset((program_of(spec.engine.command),))
    return frozenset()


async def run(
    connection: Connection,
    template: str,
    stdin: str | bytes = b"",
    *,
    timeout_s: float,
    max_bytes: int = MAX_BYTES,
    values: Mapping[str, str] | None = None,
    traceparent: str | None = None,
    allowed: Collection[str] | None = None,
    base: str | None = None,
    on_line: Callable[[str], None] | None = None,
    allow_empty: bool = False,
    whole_lines: bool = True,
) -> Result:
    """Run one command on the worker and return its output.

    `timeout_s` is for the command itself, from its channel on. `values` fill the template's placeholders,
    `{remote_dir}` among them if not given: the folder the command has for itself (also in its environment as
    SSH_WORKER_REMOTE_DIR), made under `base`. `on_line` is called with each whole line as it comes.
    `allow_empty` is for commands that may succeed without a word, `whole_lines=False` for those whose last
    line has no end.

    Raises: WorkerError: COMMAND_REFUSED, TIMEOUT, LOST, EXIT, SIGNAL, DISK_FULL, EMPTY, BAD_OUTPUT or
        TOO_LARGE, and whatever the connection raises. Nothing is left running on the worker.
    """
    spec = connection.spec
    id_ = new_id()
    base = base or spec.remote_dir
    try:
        words = fill(template, {"remote_dir": f"{base.rstrip('/')}/{id_}", **(values or {})})
    except ValueError as err:
        raise WorkerError(Failure.COMMAND_REFUSED, str(err), worker=spec.id) from err
    program = words[0]
    propagator = TraceContextTextMapPropagator()
    parent = propagator.extract({"traceparent": traceparent}) if traceparent is not None else None
    with trace.get_tracer("sshworker").start_as_current_span(
        f"ssh {program.rpartition('/')[2]}",
        context=parent,
        kind=trace.SpanKind.CLIENT,
        attributes={"server.address": spec.host, "server.port": spec.port},
        record_exception=False,  # its text may quote the program's words, and spans carry none
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        propagator.inject(carrier)
        payload = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            programs = allowed if allowed is not None else allowed_programs(spec)
            if program not in programs:
                names = ", ".join(sorted(programs)) or "none"
                words_ = f"{program} is not among the programs allowed on this worker (allowed: {names})"
                raise WorkerError(Failure.COMMAND_REFUSED, words_, worker=spec.id)
            asked = request(
                words, id=id_, size_bytes=len(payload), base=base, traceparent=carrier.get("traceparent")
            )
            output = Output(max_bytes, on_line)
            result = await _run(connection, asked, program, payload, carrier, timeout_s, output)
            _believe(output, program, result, spec, allow_empty=allow_empty)
            if whole_lines and not output.is_whole:
                words_ = f"{program} ended in the middle of a line"
                raise WorkerError(Failure.BAD_OUTPUT, words_, worker=spec.id, stderr=result.stderr)
        except WorkerError as err:
            span.set_attribute("error.type", err.failure.value)
            if err.exit_status is not None:
                span.set_attribute("process.exit.code", err.exit_status)
            span.set_status(trace.StatusCode.ERROR)
            raise
        except asyncio.CancelledError:
            span.set_attribute("error.type", "cancelled")
            span.set_status(trace.StatusCode.ERROR)
            raise
        span.set_attribute("process.exit.code", 0)
        return result


async def _run(
    connection: Connection,
    asked: Request,
    program: str,
    payload: bytes,
    carrier: Mapping[str, str],
    timeout_s: float,
    output: Output,
) -> Result:
    spec = connection.spec
    # Also by AcceptEnv, for a forced command that is not our wrapper.
    env = {"TRACEPARENT": carrier["traceparent"]} if "traceparent" in carrier else {}
    tail = Tail()
    async with connection.session(asked.line, env=env) as process:
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(_write(process, payload), name="ssh stdin")
                tasks.create_task(_read(process, process.stderr, tail.add), name="ssh stderr")
                tasks.create_task(_read(process, process.stdout, output.add), name="ssh stdout")
        except TimeoutError as err:
            words = f"{program} did not end within {timeout_s:g} s and was ended"
            raise WorkerError(Failure.TIMEOUT, words, worker=spec.id, stderr=tail.text()) from err
        if output.is_too_large:
            words = (
                f"{program} printed more than {output.max_bytes} bytes and was ended; no translation is so "
                "long: see what it prints"
            )
            raise WorkerError(Failure.TOO_LARGE, words, worker=spec.id, stderr=tail.text())
        if process.exit_status is None:
            # asyncssh's waits do not say that the connection broke: only the missing status does.
            raise connection.lost()
        _check_exit(process, asked, program, tail.text(), spec)
        return Result(output.text(), tail.text(), time.monotonic() - began)


async def _write(process: asyncssh.SSHClientProcess[bytes], payload: bytes) -> None:
    """The text; its end is told by its size, and standard input stays open, since its end cancels."""
    # A command may end without having read it; what then counts is how it ended.
    with suppress(asyncssh.Error, OSError):
        process.stdin.write(payload)
        await process.stdin.drain()


async def _read(
    process: asyncssh.SSHClientProcess[bytes], reader: asyncssh.SSHReader[bytes], add: Callable[[bytes], bool]
) -> None:
    """Hand over all that comes, then wait for the far side's end; close early where `add` wants no more."""
    with suppress(asyncssh.Error, OSError):
        while chunk := await reader.read(_READ_BYTES):
            if not add(chunk):
                process.close()
                break
        await process.wait_closed()


def _check_exit(
    process: asyncssh.SSHClientProcess[bytes], asked: Request, program: str, stderr: str, spec: WorkerSpec
) -> None:
    status = process.exit_status
    assert status is not None  # noqa: S101 - the caller has looked
    if process.exit_signal is not None:
        words = f"{program} was ended by signal {process.exit_signal[0]}"
        raise WorkerError(Failure.SIGNAL, words, worker=spec.id, stderr=stderr)
    if status == 0:
        return
    base = asked.folder.rpartition("/")[0]
    if (said := complaint(stderr, asked.id)) is not None:
        remedy = _REMEDIES.get((said.failure, status), "").format(base=base)
        words = f"the worker did not run {program}: {said.words}{remedy}"
        # Its standard error holds this very complaint, and no program's.
        raise WorkerError(said.failure, words, worker=spec.id, exit_status=status)
    failure, words = Failure.EXIT, f"{program} exited with {status}"
    if status - 128 in _SIGNALS:
        hint = "; out of memory? The worker's kernel log says" if status - 128 == signal.SIGKILL else ""
        failure, words = Failure.SIGNAL, f"{program} was ended by signal {_SIGNALS[status - 128]}{hint}"
    elif tells_disk_full(stderr):
        failure, words = (
            Failure.DISK_FULL,
            f"{program} found its disk full; make room on the worker in {base}",
        )
    raise WorkerError(failure, words, worker=spec.id, exit_status=status, stderr=stderr)


def _believe(output: Output, program: str, result: Result, spec: WorkerSpec, *, allow_empty: bool) -> None:
    """An exit status of 0 is not yet a result."""
    words = None
    failure = Failure.BAD_OUTPUT
    if not allow_empty and not output.has_content:
        failure = Failure.EMPTY
        words = (
            f"{program} exited with 0 and printed nothing; give it a line by hand on the worker and see why"
        )
    elif not output.is_utf8:
        words = f"{program} printed what is not UTF-8"
    if words is not None:
        raise WorkerError(failure, words, worker=spec.id, exit_status=0, stderr=result.stderr)
