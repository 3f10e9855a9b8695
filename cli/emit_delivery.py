"""Delivers events over one WebSocket: in order, acknowledged, sent again under the same ids after a cut."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import aiohttp
import orjson

from cli.monitor_client import MonitorClient, Unreachable
from translation_events.errors import ErrorCode, MonitorError

MAX_EVENT_BYTES: Final = (
    16 * 1024 * 1024
)  # the most a server can be told to take; what it takes, it says itself
MAX_UNACKNOWLEDGED: Final = 1000
MAX_FRAME_EVENTS: Final = 1000
MAX_FRAME_BYTES: Final = 512 * 1024  # half of what a server takes with batch=1
SEND_TIMEOUT_S: Final = 60.0
REPLY_TIMEOUT_S: Final = 60.0
GIVE_UP_AFTER_S: Final = 30.0  # without progress, once it had worked
RETRY_S: Final = 1.0


class Outgoing:
    """An event on its way; `place` says where it came from, `seq` is set once it is stored."""

    __slots__ = ("body", "done", "place", "seq")

    def __init__(self, place: str, body: bytes) -> None:
        self.place = place
        self.body = body
        self.done = False
        self.seq: int | None = None


class Delivery:
    """Sends what a source yields; `on_stored` gets the seqs in the order of the source.

    At most 1,000 events are unacknowledged; a source that is faster waits.
    """

    def __init__(
        self,
        monitor: MonitorClient,
        *,
        on_stored: Callable[[Sequence[int]], None],
        on_refused: Callable[[str, str | None, str], None],
    ) -> None:
        self.refused = 0
        self._monitor = monitor
        self._on_stored = on_stored
        self._on_refused = on_refused
        self._ordered: deque[Outgoing] = deque()
        self._waiting: deque[Outgoing] = deque()
        self._in_flight: deque[Outgoing] = deque()
        self._put_off: deque[Outgoing] = deque()
        self._source_ended = False
        self._stored: list[int] = []
        self._changed = asyncio.Condition()
        self._retry_at = 0.0
        self._progress_at = time.monotonic()

    async def run(self, source: AsyncIterator[Outgoing]) -> None:
        """Deliver everything. Raises: Unreachable at the start, or after 30 s without progress later."""
        ws = await self._connect()
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(source), name="read the events to publish")
            while True:
                cut = await self._serve(ws)
                if cut is None:
                    break
                self._take_back(ws.close_code)
                ws = await self._reconnect(cut)
            await reading

    def refuse(self, place: str, field: str | None, detail: str) -> None:
        """Count and tell an event that cannot be sent."""
        self.refused += 1
        self._on_refused(place, field, detail)

    async def _read(self, source: AsyncIterator[Outgoing]) -> None:
        async for event in source:
            async with self._changed:
                await self._changed.wait_for(lambda: len(self._ordered) < MAX_UNACKNOWLEDGED)
                if not self._ordered:
                    self._progress_at = time.monotonic()
                self._ordered.append(event)
                self._waiting.append(event)
                self._changed.notify_all()
        async with self._changed:
            self._source_ended = True
            self._changed.notify_all()

    async def _serve(self, ws: aiohttp.ClientWebSocketResponse) -> str | None:
        """Use one connection until all is delivered (None) or it is lost (the reason)."""
        sending: asyncio.Task[None] | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(ws), name="send events")
                lost = await self._receive(ws)
                sending.cancel()
        finally:
            await ws.close()
        return lost

    async def _send(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._may_send or self._is_finished)
                if self._is_finished:
                    break
                pause = self._retry_at - time.monotonic() if self._put_off else 0.0
                if pause <= 0:
                    self._waiting.extendleft(reversed(self._put_off))
                    self._put_off.clear()
                    frame = self._next_frame()
            if pause > 0:
                await asyncio.sleep(pause)
                continue
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await ws.send_str(frame.decode())
            except (aiohttp.ClientError, OSError, TimeoutError):
                break
        await ws.close()  # the receiving half sees the end

    def _next_frame(self) -> bytes:
        batch: list[Outgoing] = []
        size = 0
        while self._waiting and len(batch) < MAX_FRAME_EVENTS:
            size += len(self._waiting[0].body) + 1
            if batch and size > MAX_FRAME_BYTES:
                break
            batch.append(self._waiting.popleft())
        self._in_flight.extend(batch)
        if len(batch) == 1:
            return batch[0].body
        return b"[" + b",".join(event.body for event in batch) + b"]"

    async def _receive(self, ws: aiohttp.ClientWebSocketResponse) -> str | None:
        while not self._is_finished:
            try:
                message = await ws.receive(timeout=REPLY_TIMEOUT_S)
            except TimeoutError:
                if self._in_flight:
                    return "no reply in time"
                continue
            if message.type is not aiohttp.WSMsgType.TEXT:
                if self._is_finished:
                    break
                return f"the connection closed (code {ws.close_code})"
            replies = orjson.loads(message.data)
            async with self._changed:
                for reply in replies if isinstance(replies, list) else [replies]:
                    self._take_reply(reply)
                if self._stored:
                    self._on_stored(self._stored)
                    self._stored.clear()
                self._changed.notify_all()
        return None

    def _take_reply(self, reply: dict[str, Any]) -> None:
        kind = reply.get("type")
        if kind not in ("ack", "error") or not self._in_flight:
            return
        event = self._in_flight.popleft()
        if kind == "ack":
            event.seq = reply["seq"]
        elif reply.get("code") in (ErrorCode.RATE_LIMITED, ErrorCode.LOG_UNAVAILABLE):
            if time.monotonic() - self._progress_at > GIVE_UP_AFTER_S:
                raise MonitorError(reply["code"], self._unfinished(f"{reply.get('detail')}"))
            self._put_off.append(event)
            self._retry_at = time.monotonic() + RETRY_S
            return
        else:
            self.refuse(event.place, reply.get("field"), str(reply.get("detail")))
        event.done = True
        self._progress_at = time.monotonic()
        while self._ordered and self._ordered[0].done:
            seq = self._ordered.popleft().seq
            if seq is not None:
                self._stored.append(seq)

    def _take_back(self, close_code: int | None) -> None:
        """After a cut: what has no reply is sent anew, in order, under the same ids."""
        if close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG and self._in_flight:
            largest = max(self._in_flight, key=lambda event: len(event.body))
            self._in_flight.remove(largest)
            self._ordered.remove(largest)
            size = len(largest.body)
            self.refuse(largest.place, None, f"The event has {size} bytes, more than the monitor takes.")
        for unresolved in (self._in_flight, self._put_off):
            self._waiting.extendleft(reversed(unresolved))
            unresolved.clear()

    async def _reconnect(self, reason: str) -> aiohttp.ClientWebSocketResponse:
        print(f"Connection to the monitor lost: {reason}; trying again.", file=sys.stderr, flush=True)
        tried_since = time.monotonic()
        pause = 0.25
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            pause = min(pause * 2, 5.0)
            try:
                return await self._connect()
            except Unreachable as err:
                if time.monotonic() - tried_since > GIVE_UP_AFTER_S:
                    raise Unreachable(self._unfinished(err.detail)) from err

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        return await self._monitor.websocket(
            {"role": "publisher", "client_id": f"emit-{os.getpid()}", "ack": 1, "batch": 1}
        )

    def _unfinished(self, detail: str) -> str:
        count = len(self._ordered)
        if not count:
            return detail
        return f"{detail} {count} events were not acknowledged, the first is {self._ordered[0].place}."

    @property
    def _may_send(self) -> bool:
        # One frame at a time: of two on their way the first may be refused (log_unavailable) and the second
        # be taken, which would turn the order round. What was put off goes first.
        return not self._in_flight and bool(self._put_off or self._waiting)

    @property
    def _is_finished(self) -> bool:
        return self._source_ended and not self._ordered
