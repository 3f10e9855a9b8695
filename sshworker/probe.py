"""Probing a worker layer by layer: its port, its SSH, its engine, and whether tokens really move.

Source: docs/workers.md, "Is it alive?".
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

import structlog
from opentelemetry import trace

from sshworker.connection import Connection
from sshworker.engine_health import EngineHealth
from sshworker.engine_watch import STANDS_STILL_S, EngineWatch
from sshworker.errors import Failure, WorkerError
from sshworker.host_health import HostHealth, host_health
from sshworker.probe_result import Layer, ProbeOutcome, ProbeResult
from sshworker.readiness import check_presence, missing_model, unverified
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from sshworker.tunnel import Tunnel

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 25.0  # under the 30 s between two probes
TCP_TIMEOUT_S: Final = 5.0
ASK_AGAIN_S: Final = 300.0  # a host that opens no session, or whose GPU tool hangs, is spared for so long
HIGH_LOAD: Final = 2.0
LOW_MEMORY: Final = 0.05

_OUTCOMES: Final = {
    Failure.TIMEOUT: ProbeOutcome.TIMEOUT,
    Failure.REFUSED: ProbeOutcome.REFUSED,
    Failure.UNREACHABLE: ProbeOutcome.UNREACHABLE,
    Failure.AUTH: ProbeOutcome.AUTH_FAILED,
    Failure.HOST_KEY: ProbeOutcome.HOST_KEY_MISMATCH,
    Failure.ENGINE_DOWN: ProbeOutcome.ENGINE_DOWN,
    Failure.WEDGED: ProbeOutcome.WEDGED,
}


# What only says that the host tells nothing of itself: its engine may be as well as ever.
_HOST_ALONE: Final = frozenset(
    {
        Failure.COMMAND_REFUSED,
        Failure.TIMEOUT,
        Failure.EXIT,
        Failure.SIGNAL,
        Failure.BAD_OUTPUT,
        Failure.TOO_LARGE,
        Failure.DISK_FULL,
        Failure.INTERNAL,
    }
)


@dataclass(slots=True)
class _Findings:
    """What one probe has come to know so far."""

    layer: Layer = Layer.TCP
    layers_s: dict[Layer, float] = field(default_factory=dict)
    host: HostHealth = field(default_factory=HostHealth)
    engine: EngineHealth = field(default_factory=EngineHealth)
    host_trouble: str | None = None
    unverified: str | None = None


class Probe:
    """Probes one worker over a connection it holds. Use as `async with`, and leave it in the same task.

    `stands_still_s` is how long busy slots may bring no token before the worker counts as wedged; `tracer`
    makes the probe's span, else the process's own does.
    """

    def __init__(
        self, spec: WorkerSpec, *, stands_still_s: float = STANDS_STILL_S, tracer: trace.Tracer | None = None
    ) -> None:
        self._tracer = tracer or trace.get_tracer("sshworker")
        self._spec = replace(spec, max_retries=0)  # the next probe is the retry
        self._watch = EngineWatch(spec.id, stands_still_s=stands_still_s)
        self._connection = Connection(self._spec)
        engine = spec.engine
        self._tunnel = (
            Tunnel(self._connection, engine.url)
            if engine is not None and engine.kind == "openai" and engine.url
            else None
        )
        self._held = contextlib.AsyncExitStack()
        self._host_again_at = 0.0
        self._gpus_again_at = 0.0
        self._gpu_trouble: str | None = None

    async def __aenter__(self) -> Self:
        await self._held.enter_async_context(self._connection)
        if self._tunnel is not None:
            await self._held.enter_async_context(self._tunnel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self._held.aclose()

    async def run(self, *, timeout_s: float = TIMEOUT_S) -> ProbeResult:
        """Probe once; whatever the worker does wrong is in the result, never raised."""
        found = _Findings()
        with self._tracer.start_as_current_span(
            "worker probe",
            kind=trace.SpanKind.CLIENT,
            attributes={"server.address": self._spec.host, "server.port": self._spec.port},
        ) as span:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._ask(found)
                result = self._passed(found)
            except WorkerError as err:
                result = self._failed(found, err)
            except TimeoutError:
                detail = f"no answer within {timeout_s:g} s at the {found.layer} layer"
                result = self._failed(found, WorkerError(Failure.TIMEOUT, detail, worker=self._spec.id))
            except Exception:  # a border: whatever a worker answers, a probe has a result
                log.exception("probe failed", worker=self._spec.id, layer=found.layer.value)
                detail = "the probe could not make sense of the worker; the log says why"
                result = self._failed(found, WorkerError(Failure.INTERNAL, detail, worker=self._spec.id))
            if not result.passed:
                span.set_attribute("error.type", result.outcome.value)
                span.set_status(trace.StatusCode.ERROR)
        return result

    async def _ask(self, found: _Findings) -> None:
        # Behind a jump host or an alias only SSH itself knows the way.
        if self._spec.jump is None and not self._spec.ssh_config:
            with _timed(found, Layer.TCP):
                await self._ask_port()
        with _timed(found, Layer.SSH):
            if not self._connection.is_open:
                self._host_again_at = 0.0  # what a session may do was settled at the login
            await self._connection.open()
            await self._ask_host(found)
        engine = self._spec.engine
        if engine is None:
            return
        with _timed(found, Layer.ENGINE):
            if self._tunnel is not None:
                await self._tunnel.open()
                found.engine = await self._watch.look(self._tunnel.url)
            elif engine.command is not None:
                self._check_program(found)

    async def _ask_host(self, found: _Findings) -> None:
        """What the host tells, by one command. Only an engine behind a tunnel can do without commands."""
        program, now = self._program, time.monotonic()
        if now < self._host_again_at:
            return
        try:
            found.host = await host_health(self._connection, program=program, gpus=now >= self._gpus_again_at)
        except WorkerError as err:
            if err.failure is Failure.COMMAND_REFUSED and err.exit_status is not None:
                found.unverified = program or None
                return  # a forced command that lets nobody ask; that is its administrator's to decide
            if program or self._tunnel is None or err.failure not in _HOST_ALONE:
                raise
            # No sessions at all, as with MaxSessions 0, or for another program only, such as /bin/false.
            if err.failure in (Failure.COMMAND_REFUSED, Failure.EXIT, Failure.BAD_OUTPUT):
                self._host_again_at = time.monotonic() + ASK_AGAIN_S
                return
            found.host_trouble = f"the host tells nothing of itself: {err.detail}"
            return
        if found.host.gpus_hang:
            self._gpus_again_at = time.monotonic() + ASK_AGAIN_S
        if found.host.gpu_trouble is not None or now >= self._gpus_again_at:
            self._gpu_trouble = found.host.gpu_trouble

    @property
    def _program(self) -> str:
        """The program of a `command` engine; empty where there is none to look for."""
        engine = self._spec.engine
        return shlex.split(engine.command)[0] if engine is not None and engine.command is not None else ""

    async def _ask_port(self) -> None:
        spec = self._spec
        try:
            async with asyncio.timeout(min(TCP_TIMEOUT_S, spec.connect_timeout_s)):
                _, writer = await asyncio.open_connection(spec.host, spec.port)
        except ConnectionRefusedError as err:
            detail = f"nothing listens at {spec.host}:{spec.port}: is sshd running, and is the port right?"
            raise WorkerError(Failure.REFUSED, detail, worker=spec.id) from err
        except TimeoutError as err:
            detail = f"{spec.host}:{spec.port} does not answer: is the machine on, is a firewall in between?"
            raise WorkerError(Failure.TIMEOUT, detail, worker=spec.id) from err
        except OSError as err:
            detail = f"{spec.host} cannot be reached: {err.strerror or 'no such host'}: is the name right?"
            raise WorkerError(Failure.UNREACHABLE, detail, worker=spec.id) from err
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _check_program(self, found: _Findings) -> None:
        check_presence(self._program, found.host.program, worker=self._spec.id)
        if found.host.program is None:
            found.unverified = self._program

    def _passed(self, found: _Findings) -> ProbeResult:
        troubles = self._troubles(found)
        state = WorkerState.DEGRADED if troubles else WorkerState.UP
        return self._result(
            found, ProbeOutcome.SUCCESS, state, "; ".join(troubles) or "the last probe passed"
        )

    def _failed(self, found: _Findings, err: WorkerError) -> ProbeResult:
        outcome = _OUTCOMES.get(err.failure, ProbeOutcome.ERROR)
        state = WorkerState.WEDGED if outcome is ProbeOutcome.WEDGED else WorkerState.DOWN
        return self._result(found, outcome, state, err.told)

    def _troubles(self, found: _Findings) -> list[str]:
        """All that keeps it from being plainly up, the worst first."""
        host, engine, spec = found.host, found.engine, self._spec.engine
        troubles = []
        if (missing := missing_model(engine, None if spec is None else spec.model)) is not None:
            troubles.append(missing)
        if found.unverified is not None:
            troubles.append(unverified(found.unverified))
        if host.memory_total_bytes and host.memory_used_bytes is not None:
            free = 1 - host.memory_used_bytes / host.memory_total_bytes
            if free < LOW_MEMORY:
                troubles.append(f"the host has {free:.0%} of its memory left")
        if self._gpu_trouble is not None:
            troubles.append(f"nothing is known of the GPUs: {self._gpu_trouble}")
        if self._watch.requests_wait:
            troubles.append(f"{engine.requests_waiting} requests wait for a slot of the engine")
        if host.load_ratio is not None and host.load_ratio > HIGH_LOAD:
            troubles.append(f"the host's load is {host.load_ratio:.1f} per CPU")
        if found.host_trouble is not None:
            troubles.append(found.host_trouble)
        return troubles

    def _result(
        self, found: _Findings, outcome: ProbeOutcome, state: WorkerState, reason: str
    ) -> ProbeResult:
        return ProbeResult(
            worker=self._spec.id,
            outcome=outcome,
            state=state,
            reason=reason,
            layer=found.layer,
            finished_at=time.time(),
            layers_s=found.layers_s,
            slots_capacity=found.engine.slots_capacity,
            slots_active=found.engine.slots_active,
            tokens_total=found.engine.tokens_total,
            busy_s_total=found.engine.busy_s_total,
            load_ratio=found.host.load_ratio,
            memory_used_bytes=found.host.memory_used_bytes,
            memory_total_bytes=found.host.memory_total_bytes,
            gpus=found.host.gpus,
            models=found.engine.models,
        )


@contextlib.contextmanager
def _timed(found: _Findings, layer: Layer) -> Iterator[None]:
    found.layer = layer
    began = time.monotonic()
    try:
        yield
    finally:
        found.layers_s[layer] = time.monotonic() - began
