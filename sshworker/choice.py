"""Which of the workers with a free slot gets the next piece of work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sshworker.slots import Slots
from sshworker.state import WorkerState

# A slow worker that the fast ones leave without work is measured again this often: it may be slow no longer.
REMEASURE_S: Final = 60.0
# A degraded worker counts for half of what it was measured at: it works, and somebody saw a reason for care.
DEGRADED_WEIGHT: Final = 0.5


def choose(free: Sequence[Slots], now: float) -> Slots | None:
    """The worker with the least load for its measured speed; None if there is none.

    A worker due for its breaker's trial comes first, one due for a new measurement second: each is one piece
    of work, and without it a worker that recovered would stay idle while the others keep up. A worker never
    measured is taken to be as fast as the fastest. Equals take turns.
    """
    if not free:
        return None
    fastest = max((speed for one in free if (speed := one.speed.units_per_s) is not None), default=1.0)
    return min(free, key=lambda one: (_turn(one, now), _load(one, fastest), one.granted))


def _turn(one: Slots, now: float) -> int:
    if not one.breaker.closed:
        return 0
    measured_at = one.speed.measured_at
    due = one.active == 0 and measured_at is not None and now - measured_at >= REMEASURE_S
    return 1 if due else 2


def _load(one: Slots, fastest: float) -> float:
    weight = one.spec.max_capacity * (one.speed.units_per_s or fastest)
    if one.state is WorkerState.DEGRADED:
        weight *= DEGRADED_WEIGHT
    return (one.active + 1) / weight
