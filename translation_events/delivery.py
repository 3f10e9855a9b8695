"""The way from the spool to the monitor: connect, send, match replies, come back after a cut.

Runs in one event loop; only `wake`, `finish` and `stop` may be called from other threads.
Source: docs/protocol.md, "WebSocket" and "The publisher's spool".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec

from translation_events.address import MonitorAddress
from translation_events.outage_log import OutageLog
from translation_events.replies import Reply, Verdict, read_replies
from translation_events.retry import Retry
from translation_events.spool import Spool
from translation_events.window import Window

REPLY_BYTES: Final = 4 << 20  # a thousand replies are some 100 KiB
CLOSE_S: Final = 0.5
HURRIED_PAUSE_S: Final = 0.25  # between attempts while the program waits to exit


@dataclass(slots=True)
class Counters:
    """What a delivery has done so far; written by its loop alone."""

    sent: int = 0
    acked: int = 0
    duplicates: int = 0
    refused: int = 0
    connections: int = 0
    connected: bool = False


class Delivery:
    """Delivers one spool to one monitor until told to finish (when all is delivered) or to stop (now)."""

    def __init__(
        self,
        address: MonitorAddress,
        spool: Spool,
        *,
        client_id: str,
        session_id: str | None,
        retry: Retry,
        settled: Callable[[list[Reply]], None],
    ) -> None:
        """`settled` is called in the loop's thread with the replies to events that are done, in order."""
        self.counters = Counters()
        self._address = address
        self._spool = spool
        self._client_id = client_id
        self._session_id = session_id
        self._retry = retry
        self._settled = settled
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._signalled = False
        self._finishing = asyncio.Event()
        self._stopping = asyncio.Event()
        self._window = Window(spool)
        self._failures = 0
        self._pause_s: float | None = None
        self._barred_by: str | None = None
        self._log = OutageLog(address.url, str(spool.folder))

    def wake(self) -> None:
        """Something new is in the spool. Thread-safe; costs a system call only if the loop may be asleep."""
        if not self._signalled and self._loop is not None:
            self._signalled = True
            self._call(self._changed.set)

    def finish(self) -> None:
        """Return from `run` once nothing waits; pauses are cut short. Thread-safe."""
        self._call(self._finish)

    def stop(self) -> None:
        """Return from `run` at once. Thread-safe."""
        self._call(self._stopping.set)

    async def run(self) -> None:
        """Deliver; returns after `finish` or `stop`."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            work = tasks.create_task(self._deliver(), name="publisher-deliver")
            stop = tasks.create_task(self._stopping.wait(), name="publisher-stop")
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()
            stop.cancel()

    async def _deliver(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=self._retry.connect_s)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while not self._done:
                self._pause_s = self._barred_by = None
                try:
                    await self._connect(http)
                except Exception as err:  # noqa: BLE001  # the border: a fault in here must not end the delivery
                    self._log.outage("publisher stumbled", error=repr(err))
                self.counters.connected = False
                self._window.restart()
                await self._pause()
                if self._barred_by is not None and self._finishing.is_set():
                    return  # there is no point in asking again who was turned away
                self._failures += 1

    @property
    def _done(self) -> bool:
        return self._finishing.is_set() and self._spool.drained

    def _finish(self) -> None:
        self._finishing.set()
        self._changed.set()

    async def _pause(self) -> None:
        if self._pause_s is None:
            await self._sleep(self._retry.pause_s(self._failures))
        elif self._barred_by is None:
            await asyncio.sleep(self._pause_s)  # the server asked for it: kept at exit too
        elif not self._finishing.is_set():
            await self._sleep(self._pause_s)

    async def _sleep(self, pause_s: float) -> None:
        """Sleep; shorter while the program waits to exit."""
        if self._finishing.is_set():
            await asyncio.sleep(min(pause_s, HURRIED_PAUSE_S))
            return
        try:
            async with asyncio.timeout(pause_s):
                await self._finishing.wait()
        except TimeoutError:
            pass

    def _call(self, callback: Callable[[], None]) -> None:
        if self._loop is None:
            # Not running yet: nobody else can be at the flags, and the spool is read before the first wait.
            callback()
            return
        with suppress(RuntimeError):  # the loop is closed: the delivery is over
            self._loop.call_soon_threadsafe(callback)

    async def _connect(self, http: aiohttp.ClientSession) -> None:
        query = {"role": "publisher", "ack": "1", "batch": "1", "client_id": self._client_id}
        if not self._window.arrays:
            del query["batch"]
        if self._session_id is not None:
            query["session_id"] = self._session_id
        try:
            async with asyncio.timeout(self._retry.connect_s):
                socket = await http.ws_connect(
                    self._address.websocket(query),
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                    max_msg_size=REPLY_BYTES,
                )
        except aiohttp.WSServerHandshakeError as err:
            self._turned_away(err)
        except (aiohttp.ClientError, OSError, TimeoutError) as err:
            self._log.outage("monitor not reached", reason=type(err).__name__)
        else:
            async with socket:
                await self._serve(socket)

    def _turned_away(self, err: aiohttp.WSServerHandshakeError) -> None:
        if err.status >= 500 or err.status == HTTPStatus.TOO_MANY_REQUESTS:
            retry_after = err.headers.get("Retry-After") if err.headers is not None else None
            self._pause_s = self._retry.asked_pause_s(retry_after, self._failures)
            self._log.outage("monitor not ready", status=err.status)
        else:
            self._barred("refused", status=err.status)

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        since = asyncio.get_running_loop().time()
        self.counters.connections += 1
        self.counters.connected = True
        self._log.over(self._spool.waiting)
        async with asyncio.TaskGroup() as tasks:
            sender = tasks.create_task(self._send(socket), name="publisher-send")
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._take(message.data)
                    self._changed.set()
            sender.cancel()
        if asyncio.get_running_loop().time() - since > self._retry.cap_s:
            self._failures = 0
        if self._done or self._barred_by is not None or self._pause_s is not None:
            return
        code = socket.close_code
        if code == aiohttp.WSCloseCode.POLICY_VIOLATION:
            self._barred("policy", close_code=code)
        elif code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            if self._window.frame_was_too_big():
                self._pause_s = 0.0
                self._settle()
        else:
            self._log.outage("monitor connection lost", close_code=code)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send what the window allows; ends by closing the socket, which ends the receiving side."""
        try:
            while not self._done and self._barred_by is None and self._pause_s is None:
                self._changed.clear()
                self._signalled = False
                if self._window.must_back_off:
                    await self._back_off()
                elif not await self._send_some(socket):
                    await self._wait_for_change()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            pass  # the receiving side tells how it ended
        await socket.close()

    async def _send_some(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        bodies = self._window.next_bodies(asyncio.get_running_loop().time())
        self.counters.sent += len(bodies)
        as_array = self._window.arrays and len(bodies) > 1
        for frame in [f"[{','.join(bodies)}]"] if as_array else bodies:
            async with asyncio.timeout(self._retry.answer_s):
                await socket.send_str(frame)
        self._settle()  # damaged lines have no reply to wait for
        return bool(bodies)

    async def _wait_for_change(self) -> None:
        oldest, now = self._window.oldest_at, asyncio.get_running_loop().time()
        left = None if oldest is None else oldest + self._retry.answer_s - now
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            self._log.outage("monitor does not answer", waited_s=self._retry.answer_s)
            raise

    async def _back_off(self) -> None:
        """Events were refused for now: start again at the first of them, with one, then more."""
        self._failures += 1
        self._window.narrow()
        self._window.restart()
        await self._sleep(self._retry.pause_s(self._failures))

    def _take(self, frame: str) -> None:
        try:
            replies = read_replies(frame)
        except msgspec.DecodeError:
            self._log.outage("monitor sent what is no reply")
            return
        for reply in replies:
            if self._window.was_array_refused(reply):
                self._pause_s = 0.0  # come back at once, with one event a frame
                return
            sent = self._window.answer(reply)
            if sent is None:
                continue
            if sent.verdict is Verdict.ACKED:
                self._failures = 0
            elif sent.verdict is Verdict.BARRED:
                self._barred(reply.code, detail=reply.detail)
        self._settle()

    def _settle(self) -> None:
        settled = self._window.settle()
        if not settled:
            return
        for sent in settled:
            if sent.verdict is Verdict.ACKED and sent.reply is not None:
                self.counters.acked += 1
                self.counters.duplicates += sent.reply.duplicate
            else:
                self.counters.refused += 1
                self._log.dropped(sent.reply)
        self._settled([sent.reply for sent in settled if sent.reply is not None])

    def _barred(self, reason: str, **fields: object) -> None:
        """Only a person can lift this: say so once, come back rarely, keep the events."""
        self._barred_by = reason
        self._pause_s = self._retry.refused_pause_s()
        self._log.outage("monitor takes nothing from this publisher", reason=reason, **fields)
