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

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.engine_health import EngineHealth, engine_health
from sshworker.errors import Failure, WorkerError
from sshworker.host_health import HostHealth, host_health
from sshworker.probe_result import Layer, ProbeOutcome, ProbeResult
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from sshworker.tunnel import Tunnel

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 25.0  # under the 30 s between two probes
TCP_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 10.0
STANDS_STILL_S: Final = 25.0  # busy without a token for so long: wedged
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


@dataclass(slots=True)
class _Findings:
    """What one probe has come to know so far."""

    layer: Layer = Layer.TCP
    layers_s: dict[Layer, float] = field(default_factory=dict)
    host: HostHealth = field(default_factory=HostHealth)
    engine: EngineHealth = field(default_factory=EngineHealth)
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
        self._stands_still_s = stands_still_s
        self._connection = Connection(self._spec)
        engine = spec.engine
        self._tunnel = (
            Tunnel(self._connection, engine.url)
            if engine is not None and engine.kind == "openai" and engine.url
            else None
        )
        self._held = contextlib.AsyncExitStack()
        self._marks = ""
        self._seen_at = 0.0
        self._still_since: float | None = None

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
            await self._connection.open()
            found.host = await host_health(self._connection)
        engine = self._spec.engine
        if engine is None:
            return
        with _timed(found, Layer.ENGINE):
            if self._tunnel is not None:
                await self._tunnel.open()
                found.engine = await engine_health(self._tunnel.url, self._spec.id)
                self._check_moving(found.engine)
            elif engine.command is not None:
                await self._ask_program(engine.command, found)

    async def _ask_port(self) -> None:
        spec = self._spec
        try:
            async with asyncio.timeout(min(TCP_TIMEOUT_S, spec.connect_timeout_s)):
                _, writer = await asyncio.open_connection(spec.host, spec.port)
        except ConnectionRefusedError as err:
            detail = f"nothing listens on {spec.host} port {spec.port}"
            raise WorkerError(Failure.REFUSED, detail, worker=spec.id) from err
        except TimeoutError as err:
            detail = f"{spec.host} port {spec.port} does not answer"
            raise WorkerError(Failure.TIMEOUT, detail, worker=spec.id) from err
        except OSError as err:
            detail = f"{spec.host} cannot be reached: {err.strerror or 'no such host'}"
            raise WorkerError(Failure.UNREACHABLE, detail, worker=spec.id) from err
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _ask_program(self, template: str, found: _Findings) -> None:
        """Whether the engine's program is there; an account that may not be asked is degraded."""
        program = shlex.split(template)[0]
        try:
            await run(
                self._connection,
                "sh -c {script} sh {program}",
                values={"script": 'command -v "$1"', "program": program},
                timeout_s=COMMAND_TIMEOUT_S,
                allowed={"sh"},
            )
        except WorkerError as err:
            if err.failure is Failure.COMMAND_REFUSED:
                found.unverified = program.rpartition("/")[2]
                return
            if err.failure in (Failure.EXIT, Failure.EMPTY):
                detail = f"the worker has no program {program.rpartition('/')[2]}"
                raise WorkerError(Failure.ENGINE_DOWN, detail, worker=self._spec.id) from err
            raise

    def _check_moving(self, engine: EngineHealth) -> None:
        now = time.monotonic()
        if engine.silent:
            self._still_since = self._still_since or now
        elif engine.slots_active and engine.marks and engine.marks == self._marks:
            self._still_since = self._still_since or self._seen_at
        else:
            self._still_since = None
        if not engine.silent:
            self._marks, self._seen_at = engine.marks, now
        still_s = 0.0 if self._still_since is None else now - self._still_since
        if self._still_since is not None and still_s >= self._stands_still_s:
            busy = (
                "it does not tell of its slots" if engine.silent else f"{engine.slots_active} slots are busy"
            )
            detail = f"{busy} and no token has moved for {still_s:.0f} s"
            raise WorkerError(Failure.WEDGED, detail, worker=self._spec.id)

    def _passed(self, found: _Findings) -> ProbeResult:
        trouble = self._trouble(found)
        state = WorkerState.DEGRADED if trouble else WorkerState.UP
        return self._result(found, ProbeOutcome.SUCCESS, state, trouble or "the last probe passed")

    def _failed(self, found: _Findings, err: WorkerError) -> ProbeResult:
        outcome = _OUTCOMES.get(err.failure, ProbeOutcome.ERROR)
        state = WorkerState.WEDGED if outcome is ProbeOutcome.WEDGED else WorkerState.DOWN
        return self._result(found, outcome, state, err.told)

    def _trouble(self, found: _Findings) -> str | None:
        host, engine = found.host, self._spec.engine
        if found.unverified is not None:
            return f"nobody could look whether {found.unverified} is there: the account may not run sh"
        models = found.engine.models
        if engine is not None and engine.model and models and engine.model not in models:
            return f"the engine does not have the model {engine.model}"
        if host.load_ratio is not None and host.load_ratio > HIGH_LOAD:
            return f"the host's load is {host.load_ratio:.1f} per CPU"
        if host.memory_total_bytes and host.memory_used_bytes is not None:
            free = 1 - host.memory_used_bytes / host.memory_total_bytes
            if free < LOW_MEMORY:
                return f"the host has {free:.0%} of its memory left"
        return None

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
