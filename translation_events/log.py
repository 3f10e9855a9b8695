"""The seams of the service: the event log everything is read from, and the exporters that read it.

Source: docs/architecture.md, "Seams".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from translation_events.event import Event, StoredEvent
from translation_events.session import Applied


class Appended(NamedTuple):
    """The answer to one event: what is stored; `duplicate` means an earlier append of the same id."""

    seq: int
    duplicate: bool


class Saved(NamedTuple):
    """A reader's blob: `name` groups them, `key` is unique within, `seq` the last event folded in."""

    name: str
    key: str
    blob: bytes
    seq: int


class LogStats(NamedTuple):
    """The log as `/status` and the metrics show it; `free_bytes` is None where the medium cannot tell."""

    kind: str
    events: int
    sessions: int
    size_bytes: int
    free_bytes: int | None
    durable: bool
    unavailable_since: float | None


Summarise = Callable[[str], "tuple[bytes, int] | None"]
LogWatcher = Callable[["float | None"], None]


class LogObserver(Protocol):
    """Who counts what the log does; called in the loop, must not block."""

    def append_observed(self, seconds: float, events: int) -> None:
        """A group of `events` has become durable, `seconds` after its write began."""

    def log_failed(self, op: str) -> None:
        """An operation failed: append, read, save, trim or forget."""


class EventLog(Protocol):
    """An ordered, durable log of events; `seq` rises strictly over the whole log.

    `first_seq` and `last_seq` are 0 while the log is empty; `last_seq` is the durable high-water mark and
    never falls, trimmed or not.
    """

    id: str
    node: str
    kind: str
    durable: bool
    first_seq: int
    last_seq: int

    async def append(self, events: Sequence[Event]) -> Sequence[Appended]:
        """Store events in order; returns once durable. A repeat of (`session_id`, `id`) is a duplicate.

        Raises: LogUnavailable: nothing of this call was stored.
        """

    async def read(
        self,
        after: int,
        *,
        limit: int,
        session_id: str | None = None,
        types: Collection[str] | None = None,
    ) -> Sequence[StoredEvent]:
        """Return kept events with seq > after, ascending, at most `limit` (empty = caught up)."""

    async def newest(
        self, count: int, *, session_id: str | None = None, types: Collection[str] | None = None
    ) -> Sequence[StoredEvent]:
        """Return the newest `count` kept events that match, ascending."""

    async def missed(
        self, after: int, before: int, *, session_id: str | None = None, seen: int | None = None
    ) -> int | None:
        """Count events with after < seq < before that retention has removed: 0 for none, None for "some".

        `seen` is how many of the session's events have a seq <= after, where the caller knows.
        """

    def seen(self, session_id: str, upto: int) -> int | None:
        """How many of the session's events ever stored have a seq <= upto; None where that is not known.

        Known for an `upto` inside the ring.
        """

    def follow(self, after: int) -> AsyncIterator[Sequence[StoredEvent]]:
        """Yield batches of events with seq > after as they become durable; never ends.

        From the ring in memory while `after` is inside it, from the log otherwise. A consumer that is slow
        gets larger batches, never a queue.
        """

    def recent(self, after: int, limit: int) -> Sequence[StoredEvent] | None:
        """Return at most `limit` events with seq > after from the ring; None where `after` is below it.

        Without awaiting, so that a viewer can be brought up to date and joined to the live ones in one step.
        """

    async def save(self, entries: Sequence[Saved]) -> None:
        """Store readers' blobs, all or none. Raises: LogUnavailable."""

    async def load(self, name: str) -> Mapping[str, tuple[bytes, int]]:
        """Return key -> (blob, seq) of everything saved under `name`."""

    async def forget(self, session_ids: Collection[str], *, name: str) -> int:
        """Remove sessions whole: events, ids and the blobs saved under `name`; returns events removed."""

    def retain(self, events_per_session: int, summarise: Summarise, *, name: str) -> None:
        """Begin trimming: keep at least the newest `events_per_session` of each session, never twice that.

        Before a session is trimmed `summarise(session_id)` gives (blob, folded seq), which is saved under
        `name` in the same transaction; events past the folded seq stay.
        """

    def watch(self, watcher: LogWatcher) -> None:
        """Have `watcher` called with the Unix time the log became unwritable, and with None on recovery."""

    def observe(self, observer: LogObserver) -> None:
        """Have `observer` count groups and failures."""

    async def stats(self) -> LogStats:
        """Return sizes and counts; cheap enough for every scrape."""

    async def aclose(self) -> None:
        """Finish the running append and close; later calls raise LogUnavailable."""


class Exporter(Protocol):
    """A face of the events beside the stream. It catches at its own border: it never stops the relay."""

    name: str

    def export(self, batch: Sequence[Applied]) -> None:
        """Take events and their changes in `seq` order; must not block and must not raise."""

    def snapshot(self, session_id: str) -> bytes:
        """What must survive a restart with the session's summary (b"" for nothing)."""

    def restore(self, session_id: str, blob: bytes) -> None:
        """Take back what `snapshot` gave."""
