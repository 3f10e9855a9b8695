"""What a probe of a worker has found, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sshworker.state import WorkerState


class Layer(StrEnum):
    """The layers of a probe, in the order in which they are asked."""

    TCP = "tcp"
    SSH = "ssh"
    ENGINE = "engine"


class ProbeOutcome(StrEnum):
    """How a probe ended; the closed set of `translation_worker_probes_total{result}`."""

    SUCCESS = "success"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    AUTH_FAILED = "auth_failed"
    HOST_KEY_MISMATCH = "host_key_mismatch"
    ENGINE_DOWN = "engine_down"
    WEDGED = "wedged"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of the worker's host; None where the host cannot tell."""

    index: int
    utilization_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class PhaseTotals:
    """Counters of an engine since its start; None where it does not count."""

    prefill: float | None = None
    decode: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One finished probe. `finished_at` is Unix seconds, `layers_s` the seconds each layer reached took.

    `state` is what follows for the worker, `reason` one sentence for people, without a secret; `layer` is the
    last one asked. `slots_capacity` and `slots_active` are the engine's own, None where it does not tell.
    """

    worker: str
    outcome: ProbeOutcome
    state: WorkerState
    reason: str
    layer: Layer
    finished_at: float
    layers_s: Mapping[Layer, float] = field(default_factory=dict)
    slots_capacity: int | None = None
    slots_active: int | None = None
    tokens_total: PhaseTotals = field(default_factory=PhaseTotals)
    busy_s_total: PhaseTotals = field(default_factory=PhaseTotals)
    load_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    gpus: Sequence[Gpu] = ()
    models: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether the worker can be used: what `translation_worker_up` shows."""
        return self.outcome is ProbeOutcome.SUCCESS
