"""The series of workers: probes as they finish, tokens as events report them, state as a snapshot has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from exporters.prometheus_cells import Capped, Counter, Histogram, Table
from exporters.prometheus_sessions import Samples
from exporters.snapshot import Snapshot, WorkerSample
from translation_events.event import Usage, WorkerInfo

MAX_SEEN: Final = 20  # workers no configuration names: an event costs nothing, a series weeks of storage

WorkerId = Callable[[WorkerInfo], "str | None"]


class _Used(NamedTuple):
    """The series of what one worker has processed: tokens and busy seconds of its two phases."""

    prefill: Counter
    decode: Counter
    prefill_s: Counter
    decode_s: Counter


class WorkerSeries:
    """Counts for the configured workers and for at most 20 that events have named; the rest are `other`.

    Tokens and busy seconds are those that `usage` reports, so they are what the log holds and nothing else.
    """

    def __init__(
        self,
        counters: Mapping[str, Table[Counter]],
        histograms: Mapping[str, Table[Histogram]],
        models: Capped,
        *,
        configured: Collection[str],
        worker_id: WorkerId,
    ) -> None:
        self._probes = counters["translation_worker_probes_total"]
        self._durations = histograms["translation_worker_probe_duration_seconds"]
        self._tokens = counters["translation_worker_tokens_total"]
        self._busy = counters["translation_worker_busy_seconds_total"]
        self._used: dict[str, _Used] = {}
        self._configured = frozenset(configured)
        self._worker_id = worker_id
        self._seen = Capped(MAX_SEEN)
        self._models, self._types = models, Capped()
        for worker in self._configured:
            for table in (self._probes, self._tokens, self._busy):
                table.open(worker)
            self._durations.open(worker)

    def probed(self, worker: str, result: str, layers_s: Mapping[str, float]) -> None:
        """A probe of a configured worker has finished; `layers_s` holds the seconds each layer took."""
        self._probes.cell(worker, result).value += 1
        for layer, seconds in layers_s.items():
            self._durations.cell(worker, layer).observe(seconds)

    def count(self, usages: Sequence[Usage], info: WorkerInfo | None) -> None:
        """Add the tokens to the worker that processed them: the one `usage` names, else the event's."""
        by_event = None if info is None else self._worker_id(info)
        for usage in usages:
            named = self._worker_id(WorkerInfo(name=usage.worker)) if usage.worker else by_event
            if named is None:
                continue
            cells = self._used.get(label := self._label(named)) or self._first_use(label)
            cells.prefill.value += usage.input_tokens
            cells.decode.value += usage.output_tokens
            cells.prefill_s.value += usage.prefill_s or 0.0
            cells.decode_s.value += usage.decode_s or 0.0

    def read(self, state: Snapshot) -> Samples:
        """The gauges of the workers that have series; a worker beyond the bound has none."""
        shown = [
            (label, worker)
            for worker in state.workers
            if (label := self._label(worker.id)) == worker.id or worker.id in self._configured
        ]
        samples: Samples = {
            f"translation_worker_{name}": [
                ((label,), float(value)) for label, worker in shown if (value := read(worker)) is not None
            ]
            for name, read in _GAUGES.items()
        }
        samples["translation_worker_info"] = [
            ((label, worker.host or "", str(worker.port or ""), self._type(worker), self._model(worker)), 1)
            for label, worker in shown
        ]
        gpus = [((label, str(gpu.index)), gpu) for label, worker in shown for gpu in worker.gpus]
        samples["translation_worker_gpu_utilization_ratio"] = [
            (labels, gpu.utilization_ratio) for labels, gpu in gpus if gpu.utilization_ratio is not None
        ]
        samples["translation_worker_gpu_memory_used_bytes"] = [
            (labels, gpu.memory_used_bytes) for labels, gpu in gpus if gpu.memory_used_bytes is not None
        ]
        samples["translation_worker_gpu_memory_total_bytes"] = [
            (labels, gpu.memory_total_bytes) for labels, gpu in gpus if gpu.memory_total_bytes is not None
        ]
        return samples

    def _first_use(self, label: str) -> _Used:
        tokens, busy = self._tokens, self._busy
        cells = self._used[label] = _Used(
            tokens.cell(label, "prefill"),
            tokens.cell(label, "decode"),
            busy.cell(label, "prefill"),
            busy.cell(label, "decode"),
        )
        return cells

    def _label(self, worker: str) -> str:
        return worker if worker in self._configured else self._seen.label(worker)

    def _type(self, worker: WorkerSample) -> str:
        return self._types.label(worker.type) if worker.type else ""

    def _model(self, worker: WorkerSample) -> str:
        return self._models.label(worker.model) if worker.model else ""


_GAUGES: Final[Mapping[str, Callable[[WorkerSample], float | None]]] = {
    "up": lambda worker: worker.up,
    "last_success_timestamp_seconds": lambda worker: worker.last_success,
    "last_probe_timestamp_seconds": lambda worker: worker.last_probe,
    "capacity_slots": lambda worker: worker.capacity,
    "active_slots": lambda worker: worker.active,
    "load_ratio": lambda worker: worker.load_ratio,
}
