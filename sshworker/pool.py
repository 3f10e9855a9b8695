"""The pool: hands out leases on workers, takes back outcomes, and believes only what it saw or was told.

It knows no SSH. It lives in one event loop, starts no task, and holds a timer only while somebody waits.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from sshworker.breaker import Breaker, BreakerLimits
from sshworker.choice import choose
from sshworker.errors import Failure, WorkerError
from sshworker.lease import Lease
from sshworker.line import Line, Wish
from sshworker.slots import Slots
from sshworker.snapshot import WorkerSnapshot
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState

log = structlog.get_logger(__name__)

MAX_REMOTE_INSTANCES: Final = 20
# Twice the longest pause of a breaker: a worker that came back has had its trial by then.
PATIENCE_S: Final = 120.0
# A timer may fire a hair early by another clock; the next one is never set closer than this.
_SHORTEST_S: Final = 0.001


class NoWorkerLeft(WorkerError):
    """No suitable worker has taken work for longer than the patience. `worker` is empty: it means all."""

    def __init__(self, detail: str) -> None:
        super().__init__(Failure.LOST, detail, worker="")


class Pool:
    """Workers and their slots.

    `now` is a monotonic clock and `wall` Unix time, both in seconds. `patience_s` is how long `acquire` waits
    while no suitable worker is usable (down, wedged, draining, breaker not closed). `on_change` is called
    from within the loop with each change of a worker's state.

    Raises: ValueError: no worker, more than `max_remote_instances`, an id twice, a capacity below 1.
    """

    def __init__(
        self,
        workers: Sequence[WorkerSpec],
        *,
        max_remote_instances: int = MAX_REMOTE_INSTANCES,
        patience_s: float = PATIENCE_S,
        breaker: BreakerLimits | None = None,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
        on_change: Callable[[WorkerSnapshot], None] | None = None,
    ) -> None:
        _check(workers, max_remote_instances)
        limits = breaker or BreakerLimits()
        rng = rng or random.Random()  # noqa: S311  # jitter, no secret
        self._slots = {one.id: Slots(one, Breaker(limits, rng), wall()) for one in workers}
        self._leases: dict[str, set[Lease]] = {one.id: set() for one in workers}
        self._line = Line()
        self._patience_s = patience_s
        self._now = now
        self._wall = wall
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None

    @property
    def workers(self) -> Sequence[WorkerSnapshot]:
        """Every worker as it is now, in the order given."""
        now = self._now()
        return [one.snapshot(now) for one in self._slots.values()]

    @property
    def waiting(self) -> int:
        """How many stand in line for a slot."""
        return len(self._line)

    async def acquire(
        self, *, tags: Collection[str] = (), exclude: Collection[str] = (), avoid: Collection[str] = ()
    ) -> Lease:
        """Wait for a slot; each `release` goes to whoever came first and can use it.

        The worker has all `tags` and is none of `exclude` (ids); it is one of `avoid` only while no other
        suitable worker is usable. Raises: NoWorkerLeft.
        """
        wish = Wish.of(tags, exclude, avoid)
        if not any(wish.suits(one) for one in self._slots.values()):
            wanted = f" with the tags {', '.join(sorted(wish.tags))}" if wish.tags else ""
            raise NoWorkerLeft(f"there is no worker{wanted} but those excluded")
        turn = self._line.join(wish)
        try:
            self._serve()
            return await turn
        except asyncio.CancelledError:
            # The slot may have been given in the very moment the wait was cancelled.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                turn.result().release()
            raise
        finally:
            self._line.leave(turn)
            self._set_timer()

    @asynccontextmanager
    async def lease(
        self, *, tags: Collection[str] = (), exclude: Collection[str] = (), avoid: Collection[str] = ()
    ) -> AsyncIterator[Lease]:
        """`acquire` and `release` around a block. A WorkerError that leaves the block is its outcome.

        The block says `lease.done(…)` for success; ended without a word it counts for nothing. Given up, the
        lease only sets `cancelled`: whether to stop at once is up to the block (`run_all` stops).
        """
        lease = await self.acquire(tags=tags, exclude=exclude, avoid=avoid)
        try:
            yield lease
        except WorkerError as error:
            lease.failed(error)
            raise
        finally:
            lease.release()

    def report(
        self, worker_id: str, state: WorkerState, reason: str = "", *, since: float | None = None
    ) -> bool:
        """Take what was seen from outside, `since` when (Unix seconds). False for a worker not of this pool.

        It holds until the next report: whoever stops hearing of a worker reports it `unknown`. A wedged
        worker's leases are given up; a draining or lost one's go on, since their own connections know better.
        """
        one = self._slots.get(worker_id)
        if one is None:
            return False
        one.report(state, reason, self._now())
        self._changed(one, since)
        if state is WorkerState.WEDGED:
            self.give_up(worker_id, reason or "it is reported wedged")
        return True

    def unreached(self, error: WorkerError) -> None:
        """Give `error.worker`, of no use now, no work until a trial has gone well. Raises: KeyError."""
        one = self._slots[error.worker]
        one.unreached(error, self._now())
        self._changed(one)

    def drain(self, worker_id: str, reason: str = "drained by hand") -> None:
        """Give the worker no new work until `undrain`; its running work goes on. Raises: KeyError."""
        self._slots[worker_id].drain(reason)
        self._changed(self._slots[worker_id])

    def undrain(self, worker_id: str) -> None:
        """Let the worker take work again. Raises: KeyError."""
        self._slots[worker_id].undrain()
        self._changed(self._slots[worker_id])

    def give_up(self, worker_id: str, reason: str) -> int:
        """Give up the running leases of a worker, so that their work moves. How many. Raises: KeyError."""
        error = WorkerError(Failure.WEDGED, reason, worker=worker_id)
        given_up = 0
        for lease in tuple(self._leases[worker_id]):
            if lease.given_up is None:
                lease.give_up(error)
                given_up += lease.given_up is not None
        self._changed(self._slots[worker_id])
        if given_up:
            log.warning("work taken from a worker", worker=worker_id, leases=given_up, reason=reason)
        return given_up

    def _changed(self, one: Slots, since: float | None = None) -> None:
        if one.refresh(self._now(), self._wall(), since):
            log.info("worker state changed", worker=one.spec.id, state=one.state.value, reason=one.reason)
            if self._on_change is not None:
                self._on_change(one.snapshot(self._now()))
        self._serve()

    def _serve(self) -> None:
        """Give what is free to whoever is first and can use it; tell those who wait in vain."""
        now = self._now()
        everyone = self._slots.values()
        free = [one for one in everyone if one.admits(now)]
        for turn, wish in self._line:
            if not free:
                break
            chosen = choose(wish.among(free, everyone), now)
            if chosen is None:
                continue
            turn.set_result(self._grant(chosen))
            self._line.leave(turn)
            if not chosen.admits(now):
                free.remove(chosen)
        self._refuse(now)
        self._set_timer()

    def _grant(self, one: Slots) -> Lease:
        lease = Lease(one, self._changed, self._now)
        held = self._leases[one.spec.id]
        held.add(lease)
        lease.when_released(held.discard)
        return lease

    def _refuse(self, now: float) -> None:
        if all(one.usable for one in self._slots.values()):
            return
        vain = {wish for wish in self._line.wishes() if self._patient_until(wish) <= now}
        if not vain:
            return
        for turn, wish in self._line:
            if wish in vain:
                turn.set_exception(NoWorkerLeft(self._why_none(wish)))
                self._line.leave(turn)

    def _patient_until(self, wish: Wish) -> float:
        """Until when there is hope; infinity while a suitable worker is usable or still at work.

        Running work keeps hope up, for a trial that goes well ends all waiting.
        """
        lost_at = -math.inf
        for one in self._slots.values():
            if wish.suits(one):
                if one.unusable_since is None or one.working:
                    return math.inf
                lost_at = max(lost_at, one.unusable_since)
        return lost_at + self._patience_s

    def _why_none(self, wish: Wish) -> str:
        suiting = (one for one in self._slots.values() if wish.suits(one))
        each = "; ".join(f"{one.spec.id} is {one.state}: {one.reason}" for one in suiting)
        return f"no worker has taken work for {self._patience_s:g} s: {each}"

    def _set_timer(self) -> None:
        """Wake when the next breaker lets a trial through or the next patience ends, if somebody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._line or all(one.usable for one in self._slots.values()):
            return
        now = self._now()
        due = [at for one in self._slots.values() if (at := one.retry_at) is not None and at > now]
        due += [self._patient_until(wish) for wish in self._line.wishes()]
        at = min(due, default=math.inf)
        if at < math.inf:
            self._timer = asyncio.get_running_loop().call_later(max(at - now, _SHORTEST_S), self._serve)


def _check(workers: Sequence[WorkerSpec], limit: int) -> None:
    if not workers:
        raise ValueError("no worker is configured")
    if len(workers) > limit:
        raise ValueError(f"{len(workers)} workers are configured, max_remote_instances allows {limit}")
    ids = [one.id for one in workers]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise ValueError(f"workers configured twice: {', '.join(twice)}")
    if wrong := [one.id for one in workers if one.max_capacity < 1]:
        raise ValueError(f"max_capacity must be at least 1: {', '.join(wrong)}")
