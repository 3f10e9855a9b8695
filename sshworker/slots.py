"""The slots of one worker: who may have one, what its leases came to, and what state that makes."""

from __future__ import annotations

from typing import Final

from sshworker.breaker import Breaker
from sshworker.errors import WorkerError
from sshworker.snapshot import WorkerSnapshot
from sshworker.spec import WorkerSpec
from sshworker.speed import Speed
from sshworker.state import WorkerState

NOTHING_KNOWN: Final = "nothing known yet"


class Slots:
    """One worker in the pool. It is told everything, with the time (`now`, monotonic; `wall`, Unix seconds).

    The state comes from three: what was reported from outside, what the breaker learnt from our own work,
    and whether somebody here asked for a drain.
    """

    def __init__(self, spec: WorkerSpec, breaker: Breaker, wall: float) -> None:
        self.spec = spec
        self.breaker = breaker
        self.speed = Speed()
        self.active = 0
        self.stuck = 0
        self.granted = 0
        self.unusable_since: float | None = None
        self._done = 0
        self._failed = 0
        self._given_up = 0
        self._late = 0
        self._units = 0.0
        self._reported = WorkerState.UNKNOWN
        self._reported_why = ""
        self._drained = ""
        self._shown = (WorkerState.UNKNOWN, NOTHING_KNOWN)
        self._since = wall

    @property
    def state(self) -> WorkerState:
        """The state as of the last `refresh`."""
        return self._shown[0]

    @property
    def reason(self) -> str:
        """Why, in a sentence for people; may be empty."""
        return self._shown[1]

    @property
    def usable(self) -> bool:
        """True where the worker takes work, now or as soon as a slot is free."""
        return self.unusable_since is None

    @property
    def working(self) -> int:
        """Leases whose result is still wanted."""
        return self.active - self.stuck

    def admits(self, now: float) -> bool:
        """True where a lease may be given this moment."""
        return self.active < self.spec.max_capacity and self._asked_to_work and self.breaker.admits(now)

    @property
    def retry_at(self) -> float | None:
        """When the breaker will let a trial through, where that is all the worker waits for."""
        return self.breaker.retry_at if self._asked_to_work else None

    def grant(self) -> bool:
        """Take a slot; `admits` must be true. Returns whether this is the breaker's trial."""
        self.active += 1
        self.granted += 1
        return self.breaker.enter()

    def release(self, *, stuck: bool, open_trial: bool) -> None:
        """Give a slot back; `stuck` where its lease was given up, `open_trial` where a trial had no end."""
        self.active -= 1
        self.stuck -= stuck
        if open_trial:
            self.breaker.leave()

    def done(self, units: float, seconds: float, now: float, *, trial: bool) -> None:
        """A lease brought a result."""
        self._done += 1
        self._units += units
        self.speed.measure(units, seconds, now)
        self.breaker.succeeded(trial=trial)

    def answered(self, *, trial: bool) -> None:
        """A lease that goes on had an answer."""
        self.breaker.succeeded(trial=trial)

    def failed(self, error: WorkerError, now: float, *, trial: bool) -> None:
        """A lease brought an error."""
        self._failed += 1
        self.breaker.failed(error, now, trial=trial)

    def give_up(self, error: WorkerError, now: float, *, trial: bool) -> None:
        """A lease's result is wanted no longer; its slot stays taken until it is released."""
        self._given_up += 1
        self.stuck += 1
        if trial:  # the trial must end with it: what is stuck may never come back to say how it went
            self.breaker.failed(error, now, trial=True)

    def unreached(self, error: WorkerError, now: float) -> None:
        """It could not be used before anything was asked of it: a trial decides when it can."""
        self.breaker.trip(error, now)

    def came_late(self) -> None:
        """A given-up lease brought a result after all."""
        self._late += 1

    def report(self, state: WorkerState, reason: str, now: float) -> None:
        """What somebody outside saw. Seen up again, a broken worker gets its trial at once."""
        if state is WorkerState.UP and self._reported is not state:
            self.breaker.allow_trial(now)
        self._reported, self._reported_why = state, reason

    def drain(self, reason: str) -> None:
        """No new work, until `undrain`, whatever is reported."""
        self._drained = reason

    def undrain(self) -> None:
        """Take work again; a drain reported from outside ends too, until it is reported anew."""
        self._drained = ""
        if self._reported is WorkerState.DRAINING:
            self._reported, self._reported_why = WorkerState.UNKNOWN, ""

    def refresh(self, now: float, wall: float, since: float | None = None) -> bool:
        """Work the state out anew, after whatever happened. Returns whether it changed.

        `since` is when it changed, if somebody knows better than now (Unix seconds).
        """
        before = self.state
        self._shown = self._conclude()
        if self._asked_to_work and self.breaker.closed:
            self.unusable_since = None
        elif self.unusable_since is None:
            self.unusable_since = now
        if before is self.state:
            return False
        self._since = wall if since is None else since
        return True

    def snapshot(self, now: float) -> WorkerSnapshot:
        """All there is to tell."""
        retry_at = self.breaker.retry_at
        return WorkerSnapshot(
            id=self.spec.id,
            name=self.spec.name,
            tags=self.spec.tags,
            state=self.state,
            reason=self.reason,
            since=self._since,
            capacity=self.spec.max_capacity,
            active=self.active,
            stuck=self.stuck,
            done=self._done,
            failed=self._failed,
            given_up=self._given_up,
            late=self._late,
            units=self._units,
            units_per_s=self.speed.units_per_s,
            breaker=self.breaker.state(now),
            retry_in_s=None if retry_at is None else max(0.0, retry_at - now),
        )

    @property
    def _asked_to_work(self) -> bool:
        return not self._drained and self._reported.takes_work

    def _conclude(self) -> tuple[WorkerState, str]:
        if self._reported in (WorkerState.DOWN, WorkerState.WEDGED):
            return self._reported, self._reported_why
        if self._drained:
            return WorkerState.DRAINING, self._drained
        if self._reported is WorkerState.DRAINING:
            return self._reported, self._reported_why
        if not self.breaker.closed:
            return WorkerState.DOWN, self.breaker.why
        if self._reported is WorkerState.UNKNOWN and self._done:
            return WorkerState.UP, "it does its work"
        if self._reported is WorkerState.UNKNOWN:
            return self._reported, self._reported_why or NOTHING_KNOWN
        return self._reported, self._reported_why
