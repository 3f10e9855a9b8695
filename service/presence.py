"""Which sessions have a publisher connected: an error as a session's last word ends it only without one."""

from __future__ import annotations

import time
from collections import Counter


class Presence:
    """Open connections per session, and since when (Unix seconds) a session has had none."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._closed_at: dict[str, float] = {}
        self._started_at = time.time()

    def opened(self, session_id: str) -> None:
        """A connection speaks for the session (once a connection)."""
        self._open[session_id] += 1
        self._closed_at.pop(session_id, None)

    def closed(self, session_ids: set[str]) -> None:
        """A connection that spoke for these sessions is gone."""
        now = time.time()
        for session_id in session_ids:
            self._open[session_id] -= 1
            if self._open[session_id] <= 0:
                del self._open[session_id]
                self._closed_at[session_id] = now

    def silent_since(self, session_id: str, last_received: float) -> float | None:
        """Since when nobody can have said more, as far as is known; None while someone is connected.

        After a restart it counts from the start: publishers need a moment to come back.
        """
        if session_id in self._open:
            return None
        return max(last_received, self._closed_at.get(session_id, self._started_at))

    def forget(self, session_id: str) -> None:
        """The session has ended: nothing is to be remembered."""
        self._closed_at.pop(session_id, None)
