"""What a log's medium does, one job at a time and blocking; `grouped.py` decides when.

Numbers, duplicates and trimming are the store's: they are part of the transaction that makes them true.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from translation_events.event import Event, StoredEvent
from translation_events.log import Appended, Saved

REMEMBERED_IDS: Final = 10_000  # of each session, the newest; docs/protocol.md, "The event"
CROWDED_IDS: Final = 15_000  # removing them a few thousand at a time costs less than one by one
GROUP_BYTES: Final = 8 * 2**20
NO_LIMIT: Final = 2**62


class Written(NamedTuple):
    """What one group has become, durable.

    `appended` answers the group's events in order and may be shorter than the group: the rest would have
    filled a session past twice its limit. `totals` holds the events ever stored of the sessions touched.
    """

    appended: Sequence[Appended]
    stored: Sequence[StoredEvent]
    totals: Mapping[str, int]


class Target(NamedTuple):
    """A session to trim with its summary: (blob, seq of the last event folded in), None if it has none."""

    session_id: str
    summary: tuple[bytes, int] | None


class Forgotten(NamedTuple):
    """How many events went, and the highest seq among them (0 for none)."""

    events: int
    through: int


class Store(Protocol):
    """A medium. Every method may block and may raise LogUnavailable, having changed nothing then."""

    log_id: str
    first_seq: int
    last_seq: int
    last_received: float
    events: int
    events_per_session: int

    @property
    def sessions(self) -> int:
        """How many sessions are kept."""

    @property
    def needs_care(self) -> bool:
        """True where a session is due for trimming or remembers too many ids."""

    def write(self, events: Sequence[Event], received: Sequence[float], *, over: bool = False) -> Written:
        """Store one group; `over` lifts the bound of twice the limit."""

    def due(self, most: int) -> Sequence[str]:
        """At most `most` sessions that hold over 1.5 times their limit, the fullest first."""

    def care(self, targets: Sequence[Target], name: str) -> int:
        """Trim `targets` to their newest events, saving their summaries with it; returns events removed.

        Also prunes ids. An event goes only if it is folded in, or is a `worker_status`, which never is.
        """

    def recount(self, events_per_session: int) -> None:
        """Take a new limit and find the sessions that are above it."""

    def save(self, entries: Sequence[Saved]) -> None:
        """Store blobs, all or none; none takes the place of one with a higher seq."""

    def forget(self, session_ids: Collection[str], name: str) -> Forgotten:
        """Remove sessions whole, in one transaction."""

    def probe(self) -> None:
        """Write something and make it durable, to see whether that works again."""

    def close(self) -> None:
        """Leave the medium in order."""


def due_above(limit: int) -> int:
    """A session with more rows than this is due for trimming."""
    return limit + limit // 2


def ceiling_of(limit: int) -> int:
    """No session has more rows than this."""
    return limit * 2
