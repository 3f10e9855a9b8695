"""The queue before a connection's channels: fair, learned, and never a place too many or too few."""

from __future__ import annotations

import asyncio

from sshworker.channels import FIRST_GUESS, PATIENCE_S, ChannelLimit


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def full(limit: ChannelLimit) -> None:
    """Take every place."""
    while limit.active < limit.limit:
        await limit.acquire()


async def test_first_come_first_served() -> None:
    """Nobody is overtaken, save by one whom the server refused."""
    limit = ChannelLimit()
    await full(limit)
    order: list[str] = []

    async def take(name: str, *, first: bool = False) -> None:
        await limit.acquire(first=first)
        order.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name in "abc":
            tasks.create_task(take(name), name=name)
        await asyncio.sleep(0)
        tasks.create_task(take("refused", first=True), name="refused")
        await asyncio.sleep(0)
        assert limit.queued == 4
        for _ in range(4):
            limit.release()
    assert order == ["refused", "a", "b", "c"]
    assert limit.active == limit.limit == FIRST_GUESS


async def test_a_refusal_narrows_to_what_was_open() -> None:
    """The server's limit is what it held at that moment; it never falls below one."""
    limit = ChannelLimit()
    for _ in range(4):
        await limit.acquire()
    assert limit.refused() == 3
    assert (limit.limit, limit.active) == (3, 3)
    for _ in range(3):
        limit.release()
    await limit.acquire()
    assert limit.refused() == 0
    assert (limit.limit, limit.active) == (1, 0)


async def test_full_use_widens_and_a_refusal_makes_it_wait() -> None:
    """One step after as many successes as places; after a refusal only when some time has passed."""
    clock = Clock()
    limit = ChannelLimit(clock=clock)
    await full(limit)
    async with asyncio.TaskGroup() as tasks:
        waiters = [tasks.create_task(limit.acquire(), name="waiter") for _ in range(5)]
        await asyncio.sleep(0)
        for _ in range(FIRST_GUESS):
            limit.opened()
        assert (limit.limit, limit.active) == (FIRST_GUESS + 1, FIRST_GUESS + 1)
        assert limit.refused() == FIRST_GUESS
        for _ in range(3 * FIRST_GUESS):
            limit.opened()
        assert limit.limit == FIRST_GUESS
        clock.now_s += PATIENCE_S
        limit.opened()
        assert limit.limit == FIRST_GUESS + 1
        for waiter in waiters:
            waiter.cancel()


async def test_a_cancelled_waiter_takes_no_place() -> None:
    """Not even one who is cancelled in the moment the place was given."""
    limit = ChannelLimit()
    await full(limit)
    async with asyncio.TaskGroup() as tasks:
        early = tasks.create_task(limit.acquire(), name="early")
        late = tasks.create_task(limit.acquire(), name="late")
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.sleep(0)
        assert limit.queued == 1
        limit.release()
        late.cancel()
    assert (limit.queued, limit.active) == (0, FIRST_GUESS - 1)
