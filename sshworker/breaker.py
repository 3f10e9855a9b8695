"""The circuit breaker of one worker: after failures no work for a while, then one trial decides.

It reads no clock and starts no timer: `now` is given, in seconds of any clock that does not go back.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from sshworker.errors import Failure, WorkerError


class BreakerState(StrEnum):
    """Closed lets work through, open none, half-open exactly one piece."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """When a breaker opens and how long it stays so.

    `failures` in a row of the worker itself open it, or `ratio` of the last `window` results having failed
    through it, once there are `enough`. The n-th pause is between half and all of `base_s * 2**n`, at most
    `cap_s`; the jitter keeps many translators from coming back to a worker all at once.
    """

    failures: int = 3
    ratio: float = 0.5
    window: int = 20
    enough: int = 10
    base_s: float = 1.0
    cap_s: float = 60.0


# The worker answers, yet cannot work. They count for the ratio: a worker that fails at once is always free,
# and would draw all work to itself.
_USELESS = frozenset({Failure.EXIT, Failure.SIGNAL, Failure.DISK_FULL, Failure.COMMAND_REFUSED})


class Breaker:
    """Closed at first. `why` says what opened it last."""

    def __init__(self, limits: BreakerLimits, rng: random.Random) -> None:
        self._limits = limits
        self._rng = rng
        self._in_a_row = 0
        self._failed: deque[bool] = deque(maxlen=limits.window)
        self._openings = 0
        self._retry_at: float | None = None
        self._trial = False
        self.why = ""

    @property
    def closed(self) -> bool:
        """True where work passes freely."""
        return self._retry_at is None

    @property
    def retry_at(self) -> float | None:
        """When a trial is due; None where closed or a trial is running."""
        return None if self._trial else self._retry_at

    def state(self, now: float) -> BreakerState:
        """The state at this moment."""
        if self._retry_at is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now >= self._retry_at else BreakerState.OPEN

    def admits(self, now: float) -> bool:
        """True where a piece of work may start now."""
        return self._retry_at is None or (now >= self._retry_at and not self._trial)

    def enter(self) -> bool:
        """A piece of work starts. Returns whether it is the trial; its outcome must then say so."""
        if self._retry_at is None:
            return False
        self._trial = True
        return True

    def leave(self) -> None:
        """The trial ended without a word (its caller went away); another may be made."""
        self._trial = False

    def succeeded(self, *, trial: bool) -> None:
        """A piece of work ended well. While open only the trial counts: the rest began before the trouble."""
        if trial:
            self._trial = False
            self._retry_at = None
            self._openings = 0
            self._in_a_row = 0
            self._failed.clear()
        elif self.closed:
            self._in_a_row = 0
            self._failed.append(False)

    def failed(self, error: WorkerError, now: float, *, trial: bool) -> None:
        """A piece of work failed. One that is the text's fault shows a living worker, so it is a success."""
        useless = error.failure in _USELESS
        if not (error.worker_is_gone or useless):
            self.succeeded(trial=trial)
        elif trial:
            self._open(f"the trial failed: {error.detail}", now)
        elif self.closed:
            self._in_a_row = self._in_a_row + 1 if error.worker_is_gone else 0
            self._failed.append(True)
            bad, all_ = sum(self._failed), len(self._failed)
            if self._in_a_row >= self._limits.failures:
                self._open(f"{self._in_a_row} failures in a row, the last one: {error.detail}", now)
            elif all_ >= self._limits.enough and bad >= self._limits.ratio * all_:
                self._open(f"{bad} of {all_} failed, the last one: {error.detail}", now)

    def trip(self, error: WorkerError, now: float) -> None:
        """Open for a failure seen outside any piece of work."""
        if self.closed:
            self._open(error.told, now)

    def allow_trial(self, now: float) -> None:
        """Somebody saw the worker well: no more waiting for the trial."""
        if self._retry_at is not None:
            self._retry_at = min(self._retry_at, now)

    def _open(self, why: str, now: float) -> None:
        longest_s = min(self._limits.cap_s, self._limits.base_s * 2 ** min(self._openings, 32))
        self._retry_at = now + longest_s * self._rng.uniform(0.5, 1.0)
        self._openings += 1
        self._trial = False
        self._in_a_row = 0
        self._failed.clear()
        self.why = why
