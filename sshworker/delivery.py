"""What became of one segment, and what it went through until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sshworker.errors import Failure, WorkerError

S = TypeVar("S")
R = TypeVar("R")

# Failures of a worker that a piece of work can bring about: a text it hangs on, one that crashes its engine.
# A worker never reached was not brought down by the text.
_MAY_BE_THE_TEXT: Final = frozenset({Failure.TIMEOUT, Failure.LOST, Failure.ENGINE_DOWN, Failure.WEDGED})


@dataclass(frozen=True, slots=True)
class Delivery(Generic[S, R]):
    """A segment's end: `result` is set unless `error` is. `place` is its place in the document, from 0.

    `worker` had it last, after `attempts` leases in all; `lost` of them ended with their worker.
    """

    place: int
    segment: S
    result: R | None
    error: WorkerError | None
    worker: str
    attempts: int
    lost: int


@dataclass(slots=True)
class Item(Generic[S]):
    """A segment on its way. `failed_at` are the workers that failed it, to be avoided.

    `lost` counts its workers lost, `blamed` those it may itself have brought down; `answers` is how many
    answers the run had had when the first was lost.
    """

    place: int
    segment: S
    attempts: int = 0
    faults: int = 0
    lost: int = 0
    blamed: int = 0
    answers: int = 0
    failed_at: set[str] = field(default_factory=set)

    def fail(self, error: WorkerError, worker: str) -> None:
        """Take a failed attempt."""
        self.failed_at.add(worker)
        if not error.worker_is_gone:
            self.faults += 1
            return
        self.lost += 1
        if error.failure in _MAY_BE_THE_TEXT:
            self.blamed += 1

    def delivery(self, worker: str, result: R | None, error: WorkerError | None) -> Delivery[S, R]:
        """The end of it."""
        return Delivery(self.place, self.segment, result, error, worker, self.attempts, self.lost)
