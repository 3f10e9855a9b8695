"""Sessions as their events tell them: the state behind `/sessions`, the metrics and the spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from translation_events import fold
from translation_events.event import EventType, StoredEvent
from translation_events.items import eta_s
from translation_events.session import Applied, Session, Status

SAVED_AS: Final = "session"
WORKER_STATUS: Final = EventType.WORKER_STATUS.value


class Summary(msgspec.Struct):
    """What of a session survives its events: its whole state and what others keep with it."""

    session: Session
    kept: dict[str, bytes] = msgspec.field(name="exporters")


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Summary).decode


class Keeper(Protocol):
    """Whoever has something to keep with a session's summary: what would be lost with its events."""

    name: str

    def snapshot(self, session_id: str) -> bytes:
        """What must survive a restart with the session's summary (b"" for nothing)."""

    def restore(self, session_id: str, blob: bytes) -> None:
        """Take back what `snapshot` gave."""


class SessionProjection:
    """All sessions the log remembers, folded up to `cursor` by its reader; a pure function of the log."""

    def __init__(self, log_id: str, keepers: Sequence[Keeper], *, stalled_after_s: float) -> None:
        self._log_id = log_id
        self._keepers = keepers
        self.stalled_after_s = stalled_after_s
        self._sessions: dict[str, Session] = {}
        self._running: set[str] = set()
        self._dirty: set[str] = set()

    def apply(self, batch: Sequence[StoredEvent]) -> list[Applied]:
        """Fold events in, in `seq` order; what a session has folded already is passed over."""
        applied: list[Applied] = []
        sessions, running, dirty = self._sessions, self._running, self._dirty
        for stored in batch:
            event = stored.event
            session_id = event.session_id
            if event.type == WORKER_STATUS or session_id[0] == "_":
                applied.append(Applied(stored, None, ()))
                continue
            before = sessions.get(session_id)
            if before is not None and stored.seq <= before.folded_seq:
                continue
            session, changes = fold.apply(before, stored, self._log_id)
            if session is not before:
                sessions[session_id] = session
            dirty.add(session_id)
            if session.attempt.ended_received is not None:
                running.discard(session_id)
            else:
                running.add(session_id)
            # Its own constructor, written in Python, would take three times as long.
            applied.append(tuple.__new__(Applied, (stored, session, changes)))
        return applied

    def restore(self, saved: Mapping[str, tuple[bytes, int]]) -> None:
        """Take the stored summaries back at the start. Raises: msgspec.DecodeError if one is damaged."""
        for session_id, (blob, _) in saved.items():
            summary = _decode(blob)
            self._sessions[session_id] = summary.session
            if not summary.session.attempt.ended:
                self._running.add(session_id)
            for keeper in self._keepers:
                if kept := summary.kept.get(keeper.name):
                    keeper.restore(session_id, kept)

    def summarise(self, session_id: str) -> tuple[bytes, int] | None:
        """The session's summary and the seq folded into it; None for one that has none."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        kept = {k.name: blob for k in self._keepers if (blob := k.snapshot(session_id))}
        return _encode(Summary(session, kept)), session.folded_seq

    def take_dirty(self) -> set[str]:
        """The sessions that changed since the last call."""
        dirty, self._dirty = self._dirty, set()
        return dirty

    def mark_dirty(self, session_ids: set[str]) -> None:
        """Give back what `take_dirty` took, where saving it failed."""
        self._dirty |= session_ids

    def get(self, session_id: str) -> Session | None:
        """One session."""
        return self._sessions.get(session_id)

    def is_running(self, session_id: str) -> bool:
        """Whether there is such a session and its attempt has not ended."""
        return session_id in self._running

    def running(self) -> Iterator[Session]:
        """Those whose attempt has not ended."""
        return (self._sessions[session_id] for session_id in tuple(self._running))

    def newest_first(self) -> list[Session]:
        """All of them, by their last event."""
        return sorted(self._sessions.values(), key=lambda s: s.attempt.last_seq, reverse=True)

    def shown(self, ended_after: float) -> list[Session]:
        """Those that run or ended after a time (Unix seconds, by the server's clock)."""
        return [
            s
            for s in self._sessions.values()
            if s.attempt.ended_received is None or s.attempt.ended_received >= ended_after
        ]

    def expired(self, before: float) -> list[str]:
        """Those that ended before a time (Unix seconds, by the server's clock)."""
        return [
            s.session_id
            for s in self._sessions.values()
            if s.attempt.ended_received is not None and s.attempt.ended_received < before
        ]

    def forget(self, session_id: str) -> None:
        """Drop a session that retention has removed."""
        self._sessions.pop(session_id, None)
        self._running.discard(session_id)
        self._dirty.discard(session_id)

    def counts(self, now: float) -> dict[str, int]:
        """How many sessions have each status."""
        counts = {status.value: 0 for status in Status}
        for session in self._sessions.values():
            counts[session.status(now, self.stalled_after_s).value] += 1
        return counts

    def view(self, session: Session, now: float) -> dict[str, Any]:
        """A session as `/sessions` shows it. Source: docs/protocol.md, "Shapes"."""
        attempt = session.attempt
        eta = eta_s(attempt)
        duration = attempt.duration_s
        return {
            "session_id": session.session_id,
            "kind": attempt.kind,
            "status": session.status(now, self.stalled_after_s),
            "progress": attempt.progress,
            "step": attempt.step,
            "message": attempt.message,
            "current_item": attempt.current_item,
            "items_done": attempt.items_done,
            "total_items": attempt.total_items,
            "started_at": attempt.started_at,
            "updated_at": attempt.updated_at,
            "ended_at": attempt.ended_at,
            "duration_s": max(0.0, now - attempt.started_at) if duration is None else duration,
            "eta_s": None if eta is None else {"low": eta[0], "high": eta[1]},
            "errors": attempt.errors,
            "last_error": attempt.last_error,
            "last_error_type": attempt.last_error_type,
            "failed_items": attempt.failed_items,
            "reason": attempt.reason,
            "workers": attempt.workers,
            "engine": attempt.engine,
            "model": attempt.model,
            "usage": msgspec.to_builtins(attempt.usage),
            "trace_id": attempt.root.trace_id,
            "attempt": attempt.number,
            "first_seq": session.first_seq,
            "last_seq": attempt.last_seq,
        }
