"""The monitor's stream as a command reads it: resumes by itself after a cut, with no gap and no repeat."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, NamedTuple

import aiohttp
import msgspec

from cli.monitor_client import MonitorClient, Unreachable
from translation_events.errors import MonitorError

SILENCE_S: Final = 60.0  # the server pings every 20 s, so a minute of silence is a dead connection
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class Query(NamedTuple):
    """What to follow: None means all, or from now on; `after` may name its log."""

    session_id: str | None = None
    types: str | None = None
    last: int | None = None
    after: int | None = None
    after_log: str | None = None


class StreamEvent(NamedTuple):
    """An event as it was relayed."""

    seq: int
    type: str
    body: bytes


class _Head(msgspec.Struct):
    type: str
    seq: int | None = None
    id: str | None = None
    log: str | None = None
    code: str | None = None
    detail: str | None = None
    missed: int | None = None
    after: int | None = None
    next: int | None = None


class Stream:
    """Follows `/ws` for ever; `notice` is told in a sentence what a person should know on the way."""

    def __init__(self, monitor: MonitorClient, query: Query, notice: Callable[[str], None]) -> None:
        self._monitor = monitor
        self._query = query
        self._notice = notice
        self._log_id: str | None = None
        self._seq = 0
        self._head = msgspec.json.Decoder(_Head).decode
        self._many = msgspec.json.Decoder(list[msgspec.Raw]).decode

    async def follow(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Yield events as they come, in order, several at a time under load.

        Raises: Unreachable, MonitorError: the first connection was not possible.
        """
        ws = await self._connect()
        while True:
            try:
                async for events in self._events(ws):
                    yield events
            finally:
                await ws.close()
            self._notice("The connection to the monitor is lost; trying again.")
            ws = await self._reconnect()
            self._notice("Connected again.")

    async def _events(
        self, ws: aiohttp.ClientWebSocketResponse
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        while True:
            try:
                message = await ws.receive(timeout=SILENCE_S)
            except TimeoutError:
                return
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            frame: bytes = message.data.encode()
            bodies = self._many(frame) if frame.startswith(b"[") else [frame]
            events = [event for body in bodies if (event := self._take(bytes(body))) is not None]
            if events:
                yield events

    def _take(self, body: bytes) -> StreamEvent | None:
        head = self._head(body)
        if head.seq is not None and head.type != "ack":
            self._seq = head.seq
            return StreamEvent(head.seq, head.type, body)
        match head.type:
            case "reset":
                self._log_id, self._seq = head.log, 0
                self._notice("The monitor has another event log now; starting at its beginning.")
            case "gap":
                count = "An unknown number of" if head.missed is None else str(head.missed)
                self._notice(f"{count} events are gone: removed by retention before they could be read here.")
            case "log_unavailable":
                self._notice("The monitor cannot write its event log just now; publishers wait.")
            case "log_available":
                self._notice("The monitor can write its event log again.")
            case "error":
                self._notice(f"The monitor says: {head.detail or head.code}")
        return None

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        query = self._query
        # Where a cut comes before the first event, the stream goes on from what is the end now.
        log = (await self._monitor.get("/status"))["event_log"]
        if query.after is None:
            ws = await self._open(after=None, last=query.last)
        else:
            ws = await self._open(after=_position(query.after, query.after_log), last=None)
        self._log_id, self._seq = log["id"], log["last_seq"] if query.after is None else query.after
        return ws

    async def _open(self, *, after: str | None, last: int | None) -> aiohttp.ClientWebSocketResponse:
        return await self._monitor.websocket(
            {
                "role": "viewer",
                "client_id": f"tail-{os.getpid()}",
                "batch": 1,
                "session_id": self._query.session_id,
                "types": self._query.types,
                "last": last,
                "after": after,
            }
        )

    async def _reconnect(self) -> aiohttp.ClientWebSocketResponse:
        pause = FIRST_PAUSE_S
        while True:
            # Jitter: after a restart of the server not all viewers come at once.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            pause = min(pause * 2, LONGEST_PAUSE_S)
            try:
                return await self._open(after=_position(self._seq, self._log_id), last=None)
            except Unreachable:
                continue
            except MonitorError as err:
                if err.code != "not_a_monitor":  # a proxy's page while the monitor restarts
                    raise


def _position(seq: int, log_id: str | None) -> str:
    return str(seq) if log_id is None else f"{seq}@{log_id}"
