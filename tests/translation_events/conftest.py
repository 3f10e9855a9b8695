"""A scripted monitor for the publisher: a real WebSocket server on a free port, in a thread of its own.

It keeps docs/protocol.md, "WebSocket", and can be told to go away, to stay silent or to refuse.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import WSCloseCode, WSMsgType, web

from translation_events import Publisher
from translation_events.retry import Retry

WAIT_S = 20.0
QUICK = Retry(base_s=0.01, cap_s=0.05, refused_s=0.2, answer_s=5.0, connect_s=5.0)

type_of_judge = Callable[[dict[str, Any]], dict[str, Any] | None]


class ScriptedMonitor:
    """What it has stored is in `events`, in order and without repeats; a stop keeps it, as a log would."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.frames: list[int] = []  # events in each frame
        self.queries: list[dict[str, str]] = []
        self.received = 0
        self.most_unanswered = 0
        self.silent = False
        self.takes_arrays = True
        self.judge: type_of_judge | None = None  # the reply to an event instead of an ack, None for the ack
        self.refusals: list[tuple[int, dict[str, str]]] = []  # answers before the upgrade, used up in order
        self.max_frame = 1 << 20
        self.port = 0
        self._seqs: dict[tuple[str, str], int] = {}
        self._unanswered = 0
        self._changed = threading.Condition()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-monitor")
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address; the port stays the same over a stop and a start."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen (again)."""
        self._call(self._start())

    def stop(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        """Close every connection with `code` and stop to listen."""
        self._call(self._stop(code))

    def hang_up(self, code: int) -> None:
        """Close every connection with `code`, go on listening."""
        self._call(self._hang_up(code))

    def cut(self) -> None:
        """Break every connection without a word."""
        self._call(self._cut())

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition`; fails after 20 s."""
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), "the monitor waited in vain"

    def ids(self) -> list[str]:
        """Ids of what is stored, in order."""
        return [event["id"] for event in self.events]

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WAIT_S)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/ws", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self, code: int) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            for site in list(runner.sites):
                await site.stop()
            await self._hang_up(code)
            await runner.cleanup()

    async def _hang_up(self, code: int) -> None:
        for socket in list(self._sockets):
            await socket.close(code=code)

    async def _cut(self) -> None:
        for socket in list(self._sockets):
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        with self._changed:
            self.queries.append(dict(request.query))
            self._changed.notify_all()
        if self.refusals:
            status, headers = self.refusals.pop(0)
            return web.Response(status=status, headers=headers)
        socket = web.WebSocketResponse(max_msg_size=self.max_frame, timeout=1.0)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(socket, message.data)
        except ConnectionError:
            pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _take(self, socket: web.WebSocketResponse, frame: str) -> None:
        taken = orjson.loads(frame)
        if isinstance(taken, list) and not self.takes_arrays:
            await socket.send_json(
                {"type": "error", "code": "invalid_event", "detail": "not an object", "id": None}
            )
            return
        events = taken if isinstance(taken, list) else [taken]
        with self._changed:
            self.frames.append(len(events))
            self.received += len(events)
            if self.silent:
                self._unanswered += len(events)
                self.most_unanswered = max(self._unanswered, self.most_unanswered)
                self._changed.notify_all()
                return
            replies = [self._answer(event) | {"index": index} for index, event in enumerate(events)]
            self._changed.notify_all()
        if isinstance(taken, list):
            await socket.send_str(orjson.dumps(replies).decode())
        else:
            await socket.send_str(orjson.dumps(replies[0]).decode())

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        verdict = self.judge(event) if self.judge is not None else None
        if verdict is not None:
            return {"type": "error", "id": event["id"], "detail": "as scripted"} | verdict
        key = event["session_id"], event["id"]
        if key in self._seqs:
            return {"type": "ack", "id": event["id"], "seq": self._seqs[key], "duplicate": True}
        self._seqs[key] = len(self._seqs) + 1
        self.events.append(event)
        return {"type": "ack", "id": event["id"], "seq": self._seqs[key]}


@pytest.fixture
def monitor() -> Iterator[ScriptedMonitor]:
    """A scripted monitor that listens."""
    monitor = ScriptedMonitor()
    monitor.start()
    yield monitor
    monitor.close()


MakePublisher = Callable[..., Publisher]


@pytest.fixture
def publish(monitor: ScriptedMonitor, tmp_path: Path) -> Iterator[MakePublisher]:
    """Makes publishers to the scripted monitor that are closed at the end, wait little and retry quickly."""
    made: list[Publisher] = []

    def make(**options: Any) -> Publisher:
        defaults: dict[str, Any] = {
            "session_id": "book-1",
            "spool_dir": tmp_path / "spool",
            "retry": QUICK,
            "exit_wait_s": 5.0,
        }
        made.append(Publisher(monitor.url, **(defaults | options)))
        return made[-1]

    yield make
    for publisher in made:
        publisher.close()
