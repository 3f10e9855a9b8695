"""One viewer: its filter, its place in the log and the bytes its socket has not taken yet."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from service.relay.frames import Encoding, close_frame
from translation_events.event import StoredEvent

MAX_BUFFERED_BYTES: Final = 256 * 1024  # what the server holds for one viewer, however slow it is
LOW_MARK_BYTES: Final = 64 * 1024  # below this a lagging viewer is given more
POLL_S: Final = 0.005
MAX_POLL_S: Final = 0.25


class Filter(NamedTuple):
    """Which events a viewer asked for; None means all."""

    session_id: str | None = None
    types: frozenset[str] | None = None

    def takes(self, stored: StoredEvent) -> bool:
        """Whether the event passes."""
        if self.session_id is not None and stored.event.session_id != self.session_id:
            return False
        return self.types is None or stored.event.type in self.types


class Style(NamedTuple):
    """Viewers of equal style share every byte: the filter and how frames are made."""

    filter: Filter
    batch: bool
    window_bits: int
    takeover: bool

    def encoding(self) -> Encoding:
        """A fresh encoding for viewers of this style."""
        return Encoding(batch=self.batch, window_bits=self.window_bits, takeover=self.takeover)


class Viewer:
    """A connected viewer.

    `cursor` is the seq up to which everything that matches has been handed to the socket; it is kept up to
    date only while the viewer reads for itself (a live one stands where the relay stands). `seen` counts the
    events of its session up to the cursor where that is known, so that a gap can be told exactly. `told` and
    `passed` count events announced as missed and holes met, for a viewer of all sessions.
    """

    __slots__ = (
        "closed",
        "cursor",
        "cut_reason",
        "gap_told",
        "live",
        "passed",
        "region_upto",
        "resuming",
        "seen",
        "style",
        "told",
        "transport",
    )

    def __init__(self, transport: asyncio.WriteTransport, style: Style, cursor: int) -> None:
        self.transport = transport
        self.style = style
        self.cursor = cursor
        self.seen: int | None = None
        self.live = False
        self.closed = False
        self.cut_reason: str | None = None
        self.resuming = False
        self.gap_told = False
        self.region_upto = 0
        self.told = 0
        self.passed = 0

    @property
    def buffered_bytes(self) -> int:
        """Bytes written and not yet taken by the socket."""
        return self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Hand whole frames to the socket; never blocks."""
        if not self.closed and not self.transport.is_closing():
            self.transport.write(data)

    async def drained(self, stuck_after_s: float) -> bool:
        """Wait until the socket has taken most of what it was given; False if it takes nothing at all.

        The transport tells only its own protocol of free room, so this looks at it: every 5 ms at first,
        every 250 ms once it stands still.
        """
        clock = asyncio.get_running_loop().time
        pause, before, moved = POLL_S, self.buffered_bytes, clock()
        while not self.closed and not self.transport.is_closing():
            left = self.buffered_bytes
            if left <= LOW_MARK_BYTES:
                return True
            now = clock()
            if left < before:
                before, moved, pause = left, now, POLL_S
            elif now - moved > stuck_after_s:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_POLL_S)
        return True

    def cut(self, code: int, reason: str) -> None:
        """Close a socket that no longer takes bytes: the close frame is a courtesy, the cut is not."""
        self.write(close_frame(code))
        self.closed, self.cut_reason = True, reason
        self.transport.abort()
