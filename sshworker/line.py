"""The line of those who wait for a slot: first come, first served, as far as a slot suits."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sshworker.lease import Lease
from sshworker.slots import Slots


@dataclass(frozen=True, slots=True)
class Wish:
    """What one asks of a worker: all of `tags`, none of `exclude`, of `avoid` only where no other works."""

    tags: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()

    @classmethod
    def of(cls, tags: Collection[str], exclude: Collection[str], avoid: Collection[str]) -> Wish:
        """A wish from any collections."""
        return cls(frozenset(tags), frozenset(exclude), frozenset(avoid))

    def suits(self, one: Slots) -> bool:
        """True where the worker is of the kind asked for, whatever its state."""
        return one.spec.id not in self.exclude and self.tags.issubset(one.spec.tags)

    def among(self, free: Collection[Slots], everyone: Collection[Slots]) -> list[Slots]:
        """Those of `free` that may serve now.

        While a worker not to be avoided is in use, even a busy one, the others are no choice; and a worker
        that only gets a trial is none either, for work that has failed before deserves better.
        """
        suiting = [one for one in free if self.suits(one)]
        if not self.avoid or not any(self._preferred(one) for one in everyone):
            return suiting
        return [one for one in suiting if self._preferred(one)]

    def _preferred(self, one: Slots) -> bool:
        return one.usable and one.spec.id not in self.avoid and self.suits(one)


class Line:
    """Waiters in the order they came; leaving it costs the same wherever one stands."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[Lease], Wish] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[tuple[asyncio.Future[Lease], Wish]]:
        """Those still waiting, over a copy: the line may be changed meanwhile."""
        return ((turn, wish) for turn, wish in tuple(self._waiting.items()) if not turn.done())

    def wishes(self) -> frozenset[Wish]:
        """What is waited for, each once."""
        return frozenset(self._waiting.values())

    def join(self, wish: Wish) -> asyncio.Future[Lease]:
        """Stand at the end. Await the future, then `leave` it however that ended."""
        turn: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = wish
        return turn

    def leave(self, turn: asyncio.Future[Lease]) -> None:
        """Stand in line no longer."""
        self._waiting.pop(turn, None)
