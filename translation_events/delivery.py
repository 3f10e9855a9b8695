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
from translation_events.client_log import client_log
from translation_events.errors import ErrorCode
from translation_events.replies import InFlight, Reply, Sent, Verdict, read_replies
from translation_events.retry import Retry
from translation_events.spool import Spool

MAX_UNACKNOWLEDGED: Final = 1_000
BATCH_EVENTS: Final = 250  # a quarter of the window, so that sending and acknowledging overlap
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
        self._in_flight = InFlight()
        self._window = MAX_UNACKNOWLEDGED
        self._batch = True
        self._failures = 0
        self._pause_s: float | None = None
        self._barred_by: str | None = None
        self._told: str | None = None
        self._dropped_told: set[tuple[str, str | None]] = set()

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
                    client_log().error("publisher stumbled, tries again", error=repr(err))
                self.counters.connected = False
                self._in_flight.clear()
                self._spool.rewind()
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
        if not self._batch:
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
            self._tell("monitor not reached, events wait in the spool", reason=type(err).__name__)
        else:
            async with socket:
                await self._serve(socket)

    def _turned_away(self, err: aiohttp.WSServerHandshakeError) -> None:
        if err.status >= 500 or err.status == HTTPStatus.TOO_MANY_REQUESTS:
            retry_after = err.headers.get("Retry-After") if err.headers is not None else None
            self._pause_s = self._retry.asked_pause_s(retry_after, self._failures)
            self._tell("monitor not ready, events wait in the spool", status=err.status)
        else:
            self._barred("refused", status=err.status)

    async def _serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        since = asyncio.get_running_loop().time()
        self.counters.connections += 1
        self.counters.connected = True
        if self._told is not None:
            client_log().info("monitor reached again", monitor=self._address.url, waiting=self._spool.waiting)
            self._told = None
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
            self._frame_too_big()
        else:
            self._tell("monitor connection lost, events wait in the spool", close_code=code)

    async def _send(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Send what the window allows; ends by closing the socket, which ends the receiving side."""
        try:
            while not self._done and self._barred_by is None and self._pause_s is None:
                self._changed.clear()
                self._signalled = False
                if self._refused_for_now and not self._in_flight.unanswered:
                    await self._back_off()
                elif not await self._send_some(socket):
                    await self._wait_for_change()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            pass  # the receiving side tells how it ended
        await socket.close()

    async def _send_some(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        room = self._window - len(self._in_flight)
        if room <= 0 or self._refused_for_now:
            return False
        records = self._spool.read(min(room, BATCH_EVENTS))
        now = asyncio.get_running_loop().time()
        bodies: list[str] = []
        for record in records:
            sent = Sent(record, now)
            sent.in_array = self._batch and len(records) > 1
            if record.id:
                bodies.append(record.body.decode())
            else:
                sent.verdict = Verdict.DROPPED
            self._in_flight.add(sent)
        self.counters.sent += len(bodies)
        as_array = self._batch and len(bodies) > 1
        for frame in [f"[{','.join(bodies)}]"] if as_array else bodies:
            async with asyncio.timeout(self._retry.answer_s):
                await socket.send_str(frame)
        if len(bodies) < len(records):
            self._forget_settled()
        return bool(records)

    async def _wait_for_change(self) -> None:
        oldest, now = self._in_flight.oldest_at, asyncio.get_running_loop().time()
        left = None if oldest is None else oldest + self._retry.answer_s - now
        try:
            async with asyncio.timeout(left):
                await self._changed.wait()
        except TimeoutError:
            self._tell("monitor does not answer, events wait in the spool", waited_s=self._retry.answer_s)
            raise

    @property
    def _refused_for_now(self) -> bool:
        oldest = self._in_flight.oldest()
        return oldest is not None and oldest.verdict is Verdict.LATER

    async def _back_off(self) -> None:
        """Events were refused for now: start again at the first of them, with one, then more."""
        self._window = 1
        self._failures += 1
        self._in_flight.clear()
        self._spool.rewind()
        await self._sleep(self._retry.pause_s(self._failures))

    def _take(self, frame: str) -> None:
        try:
            replies = read_replies(frame)
        except msgspec.DecodeError:
            client_log().warning("monitor sent what is no reply", monitor=self._address.url)
            return
        for reply in replies:
            if self._in_flight.refuses_array(reply):
                # A server that takes one event a frame: come back at once and keep to that.
                self._batch, self._pause_s = False, 0.0
                return
            sent = self._in_flight.answer(reply)
            if sent is None:
                continue
            if sent.verdict is Verdict.ACKED:
                self._failures = 0
            elif sent.verdict is Verdict.BARRED:
                self._barred(reply.code, detail=reply.detail)
        self._forget_settled()

    def _forget_settled(self) -> None:
        settled = self._in_flight.take_settled()
        if not settled:
            return
        self._spool.resolve([sent.record for sent in settled])
        for sent in settled:
            if sent.verdict is Verdict.ACKED and sent.reply is not None:
                self.counters.acked += 1
                self.counters.duplicates += sent.reply.duplicate
            else:
                self.counters.refused += 1
                self._tell_dropped(sent.reply)
        if not self._in_flight:
            self._window = min(MAX_UNACKNOWLEDGED, self._window * 2)
        self._settled([sent.reply for sent in settled if sent.reply is not None])

    def _frame_too_big(self) -> None:
        """The server takes smaller frames than we sent: find the event at fault by sending one at a time."""
        culprit = self._in_flight.oldest()
        if self._window == 1 and culprit is not None:
            culprit.verdict = Verdict.DROPPED
            culprit.reply = Reply("error", culprit.record.id, code=ErrorCode.TOO_LARGE.value)
            self._forget_settled()
        self._window, self._batch, self._pause_s = 1, False, 0.0

    def _barred(self, reason: str, **fields: object) -> None:
        """Only a person can lift this: say so once, come back rarely, keep the events."""
        self._barred_by = reason
        self._pause_s = self._retry.refused_pause_s()
        self._tell(
            "monitor takes nothing from this publisher, events wait in the spool", reason=reason, **fields
        )

    def _tell(self, what: str, **fields: object) -> None:
        """Say it once an outage, not once an attempt."""
        if self._told != what:
            self._told = what
            client_log().warning(what, monitor=self._address.url, spool=str(self._spool.folder), **fields)

    def _tell_dropped(self, reply: Reply | None) -> None:
        """Say it once for each kind of fault."""
        code, field = ("damaged", None) if reply is None else (reply.code, reply.field)
        if (code, field) not in self._dropped_told:
            self._dropped_told.add((code, field))
            detail = reply.detail if reply is not None else "A line of the spool could not be read."
            client_log().warning("event refused for good", code=code, field=field, detail=detail)
