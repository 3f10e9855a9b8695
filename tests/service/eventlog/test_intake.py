"""The queue before the log: bounded, fair, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.eventlog.intake import Call, Intake
from translation_events.event import Event
from translation_events.log import Appended

MakeEvent = Callable[..., Event]


async def test_a_full_queue_makes_callers_wait_in_order(make_event: MakeEvent) -> None:
    """Every queue is bounded: full, it makes the caller wait and serves in the order of coming."""
    intake = Intake(max_bytes=2_500)
    admitted: list[int] = []

    def call() -> Call:
        return Call([make_event(message="x" * 400)], 0.0, asyncio.get_running_loop().create_future())

    async def enter(number: int) -> None:
        item = call()
        await intake.admit(item.size_bytes)
        intake.put(item)
        admitted.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(enter(number), name=f"enter {number}")
        for expected in range(1, 5):
            async with asyncio.timeout(5):
                while len(admitted) < expected:  # noqa: ASYNC110  # turns of the loop, not time
                    await asyncio.sleep(0)
            for _ in range(10):
                await asyncio.sleep(0)
            assert admitted == list(range(expected))
            intake.pop()
    assert intake.queued_bytes == 0


async def test_a_caller_that_gives_up_waiting_lets_the_next_one_in(make_event: MakeEvent) -> None:
    """Cancelling one that waits for room leaves the others their turn."""
    intake = Intake(max_bytes=2_500)
    item = Call([make_event(message="x" * 900)], 0.0, asyncio.get_running_loop().create_future())
    intake.put(item)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(intake.admit(900), name="first")
        second = group.create_task(intake.admit(900), name="second")
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        intake.pop()
    assert first.cancelled()
    assert not second.cancelled()


async def test_a_group_spans_calls_and_answers_each_in_order(make_event: MakeEvent) -> None:
    """A group takes from many calls; a long call is answered when its last part is stored."""
    loop = asyncio.get_running_loop()
    intake = Intake()
    calls = [Call([make_event()] * size, float(size), loop.create_future()) for size in (3, 2_000, 2)]
    for item in calls:
        intake.put(item)
    events, received = intake.group()
    assert len(events) == 1_024
    assert received == [3.0] * 3 + [2_000.0] * 1_021
    intake.answer([Appended(seq, False) for seq in range(1, 1_025)])
    assert [call.future.done() for call in calls] == [True, False, False]
    events, received = intake.group()
    assert received == [2_000.0] * 979 + [2.0] * 2
    intake.answer([Appended(seq, False) for seq in range(1_025, 2_006)])
    assert [a.seq for call in calls for a in call.future.result()] == list(range(1, 2_006))
    assert not intake
