"""Whole documents over a pool whose workers die, hang, slow down and drain, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshworker.breaker import BreakerState
from sshworker.delivery import Delivery
from sshworker.errors import Failure, WorkerError
from sshworker.lease import Lease
from sshworker.pool import NoWorkerLeft, Pool
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from sshworker.work import run_all
from tests.virtual_time import now, run

Do = Callable[[Lease, str], Awaitable[str]]


def pool_of(*capacities: int, **options: Any) -> Pool:
    """Workers a, b, c … of these capacities, on the virtual clock."""
    specs = [WorkerSpec("abcdefgh"[n], "host", max_capacity=c) for n, c in enumerate(capacities)]
    return Pool(specs, now=now, wall=now, rng=random.Random(1), **options)


def document(length: int) -> list[str]:
    """So many segments, told apart."""
    return [f"segment {n}" for n in range(length)]


def error(failure: Failure, lease: Lease) -> WorkerError:
    """A failure at the lease's worker."""
    return WorkerError(failure, f"it was {failure}", worker=lease.worker.id)


@dataclass
class Desk:
    """Takes results as a caller would, and checks what holds at all times."""

    slow_s: float = 0.0
    taken: list[Delivery[str, str]] = field(default_factory=list)
    _busy: bool = False

    async def take(self, delivery: Delivery[str, str]) -> None:
        """Keep one result."""
        assert not self._busy, "one at a time"
        self._busy = True
        await asyncio.sleep(self.slow_s)
        self.taken.append(delivery)
        self._busy = False


async def translate(
    pool: Pool, segments: list[str], do: Do, *, concurrency: int = 4, **options: Any
) -> list[Delivery[str, str]]:
    """Run it, and hold what must hold for every run that ends."""
    desk = Desk()
    deliveries = await run_all(pool, segments, do, concurrency=concurrency, on_result=desk.take, **options)
    assert [one.place for one in deliveries] == list(range(len(segments)))
    assert [one.segment for one in deliveries] == segments
    assert sorted(one.place for one in desk.taken) == list(range(len(segments)))
    assert {id(one) for one in desk.taken} == {id(one) for one in deliveries}
    for one in deliveries:
        assert one.error is not None or one.result == one.segment.upper()
    assert [(one.active, one.stuck) for one in pool.workers] == [(0, 0)] * len(pool.workers)
    assert pool.waiting == 0
    return list(deliveries)


def test_results_come_as_they_are_done_and_return_in_order() -> None:
    """Results are handed over as they come, and returned in document order."""

    async def main() -> None:
        desk = Desk(slow_s=0.1)

        async def do(_: Lease, segment: str) -> str:
            await asyncio.sleep({"segment 0": 30}.get(segment, 1))
            return segment.upper()

        deliveries = await run_all(pool_of(2), document(9), do, concurrency=9, on_result=desk.take)
        assert [one.place for one in desk.taken] == [1, 2, 3, 4, 5, 6, 7, 8, 0]
        assert [one.place for one in deliveries] == list(range(9))
        assert await run_all(pool_of(2), [], do, concurrency=9, on_result=desk.take) == []

    run(main)


def test_a_killed_workers_work_is_given_out_again_once_per_loss() -> None:
    """Work of a lost worker is requeued exactly once per loss; the result names who did it in the end."""

    async def main() -> None:
        calls: Counter[str] = Counter()
        pool = pool_of(4, 4)

        async def do(lease: Lease, segment: str) -> str:
            calls[segment] += 1
            await asyncio.sleep(1)
            if lease.worker.id == "a" and now() > 10:
                raise error(Failure.LOST, lease)
            return segment.upper()

        deliveries = await translate(pool, document(200), do, concurrency=8)
        assert all(one.error is None for one in deliveries)
        assert {one.segment: one.attempts for one in deliveries} == dict(calls)
        assert all(one.attempts == 1 + one.lost for one in deliveries)
        lost = sum(one.lost for one in deliveries)
        assert lost == pool.workers[0].failed
        assert 4 <= lost <= 4 + 8, "four under way, then one trial at a time"
        assert all(one.worker == "b" for one in deliveries if one.lost)

    run(main)


def test_a_wedged_workers_segments_move_at_once_and_late_results_are_dropped() -> None:
    """A lease given up cancels `do`, the segment goes elsewhere, and a late result is dropped and counted."""

    async def main() -> None:
        pool = pool_of(2, 2)
        began: dict[str, list[float]] = {}

        async def do(lease: Lease, segment: str) -> str:
            began.setdefault(segment, []).append(now())
            try:
                await asyncio.sleep(1e5 if lease.worker.id == "a" else 2)
            except asyncio.CancelledError:
                await asyncio.sleep(500)  # slow to stop, and then it has a result after all
            return segment.upper()

        async def prober() -> None:
            await asyncio.sleep(30)
            pool.report("a", WorkerState.WEDGED, "no token")

        async with asyncio.TaskGroup() as group:
            group.create_task(prober(), name="prober")
            deliveries = await translate(pool, document(20), do)
        assert all(one.worker == "b" and one.error is None for one in deliveries)
        moved = [one for one in deliveries if one.lost]
        assert len(moved) == 2
        assert [began[one.segment][1] for one in moved] == [pytest.approx(30, abs=2.1)] * 2
        a = pool.workers[0]
        assert (a.given_up, a.late, a.done) == (2, 2, 0)

    run(main)


def test_a_call_given_up_that_ends_in_an_error_of_its_own_ends_nothing_else() -> None:
    """How a hung call fails to stop is logged, and no concern of the other segments."""

    async def main() -> None:
        pool = pool_of(1, 1)

        async def do(lease: Lease, segment: str) -> str:
            try:
                await asyncio.sleep(1e5 if lease.worker.id == "a" else 1)
            except asyncio.CancelledError:
                raise OSError("closing failed") from None
            return segment.upper()

        async def prober() -> None:
            await asyncio.sleep(5)
            pool.report("a", WorkerState.WEDGED)

        async with asyncio.TaskGroup() as group:
            group.create_task(prober(), name="prober")
            await translate(pool, document(10), do)
        assert pool.workers[0].late == 0

    run(main)


def test_a_segment_that_fails_everywhere_is_reported_after_its_attempts() -> None:
    """At most N attempts, each at another worker; then it is a failed segment and the rest goes on."""

    async def main() -> None:
        pool = pool_of(2, 2, 2, 2)
        tried: list[str] = []

        async def do(lease: Lease, segment: str) -> str:
            await asyncio.sleep(1)
            if segment == "segment 3":
                tried.append(lease.worker.id)
                raise error(Failure.BAD_OUTPUT, lease)
            return segment.upper()

        deliveries = await translate(pool, document(50), do, max_attempts=3)
        failed = [one for one in deliveries if one.error is not None]
        assert [one.segment for one in failed] == ["segment 3"]
        assert (failed[0].attempts, failed[0].lost) == (3, 0)
        assert len(set(tried)) == len(tried) == 3
        assert all(one.breaker is BreakerState.CLOSED for one in pool.workers)

    run(main)


def test_a_text_every_worker_hangs_on_does_not_end_the_session() -> None:
    """A segment that takes its worker with it each time fails in the end; the others are translated."""

    async def main() -> None:
        pool = pool_of(2, 2)

        async def do(lease: Lease, segment: str) -> str:
            async with asyncio.timeout(30):
                await asyncio.sleep(1e5 if segment == "segment 3" else 1)
            return segment.upper()

        deliveries = await translate(pool, document(400), do, max_losses=5)
        failed = [one for one in deliveries if one.error is not None]
        assert [(one.place, one.lost) for one in failed] == [(3, 5)]
        assert failed[0].error is not None
        assert failed[0].error.failure is Failure.TIMEOUT

    run(main)


def test_a_first_text_the_only_worker_hangs_on_lets_the_others_by() -> None:
    """A suspect waits behind the others, whose answers then show that it is the text."""

    async def main() -> None:
        async def do(_: Lease, segment: str) -> str:
            async with asyncio.timeout(5):
                await asyncio.sleep(1e5 if segment in ("segment 0", "segment 1") else 1)
            return segment.upper()

        deliveries = await translate(pool_of(1), document(10), do, concurrency=1)
        assert [one.place for one in deliveries if one.error is not None] == [0, 1]

    run(main)


def test_a_last_text_the_only_worker_hangs_on_fails_alone() -> None:
    """Nothing else shows the worker well, nor ill: the one text it hangs on is a failed segment."""

    async def main() -> None:
        async def do(_: Lease, segment: str) -> str:
            async with asyncio.timeout(20):
                await asyncio.sleep(1e5 if segment == "segment 9" else 1)
            return segment.upper()

        deliveries = await translate(pool_of(1), document(10), do, concurrency=1)
        assert [one.place for one in deliveries if one.error is not None] == [9]

    run(main)


def test_a_call_that_cancels_itself_fails_only_its_segment() -> None:
    """A CancelledError nobody asked for is a failure of that call."""

    async def main() -> None:
        async def do(_: Lease, segment: str) -> str:
            if segment == "segment 1":
                raise asyncio.CancelledError
            return segment.upper()

        deliveries = await translate(pool_of(2), document(3), do)
        assert [one.error is None for one in deliveries] == [True, False, True]

    run(main)


def test_an_outage_shorter_than_the_patience_costs_time_and_no_segment() -> None:
    """While a worker may come back it waits: refused connections are held against no segment."""

    async def main() -> None:
        pool = pool_of(3, patience_s=120)

        async def do(lease: Lease, segment: str) -> str:
            if 10 < now() < 100:
                await asyncio.sleep(0.01)
                raise error(Failure.REFUSED, lease)
            await asyncio.sleep(1)
            return segment.upper()

        deliveries = await translate(pool, document(100), do)
        assert all(one.error is None for one in deliveries)
        assert now() > 100

    run(main)


def test_no_worker_left_comes_after_everything_done_was_handed_over() -> None:
    """NoWorkerLeft is raised only when all are out of use for the patience, and loses no result."""

    async def main() -> None:
        pool = pool_of(2, 2, patience_s=60)
        desk = Desk(slow_s=3.0)
        finished: list[str] = []

        async def do(lease: Lease, segment: str) -> str:
            await asyncio.sleep(0.5)
            if now() > 20:
                raise error(Failure.LOST, lease)
            finished.append(segment)
            return segment.upper()

        with pytest.raises(NoWorkerLeft) as caught:
            await run_all(pool, document(1000), do, concurrency=4, on_result=desk.take)
        assert caught.value.failure is Failure.LOST
        assert sorted(one.segment for one in desk.taken) == sorted(finished)
        assert 80 < now() < 120

    run(main)


@pytest.mark.parametrize("where", ["do", "on_result"])
def test_any_other_error_ends_the_run_as_it_is(where: str) -> None:
    """A mistake in `do`, or a disk that is full in `on_result`, ends the run, itself and not in a group."""

    async def main() -> None:
        pool = pool_of(4)

        async def do(_: Lease, segment: str) -> str:
            await asyncio.sleep(1)
            if where == "do" and segment == "segment 7":
                raise ZeroDivisionError
            return segment.upper()

        async def take(_: Delivery[str, str]) -> None:
            if where == "on_result":
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await run_all(pool, document(20), do, concurrency=4, on_result=take)
        assert pool.workers[0].active == 0

    run(main)


def test_a_cancelled_run_frees_every_slot() -> None:
    """Whenever it is cancelled, no task, no lease and no waiter stays behind."""

    async def main(after_s: float) -> None:
        pool = pool_of(2, 3)

        async def do(_: Lease, segment: str) -> str:
            await asyncio.sleep(0.7)
            return segment.upper()

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await run_all(pool, document(100), do, concurrency=9, on_result=Desk(0.05).take)
        assert [(one.active, one.stuck) for one in pool.workers] == [(0, 0), (0, 0)]
        assert pool.waiting == 0

    for tenth in range(40):
        run(lambda tenth=tenth: main(tenth * 0.05))  # type: ignore[misc]  # bound now, called now


@dataclass
class World:
    """Workers as they really are, whatever the pool believes; `do` is how a segment fares in it."""

    pool: Pool
    rng: random.Random
    faulty: frozenset[str]
    speed: dict[str, float]
    dead: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    busy: Counter[str] = field(default_factory=Counter)
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    overlap: Counter[str] = field(default_factory=Counter)
    _at: dict[asyncio.Task[Any], str] = field(default_factory=dict)

    async def do(self, lease: Lease, segment: str) -> str:
        """A segment at a worker: refused, lost mid-way, hung, failed for its text, or translated."""
        name = lease.worker.id
        self.busy[name] += 1
        assert self.busy[name] <= lease.worker.max_capacity, "more than capacity leases at a worker"
        try:
            async with asyncio.timeout(100):
                await self._work(name, lease, segment)
        except asyncio.CancelledError:
            if self.rng.random() < 0.5:
                raise
            await asyncio.sleep(self.rng.choice([0, 1, 40]))
        finally:
            self.busy[name] -= 1
        if self.rng.random() < 0.5:
            lease.done(units=len(segment))
        return segment.upper()

    async def _work(self, name: str, lease: Lease, segment: str) -> None:
        left = len(segment) * self.rng.uniform(0.5, 2)
        while left > 0:
            if name in self.dead:
                await asyncio.sleep(0.05)
                raise error(self.rng.choice([Failure.REFUSED, Failure.LOST]), lease)
            await asyncio.sleep(0.5)
            if name not in self.hung:
                left -= self.speed[name] * 0.5
        if segment in self.faulty:
            raise error(Failure.BAD_OUTPUT, lease)

    async def happen(self, events: list[tuple[float, str, str]]) -> None:
        """Let all this come over the workers; in the end they are well and reported so."""
        for pause_s, what, name in events:
            await asyncio.sleep(pause_s)
            match what:
                case "die":
                    self.dead.add(name)
                case "revive":
                    self.dead.discard(name)
                case "hang":
                    self.hung.add(name)
                case "resume":
                    self.hung.discard(name)
                case "slow":
                    self.speed[name] = self.rng.choice([0.5, 3.0, 30.0])
                case "drain":
                    self.pool.drain(name)
                case "undrain":
                    self.pool.undrain(name)
                case "probe":
                    self.probe(name)
                case state:
                    self.pool.report(name, WorkerState(state))
        self.dead.clear()
        self.hung.clear()
        for one in self.pool.workers:
            self.pool.undrain(one.id)
            self.pool.report(one.id, WorkerState.UP)

    def probe(self, name: str) -> None:
        """Report the truth."""
        if name in self.dead:
            self.pool.report(name, WorkerState.DOWN)
        else:
            self.pool.report(name, WorkerState.WEDGED if name in self.hung else WorkerState.UP)


HAPPENINGS = [
    *("die", "revive", "hang", "resume", "slow", "drain", "undrain"),
    *("probe", "probe", "probe", "wedged", "up", "unknown"),
]
STORIES = st.lists(
    st.tuples(st.floats(0, 20), st.sampled_from(HAPPENINGS), st.sampled_from("abc")), max_size=40
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    events=STORIES,
    capacities=st.tuples(*[st.integers(1, 3)] * 3),
    concurrency=st.integers(1, 12),
    length=st.integers(1, 60),
    faulty=st.sets(st.integers(0, 59), max_size=3),
    seed=st.integers(0, 2**32),
)
@pytest.mark.slow
def test_whatever_happens_to_workers_each_segment_is_delivered_once(
    events: list[tuple[float, str, str]],
    capacities: tuple[int, int, int],
    concurrency: int,
    length: int,
    faulty: set[int],
    seed: int,
) -> None:
    """Deaths, hangs, slowness, drains and wrong reports: each segment once, in order, within capacity."""

    async def main() -> None:
        pool = pool_of(*capacities, patience_s=1e5)
        wrong = frozenset(f"segment {n}" for n in faulty if n < length)
        world = World(pool, random.Random(seed), wrong, dict.fromkeys("abc", 30.0))
        async with asyncio.TaskGroup() as group:
            group.create_task(world.happen(events), name="what happens")
            deliveries = await translate(
                pool, document(length), world.do, concurrency=concurrency, max_losses=10**6
            )
        assert {one.segment for one in deliveries if one.error is not None} == wrong
        assert all(one.attempts == 3 + one.lost for one in deliveries if one.error is not None)
        assert all(one.attempts >= 1 + one.lost for one in deliveries)
        assert world.busy.total() == 0

    run(main)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(events=STORIES, end_s=st.floats(0, 100), seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_whenever_it_is_cancelled_nothing_is_left_behind(
    events: list[tuple[float, str, str]], end_s: float, seed: int
) -> None:
    """Cancelled at any moment of any story: every slot free, every task ended, no result twice."""

    async def main() -> None:
        pool = pool_of(1, 2, 3, patience_s=30)
        world = World(pool, random.Random(seed), frozenset(), dict.fromkeys("abc", 3.0))
        desk = Desk(0.2)
        with suppress(TimeoutError):
            async with asyncio.timeout(end_s), asyncio.TaskGroup() as group:
                group.create_task(world.happen(events), name="what happens")
                with suppress(NoWorkerLeft):
                    await run_all(pool, document(200), world.do, concurrency=8, on_result=desk.take)
        assert len({one.place for one in desk.taken}) == len(desk.taken)
        assert [(one.active, one.stuck) for one in pool.workers] == [(0, 0)] * 3
        assert pool.waiting == 0

    run(main)
