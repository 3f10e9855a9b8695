"""Probes the configured workers and tells what it finds: as metrics, at `/workers`, as `worker_status`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog

from exporters.prometheus import PrometheusExporter
from service.projections.workers import WorkerProjection
from sshworker.probe import TIMEOUT_S, Probe
from sshworker.probe_result import ProbeResult
from sshworker.spec import WorkerSpec
from translation_events.decode import decode_event
from translation_events.errors import LogUnavailable
from translation_events.event import EventType
from translation_events.log import EventLog

log = structlog.get_logger(__name__)

SESSION: Final = "_workers"
REPEAT_AFTER_S: Final = 300.0  # a state that does not change is told again this often
JITTER: Final = 0.1  # twenty workers are not asked in the same instant for ever


class Prober:
    """One loop a worker, each with the connection it holds; a worker's fault is a result, never an error."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        event_log: EventLog,
        workers: WorkerProjection,
        metrics: PrometheusExporter,
        *,
        interval_s: float,
    ) -> None:
        self._specs = specs
        self._log = event_log
        self._workers = workers
        self._metrics = metrics
        self._interval_s = interval_s
        self._told_at: dict[str, float] = {}

    async def run(self) -> None:
        """Probe until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for spec in self._specs:
                tasks.create_task(self._watch(spec), name=f"probe {spec.id}")

    async def _watch(self, spec: WorkerSpec) -> None:
        async with Probe(spec) as probe:
            while True:
                began = time.monotonic()
                await self._take(await probe.run(timeout_s=min(TIMEOUT_S, max(1.0, self._interval_s))))
                pause = self._interval_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - jitter
                await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))

    async def _take(self, result: ProbeResult) -> None:
        layers_s = {layer.value: seconds for layer, seconds in result.layers_s.items()}
        self._metrics.worker_probed(result.worker, result.outcome.value, layers_s)
        changed = self._workers.probed(result)
        now = time.monotonic()
        if changed:
            log.info("worker changed", worker=result.worker, state=result.state.value, reason=result.reason)
        elif now - self._told_at.get(result.worker, -REPEAT_AFTER_S) < REPEAT_AFTER_S:
            return
        event = {
            "type": EventType.WORKER_STATUS,
            "session_id": SESSION,
            "data": _data(result, self._workers.since(result.worker)),
        }
        try:
            await self._log.append([decode_event(orjson.dumps(event), internal=True)])
            self._told_at[result.worker] = now
        except LogUnavailable:
            # Told with the next probe; the metrics and /workers know already.
            self._told_at.pop(result.worker, None)


def _data(result: ProbeResult, since: float | None) -> dict[str, Any]:
    tokens, busy = result.tokens_total, result.busy_s_total
    data: dict[str, Any] = {
        "worker": result.worker,
        "state": result.state.value,
        "reason": result.reason,
        "since": since,
        "layer": result.layer.value,
        "probe": {"result": result.outcome.value, "duration_s": sum(result.layers_s.values())},
        "slots": {"capacity": result.slots_capacity, "active": result.slots_active},
        "tokens_total": {"prefill": tokens.prefill, "decode": tokens.decode},
        "busy_s_total": {"prefill": busy.prefill, "decode": busy.decode},
    }
    if result.gpus:
        data["gpu"] = [
            {
                "index": gpu.index,
                "utilization_ratio": gpu.utilization_ratio,
                "memory_used_bytes": gpu.memory_used_bytes,
                "memory_total_bytes": gpu.memory_total_bytes,
            }
            for gpu in result.gpus
        ]
    return data
