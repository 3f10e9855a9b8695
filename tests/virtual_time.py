"""An event loop whose clock jumps to the next timer instead of waiting for it.

Hours pass in milliseconds and in the same order each time. A loop in which nothing can ever happen again
raises Stalled: that is how a lost wake-up shows.
"""

from __future__ import annotations

import asyncio
import selectors
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stalled(Exception):
    """Every task waits for something that nobody will do."""


class _Jumping(selectors.DefaultSelector):
    """Looks at its files without waiting; the time it should have waited goes to the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise Stalled
        self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop without threads, processes or sockets to wait for."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        self._timers: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
        super().__init__(self._jumping)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Set a timer, and remember it."""
        handle = super().call_at(when, callback, *args, context=context)
        self._timers.add(handle)
        return handle

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are still to fire."""
        return [one for one in self._timers if not one.cancelled() and one.when() > self.time()]

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def now() -> float:
    """The time of the running loop: what a pool under test is given as its clock."""
    return asyncio.get_running_loop().time()


def run(main: Callable[[], Coroutine[Any, Any, T]], *, limit_s: float = 1e6) -> T:
    """Run it. Raises: Stalled; TimeoutError past the limit; AssertionError: a task or timer is left."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            result = await main()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert not loop.timers, f"timers left behind: {loop.timers}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop, debug=True) as runner:
        return runner.run(bounded())
