"""Every long-lived loop of the server, named, in one TaskGroup."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0

Loop = Callable[[], Coroutine[Any, Any, None]]


class Supervisor:
    """Runs the loops it is given until `stop`.

    A vital loop that fails stops the process: its supervisor restarts it, and nothing acknowledged is lost.
    Any other is logged and begun again after a growing, jittered pause.
    """

    def __init__(self, *, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._loops: list[tuple[str, Loop, bool]] = []
        self._stopping = asyncio.Event()

    def add(self, name: str, loop: Loop, *, vital: bool) -> None:
        """Register a loop before `start`."""
        self._loops.append((name, loop, vital))

    async def run(self) -> None:
        """Run all loops until `stop`; a vital failure is reported and ends them."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running: list[asyncio.Task[None]] = [
                    tasks.create_task(loop() if vital else self._again(name, loop), name=name)
                    for name, loop, vital in self._loops
                ]
                await self._stopping.wait()
                for task in running:
                    task.cancel()
        except* Exception as failures:
            log.exception("a vital loop failed")
            self._on_failure(failures)

    def stop(self) -> None:
        """End all loops."""
        self._stopping.set()

    async def _again(self, name: str, loop: Loop) -> None:
        pause = FIRST_PAUSE_S
        while True:
            try:
                await loop()
            except Exception:
                log.exception("loop failed and will begin again", loop=name, pause_s=round(pause, 1))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, LONGEST_PAUSE_S)
