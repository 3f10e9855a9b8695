"""The series of single sessions: which ones have them, and what they say at a scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Final

from exporters.prometheus_cells import Capped, Counter
from exporters.snapshot import Snapshot
from translation_events.items import eta_s
from translation_events.session import Attempt, Kind, Session, Status

MAX_SESSIONS: Final = 200  # four series each, and Prometheus keeps every one it has ever seen for weeks
GONE_AFTER_S: Final = 15 * 60.0  # long enough that a dashboard still shows how a session ended
_RUNNING: Final = Status.RUNNING.value
_STALLED: Final = Status.STALLED.value
_last_seq: Final = attrgetter("attempt.last_seq")

Samples = dict[str, list[tuple[tuple[str, ...], float]]]
"""Family name to (label values, value)."""


class SessionSeries:
    """Chooses the sessions that have series and reads them; `dropped` counts those that have none, once each.

    Memory is bounded by the sessions of the newest snapshot.
    """

    def __init__(self, dropped: Counter, models: Capped) -> None:
        self._dropped = dropped
        self._left_out: set[str] = set()
        self._workers, self._engines, self._models = Capped(), Capped(), models

    def read(self, state: Snapshot) -> Samples:
        """The samples of the chosen sessions and `translation_sessions_active`; about 0.7 µs a session."""
        active = {(kind.value, status): 0.0 for kind in Kind for status in (_RUNNING, _STALLED)}
        shown: list[Session] = []
        for session in state.sessions:
            attempt = session.attempt
            if attempt.ended_received is None:
                stalled = session.status(state.now, state.stalled_after_s) is Status.STALLED
                active[_kind(attempt), _STALLED if stalled else _RUNNING] += 1
            elif state.now - attempt.ended_received >= GONE_AFTER_S:
                continue
            shown.append(session)
        shown.sort(key=_last_seq, reverse=True)
        chosen = shown[:MAX_SESSIONS]
        self._count_left_out(shown)
        return {
            "translation_sessions_active": list(active.items()),
            "translation_session_progress_ratio": [
                ((session.session_id,), session.attempt.progress / 100)
                for session in chosen
                if session.attempt.progress is not None
            ],
            "translation_session_eta_seconds": list(_etas(chosen)),
            "translation_session_last_event_timestamp_seconds": [
                ((session.session_id,), session.attempt.last_received) for session in chosen
            ],
            "translation_session_info": [(self._info(session), 1) for session in chosen],
        }

    def _count_left_out(self, shown: Sequence[Session]) -> None:
        if len(shown) <= MAX_SESSIONS and not self._left_out:
            return
        left_out = {session.session_id for session in shown[MAX_SESSIONS:]}
        self._dropped.value += len(left_out - self._left_out)
        returned = self._left_out.intersection(session.session_id for session in shown[:MAX_SESSIONS])
        self._left_out = left_out | returned

    def _info(self, session: Session) -> tuple[str, ...]:
        attempt = session.attempt
        return (
            session.session_id,
            _kind(attempt),
            self._workers.label(attempt.workers[-1]) if attempt.workers else "",
            self._engines.label(attempt.engine) if attempt.engine else "",
            self._models.label(attempt.model) if attempt.model else "",
            attempt.root.trace_id,
        )


def _kind(attempt: Attempt) -> str:
    return (attempt.kind or Kind.TRANSLATION).value


def _etas(chosen: Iterable[Session]) -> Iterator[tuple[tuple[str, ...], float]]:
    for session in chosen:
        estimate = eta_s(session.attempt)
        if estimate is not None:
            yield (session.session_id,), sum(estimate) / 2
