"""The open WebSockets: how many, of which role, how lately heard of, and their places."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final

from aiohttp import web

from service.relay.frames import PING, close_frame
from service.relay.viewer import Viewer

PING_AFTER_S: Final = 20.0  # nothing heard for so long: ask
PONG_WITHIN_S: Final = 20.0  # asked, and nothing heard for so long: gone
LOOK_EVERY_S: Final = 2.0
GOODBYE_S: Final = 2.0


class Role(StrEnum):
    """What a connection is for; `BOTH` is a connection that named no role."""

    VIEWER = "viewer"
    PUBLISHER = "publisher"
    BOTH = "both"


class Connection:
    """One WebSocket. `heard` and `pinged` are monotonic seconds, `since` Unix seconds."""

    __slots__ = (
        "client_id",
        "filter",
        "heard",
        "pinged",
        "reason",
        "role",
        "since",
        "transport",
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
        self.viewer: Viewer | None = None
        self.filter: dict[str, Any] = {}
        self.reason: str | None = None

    def write(self, data: bytes) -> None:
        """Hand whole frames to the socket; never blocks."""
        if not self.transport.is_closing():
            self.transport.write(data)

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
        if self.closing or len(self._open) >= self.limit:
            return False
        watching = self._roles[Role.VIEWER] + self._roles[Role.BOTH]
        return role is Role.PUBLISHER or watching < self.viewer_limit

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
                if connection.pinged is not None and connection.heard >= connection.pinged:
                    connection.pinged = None
                if connection.transport.get_write_buffer_size() > 0:
                    if connection.pinged is not None:
                        connection.pinged = now
                elif connection.pinged is None:
                    if now - connection.heard >= PING_AFTER_S:
                        connection.write(PING)
                        connection.pinged = now
                elif now - connection.pinged >= PONG_WITHIN_S:
                    connection.cut(1001, "ping_timeout")

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
