"""Events told one after the other, folded as the service folds them: what every exporter is fed with."""

from __future__ import annotations

from typing import Any

import msgspec

from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.event import EventType
from translation_events.fold import apply
from translation_events.session import Applied, Session

LOG_ID = "0190f3c2-log"
T0 = 1_790_000_000.0


class Story:
    """A log and its one folding reader; every event comes 1 s after the one before unless told otherwise."""

    def __init__(self, *, seq: int = 0, now: float = T0, log_id: str = LOG_ID) -> None:
        self.seq = seq
        self.now = now
        self.log_id = log_id
        self.sessions: dict[str, Session] = {}
        self.told: list[tuple[bytes, int, float]] = []

    def tell(self, type_: str, session_id: str = "book", *, after_s: float = 1.0, **fields: Any) -> Applied:
        """Decode, number, store and fold one event."""
        self.now += after_s
        raw = msgspec.json.encode({"type": type_, "session_id": session_id, "timestamp": self.now, **fields})
        self.seq += 1
        event = decode_event(raw, internal=True)
        body = stored_body(event, self.seq, self.now)
        self.told.append((body, self.seq, self.now))
        return self._fold(body)

    def replay(self, after: int) -> list[Applied]:
        """Fold again what was told after seq `after`, as a restart does, on the sessions as they are now."""
        return [self._fold(body) for body, seq, _ in self.told if seq > after]

    def translate(self, session_id: str = "book", *, items: int = 20) -> list[Applied]:
        """A whole translation: a start, a step, `items` items and the end."""
        applied = [
            self.tell("translation_started", session_id, step="parsing", total_items=items),
            self.tell("step_completed", session_id, step="parsing"),
        ]
        applied += [
            self.tell(
                "translation_progress",
                session_id,
                step="translation",
                current_item=item,
                total_items=items,
                progress=100.0 * item / items,
            )
            for item in range(1, items + 1)
        ]
        return [*applied, self.tell("translation_completed", session_id, failed_items=0)]

    def _fold(self, body: bytes) -> Applied:
        stored = read_stored(body)
        event = stored.event
        if event.type == EventType.WORKER_STATUS:
            return Applied(stored, None, ())
        session, changes = apply(self.sessions.get(event.session_id), stored, self.log_id)
        self.sessions[event.session_id] = session
        return Applied(stored, session, changes)
