"""The open WebSockets: how many, of which role, how lately heard of, and their places."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, cast

from aiohttp import web

from service.relay.frames import PING, close_frame
from service.relay.viewer import Viewer

PING_AFTER_S: Final = 20.0  # nothing heard for so long: ask
PONG_WITHIN_S: Final = 20.0  # asked, and nothing heard for so long: gone
STUCK_AFTER_S: Final = 600.0  # a socket that takes not one byte for so long is given up
LOOK_EVERY_S: Final = 2.0
GOODBYE_S: Final = 2.0


class Role(StrEnum):
    """What a connection is for; `BOTH` is a connection that named no role."""

    VIEWER = "viewer"
    PUBLISHER = "publisher"
    BOTH = "both"


class Listening(asyncio.Protocol):
    """Stands between the socket and its protocol and notes when bytes come in.

    A frame of a mebibyte over a slow line takes longer than a ping may wait: any byte is a sign of life.
    """

    def __init__(self, connection: Connection) -> None:
        inner = cast(asyncio.Protocol, connection.transport.get_protocol())
        self._connection = connection
        self._receive = inner.data_received
        self.eof_received = inner.eof_received  # type: ignore[method-assign]  # handed through as it is
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """Note the time and hand the bytes on."""
        self._connection.heard = time.monotonic()
        self._receive(data)


class Connection:
    """One WebSocket. `heard`, `pinged` and `took` (when the socket last took bytes) are monotonic seconds,
    `since` is Unix seconds."""

    __slots__ = (
        "client_id",
        "filter",
        "heard",
        "pinged",
        "reason",
        "role",
        "since",
        "took",
        "transport",
        "unsent",
        "viewer",
        "ws",
    )

    def __init__(
        self, ws: web.WebSocketResponse, transport: asyncio.Transport, role: Role, client_id: str | None
    ) -> None:
        self.ws = ws
        self.transport = transport
        self.role = role
        self.client_id = client_id
        self.since = time.time()
        self.heard = time.monotonic()
        self.pinged: float | None = None
        self.took = self.heard
        self.unsent = 0
        self.viewer: Viewer | None = None
        self.filter: dict[str, Any] = {}
        self.reason: str | None = None

    def write(self, data: bytes) -> None:
        """Hand whole frames to the socket; never blocks."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def look(self, now: float) -> None:
        """Ping or cut where that is due; `now` is monotonic seconds."""
        unsent, before = self.transport.get_write_buffer_size(), self.unsent
        self.unsent = unsent
        if unsent == 0 or unsent < before:
            self.took = now
        if not self.transport.is_reading():
            # We are the ones who do not listen: its pong may lie unread in the socket.
            self.heard = now
        if self.pinged is not None and self.heard >= self.pinged:
            self.pinged = None
        if unsent > 0:
            if self.pinged is not None:
                self.pinged = now
            if now - self.took >= STUCK_AFTER_S:
                self.cut(1013, "slow")
        elif self.pinged is None:
            if now - self.heard >= PING_AFTER_S:
                self.write(PING)
                self.pinged = now
        elif now - self.pinged >= PONG_WITHIN_S:
            self.cut(1001, "ping_timeout")

    def cut(self, code: int, reason: str) -> None:
        """End the connection at once, saying why if the socket still listens."""
        self.reason = self.reason or reason
        self.write(close_frame(code))
        self.transport.abort()


class Connections:
    """All open WebSockets and the limit on them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        # A tenth of the places stays free for publishers: a crowd of viewers must not lock the workers out.
        self.viewer_limit = limit - max(1, limit // 10) if limit > 1 else limit
        self._open: set[Connection] = set()
        self._roles: Counter[Role] = Counter()
        self.closing = False

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def count(self, role: Role) -> int:
        """Open connections of a role."""
        return self._roles[role]

    def has_room(self, role: Role) -> bool:
        """Whether one more of this role fits."""
        if role is not Role.PUBLISHER:
            return self.viewers_free > 0
        return not self.closing and len(self._open) < self.limit

    @property
    def viewers_free(self) -> int:
        """How many more viewers fit."""
        if self.closing:
            return 0
        watching = self._roles[Role.VIEWER] + self._roles[Role.BOTH]
        return max(0, min(self.viewer_limit - watching, self.limit - len(self._open)))

    def add(self, connection: Connection) -> None:
        """Count an open connection in."""
        self._open.add(connection)
        self._roles[connection.role] += 1

    def remove(self, connection: Connection) -> None:
        """Count it out."""
        self._open.discard(connection)
        self._roles[connection.role] -= 1

    async def keep_alive(self) -> None:
        """Ping connections that have gone quiet, end those that do not answer; runs until cancelled.

        A ping that has not left our own buffer proves nothing, so a slow reader is never cut for its silence.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now = time.monotonic()
            for connection in self:
                connection.look(now)

    async def goodbye(self) -> None:
        """Close every connection with 1001; what does not answer in time is cut."""
        self.closing = True
        open_ = list(self)
        for connection in open_:
            connection.reason = connection.reason or "shutdown"
        async with asyncio.TaskGroup() as tasks:
            for connection in open_:
                tasks.create_task(_close(connection), name="close a WebSocket")


async def _close(connection: Connection) -> None:
    try:
        async with asyncio.timeout(GOODBYE_S):
            await connection.ws.close(code=1001, message=b"server going away")
    except (TimeoutError, ConnectionError, RuntimeError):
        connection.transport.abort()
