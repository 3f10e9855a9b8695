"""The pool by itself, in virtual time: who gets a slot, who waits, and what reports and failures change."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from sshworker.breaker import BreakerLimits, BreakerState
from sshworker.choice import REMEASURE_S
from sshworker.errors import Failure, WorkerError
from sshworker.lease import Lease
from sshworker.pool import NoWorkerLeft, Pool
from sshworker.snapshot import WorkerSnapshot
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from tests.virtual_time import now, run


def worker(name: str, capacity: int = 1, *tags: str) -> WorkerSpec:
    """A worker that exists on paper."""
    return WorkerSpec(name, "host", max_capacity=capacity, tags=tags)


def pool_of(*workers: WorkerSpec, **options: Any) -> Pool:
    """A pool on the virtual clock."""
    return Pool(workers, now=now, wall=lambda: 1e9 + now(), rng=random.Random(1), **options)


def shown(pool: Pool, name: str) -> WorkerSnapshot:
    """One worker's snapshot."""
    return next(one for one in pool.workers if one.id == name)


def gone(name: str, failure: Failure = Failure.REFUSED) -> WorkerError:
    """A failure of the worker itself."""
    return WorkerError(failure, "connection refused", worker=name)


async def break_open(pool: Pool, name: str) -> None:
    """Let the worker fail until its breaker opens."""
    others = [one.id for one in pool.workers if one.id != name]
    while shown(pool, name).breaker is BreakerState.CLOSED:
        async with pool.lease(exclude=others) as lease:
            lease.failed(gone(name))


async def settle() -> None:
    """Let every other task come to where it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_more_than_twenty_workers_are_an_error_that_names_the_limit() -> None:
    """At most 20 workers (`max_remote_instances`)."""
    Pool([worker(str(n)) for n in range(20)])
    with pytest.raises(ValueError, match="21 workers are configured, max_remote_instances allows 20"):
        Pool([worker(str(n)) for n in range(21)])
    Pool([worker(str(n)) for n in range(21)], max_remote_instances=21)


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ([], "no worker is configured"),
        ([worker("a"), worker("a")], "twice: a"),
        ([worker("a", 0)], "max_capacity must be at least 1: a"),
    ],
)
def test_workers_that_make_no_pool_are_refused(workers: list[WorkerSpec], message: str) -> None:
    """A pool is made of at least one worker, each id once, each with a slot."""
    with pytest.raises(ValueError, match=message):
        Pool(workers)


def test_slots_are_given_in_the_order_asked() -> None:
    """Waiting is first come, first served."""

    async def main() -> None:
        pool = pool_of(worker("a"))
        order: list[int] = []

        async def ask(n: int) -> None:
            async with pool.lease():
                order.append(n)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for n in range(20):
                group.create_task(ask(n), name=f"ask {n}")
        assert order == list(range(20))
        assert now() == pytest.approx(20)

    run(main)


def test_one_who_waits_for_a_tag_holds_up_nobody_else() -> None:
    """A job may ask for tags; the line passes by one whose worker is busy, who is first as it comes free."""

    async def main() -> None:
        pool = pool_of(worker("gpu", 1, "gpu", "big"), worker("cpu"))
        order: list[str] = []

        async def ask(name: str, *tags: str) -> None:
            async with pool.lease(tags=tags) as lease:
                order.append(f"{name}@{lease.worker.id}")
                await asyncio.sleep(10 if lease.worker.id == "gpu" else 1)

        async with asyncio.TaskGroup() as group:
            for name, *tags in (("1", "gpu"), ("2", "gpu"), ("3",), ("4",), ("5", "big", "gpu")):
                group.create_task(ask(name, *tags), name=name)
        assert order == ["1@gpu", "3@cpu", "4@cpu", "2@gpu", "5@gpu"]

    run(main)


def test_tags_nobody_has_are_told_at_once() -> None:
    """No use in waiting for what is not configured."""

    async def main() -> None:
        pool = pool_of(worker("a", 1, "cpu"))
        with pytest.raises(NoWorkerLeft, match="no worker with the tags gpu"):
            await pool.acquire(tags=["gpu"])
        with pytest.raises(NoWorkerLeft, match="no worker but those excluded"):
            await pool.acquire(exclude=["a"])
        assert now() == 0
        assert pool.waiting == 0

    run(main)


@pytest.mark.parametrize("granted", [False, True])
def test_a_cancelled_wait_loses_no_slot(granted: bool) -> None:
    """Cancelling is safe while waiting, and in the very moment the slot is given."""

    async def main() -> None:
        pool = pool_of(worker("a"))
        held = await pool.acquire()
        async with asyncio.TaskGroup() as group:
            first = group.create_task(pool.acquire(), name="first")
            second = group.create_task(pool.acquire(), name="second")
            await settle()
            if granted:
                held.release()  # gives the slot to `first`, which has not run yet
            first.cancel()
            await settle()
            held.release()
            lease = await second
        assert first.cancelled()
        assert shown(pool, "a").active == 1
        lease.release()
        assert shown(pool, "a").active == 0
        assert pool.waiting == 0

    run(main)


def test_a_draining_worker_finishes_its_work_and_gets_none() -> None:
    """Draining takes no new work and lets running work finish; undrained it takes work again."""

    async def main() -> None:
        pool = pool_of(worker("a", 2))
        running = await pool.acquire()
        pool.drain("a", "new GPU")
        assert (shown(pool, "a").state, shown(pool, "a").reason) == (WorkerState.DRAINING, "new GPU")
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.acquire(), name="waiting")
            await asyncio.sleep(60)
            assert not waiting.done()
            assert not running.cancelled.is_set()
            assert running.done(units=10)
            running.release()
            pool.report("a", WorkerState.UP)
            await settle()
            assert not waiting.done(), "a report does not lift a drain by hand"
            pool.undrain("a")
            assert (await waiting).worker.id == "a"
        assert shown(pool, "a").state is WorkerState.UP

    run(main)


@pytest.mark.parametrize("state", [WorkerState.DRAINING, WorkerState.DOWN, WorkerState.WEDGED])
def test_a_reported_state_turns_work_away_until_it_is_lifted(state: WorkerState) -> None:
    """Draining, down and wedged take no new work; up, degraded and unknown do."""

    async def main() -> None:
        pool = pool_of(worker("a", 4))
        for lifted in (WorkerState.UP, WorkerState.DEGRADED, WorkerState.UNKNOWN):
            assert pool.report("a", state, "because", since=5.0)
            assert (shown(pool, "a").state, shown(pool, "a").reason) == (state, "because")
            assert shown(pool, "a").since == 5.0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await pool.acquire()
            pool.report("a", lifted)
            (await pool.acquire()).release()
        assert not pool.report("stranger", state)

    run(main)


def test_a_wedged_worker_gives_up_its_leases_and_keeps_their_slots() -> None:
    """Running leases of a wedged worker can be given up; a late result counts as late, never as done."""

    async def main() -> None:
        pool = pool_of(worker("a", 2), patience_s=1e9)
        finished, running = await pool.acquire(), await pool.acquire()
        assert finished.done(units=1)
        pool.report("a", WorkerState.WEDGED, "no token in 5 min")
        assert running.cancelled.is_set()
        assert not finished.cancelled.is_set(), "its result is there"
        assert running.given_up is not None
        assert running.given_up.failure is Failure.WEDGED
        assert shown(pool, "a").active == 2
        pool.report("a", WorkerState.UP)
        finished.release()
        replacement = await pool.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await pool.acquire()  # the far side may still be at it
        assert not running.done(units=100)
        assert not running.done(units=100)
        running.release()
        replacement.release()
        a = shown(pool, "a")
        assert (a.active, a.stuck, a.done, a.given_up, a.late, a.units) == (0, 0, 1, 1, 1, 1.0)

    run(main)


def test_an_outcome_counts_once() -> None:
    """Done, failed and release in any number and order free one slot and count one outcome."""

    async def main() -> None:
        pool = pool_of(worker("a", 2))
        lease = await pool.acquire()
        assert lease.done(units=5, seconds=1)
        assert not lease.done(units=5, seconds=1)
        assert not lease.failed(gone("a"))
        lease.release()
        lease.release()
        silent = await pool.acquire()
        silent.release()
        assert not silent.done(units=5, seconds=1)
        a = shown(pool, "a")
        assert (a.active, a.done, a.failed, a.units, a.units_per_s) == (0, 1, 0, 5, 5)

    run(main)


def test_a_broken_worker_gets_one_trial_after_its_pause() -> None:
    """Open after failures in a row, half-open after the pause with one trial, closed on its success."""

    async def main() -> None:
        changes: list[WorkerState] = []
        pool = pool_of(worker("a", 4), on_change=lambda one: changes.append(one.state))
        await break_open(pool, "a")
        assert shown(pool, "a").state is WorkerState.DOWN
        assert "3 failures in a row, the last one: connection refused" in shown(pool, "a").reason
        pause_s = shown(pool, "a").retry_in_s
        assert pause_s is not None
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(pool.acquire(), name=f"wait {n}") for n in range(4)]
            await asyncio.sleep(pause_s * 0.99)
            assert not any(one.done() for one in waiting)
            await asyncio.sleep(pause_s)
            assert [one.done() for one in waiting] == [True, False, False, False]
            trial = waiting[0].result()
            assert trial.trial
            assert trial.done(units=1)
            await asyncio.gather(*waiting[1:])
        assert changes == [WorkerState.DOWN, WorkerState.UP]
        assert shown(pool, "a").state is WorkerState.UP

    run(main)


def test_a_trial_nobody_finished_makes_room_for_another() -> None:
    """A cancelled caller must not leave a worker half-open for ever."""

    async def main() -> None:
        pool = pool_of(worker("a"))
        await break_open(pool, "a")
        first = await pool.acquire()
        assert first.trial
        first.release()
        second = await pool.acquire()
        assert second.trial
        pool.give_up("a", "hangs")
        second.release()
        third = await pool.acquire()
        assert third.trial
        assert third.done()
        third.release()
        assert shown(pool, "a").breaker is BreakerState.CLOSED

    run(main)


def test_a_report_of_up_spares_the_rest_of_the_pause() -> None:
    """The prober saw it well: the trial comes at once."""

    async def main() -> None:
        pool = pool_of(worker("a"), breaker=BreakerLimits(base_s=50))
        await break_open(pool, "a")
        pool.report("a", WorkerState.UP)
        async with asyncio.timeout(0.001):
            lease = await pool.acquire()
        assert lease.trial

    run(main)


def test_no_worker_left_is_said_after_the_patience_and_not_before() -> None:
    """Raised only when every worker has been out of use for longer than the patience; it names each."""

    async def main() -> None:
        pool = pool_of(worker("a"), worker("b"), worker("c"), patience_s=100)
        pool.report("a", WorkerState.DOWN, "no route")
        await asyncio.sleep(50)
        pool.drain("c", "service")
        await break_open(pool, "b")
        pool.report("b", WorkerState.WEDGED, "no token")
        began = now()
        with pytest.raises(NoWorkerLeft) as caught:
            await pool.acquire()
        assert now() - began == pytest.approx(100, abs=0.01)
        assert caught.value.failure is Failure.LOST
        for part in ("a is down: no route", "b is wedged: no token", "c is draining: service"):
            assert part in caught.value.detail
        assert pool.waiting == 0

    run(main)


def test_patience_is_renewed_by_a_worker_that_comes_back() -> None:
    """While one may come back it waits; once back, it is used."""

    async def main() -> None:
        pool = pool_of(worker("a"), patience_s=100)
        pool.report("a", WorkerState.DOWN)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.acquire(), name="waiting")
            await asyncio.sleep(99)
            pool.report("a", WorkerState.UP)
            assert (await waiting).worker.id == "a"

    run(main)


def test_patience_does_not_end_while_a_suitable_worker_is_at_work() -> None:
    """A drained worker still at work, or a trial still running, may yet end the waiting."""

    async def main() -> None:
        pool = pool_of(worker("a"), patience_s=100)
        running = await pool.acquire()
        pool.drain("a")

        async def end() -> None:
            await asyncio.sleep(500)
            assert pool.waiting == 1
            running.done(units=1)
            running.release()

        async with asyncio.TaskGroup() as group:
            group.create_task(end(), name="end")
            with pytest.raises(NoWorkerLeft):
                await pool.acquire()
        assert now() == pytest.approx(500)

    run(main)


def test_failing_trials_do_not_renew_patience() -> None:
    """A worker that never comes back is tried, and given up in the end."""

    async def main() -> None:
        pool = pool_of(worker("a"), patience_s=120)
        await break_open(pool, "a")
        trials = 0

        async def try_for_ever() -> None:
            nonlocal trials
            while True:
                async with pool.lease() as lease:
                    assert lease.trial
                    trials += 1
                    await asyncio.sleep(0.1)
                    lease.failed(gone("a"))

        began = now()
        with pytest.raises(NoWorkerLeft):
            await try_for_ever()
        assert trials >= 6
        assert now() - began == pytest.approx(120, abs=1)

    run(main)


def test_avoided_workers_are_used_only_where_no_other_can_be() -> None:
    """`avoid` waits for a busy worker in use, and takes the avoided one where nothing else is left."""

    async def main() -> None:
        pool = pool_of(worker("a", 2), worker("b"))
        busy = await pool.acquire(exclude=["a"])
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(pool.acquire(avoid=["a"]), name="waiting")
            await asyncio.sleep(5)
            assert not waiting.done()
            busy.release()
            assert (await waiting).worker.id == "b"
            again = group.create_task(pool.acquire(avoid=["a"]), name="again")
            await asyncio.sleep(5)
            assert not again.done()
            pool.report("b", WorkerState.DOWN)
            assert (await again).worker.id == "a"
        assert (await pool.acquire(avoid=["a", "b"])).worker.id == "a"

    run(main)


async def share(
    speeds: dict[str, float], *, concurrency: int, capacity: int = 2, work_s: float = 4000.0
) -> Counter[str]:
    """Units done by each worker of these speeds within the time, by so many callers without a pause."""
    pool = pool_of(*(worker(name, capacity) for name in speeds))
    rng = random.Random(7)
    end = now() + work_s

    async def caller() -> None:
        while now() < end:
            async with pool.lease() as lease:
                units = rng.uniform(20, 200)
                await asyncio.sleep(units / speeds[lease.worker.id])
                lease.done(units=units)

    async with asyncio.TaskGroup() as group:
        for n in range(concurrency):
            group.create_task(caller(), name=f"caller {n}")
    for one in pool.workers:
        assert one.units_per_s == pytest.approx(speeds[one.id], rel=0.01)
    return Counter({one.id: round(one.units) for one in pool.workers})


def test_under_full_load_each_worker_does_as_much_as_it_is_fast() -> None:
    """The slow worker's share is proportional to its speed."""
    speeds = {"fast": 100.0, "middle": 40.0, "slow": 10.0}
    units = run(lambda: share(speeds, concurrency=12))
    for name, speed in speeds.items():
        assert units[name] / units.total() == pytest.approx(speed / 150, rel=0.1)


def test_under_light_load_the_slow_worker_gets_little_and_not_nothing() -> None:
    """The fast ones are preferred, and the slow one is measured again every so often."""
    units = run(lambda: share({"fast": 100.0, "slow": 10.0}, concurrency=2))
    assert units["slow"] / units.total() < 10 / 110
    assert units["slow"] > 0


def test_a_slow_worker_that_recovers_is_found_out() -> None:
    """A slow worker is tried again, so its new speed brings its share back."""

    async def main() -> None:
        speeds = {"a": 100.0, "b": 1.0}
        pool = pool_of(worker("a", 2), worker("b", 2))

        async def one() -> str:
            async with pool.lease() as lease:
                await asyncio.sleep(100 / speeds[lease.worker.id])
                lease.done(units=100)
                return lease.worker.id

        for _ in range(10):
            await one()
        assert await one() == "a"
        speeds["b"] = 1000.0
        used = [await one() for _ in range(int(15 * REMEASURE_S))]
        assert used[-5:] == ["b"] * 5

    run(main)


def test_a_degraded_worker_gets_less_than_its_equal() -> None:
    """Degraded takes work, at half its weight."""

    async def main() -> None:
        pool = pool_of(worker("a", 8), worker("b", 8))
        pool.report("a", WorkerState.DEGRADED, "load 40")
        given = Counter([(await pool.acquire()).worker.id for _ in range(9)])
        assert given == {"a": 3, "b": 6}

    run(main)


def test_a_worker_without_monitor_is_up_once_it_has_worked() -> None:
    """Without a monitor the pool works on its own checks."""

    async def main() -> None:
        pool = pool_of(worker("a"))
        assert shown(pool, "a").state is WorkerState.UNKNOWN
        await asyncio.sleep(3)
        async with pool.lease() as lease:
            lease.done(units=3, seconds=1)
        assert shown(pool, "a").state is WorkerState.UP
        assert shown(pool, "a").since == 1e9 + 3

    run(main)


def test_an_error_that_leaves_the_block_is_the_outcome() -> None:
    """`async with pool.lease()` tells the pool of a WorkerError, and frees the slot whatever happens."""

    async def main() -> None:
        pool = pool_of(worker("a"))
        with pytest.raises(WorkerError):
            async with pool.lease():
                raise gone("a")
        with pytest.raises(ZeroDivisionError):
            async with pool.lease():
                raise ZeroDivisionError
        a = shown(pool, "a")
        assert (a.active, a.failed) == (0, 1)

    run(main)


@pytest.mark.parametrize("seed", range(30))
def test_a_crowd_that_comes_and_goes_loses_no_slot_and_no_turn(seed: int) -> None:
    """Never more leases than capacity, equals served in order, nobody forgotten, whoever is cancelled."""

    async def main() -> None:
        rng = random.Random(seed)
        specs = [worker(str(n), rng.randint(1, 3), *rng.sample("xyz", rng.randint(0, 2))) for n in range(4)]
        pool = pool_of(*specs, worker("all", 1, "x", "y", "z"), patience_s=1e9)
        held: Counter[str] = Counter()
        asked: dict[str, list[int]] = {tag: [] for tag in ("", "x", "y", "z")}
        given: dict[str, list[int]] = {tag: [] for tag in ("", "x", "y", "z")}
        quitters: set[int] = set()

        def check(lease: Lease) -> None:
            held[lease.worker.id] += 1
            assert held[lease.worker.id] <= lease.worker.max_capacity

        async def caller(n: int, tag: str) -> None:
            await asyncio.sleep(rng.uniform(0, 50))
            asked[tag].append(n)
            patience = rng.choice([0.0, 1.0, 10.0, 1e6])
            try:
                async with asyncio.timeout(patience), pool.lease(tags=[tag] if tag else []) as lease:
                    given[tag].append(n)
                    check(lease)
                    try:
                        await asyncio.sleep(rng.choice([0.0, 0.5, 3.0]))
                    finally:
                        held[lease.worker.id] -= 1
                    if rng.random() < 0.15:
                        lease.failed(gone(lease.worker.id))
                    else:
                        lease.done(units=rng.uniform(1, 9))
            except TimeoutError:
                quitters.add(n)

        async def weather() -> None:
            for _ in range(40):
                await asyncio.sleep(rng.uniform(0, 3))
                name = rng.choice([one.id for one in pool.workers])
                rng.choice([pool.drain, pool.undrain])(name)
                pool.report(rng.choice(["0", "1", "all"]), rng.choice(list(WorkerState)))
            for one in pool.workers:
                pool.undrain(one.id)
                pool.report(one.id, WorkerState.UP)

        async with asyncio.TaskGroup() as group:
            group.create_task(weather(), name="weather")
            for n in range(150):
                group.create_task(caller(n, rng.choice(list(asked))), name=f"caller {n}")
        for tag, order in asked.items():
            stayed = [n for n in order if n not in quitters]
            assert [n for n in given[tag] if n not in quitters] == stayed
        assert pool.waiting == 0
        assert [(one.active, one.stuck) for one in pool.workers] == [(0, 0)] * 5

    run(main)
