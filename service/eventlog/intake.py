"""The queue before the log: appends on their way in, in order, within a bound of bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from translation_events.event import Event
from translation_events.log import Appended

QUEUE_BYTES: Final = 64 * 2**20
# What an event takes while it waits: itself, its bytes and the decoded fields; see `ring.py`.
EVENT_BYTES: Final = 600
JSON_FACTOR: Final = 3
GROUP_EVENTS: Final = 1_024  # beyond this a group gets slower, not cheaper per event


class Call:
    """One `append`: its events, what has been answered so far, and who waits."""

    __slots__ = ("answers", "events", "future", "received_at", "size_bytes")

    def __init__(self, events: Sequence[Event], received_at: float, future: asyncio.Future[list[Appended]]):
        self.events = events
        self.received_at = received_at
        self.future = future
        self.answers: list[Appended] = []
        self.size_bytes = size_of(events)


class Chore:
    """A job for the store that takes its turn among the appends; `then` runs in the loop on its result.

    `op` names it to whoever counts failures. `then` is called even if whoever waits has been cancelled, and
    before anything that follows the job.
    """

    __slots__ = ("future", "job", "op", "then")

    def __init__(
        self,
        op: str,
        job: Callable[[], Any],
        future: asyncio.Future[Any],
        then: Callable[[Any], None] | None = None,
    ) -> None:
        self.op = op
        self.job = job
        self.future = future
        self.then = then


class Intake:
    """Calls and chores in order. Full, it makes callers wait; it never drops."""

    def __init__(self, max_bytes: int = QUEUE_BYTES) -> None:
        self.max_bytes = max_bytes
        self.queued_bytes = 0
        self._items: deque[Call | Chore] = deque()
        self._turn = asyncio.Lock()  # fair: who waits for room keeps his place
        self._room = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._items)

    @property
    def head(self) -> Call | Chore:
        """The next to be served."""
        return self._items[0]

    async def admit(self, size_bytes: int) -> None:
        """Return once there is room for `size_bytes`; a call larger than the bound is let in alone."""
        if not self._turn.locked() and self._fits(size_bytes):
            return
        async with self._turn:
            while not self._fits(size_bytes):
                self._room.clear()
                await self._room.wait()

    def put(self, item: Call | Chore) -> None:
        """Queue behind everything that is there."""
        self._items.append(item)
        if isinstance(item, Call):
            self.queued_bytes += item.size_bytes

    def pop(self) -> Call | Chore:
        """Take the head out."""
        item = self._items.popleft()
        if isinstance(item, Call):
            self.queued_bytes -= item.size_bytes
            self._room.set()
        return item

    def group(self) -> tuple[list[Event], list[float]]:
        """The next events to be written together, with the time each came in; they stay queued."""
        events: list[Event] = []
        received: list[float] = []
        for item in self._items:
            if not isinstance(item, Call) or len(events) >= GROUP_EVENTS:
                break
            start = len(item.answers)
            part = item.events[start : start + GROUP_EVENTS - len(events)]
            events += part
            received += [item.received_at] * len(part)
        return events, received

    def answer(self, appended: Sequence[Appended]) -> None:
        """Hand the answers for the first events of the queue out; calls that are complete leave."""
        at = 0
        while at < len(appended):
            call = cast(Call, self._items[0])  # a group is made of calls alone
            part = appended[at : at + len(call.events) - len(call.answers)]
            call.answers += part
            at += len(part)
            if len(call.answers) == len(call.events):
                self.pop()
                if not call.future.done():  # cancelled: stored all the same
                    call.future.set_result(call.answers)

    def refuse(self, count: int, error: Callable[[], Exception]) -> None:
        """Fail, whole, every call that has one of the queue's first `count` events."""
        while count > 0:
            call = cast(Call, self.pop())
            count -= len(call.events) - len(call.answers)
            if not call.future.done():
                call.future.set_exception(error())

    def refuse_all(self, error: Callable[[], Exception]) -> None:
        """Fail everything that is queued."""
        while self._items:
            item = self.pop()
            if not item.future.done():
                item.future.set_exception(error())

    def _fits(self, size_bytes: int) -> bool:
        return not self.queued_bytes or self.queued_bytes + size_bytes <= self.max_bytes


def size_of(events: Sequence[Event]) -> int:
    """What the events hold in memory, roughly."""
    return JSON_FACTOR * sum([len(event.json) for event in events]) + EVENT_BYTES * len(events)
