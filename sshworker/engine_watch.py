"""An engine looked at again and again: whether its tokens move, whether it answers, whether requests wait."""

from __future__ import annotations

import time
from typing import Final

from sshworker.engine_health import EngineHealth, engine_health
from sshworker.errors import Failure, WorkerError

STANDS_STILL_S: Final = 25.0  # busy without a token for so long: wedged
UNANSWERED: Final = 2  # so many looks in a row that were not answered: wedged


class EngineWatch:
    """What only two looks at the engine of `worker` can tell; it may stand still for `stands_still_s`."""

    def __init__(self, worker: str, *, stands_still_s: float = STANDS_STILL_S) -> None:
        self.requests_wait = False  # at this look and at the one before
        self._worker = worker
        self._stands_still_s = stands_still_s
        self._marks = ""
        self._seen_at = 0.0
        self._still_since: float | None = None
        self._unanswered = 0
        self._waited = False

    async def look(self, url: str) -> EngineHealth:
        """Ask once.

        Raises: WorkerError: ENGINE_DOWN, WEDGED, or TIMEOUT where it is the first look without an answer.
        """
        self.requests_wait = False
        try:
            engine = await engine_health(url, self._worker)
        except WorkerError as err:
            if err.failure is not Failure.TIMEOUT:
                self._unanswered = 0
                raise
            # A wedged worker loses its work, and this one may only be busy: once is not enough.
            self._unanswered += 1
            if self._unanswered < UNANSWERED and self._still_s() < self._stands_still_s:
                raise
            raise WorkerError(Failure.WEDGED, err.detail, worker=self._worker) from err
        self._unanswered = 0
        waits = bool(engine.requests_waiting)
        self.requests_wait, self._waited = waits and self._waited, waits
        self._check_moving(engine)
        return engine

    def _still_s(self) -> float:
        """How long it is known to be busy without a token; below zero where it is not."""
        return -1.0 if self._still_since is None else time.monotonic() - self._still_since

    def _check_moving(self, engine: EngineHealth) -> None:
        now = time.monotonic()
        if engine.silent:
            self._still_since = self._still_since or now
        elif engine.slots_active and engine.marks and engine.marks == self._marks:
            self._still_since = self._still_since or self._seen_at
        else:
            self._still_since = None
        if not engine.silent:
            self._marks, self._seen_at = engine.marks, now
        if self._still_since is not None and (still_s := self._still_s()) >= self._stands_still_s:
            busy = (
                "it does not tell of its slots" if engine.silent else f"{engine.slots_active} slots are busy"
            )
            detail = f"{busy} and no token has moved for {still_s:.0f} s"
            raise WorkerError(Failure.WEDGED, detail, worker=self._worker)
