"""One worker as the service knows it: what is saved, shown at `/workers`, and sampled for the metrics."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from exporters.snapshot import GpuSample, WorkerSample
from sshworker.probe_result import Gpu, ProbeOutcome, ProbeResult
from sshworker.state import WorkerState

MAX_MODELS: Final = 16
NOT_PROBED: Final = "not probed since the start"
_PASSED: Final = ProbeOutcome.SUCCESS.value


class Worker(msgspec.Struct):
    """One worker. Times are Unix seconds; `state` is what was last said of it, `draining` what an operator
    wants; `probe_reason` is what the last probe found, also while it drains; `folded_seq` is the last event
    folded in."""

    id: str
    configured: bool = False
    name: str | None = None
    host: str | None = None
    port: int | None = None
    type: str | None = None
    engine: str | None = None
    capacity: int | None = None
    active: int | None = None
    state: str = WorkerState.UNKNOWN.value
    reason: str | None = None
    since: float | None = None
    draining: bool = False
    last_seen: float | None = None
    last_probe: float | None = None
    last_success: float | None = None
    probe_result: str | None = None
    probe_reason: str | None = None
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

    def take_probe(self, result: ProbeResult) -> bool:
        """Take a finished probe; True if the state has changed, which a draining worker's does not."""
        self.last_probe, self.probe_result = result.finished_at, result.outcome.value
        self.probe_reason = result.reason
        if result.passed:
            self.last_success = result.finished_at
        # Of a host that no longer answers nothing is known, and the last figures would pass for news.
        self.load_ratio = result.load_ratio
        self.memory_used_bytes = result.memory_used_bytes
        self.memory_total_bytes = result.memory_total_bytes
        self.gpus = list(result.gpus)
        self.models = list(result.models)[:MAX_MODELS] or self.models
        if self.draining:
            return False
        return self.become(result.state.value, result.reason, result.finished_at)

    def become(self, state: str, reason: str | None, at: float) -> bool:
        """Be in a state from now on; True if it is another one than before."""
        changed = self.state != state
        if changed or self.since is None:
            self.since = at
        self.state, self.reason = state, reason
        return changed

    def view(self) -> dict[str, Any]:
        """As `/workers` shows it. Source: docs/protocol.md, "Shapes"."""
        view: dict[str, Any] = msgspec.to_builtins(self)
        del view["folded_seq"]
        return view

    def sample(self, *, is_probed: bool) -> WorkerSample:
        """As a scrape reads it; `up` is 0, never absent, for one that is probed."""
        return WorkerSample(
            id=self.id,
            host=self.host,
            port=self.port,
            type=self.type,
            model=self.models[-1] if self.models else None,
            up=self.probe_result == _PASSED if is_probed else None,
            last_probe=self.last_probe,
            last_success=self.last_success,
            capacity=self.capacity,
            active=self.active,
            load_ratio=self.load_ratio,
            gpus=[
                GpuSample(g.index, g.utilization_ratio, g.memory_used_bytes, g.memory_total_bytes)
                for g in self.gpus
            ],
        )
