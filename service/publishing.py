"""The publishing half of a WebSocket: frames in, events to the log, one reply each, in order.

The reader never waits for a disk: it fills an inbox, and a committer takes what has gathered in one append.
Under load the bunches grow and the cost per event falls. A full inbox stops the reader, and TCP stops the
producer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import orjson

from service.connections import Connection, Role
from service.ingest import Ingest, Item
from service.problems import error_message
from service.relay.frames import text_frame
from translation_events.errors import ErrorCode, InvalidEvent, LogUnavailable, MonitorError
from translation_events.event import Event
from translation_events.log import Appended

SOURCE: Final = "ws"
MAX_INBOX_ITEMS: Final = 2048
SLICE_EVENTS: Final = 256
MAX_INBOX_BYTES: Final = 2 * 1024 * 1024
MAX_REPLY_BYTES: Final = 256 * 1024  # a producer that does not read its replies is not read from either
REPLY_POLL_S: Final = 0.01


class Publishing:
    """What one connection publishes; `session_id` fills a missing one."""

    def __init__(
        self, connection: Connection, ingest: Ingest, *, session_id: str | None, ack: bool, batch: bool
    ) -> None:
        self._connection = connection
        self._ingest = ingest
        self._session_id = session_id
        self._ack = ack
        self._batch = batch
        self._special = (
            batch or connection.role is Role.VIEWER
        )  # all other frames are one event, taken as it is
        self._inbox: list[tuple[Item, int | None]] = []
        self._inbox_bytes = 0
        self._received = 0.0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._sessions: set[str] = set()

    async def receive(self, raw: bytes) -> None:
        """Take one frame; its reply comes from the committer, after those of the frames before it.

        Returns once the inbox takes more. An array goes in slice by slice: half a million values fit into one
        frame, and each has its reply.
        """
        if not self._special:
            # `_put` written out: every coroutine more costs 0.2 µs a frame.
            item = self._ingest.decode(raw, SOURCE, self._session_id)
            if not self._inbox:
                self._received = time.monotonic()
            self._inbox.append((item, None))
            self._inbox_bytes += len(raw)
            self._filled.set()
            if len(self._inbox) >= MAX_INBOX_ITEMS or self._inbox_bytes >= MAX_INBOX_BYTES:
                await self._room_for_more()
            return
        if self._connection.role is Role.VIEWER:
            refusal = self._ingest.refuse(SOURCE, ErrorCode.READ_ONLY, "A viewer may not publish events.")
            await self._put([(refusal, None)], len(raw))
            return
        try:
            parts = self._ingest.split(raw, SOURCE) if self._batch else None
        except InvalidEvent as refusal:
            await self._put([(refusal, None)], len(raw))
            return
        if parts is None:
            await self._put([(self._decode(raw), None)], len(raw))
            return
        for start in range(0, len(parts), SLICE_EVENTS):
            part = parts[start : start + SLICE_EVENTS]
            items = [(self._decode(one), index) for index, one in enumerate(part, start)]
            await self._put(items, len(raw) * len(part) // len(parts))

    def _decode(self, raw: bytes) -> Item:
        return self._ingest.decode(raw, SOURCE, self._session_id)

    async def _put(self, items: Sequence[tuple[Item, int | None]], size_bytes: int) -> None:
        if not self._inbox:
            self._received = time.monotonic()
        self._inbox.extend(items)
        self._inbox_bytes += size_bytes
        self._filled.set()
        if len(self._inbox) >= MAX_INBOX_ITEMS or self._inbox_bytes >= MAX_INBOX_BYTES:
            await self._room_for_more()

    async def _room_for_more(self) -> None:
        self._room.clear()
        await self._room.wait()

    def end(self) -> None:
        """Nothing more comes in: let the committer finish what has."""
        self._ended = True
        self._filled.set()

    def close(self) -> None:
        """The connection is gone; its sessions have one publisher less."""
        self._ingest.presence.closed(self._sessions)

    def speaks_for(self, session_id: str) -> None:
        """Note that this connection publishes for a session."""
        if session_id not in self._sessions:
            self._sessions.add(session_id)
            self._ingest.presence.opened(session_id)

    async def commit(self) -> None:
        """Append what has gathered, reply, and again, until `end`."""
        while True:
            await self._filled.wait()
            inbox = self._take()
            if inbox:
                items = [item for item, _ in inbox]
                for item in items:
                    if isinstance(item, Event) and item.session_id not in self._sessions:
                        self.speaks_for(item.session_id)
                answers = await self._ingest.append(items, SOURCE, self._received)
                self._reply(inbox, answers)
                if unavailable := next((a for a in answers if isinstance(a, LogUnavailable)), None):
                    # What came in meanwhile goes the same way: stored now, it would overtake the resend.
                    inbox = self._take()
                    items = [item for item, _ in inbox]
                    self._reply(inbox, self._ingest.refuse_all(items, SOURCE, unavailable))
                while self._connection.transport.get_write_buffer_size() > MAX_REPLY_BYTES:
                    if self._connection.transport.is_closing():
                        break
                    await asyncio.sleep(REPLY_POLL_S)
            if self._ended and not self._inbox:
                return

    def _take(self) -> list[tuple[Item, int | None]]:
        """Empty the inbox."""
        inbox, self._inbox, self._inbox_bytes = self._inbox, [], 0
        self._filled.clear()
        self._room.set()
        return inbox

    def _reply(
        self, inbox: Sequence[tuple[Item, int | None]], answers: Sequence[Appended | MonitorError]
    ) -> None:
        replies: list[bytes] = []
        for (item, index), answer in zip(inbox, answers, strict=True):
            event_id = item.id if isinstance(item, Event) else None
            if isinstance(answer, MonitorError):
                replies.append(orjson.dumps(error_message(answer, index=index, event_id=event_id)))
            elif self._ack:
                replies.append(_ack(answer, event_id, index))
        if not replies:
            return
        if self._batch and len(replies) > 1:
            self._connection.write(text_frame(b"[" + b",".join(replies) + b"]"))
        else:
            self._connection.write(b"".join(map(text_frame, replies)))


def _ack(answer: Appended, event_id: str | None, index: int | None) -> bytes:
    """Written by hand: half the cost of a dict and its dump, once for every event."""
    written_id = b"null" if event_id is None else orjson.dumps(event_id)
    duplicate = b',"duplicate":true' if answer.duplicate else b""
    position = b"" if index is None else b',"index":%d' % index
    return b'{"type":"ack","id":%b,"seq":%d%b%b}' % (written_id, answer.seq, duplicate, position)
