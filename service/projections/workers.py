"""Workers: the configured ones as probes find them, others as events have seen them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from exporters.snapshot import WorkerSample
from service.config_distributed import DistributedConfig, WorkerConfig
from service.projections.worker import MAX_MODELS, NOT_PROBED, Worker
from service.projections.worker_names import WorkerNames
from sshworker.probe_result import ProbeResult
from sshworker.state import WorkerState
from translation_events.decode import worker_status_of
from translation_events.event import EventType, StoredEvent, WorkerInfo, WorkerStatus
from translation_events.session import Applied, Ended, ErrorCounted

log = structlog.get_logger(__name__)

SAVED_AS: Final = "worker"
WORKER_STATUS: Final = EventType.WORKER_STATUS.value
MAX_SEEN: Final = 500  # workers no configuration names: producers could otherwise fill the memory

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Worker).decode
_decode_many: Final = msgspec.msgpack.Decoder(list[Worker]).decode


class WorkerProjection:
    """All known workers.

    They are saved every few seconds. Between two savings retention may remove events they were named in, so
    whoever has changed since goes with the summary that a trim saves: nothing is known only from lost events.
    """

    name = "workers"

    def __init__(
        self, distributed: DistributedConfig, *, is_running: Callable[[str], bool] = lambda _: True
    ) -> None:
        """`is_running` tells whether a session has not ended: only such a one holds slots."""
        self._workers: dict[str, Worker] = {}
        self._names = WorkerNames()
        self._dirty: set[str] = set()
        self._being_saved: set[str] = set()
        self._slots: dict[str, dict[str, int]] = {}
        self._is_running = is_running
        self._caught_up = False
        self._probes = distributed.enabled
        for worker_id, configured in distributed.workers.items():
            if not configured.enabled:
                continue
            self._workers[worker_id] = _configured(worker_id, configured, is_probed=self._probes)
            self._names.configure(worker_id, configured.name, configured.host, configured.port)

    @property
    def configured(self) -> int:
        """How many workers are probed: those that are enabled, while `distributed` is."""
        return len(self.configured_ids()) if self._probes else 0

    def configured_ids(self) -> list[str]:
        """The enabled workers of the configuration, in its order."""
        return [worker.id for worker in self._workers.values() if worker.configured]

    def configured_worker(self, worker_id: str) -> Worker | None:
        """A worker of the configuration; None for one that is merely seen, or unknown."""
        worker = self._workers.get(worker_id)
        return worker if worker is not None and worker.configured else None

    def probed(self, result: ProbeResult) -> bool:
        """Take a finished probe of a configured worker; True if its state has changed."""
        self._dirty.add(result.worker)
        return self._workers[result.worker].take_probe(result)

    def state_of(self, worker_id: str) -> tuple[WorkerState, str | None, float | None]:
        """State, reason and since when (Unix seconds) of a known worker."""
        worker = self._workers[worker_id]
        return WorkerState(worker.state), worker.reason, worker.since

    def drained(self, worker_id: str, reason: str, at: float) -> None:
        """A configured worker is to take no new work."""
        self._dirty.add(worker_id)
        worker = self._workers[worker_id]
        worker.draining = True
        worker.become(WorkerState.DRAINING.value, reason, at)

    def undrained(self, worker_id: str, state: WorkerState, reason: str, at: float) -> None:
        """A configured worker may work again, and is what its last probe has found."""
        self._dirty.add(worker_id)
        worker = self._workers[worker_id]
        worker.draining = False
        worker.become(state.value, reason, at)

    def caught_up(self) -> None:
        """The log has been read to its end: from here on this process itself says who is drained."""
        self._caught_up = True

    def samples(self) -> list[WorkerSample]:
        """All workers for a scrape, the newest seen first."""
        ordered = sorted(self._workers.values(), key=lambda w: -(w.last_seen or 0))
        return [worker.sample(is_probed=worker.configured and self._probes) for worker in ordered]

    def apply(self, batch: Sequence[Applied]) -> None:
        """Note every worker an event names."""
        for applied in batch:
            event = applied.stored.event
            if event.type == WORKER_STATUS:
                self._apply_status(applied.stored)
            elif (info := event.worker) is not None:
                self._apply_info(info, applied)
            if applied.changes and isinstance(applied.changes[-1], Ended):
                self._free_slots(event.session_id)

    def load(self, saved: Mapping[str, tuple[bytes, int]]) -> None:
        """Take the stored state back. Raises: msgspec.DecodeError if it is damaged."""
        for blob, _ in saved.values():
            self._take_back(_decode(blob))

    def snapshot(self, session_id: str) -> bytes:
        """The workers that changed and are not saved yet."""
        unsaved = [self._workers[w] for w in self._dirty | self._being_saved if w in self._workers]
        return _encode(unsaved) if unsaved else b""

    def restore(self, session_id: str, blob: bytes) -> None:
        """Take back what `snapshot` gave. Raises: msgspec.DecodeError if it is damaged."""
        for worker in _decode_many(blob):
            self._take_back(worker)

    def _take_back(self, before: Worker) -> None:
        """The state that knows more wins, and what the configuration says."""
        known = self._workers.get(before.id)
        if known is None and before.configured:
            return  # no longer configured: an event will name it if it still works
        if known is not None and known.folded_seq > before.folded_seq:
            return
        if known is not None and known.configured:
            before = msgspec.structs.replace(
                before,
                configured=True,
                name=known.name,
                host=known.host,
                port=known.port,
                engine=known.engine,
                capacity=known.capacity,
                tags=known.tags,
                probe_result=None,
                probe_reason=None,
                active=None,
            )
            if not before.draining:  # what a probe found before the restart is no news of now
                before.state, before.reason, before.since = known.state, known.reason, None
        self._workers[before.id] = before
        if before.configured:
            return
        if before.host is None and self._names.of_status(before.id) != before.id:
            del self._workers[before.id]  # it was taken over before the restart
        elif self._names.learn(before.id, before.name or before.id, before.host, before.port):
            self._take_over(before.name, before)

    def take_dirty(self) -> dict[str, bytes]:
        """The workers that changed since the last call, encoded."""
        dirty, self._dirty = self._dirty, set()
        return {w: _encode(self._workers[w]) for w in dirty if w in self._workers}

    def begin_saving(self, worker_ids: Collection[str]) -> None:
        """What `take_dirty` gave is on its way: until `end_saving` a trim's summaries carry it as well."""
        self._being_saved = set(worker_ids)

    def end_saving(self, *, saved: bool) -> None:
        """It is saved, or could not be."""
        if not saved:
            self._dirty |= self._being_saved
        self._being_saved = set()

    def id_of(self, info: WorkerInfo) -> str | None:
        """The worker an event means."""
        return self._names.of_info(info)

    def views(self) -> list[dict[str, Any]]:
        """All workers as `/workers` shows them, the configured ones first."""
        ordered = sorted(self._workers.values(), key=lambda w: (not w.configured, -(w.last_seen or 0), w.id))
        return [worker.view() for worker in ordered]

    def view(self, worker_id: str) -> dict[str, Any] | None:
        """One worker, or None."""
        worker = self._workers.get(worker_id)
        return None if worker is None else worker.view()

    def _apply_info(self, info: WorkerInfo, applied: Applied) -> None:
        worker = self._seen(self.id_of(info), applied.stored)
        if worker is None:
            return
        if self._names.learn(worker.id, info.name, info.host, info.port):
            self._take_over(info.name, worker)
        if not worker.configured:
            worker.name = info.name or worker.name
            worker.host = info.host or worker.host
            worker.port = info.port if info.port is not None else worker.port
            worker.capacity = info.capacity if info.capacity is not None else worker.capacity
            worker.reason = worker.reason or "seen in events; nobody has probed it"
        worker.type = info.type or worker.type
        if info.model and (not worker.models or worker.models[-1] != info.model):
            worker.models = [*(m for m in worker.models if m != info.model), info.model][-MAX_MODELS:]
        worker.last_session = applied.stored.event.session_id
        if applied.changes:
            worker.errors += sum([isinstance(change, ErrorCounted) for change in applied.changes])

    def _apply_status(self, stored: StoredEvent) -> None:
        try:
            status = worker_status_of(stored.body)
        except msgspec.DecodeError:
            log.warning("worker_status could not be read", seq=stored.seq)
            return
        worker = self._seen(self._names.of_status(status.worker), stored)
        if worker is None:
            return
        self._names.learn(worker.id, status.worker, None, None)
        session_id, at = stored.event.session_id, stored.received_at
        if session_id[0] == "_":
            if worker.configured and not self._caught_up:
                self._take_back_drain(worker, status, at)
            return
        if not worker.configured:  # what a configured one is, its probes say
            worker.become(status.state, status.reason, at if status.since is None else status.since)
        if status.slots is None:
            return
        if status.slots.active is not None and self._is_running(session_id):
            self._slots.setdefault(worker.id, {})[session_id] = status.slots.active
            worker.active = sum(self._slots[worker.id].values())
        if status.slots.capacity is not None and not worker.configured:
            worker.capacity = status.slots.capacity

    def _take_back_drain(self, worker: Worker, status: WorkerStatus, at: float) -> None:
        """The log is where a drain is kept: the last `worker_status` of the service's own says it."""
        if status.state == WorkerState.DRAINING.value:
            since = at if status.since is None else status.since
            self.drained(worker.id, status.reason or "", since)
        elif worker.draining:
            self.undrained(worker.id, WorkerState.UNKNOWN, NOT_PROBED, at)

    def _take_over(self, name: str | None, worker: Worker) -> None:
        """A name turns out to be this worker's: what was said of the name alone was said of it."""
        alone = self._workers.get(name or "")
        if alone is None or alone is worker or alone.configured or alone.host is not None:
            return
        if not worker.configured:
            worker.state, worker.reason, worker.since = alone.state, alone.reason, alone.since
            worker.capacity = alone.capacity if worker.capacity is None else worker.capacity
        slots = {**self._slots.pop(alone.id, {}), **self._slots.get(worker.id, {})}
        if slots:
            self._slots[worker.id] = slots
            worker.active = sum(slots.values())
        self._names.forget(self._workers.pop(alone.id).id)

    def _free_slots(self, session_id: str) -> None:
        """A session that has ended holds no slot, whatever it said last."""
        for worker_id, by_session in self._slots.items():
            if by_session.pop(session_id, None) is not None and worker_id in self._workers:
                self._workers[worker_id].active = sum(by_session.values())
                self._dirty.add(worker_id)

    def _seen(self, worker_id: str | None, stored: StoredEvent) -> Worker | None:
        if worker_id is None:
            return None
        worker = self._workers.get(worker_id)
        if worker is None:
            worker = self._workers[worker_id] = Worker(worker_id)
            self._forget_oldest()
        elif stored.seq <= worker.folded_seq:
            return None  # a replay of what it knows
        worker.folded_seq = stored.seq
        worker.last_seen = stored.received_at
        worker.events += 1
        self._dirty.add(worker_id)
        return worker

    def _forget_oldest(self) -> None:
        seen = [w for w in self._workers.values() if not w.configured]
        if len(seen) > MAX_SEEN:
            oldest = min(seen, key=lambda w: w.last_seen or 0).id
            del self._workers[oldest]
            self._names.forget(oldest)
            self._slots.pop(oldest, None)


def _configured(worker_id: str, config: WorkerConfig, *, is_probed: bool) -> Worker:
    return Worker(
        worker_id,
        configured=True,
        name=config.name,
        host=config.host,
        port=config.port,
        engine=None if config.engine is None else config.engine.kind,
        capacity=config.max_capacity,
        tags=list(config.tags),
        reason=NOT_PROBED if is_probed else "distributed.enabled is false: nobody probes it",
    )
