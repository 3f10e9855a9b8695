"""The state of the service at one moment, as the metrics show it: read at each scrape, held by nobody.

Source: docs/architecture.md, "Metrics".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from translation_events.session import Session


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU of a worker's host as its last probe saw it; None where the host cannot tell."""

    index: int
    utilization_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """One worker at the moment of a scrape; None where nothing is known. Times are Unix seconds.

    `up` is None for a worker that is only seen in events: nobody probes it, and it has no `up` series.
    """

    id: str
    host: str | None = None
    port: int | None = None
    type: str | None = None
    model: str | None = None
    up: bool | None = None
    last_probe: float | None = None
    last_success: float | None = None
    capacity: int | None = None
    active: int | None = None
    load_ratio: float | None = None
    gpus: Sequence[GpuSample] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What cannot be counted as events pass. Times are Unix seconds, sizes bytes, lags events.

    `sessions` are all that run or ended less than 15 minutes ago, in any order; `connections` and
    `connections_limit` are WebSockets by role (viewer, publisher, both); `log_free_bytes` is None where the
    medium cannot tell; `reader_lag_events` has the readers sessions, metrics and spans; `workers` are the
    configured ones and those that events have named, the newest first; `notices_waiting` are the notices
    still to be told, by the receiver's name.
    """

    now: float
    stalled_after_s: float
    sessions: Sequence[Session]
    connections: Mapping[str, int]
    connections_limit: Mapping[str, int]
    relay_lag_events: int
    log_last_seq: int
    log_free_bytes: int | None
    log_connected: bool
    reader_lag_events: Mapping[str, int]
    workers_configured: int = 0
    workers: Sequence[WorkerSample] = ()
    notices_waiting: Mapping[str, int] = field(default_factory=dict)
