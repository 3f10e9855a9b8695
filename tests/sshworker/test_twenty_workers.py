"""A full fleet: twenty real sshds, one connection each, and a document's worth of segments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from sshworker.command import run
from sshworker.connection import Connection
from sshworker.delivery import Delivery
from sshworker.lease import Lease
from sshworker.pool import MAX_REMOTE_INSTANCES, Pool
from sshworker.work import run_all
from tests.sshd import Sshd, until


@pytest.mark.slow
async def test_twenty_workers_share_five_hundred_segments(start_sshd: Callable[..., Sshd]) -> None:
    """At most 20 workers: all of them work, over one connection each; the 21st is refused and says why."""
    sshds = [start_sshd(lines=("LogLevel VERBOSE",)) for _ in range(MAX_REMOTE_INSTANCES)]
    specs = [sshd.spec(id=f"gpu-{n}", max_capacity=3) for n, sshd in enumerate(sshds)]
    with pytest.raises(ValueError, match="21 workers are configured, max_remote_instances allows 20"):
        Pool([*specs, sshds[0].spec(id="gpu-20")])
    handed: list[int] = []

    async def keep(delivery: Delivery[str, str]) -> None:
        handed.append(delivery.place)

    async with AsyncExitStack() as stack:
        held: Mapping[str, Connection] = {
            spec.id: await stack.enter_async_context(Connection(spec)) for spec in specs
        }

        async def do(lease: Lease, segment: str) -> str:
            connection = held[lease.worker.id]
            result = await run(connection, "tr a-z A-Z", segment, timeout_s=60, allowed={"tr"})
            return result.stdout

        segments = [f"segment {n}\n" for n in range(500)]
        done = await run_all(Pool(specs), segments, do, concurrency=60, on_result=keep)
    assert [delivery.result for delivery in done] == [segment.upper() for segment in segments]
    assert sorted(handed) == list(range(500))
    assert {delivery.worker for delivery in done} == set(held)
    for sshd in sshds:
        assert (sshd.folder / "log").read_text().count("Accepted publickey") == 1
    await asyncio.to_thread(
        until,
        lambda: not any(sshd.connections() or sshd.leftovers() for sshd in sshds),
        timeout_s=40.0,  # twenty sshds, on a busy machine
    )
