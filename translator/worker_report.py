"""What a translation tells of its workers in its own session: their state, and how many slots it holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final, NamedTuple

from sshworker.pool import Pool
from sshworker.snapshot import WorkerSnapshot
from translation_events.event import EventType
from translator.report import Emitter

SLOTS_EVERY_S: Final = 5.0


class _Told(NamedTuple):
    state: str
    reason: str
    active: int


class WorkerReport:
    """Emits `worker_status`: a state at once, a change of slots at most every `every_s` seconds a worker."""

    def __init__(self, emitter: Emitter, *, every_s: float = SLOTS_EVERY_S) -> None:
        self._emitter = emitter
        self._every_s = every_s
        self._told: dict[str, _Told] = {}
        self._slots_told_at: dict[str, float] = {}

    def state(self, worker: WorkerSnapshot) -> None:
        """A worker's state, where it is not what was told last."""
        told = self._told.get(worker.id)
        if told is None or (told.state, told.reason) != (worker.state.value, worker.reason):
            self._tell(worker)

    def slots(self, worker: WorkerSnapshot) -> None:
        """How many slots of a worker are taken, unless that was told a moment ago."""
        told = self._told.get(worker.id)
        if told is not None and told.active == worker.active:
            return
        now = time.monotonic()
        if now - self._slots_told_at.get(worker.id, -self._every_s) >= self._every_s:
            self._slots_told_at[worker.id] = now
            self._tell(worker)

    async def run(self, pool: Pool) -> None:
        """Tell the slots that were not told when they changed, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            for worker in pool.workers:
                self.state(worker)
                self.slots(worker)

    def _tell(self, worker: WorkerSnapshot) -> None:
        self._told[worker.id] = _Told(worker.state.value, worker.reason, worker.active)
        data: dict[str, Any] = {
            "worker": worker.id,
            "state": worker.state.value,
            "reason": worker.reason,
            "since": worker.since,
            "slots": {"capacity": worker.capacity, "active": worker.active},
        }
        self._emitter.emit(EventType.WORKER_STATUS.value, data=data)
