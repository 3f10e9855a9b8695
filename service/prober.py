"""Probes the configured workers and tells what it finds: in metrics, at `/workers`, as `worker_status`."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from typing import Any, Final

import orjson
import structlog
from opentelemetry.trace import Tracer

from exporters.prometheus import PrometheusExporter
from service.projections.worker import NOT_PROBED
from service.projections.workers import WorkerProjection
from sshworker.probe import TIMEOUT_S, Probe
from sshworker.probe_result import ProbeResult
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from translation_events.decode import decode_event
from translation_events.errors import LogUnavailable
from translation_events.event import EventType
from translation_events.log import EventLog

log = structlog.get_logger(__name__)

SESSION: Final = "_workers"
REPEAT_AFTER_S: Final = 300.0  # a state that does not change is told again this often
JITTER: Final = 0.1  # twenty workers are not asked in the same instant for ever


class Prober:
    """One loop a worker, each with the connection it holds; a worker's fault is a result, never an error.

    It alone speaks for the configured workers in the log, one event after the other for each of them, so a
    probe that ends while a worker is being drained cannot contradict it.
    """

    def __init__(
        self,
        event_log: EventLog,
        workers: WorkerProjection,
        metrics: PrometheusExporter,
        *,
        interval_s: float,
        tracer: Tracer | None = None,
    ) -> None:
        """`tracer` is where each probe's span goes; without one it is not recorded."""
        self._log = event_log
        self._workers = workers
        self._metrics = metrics
        self._interval_s = interval_s
        self._tracer = tracer
        self._results: dict[str, ProbeResult] = {}
        self._told_at: dict[str, float] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def watch(self, spec: WorkerSpec) -> None:
        """Probe one worker until cancelled."""
        async with Probe(spec, tracer=self._tracer) as probe:
            while True:
                began = time.monotonic()
                await self._take(await probe.run(timeout_s=min(TIMEOUT_S, max(1.0, self._interval_s))))
                pause = self._interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
                await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))

    async def drain(self, worker_id: str, reason: str | None) -> None:
        """Have a configured worker take no new work; nothing happens where that is so already.

        Raises: LogUnavailable: it goes on as before.
        """
        words = "drained by hand" if reason is None else f"drained: {reason}"
        async with self._turns[worker_id]:
            worker = self._workers.configured_worker(worker_id)
            if worker is None or (worker.draining and (reason is None or worker.reason == words)):
                return
            since = worker.since if worker.draining and worker.since is not None else time.time()
            await self._tell(worker_id, WorkerState.DRAINING, words, since)
            self._workers.drained(worker_id, words, since)
            log.info("worker drained", worker=worker_id, reason=reason)

    async def undrain(self, worker_id: str) -> None:
        """Have a drained worker be what its last probe found. Raises: LogUnavailable: it stays drained."""
        async with self._turns[worker_id]:
            worker = self._workers.configured_worker(worker_id)
            if worker is None or not worker.draining:
                return
            result = self._results.get(worker_id)
            state, reason = (
                (WorkerState.UNKNOWN, NOT_PROBED) if result is None else (result.state, result.reason)
            )
            now = time.time()
            await self._tell(worker_id, state, reason, now)
            self._workers.undrained(worker_id, state, reason, now)
            log.info("worker undrained", worker=worker_id, state=state.value)

    async def _take(self, result: ProbeResult) -> None:
        worker_id = result.worker
        layers_s = {layer.value: seconds for layer, seconds in result.layers_s.items()}
        self._metrics.worker_probed(worker_id, result.outcome.value, layers_s)
        async with self._turns[worker_id]:
            before = self._results.get(worker_id)
            self._results[worker_id] = result
            changed = self._workers.probed(result)
            if self._is_draining(worker_id) and before is not None:
                # Its state is the operator's: only what probes find can tell that the host went away.
                changed = (before.outcome, before.state) != (result.outcome, result.state)
            if changed:
                log.info("worker changed", worker=worker_id, state=result.state.value, reason=result.reason)
            elif time.monotonic() - self._told_at.get(worker_id, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
                return
            try:
                await self._tell(worker_id, *self._workers.state_of(worker_id))
            except LogUnavailable:
                # Told with the next probe; the metrics and /workers know already.
                self._told_at.pop(worker_id, None)

    def _is_draining(self, worker_id: str) -> bool:
        worker = self._workers.configured_worker(worker_id)
        return worker is not None and worker.draining

    async def _tell(
        self, worker_id: str, state: WorkerState, reason: str | None, since: float | None
    ) -> None:
        data = {"worker": worker_id, "state": state.value, "reason": reason, "since": since}
        if (result := self._results.get(worker_id)) is not None:
            data |= _found(result)
        event = {"type": EventType.WORKER_STATUS, "session_id": SESSION, "data": data}
        await self._log.append([decode_event(orjson.dumps(event), internal=True)])
        self._told_at[worker_id] = time.monotonic()


def _found(result: ProbeResult) -> dict[str, Any]:
    """What a probe adds to `worker_status`."""
    tokens, busy = result.tokens_total, result.busy_s_total
    found: dict[str, Any] = {
        "layer": result.layer.value,
        "probe": {"result": result.outcome.value, "duration_s": sum(result.layers_s.values())},
        "slots": {"capacity": result.slots_capacity, "active": result.slots_active},
        "tokens_total": {"prefill": tokens.prefill, "decode": tokens.decode},
        "busy_s_total": {"prefill": busy.prefill, "decode": busy.decode},
    }
    if result.gpus:
        found["gpu"] = [
            {
                "index": gpu.index,
                "utilization_ratio": gpu.utilization_ratio,
                "memory_used_bytes": gpu.memory_used_bytes,
                "memory_total_bytes": gpu.memory_total_bytes,
            }
            for gpu in result.gpus
        ]
    return found
