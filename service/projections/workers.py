"""Workers: the configured ones as probes find them, others as events have seen them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import structlog

from exporters.snapshot import GpuSample, WorkerSample
from service.config_distributed import DistributedConfig
from sshworker.probe_result import Gpu, ProbeOutcome, ProbeResult
from translation_events.decode import worker_status_of
from translation_events.event import EventType, StoredEvent, WorkerInfo
from translation_events.session import Applied, Ended, ErrorCounted

log = structlog.get_logger(__name__)

SAVED_AS: Final = "worker"
WORKER_STATUS: Final = EventType.WORKER_STATUS.value
MAX_SEEN: Final = 500  # workers no configuration names: producers could otherwise fill the memory
MAX_MODELS: Final = 16
SSH_PORT: Final = 22
_PASSED: Final = ProbeOutcome.SUCCESS.value
_NOT_PROBED: Final = "not probed since the start"


class Worker(msgspec.Struct):
    """One worker. Times are Unix seconds; `state` is what was last said of it; `folded_seq` is the last
    event folded in."""

    id: str
    configured: bool = False
    name: str | None = None
    host: str | None = None
    port: int | None = None
    type: str | None = None
    capacity: int | None = None
    active: int | None = None
    state: str = "unknown"
    reason: str | None = None
    since: float | None = None
    last_seen: float | None = None
    last_probe: float | None = None
    last_success: float | None = None
    probe_result: str | None = None
    load_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpus: list[Gpu] = msgspec.field(default_factory=list)
    last_session: str | None = None
    models: list[str] = msgspec.field(default_factory=list)
    tags: list[str] = msgspec.field(default_factory=list)
    errors: int = 0
    events: int = 0
    folded_seq: int = 0


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Worker).decode
_decode_many: Final = msgspec.msgpack.Decoder(list[Worker]).decode


class WorkerProjection:
    """All known workers.

    They are saved every few seconds. Between two savings retention may remove events they were named in, so
    whoever has changed since goes with the summary that a trim saves: nothing is known only from lost events.
    """

    name = "workers"

    def __init__(self, distributed: DistributedConfig) -> None:
        self._workers: dict[str, Worker] = {}
        self._by_name: dict[str, str] = {}
        self._by_address: dict[tuple[str, int], str] = {}
        self._dirty: set[str] = set()
        self._being_saved: set[str] = set()
        self._slots: dict[str, dict[str, int]] = {}
        self._probes = distributed.enabled
        for worker_id, configured in distributed.workers.items():
            if not configured.enabled:
                continue
            self._workers[worker_id] = Worker(
                worker_id,
                configured=True,
                name=configured.name,
                host=configured.host,
                port=configured.port,
                capacity=configured.max_capacity,
                tags=list(configured.tags),
                reason=_NOT_PROBED
                if distributed.enabled
                else "distributed.enabled is false: nobody probes it",
            )
            self._by_name[worker_id] = self._by_address[configured.host, configured.port] = worker_id
            if configured.name:
                self._by_name[configured.name] = worker_id

    @property
    def configured(self) -> int:
        """How many workers are probed: those that are enabled, while `distributed` is."""
        return sum(worker.configured for worker in self._workers.values()) if self._probes else 0

    def probed(self, result: ProbeResult) -> bool:
        """Take a finished probe of a configured worker; True if its state has changed."""
        worker = self._workers[result.worker]
        changed = worker.state != result.state.value
        if changed:
            worker.since = result.finished_at
        worker.state, worker.reason = result.state.value, result.reason
        worker.last_probe, worker.probe_result = result.finished_at, result.outcome.value
        if result.passed:
            worker.last_success = result.finished_at
            worker.load_ratio = result.load_ratio
            worker.memory_used_bytes = result.memory_used_bytes
            worker.memory_total_bytes = result.memory_total_bytes
            worker.gpus = list(result.gpus)
            worker.models = list(result.models)[:MAX_MODELS] or worker.models
        self._dirty.add(worker.id)
        return changed

    def since(self, worker_id: str) -> float | None:
        """Since when (Unix seconds) a worker has been in its state."""
        return self._workers[worker_id].since

    def samples(self) -> list[WorkerSample]:
        """All workers for a scrape, the newest seen first; `up` is 0, never absent, for a probed one."""
        ordered = sorted(self._workers.values(), key=lambda w: -(w.last_seen or 0))
        return [
            WorkerSample(
                id=worker.id,
                host=worker.host,
                port=worker.port,
                type=worker.type,
                model=worker.models[-1] if worker.models else None,
                up=worker.probe_result == _PASSED if worker.configured and self._probes else None,
                last_probe=worker.last_probe,
                last_success=worker.last_success,
                capacity=worker.capacity,
                active=worker.active,
                load_ratio=worker.load_ratio,
                gpus=[
                    GpuSample(g.index, g.utilization_ratio, g.memory_used_bytes, g.memory_total_bytes)
                    for g in worker.gpus
                ],
            )
            for worker in ordered
        ]

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
        if known is not None and known.folded_seq >= before.folded_seq:
            return
        if known is not None and known.configured:
            before = msgspec.structs.replace(
                before,
                configured=True,
                name=known.name,
                host=known.host,
                port=known.port,
                capacity=known.capacity,
                tags=known.tags,
                # What was true before the restart is no news of now.
                state=known.state,
                reason=known.reason,
                since=None,
                probe_result=None,
                active=None,
            )
        self._workers[before.id] = before

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
        """The worker an event means: a configured one by id or name, then by address, else `host:port`."""
        if info.name and (known := self._by_name.get(info.name)):
            return known
        if info.host is None:
            return info.name or None
        port = info.port or SSH_PORT
        return self._by_address.get((info.host, port)) or f"{info.host}:{port}"

    def views(self) -> list[dict[str, Any]]:
        """All workers as `/workers` shows them, the configured ones first."""
        ordered = sorted(self._workers.values(), key=lambda w: (not w.configured, -(w.last_seen or 0), w.id))
        return [_view(worker) for worker in ordered]

    def view(self, worker_id: str) -> dict[str, Any] | None:
        """One worker, or None."""
        worker = self._workers.get(worker_id)
        return None if worker is None else _view(worker)

    def _apply_info(self, info: WorkerInfo, applied: Applied) -> None:
        worker = self._seen(self.id_of(info), applied.stored)
        if worker is None:
            return
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
        worker = self._seen(self._by_name.get(status.worker, status.worker), stored)
        if worker is None:
            return
        if not worker.configured:  # what a configured one is, its probes say
            if worker.state != status.state or worker.since is None:
                worker.since = status.since if status.since is not None else stored.received_at
            worker.state, worker.reason = status.state, status.reason
        if stored.event.session_id[0] == "_" or status.slots is None:
            return
        if status.slots.active is not None:
            self._slots.setdefault(worker.id, {})[stored.event.session_id] = status.slots.active
            worker.active = sum(self._slots[worker.id].values())
        if status.slots.capacity is not None and not worker.configured:
            worker.capacity = status.slots.capacity

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
            del self._workers[min(seen, key=lambda w: w.last_seen or 0).id]


def _view(worker: Worker) -> dict[str, Any]:
    view: dict[str, Any] = msgspec.to_builtins(worker)
    del view["folded_seq"]
    return view
