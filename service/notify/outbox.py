"""What is still to be told to one receiver: in order, bounded, given up when it is no news any more. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from service.notify.notice import Notice, Tone

MAX_WAITING: Final = 200  # each message is a second of somebody's night; memory is not the limit
MAX_AGE_S: Final = 24 * 3600.0


class Outbox:
    """Notices by key, the oldest first; a repeat of a key is the same notice."""

    def __init__(self, waiting: Iterable[Notice] = (), *, most: int = MAX_WAITING) -> None:
        self._most = most
        self._waiting = {one.key: one for one in waiting}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> list[Notice]:
        """Everything still to be told, the oldest first."""
        return list(self._waiting.values())

    def add(self, one: Notice) -> int:
        """Keep a notice; returns how many had to be given up: the oldest good news, else the oldest."""
        self._waiting.setdefault(one.key, one)
        if len(self._waiting) <= self._most:
            return 0
        good = (key for key, kept in self._waiting.items() if kept.tone is Tone.GOOD)
        del self._waiting[next(good, next(iter(self._waiting)))]
        return 1

    def next(self) -> Notice | None:
        """The oldest."""
        return next(iter(self._waiting.values()), None)

    def done(self, one: Notice) -> None:
        """It was told."""
        self._waiting.pop(one.key, None)

    def expire(self, now: float) -> int:
        """Give up what is a day old; returns how many."""
        old = [key for key, one in self._waiting.items() if now - one.at > MAX_AGE_S]
        for key in old:
            del self._waiting[key]
        return len(old)
