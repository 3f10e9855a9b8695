"""Ends what nobody else will: sessions that fell silent, and sessions whose time in the history is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import orjson
import structlog

from service.config import EventLogConfig
from service.presence import Presence
from service.projections import sessions as session_summaries
from service.projections.sessions import SessionProjection
from service.readers import Readers
from translation_events.decode import decode_event
from translation_events.errors import LogUnavailable
from translation_events.event import Event, EventType
from translation_events.log import EventLog
from translation_events.session import Attempt, Session, Status

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
EXPIRE_EVERY_S: Final = 60.0
ERROR_SILENCE_S: Final = 60.0  # an error is the last word once nobody has been there to say more for so long
FORGET_AT_ONCE: Final = 200


class Lifecycle:
    """Appends `session_ended` like any event, so that log, metrics and trace agree, after a restart too."""

    def __init__(
        self,
        event_log: EventLog,
        sessions: SessionProjection,
        readers: Readers,
        presence: Presence,
        config: EventLogConfig,
        *,
        error_silence_s: float = ERROR_SILENCE_S,
    ) -> None:
        self._log = event_log
        self._sessions = sessions
        self._readers = readers
        self._presence = presence
        self._config = config
        self._error_silence_s = error_silence_s

    async def run(self) -> None:
        """End and expire sessions until cancelled."""
        next_expiry = 0.0
        while True:
            try:
                await self._end_sessions()
                if time.monotonic() >= next_expiry:
                    await self.expire()
                    next_expiry = time.monotonic() + EXPIRE_EVERY_S
            except LogUnavailable:
                log.warning("sessions not ended or expired: the event log cannot be written")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _end_sessions(self) -> None:
        # A verdict on a state that lags behind the log would be a verdict on the past.
        if self._readers.cursor < self._log.last_seq:
            return
        ends = list(self._overdue(time.time()))
        if ends:
            await self._log.append(ends)
            log.info("sessions ended by the server", count=len(ends))

    def _overdue(self, now: float) -> Iterator[Event]:
        for session in self._sessions.running():
            attempt = session.attempt
            if now - attempt.last_received >= self._config.session_timeout_s:
                hours = self._config.session_timeout_s / 3600
                yield _session_ended(session, Status.TIMED_OUT, f"no event for {hours:g} hours")
            elif _last_word_is_error(attempt):
                since = self._presence.silent_since(session.session_id, attempt.last_received)
                if since is not None and now - since >= self._error_silence_s:
                    gone = f"{self._error_silence_s:g} seconds"
                    reason = f"its last event was an error and its publisher has been gone for {gone}"
                    yield _session_ended(session, Status.FAILED, reason)

    async def expire(self) -> None:
        """Forget what ended longer ago than the retention. Raises: LogUnavailable."""
        expired = self._sessions.expired(time.time() - self._config.retention_s)
        for start in range(0, len(expired), FORGET_AT_ONCE):
            part = expired[start : start + FORGET_AT_ONCE]
            events = await self._log.forget(part, name=session_summaries.SAVED_AS)
            for session_id in part:
                self._sessions.forget(session_id)
                self._presence.forget(session_id)
            log.info("sessions expired", sessions=len(part), events=events)


def _last_word_is_error(attempt: Attempt) -> bool:
    return attempt.kind is not None and attempt.last_type == f"{attempt.kind}_error"


def _session_ended(session: Session, status: Status, reason: str) -> Event:
    body = {
        "type": EventType.SESSION_ENDED,
        "session_id": session.session_id,
        "status": status,
        "reason": reason,
        # A repeat after a crash between append and fold is then the same event.
        "id": f"end:{session.attempt.number}:{session.attempt.first_seq}",
    }
    return decode_event(orjson.dumps(body), internal=True)
