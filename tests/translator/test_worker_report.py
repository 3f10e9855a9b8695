"""What the translator says of its workers: a state at once, slots every few seconds at most."""

from __future__ import annotations

import asyncio

from sshworker.pool import Pool
from sshworker.spec import WorkerSpec
from sshworker.state import WorkerState
from tests.translator.conftest import Collector
from translator.worker_report import WorkerReport


async def test_a_change_of_state_is_told_at_once_with_reason_and_slots(collector: Collector) -> None:
    """`worker_status` in the translation's own session: worker, state, reason, since, slots."""
    report = WorkerReport(collector)
    pool = Pool([WorkerSpec("a", "h", max_capacity=3)], on_change=report.state)
    pool.report("a", WorkerState.DOWN, "no route", since=7.0)
    pool.report("a", WorkerState.DOWN, "no route")
    (event,) = collector.of("worker_status")
    assert event["data"] == {
        "worker": "a", "state": "down", "reason": "no route", "since": 7.0,
        "slots": {"capacity": 3, "active": 0},
    }  # fmt: skip


async def test_slots_are_told_at_most_every_so_often_and_the_last_count_is_told(collector: Collector) -> None:
    """A hundred leases are no hundred events, yet the count that stays is told."""
    report = WorkerReport(collector, every_s=0.2)
    pool = Pool([WorkerSpec("a", "h", max_capacity=100)])
    leases = []
    for _ in range(100):
        leases.append(await pool.acquire())
        report.slots(pool.workers[0])
    assert [event["data"]["slots"]["active"] for event in collector.of("worker_status")] == [1]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(report.run(pool), name="report")
        while collector.events[-1]["data"]["slots"]["active"] != 100:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()
    assert len(collector.events) <= 3
    for lease in leases:
        lease.release()
