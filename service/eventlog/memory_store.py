"""The `Store` behind `MemoryEventLog`: lists and dictionaries under the rules the file has."""

from __future__ import annotations

import uuid
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from service.eventlog.missed import missed_of_session
from service.eventlog.session_row import SessionRow
from service.eventlog.store import (
    CROWDED_IDS,
    NO_LIMIT,
    REMEMBERED_IDS,
    Forgotten,
    Target,
    Written,
    ceiling_of,
    due_above,
)
from translation_events.decode import stored_body
from translation_events.event import Event, EventType, StoredEvent
from translation_events.log import Appended, Saved


class _Session:
    """One session: its counts, its kept events in order, its remembered ids."""

    __slots__ = ("events", "ids", "row")

    def __init__(self, first_seq: int) -> None:
        self.row = SessionRow(0, 0, 0, 0, first_seq)
        self.events: list[StoredEvent] = []
        self.ids: dict[str, int] = {}


class MemoryStore:
    """Everything in this process's memory; jobs take microseconds, so they run where they are asked for."""

    def __init__(self, *, node: str) -> None:
        self.log_id = uuid.uuid4().hex
        self.first_seq = 0
        self.last_seq = 0
        self.last_received = 0.0
        self.events = 0
        self.size_bytes = 0
        self.events_per_session = NO_LIMIT
        self._node = node
        self._sessions: dict[str, _Session] = {}
        self._due: set[str] = set()
        self._crowded: set[str] = set()
        self._saved: dict[str, dict[str, tuple[bytes, int]]] = {}
        self._forgotten_through = 0
        # In order of seq; what is removed leaves a hole, and the holes are closed when they are half.
        self._seqs: list[int] = []
        self._events: list[StoredEvent | None] = []

    @property
    def sessions(self) -> int:
        """How many sessions are kept."""
        return len(self._sessions)

    @property
    def needs_care(self) -> bool:
        """True where a session is due for trimming or remembers too many ids."""
        return bool(self._due or self._crowded)

    def write(self, events: Sequence[Event], received: Sequence[float], *, over: bool = False) -> Written:
        """Store one group."""
        ceiling = NO_LIMIT if over else ceiling_of(self.events_per_session)
        threshold = due_above(self.events_per_session)
        appended: list[Appended] = []
        stored: list[StoredEvent] = []
        totals: dict[str, int] = {}
        for event, received_at in zip(events, received, strict=True):
            session_id, event_id = event.session_id, event.id
            session = self._sessions.get(session_id)
            if session is None:
                session = self._sessions[session_id] = _Session(self.last_seq + 1)
            if event_id is not None and (first := session.ids.get(event_id)) is not None:
                appended.append(Appended(first, True))
                continue
            row = session.row
            if row.kept >= ceiling:
                break
            self.last_seq = seq = self.last_seq + 1
            body = stored_body(event, seq, received_at)
            entry = StoredEvent(seq, received_at, self._node, event, body)
            if event_id is not None:
                session.ids[event_id] = seq
                if len(session.ids) > CROWDED_IDS:
                    self._crowded.add(session_id)
            session.events.append(entry)
            row.total += 1
            row.kept += 1
            if row.kept > threshold:
                self._due.add(session_id)
            totals[session_id] = row.total
            self.size_bytes += len(body)
            stored.append(entry)
            appended.append(Appended(seq, False))
        if stored:
            self._seqs += [entry.seq for entry in stored]
            self._events += stored
            self.events += len(stored)
            self.first_seq = self.first_seq or stored[0].seq
            self.last_received = stored[-1].received_at
        return Written(appended, stored, totals)

    def due(self, most: int) -> Sequence[str]:
        """At most `most` sessions that hold over 1.5 times their limit, the fullest first."""
        return sorted(self._due, key=lambda name: self._sessions[name].row.kept, reverse=True)[:most]

    def care(self, targets: Sequence[Target], name: str) -> int:
        """Trim `targets` with their summaries, prune ids; returns events removed."""
        removed = sum([self._trim(target, name) for target in targets])
        for session_id in self._crowded:
            ids = self._sessions[session_id].ids
            for event_id in list(islice(ids, len(ids) - REMEMBERED_IDS)):
                del ids[event_id]
        self._crowded.clear()
        return removed

    def recount(self, events_per_session: int) -> None:
        """Take a new limit and find the sessions that are above it."""
        self.events_per_session = events_per_session
        threshold = due_above(events_per_session)
        self._due = {name for name, session in self._sessions.items() if session.row.kept > threshold}

    def save(self, entries: Sequence[Saved]) -> None:
        """Store blobs; none takes the place of one with a higher seq."""
        for entry in entries:
            saved = self._saved.setdefault(entry.name, {})
            if entry.key not in saved or saved[entry.key][1] <= entry.seq:
                saved[entry.key] = (bytes(entry.blob), entry.seq)

    def load(self, name: str) -> Mapping[str, tuple[bytes, int]]:
        """Everything saved under `name`."""
        return dict(self._saved.get(name, {}))

    def forget(self, session_ids: Collection[str], name: str) -> Forgotten:
        """Remove sessions whole."""
        events = through = 0
        for session_id in session_ids:
            self._saved.get(name, {}).pop(session_id, None)
            session = self._sessions.pop(session_id, None)
            if session is None:
                continue
            through = max(through, session.events[-1].seq if session.events else session.row.trimmed_through)
            events += len(session.events)
            self._remove(session.events)
            self._due.discard(session_id)
            self._crowded.discard(session_id)
        self._forgotten_through = max(self._forgotten_through, through)
        return Forgotten(events, through)

    def probe(self) -> None:
        """Memory is always there."""

    def close(self) -> None:
        """Nothing is held outside this process."""

    def read(
        self, after: int, upto: int, limit: int, session_id: str | None, types: Collection[str] | None
    ) -> list[StoredEvent]:
        """Kept events with after < seq <= upto, ascending, at most `limit`."""
        if session_id is None:
            start = bisect_right(self._seqs, after)
            events: Iterable[StoredEvent | None] = islice(self._events, start, None)
        else:
            kept = self._kept(session_id)
            start = bisect_right(kept, after, key=_seq)
            events = islice(kept, start, None)
        return list(islice(_matching(events, upto, types), limit))

    def newest(
        self, count: int, upto: int, session_id: str | None, types: Collection[str] | None
    ) -> list[StoredEvent]:
        """The newest `count` kept events that match, ascending."""
        events = reversed(self._events if session_id is None else self._kept(session_id))
        return list(islice(_matching(events, upto, types), count))[::-1]

    def missed(self, after: int, before: int, session_id: str | None, seen: int | None) -> int | None:
        """How many events with after < seq < before are gone; None for "some"."""
        if session_id is None:
            start, end = bisect_right(self._seqs, after), bisect_left(self._seqs, before)
            kept = sum([entry is not None for entry in self._events[start:end]])
            return max(0, before - after - 1 - kept)
        session = self._sessions.get(session_id)
        if session is None:
            return None if after < self._forgotten_through else 0
        row = session.row
        return missed_of_session(
            after, before, seen, row.total - row.kept, row.first_seq, row.trimmed_through
        )

    def _trim(self, target: Target, name: str) -> int:
        session = self._sessions[target.session_id]
        events, row = session.events, session.row
        folded = target.summary[1] if target.summary is not None else 0
        count = 0
        for entry in events[: max(0, len(events) - self.events_per_session)]:
            if entry.seq > folded and entry.event.type != EventType.WORKER_STATUS:
                break
            count += 1
        if count:
            row.trimmed_through = events[count - 1].seq
            row.kept -= count
            self._remove(events[:count])
            del events[:count]
            if target.summary is not None:
                self.save([Saved(name, target.session_id, *target.summary)])
        if row.kept <= due_above(self.events_per_session):
            self._due.discard(target.session_id)
        return count

    def _remove(self, events: Sequence[StoredEvent]) -> None:
        for entry in events:
            self._events[bisect_left(self._seqs, entry.seq)] = None
            self.size_bytes -= len(entry.body)
        self.events -= len(events)
        if self.events * 2 < len(self._events):
            self._events = [entry for entry in self._events if entry is not None]
            self._seqs = [entry.seq for entry in self._events if entry is not None]
        self.first_seq = next((entry.seq for entry in self._events if entry is not None), 0)

    def _kept(self, session_id: str) -> list[StoredEvent]:
        session = self._sessions.get(session_id)
        return session.events if session is not None else []


def _seq(entry: StoredEvent) -> int:
    return entry.seq


def _matching(
    events: Iterable[StoredEvent | None], upto: int, types: Collection[str] | None
) -> Iterator[StoredEvent]:
    for entry in events:
        if entry is not None and entry.seq <= upto and (types is None or entry.event.type in types):
            yield entry
