"""The lease: the right to one slot of one worker, and the place where its outcome is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sshworker.errors import WorkerError
from sshworker.slots import Slots
from sshworker.spec import WorkerSpec


class Lease:
    """One slot of `worker` until `release`. Made by the pool.

    It ends in one of two ways and never in both: its holder says `done` or `failed`, or the pool gives it up
    (`cancelled` is set) because the worker is wedged, and the work goes elsewhere. Whichever is first holds.
    """

    def __init__(self, slots: Slots, changed: Callable[[Slots], None], now: Callable[[], float]) -> None:
        self.worker: WorkerSpec = slots.spec
        self.cancelled = asyncio.Event()
        self.trial = slots.grant()
        self._slots = slots
        self._changed = changed
        self._now = now
        self._began = now()
        self._error: WorkerError | None = None
        self._settled = False
        self._late = False
        self._released = False
        self._when_given_up: list[Callable[[], object]] = []
        self._when_released: list[Callable[[Lease], object]] = []

    @property
    def given_up(self) -> WorkerError | None:
        """Why nobody waits for this lease's result any more; None while somebody does."""
        return self._error

    def done(self, *, units: float = 0.0, seconds: float | None = None) -> bool:
        """The work is done: so many units (tokens or characters) in so many seconds, else since the grant.

        Returns False where it does not count: the lease was given up (the result came late and belongs to
        nobody), or it was settled before.
        """
        if self._error is not None:
            if not self._late:
                self._late = True
                self._slots.came_late()
            return False
        if not self._settle():
            return False
        now = self._now()
        self._slots.done(units, now - self._began if seconds is None else seconds, now, trial=self.trial)
        self._changed(self._slots)
        return True

    def answered(self) -> None:
        """The worker has answered something on the way, so it is well, whatever becomes of this work."""
        if self._error is None and not self._settled and not self._released:
            self._slots.answered(trial=self.trial)
            self.trial = False
            self._changed(self._slots)

    def failed(self, error: WorkerError) -> bool:
        """The work failed. Returns False where that does not count, as with `done`."""
        if self._error is not None or not self._settle():
            return False
        self._slots.failed(error, self._now(), trial=self.trial)
        self._changed(self._slots)
        return True

    def give_up(self, error: WorkerError) -> None:
        """Want the result no longer, unless it is there already. The slot stays taken until `release`."""
        if self._error is not None or self._settled or self._released:
            return
        self._error = error
        self._slots.give_up(error, self._now(), trial=self.trial)
        self.cancelled.set()
        for callback in self._when_given_up:
            callback()

    def when_given_up(self, callback: Callable[[], object]) -> None:
        """Call back, once and from within the loop, when the lease is given up; at once if it was."""
        if self._error is not None:
            callback()
        else:
            self._when_given_up.append(callback)

    def when_released(self, callback: Callable[[Lease], object]) -> None:
        """Call back, once and from within the loop, when the slot is given back."""
        self._when_released.append(callback)

    def release(self) -> None:
        """Give the slot back. To be called however the work ended; a second call does nothing."""
        if self._released:
            return
        self._released = True
        self._when_given_up.clear()
        unsettled = not self._settled and self._error is None
        self._slots.release(stuck=self._error is not None, open_trial=self.trial and unsettled)
        for callback in self._when_released:
            callback(self)
        self._changed(self._slots)

    def _settle(self) -> bool:
        if self._settled or self._released:
            return False
        self._settled = True
        return True
