"""An event loop whose clock jumps to the next timer instead of waiting for it.

Hours pass in milliseconds and in the same order each time. A loop in which nothing can ever happen again
raises Stalled: that is how a lost wake-up shows.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now


def now() -> float:
    """The time of the running loop: what a pool under test is given as its clock."""
    return asyncio.get_running_loop().time()


def run(main: Callable[[], Coroutine[Any, Any, T]], *, limit_s: float = 1e6) -> T:
    """Run to the end. Raises: Stalled; TimeoutError past the limit; AssertionError: a task was left."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            result = await main()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"tasks left behind: {left}"
        return result

    with asyncio.Runner(loop_factory=VirtualLoop, debug=True) as runner:
        return runner.run(bounded())
