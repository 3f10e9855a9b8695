"""A slow hand for demonstrations: at most one segment every so many seconds, so that one can watch."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Keeps `interval_s` seconds between segments; 0 does nothing."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next = 0.0

    async def wait(self) -> None:
        """Return when the next segment may be handed over."""
        if self.interval_s <= 0:
            return
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + self.interval_s
        await asyncio.sleep(turn - now)
