"""What a worker is said to be: the closed set of states that people, metrics and events share."""

from __future__ import annotations

from enum import StrEnum


class WorkerState(StrEnum):
    """A worker's state; `worker_status` carries it as it is."""

    UP = "up"
    DEGRADED = "degraded"
    WEDGED = "wedged"
    DRAINING = "draining"
    DOWN = "down"
    UNKNOWN = "unknown"

    @property
    def takes_work(self) -> bool:
        """True where new work may go there. Unknown does: without a monitor nothing else is ever known."""
        return self in (WorkerState.UP, WorkerState.DEGRADED, WorkerState.UNKNOWN)
