"""Which incidents are open, so that each is told once and its recovery once. Pure: no clock, no I/O.

Source: docs/notifications.md, "What is told".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from service.notify import notice
from service.notify.notice import Notice
from service.projections.worker import Worker
from sshworker.state import WorkerState
from translation_events.session import Attempt, Session, Status

_DOWN: Final = frozenset({WorkerState.DOWN.value, WorkerState.WEDGED.value})
_UP: Final = frozenset({WorkerState.UP.value, WorkerState.DEGRADED.value})


class Open(msgspec.Struct):
    """The incidents that were told and are not over; Unix seconds.

    `stalled`: session -> since when it was quiet; `down`: worker -> since when.
    """

    stalled: dict[str, float] = msgspec.field(default_factory=dict)
    down: dict[str, float] = msgspec.field(default_factory=dict)


class Incidents:
    """Turns facts into notices. `monitor_url` precedes the links; `open` is what has to be kept."""

    def __init__(self, monitor_url: str, *, worker_down_for_s: float, open_: Open | None = None) -> None:
        self._monitor_url = monitor_url.rstrip("/")
        self._worker_down_for_s = worker_down_for_s
        self._unwell: dict[str, float] = {}  # workers that are down and not yet told
        self.open = open_ or Open()

    def ended(self, session_id: str, attempt: Attempt, result: Status) -> Notice | None:
        """An attempt is over, and with it that it was quiet."""
        self.open.stalled.pop(session_id, None)
        if not notice.is_told(result):
            return None
        return notice.ended(session_id, attempt, result, self._monitor_url)

    def sessions(
        self, running: Iterable[Session], now: float, stalled_after_s: float, *, listening_since: float
    ) -> Iterator[Notice]:
        """What has changed about the sessions that have not ended; `running` are all of them.

        While the server was away nobody could say anything: silence counts from `listening_since`.
        """
        quiet = self.open.stalled
        seen = set()
        for session in running:
            session_id = session.session_id
            seen.add(session_id)
            last = session.attempt.last_received
            if session.status(now, stalled_after_s) is Status.STALLED:
                if session_id not in quiet and now - listening_since > stalled_after_s:
                    quiet[session_id] = last
                    yield notice.stalled(session, now, self._monitor_url)
            elif session_id in quiet:
                yield notice.runs_again(session, quiet.pop(session_id), self._monitor_url)
        for gone in quiet.keys() - seen:
            del quiet[gone]

    def workers(self, workers: Iterable[Worker], now: float) -> Iterator[Notice]:
        """What has changed about the configured workers; `workers` are all of them.

        One that drains or was not probed yet is neither down nor up.
        """
        down = self.open.down
        seen = set()
        for worker in workers:
            seen.add(worker.id)
            if worker.state in _DOWN:
                since = self._unwell.setdefault(worker.id, worker.since or now)
                if worker.id not in down and now - since >= self._worker_down_for_s:
                    down[worker.id] = since
                    yield notice.worker_down(worker.id, worker.state, worker.reason, since, self._monitor_url)
                continue
            self._unwell.pop(worker.id, None)
            if worker.state in _UP and worker.id in down:
                yield notice.worker_up(worker.id, down.pop(worker.id), now, self._monitor_url)
        for gone in down.keys() - seen:
            del down[gone]
