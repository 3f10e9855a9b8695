"""How many commands at once one connection may carry: a limit of the server that only trying can tell."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

# OpenSSH's default MaxSessions: a good first guess, raised or lowered by what the server does.
FIRST_GUESS: Final = 10
# More processes than this at once help no worker.
MOST: Final = 128
# After a refusal the next try beyond the limit waits this long; it costs one refused channel.
PATIENCE_S: Final = 10.0


class ChannelLimit:
    """A queue before the session channels of one worker, first come first served, with a learned width.

    A refusal narrows it to what was open at that moment; full use without one widens it step by step.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = FIRST_GUESS
        self.active = 0
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._refused_at = float("-inf")
        self._successes = 0

    @property
    def queued(self) -> int:
        """How many wait for a channel."""
        return len(self._waiting)

    async def acquire(self, *, first: bool = False) -> None:
        """Wait for a place; `first` for one who had a place and was refused by the server."""
        if self.active < self.limit and (first or not self._waiting):
            self.active += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()  # the place was given in the same moment
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def release(self) -> None:
        """Give a place back, once its channel has really ended."""
        self.active -= 1
        self._admit()

    def opened(self) -> None:
        """The server gave a channel."""
        self._successes += 1
        saturated = self.active >= self.limit and bool(self._waiting)
        rested = self._clock() - self._refused_at >= PATIENCE_S
        if saturated and rested and self._successes >= self.limit and self.limit < MOST:
            self._successes = 0
            self.limit += 1
            self._admit()

    def refused(self) -> int:
        """The server refused a channel: give the place back; returns how many others are open."""
        others = self.active - 1
        self.limit = max(1, others)
        self._refused_at = self._clock()
        self._successes = 0
        self.release()
        return others

    def _admit(self) -> None:
        while self._waiting and self.active < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.active += 1
                place.set_result(None)
