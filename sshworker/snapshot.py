"""One worker as the pool sees it at one moment: what `workers`, the metrics and the events are made from."""

from __future__ import annotations

from dataclasses import dataclass

from sshworker.breaker import BreakerState
from sshworker.state import WorkerState


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """Counts are since the pool was made.

    `active` leases hold one of `capacity` slots each, `stuck` of them were given up and have not come back.
    `done`, `failed` and `given_up` count leases by how they ended, `late` the results that came after giving
    up. `units` are what callers count (tokens or characters), `units_per_s` one slot's measured speed, None
    before the first result. `since` is Unix seconds; `retry_in_s` is None unless the breaker is open.
    """

    id: str
    name: str | None
    tags: tuple[str, ...]
    state: WorkerState
    reason: str
    since: float
    capacity: int
    active: int
    stuck: int
    done: int
    failed: int
    given_up: int
    late: int
    units: float
    units_per_s: float | None
    breaker: BreakerState
    retry_in_s: float | None
