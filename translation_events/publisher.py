"""The client library: three lines put any pipeline on the monitor, and nothing the monitor does can stop it.

    from translation_events import Publisher
    with Publisher("http://127.0.0.1:8090", session_id="book-1") as monitor:
        monitor.emit("translation_progress", step="translation", progress=55.0, total_items=10)

An event is on disk (in the page cache) when `emit` returns, so even `kill -9` of the producer loses none; the
next publisher for the same address delivers what is left. Source: docs/protocol.md, "The publisher".
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from translation_events import environment
from translation_events.address import DEFAULT_URL, MonitorAddress
from translation_events.client_log import client_log
from translation_events.decode import check_session_id, decode_event
from translation_events.delivery import Delivery
from translation_events.errors import ErrorCode, InvalidEvent
from translation_events.event import Event
from translation_events.ids import new_event_id
from translation_events.replies import Reply
from translation_events.retry import Retry
from translation_events.segment import is_droppable
from translation_events.spool import SPOOL_BYTES, Spool

EXIT_WAIT_S: Final = 5.0
TEARDOWN_S: Final = 2.0  # for closing the socket and the loop once nothing is waited for any more
TELL_EVERY_S: Final = 60.0
_FILLED_IN: Final = frozenset({"id", "timestamp", "session_id"})
_encode: Final = msgspec.json.Encoder().encode


class PublisherStats(NamedTuple):
    """What became of the events: counts since the start, but `spooled`, which is what waits now.

    `dropped` counts the invalid, those the monitor refused for good and those a full spool let go.
    """

    sent: int
    acked: int
    duplicates: int
    dropped: int
    spooled: int
    reconnects: int
    connected: bool


class Publisher:
    """Publishes events from any thread, with or without asyncio, in the order of the `emit` calls.

    A thread of its own talks to the monitor. Not to be used across `fork`: make one in each process.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        session_id: str | None = None,
        client_id: str | None = None,
        spool_dir: str | Path | None = None,
        strict: bool = False,
        exit_wait_s: float = EXIT_WAIT_S,
        spool_bytes: int = SPOOL_BYTES,
        retry: Retry | None = None,
        on_reply: Callable[[Reply], None] | None = None,
    ) -> None:
        """Begin to publish to `url` (default http://127.0.0.1:8090).

        `session_id` fills a missing one. `strict` makes `emit` raise `InvalidEvent`. `on_reply` is called
        in the publisher's thread with each final reply (an `ack` with its `seq`, or an `error`), in order.
        Raises: ConfigError, InvalidEvent: a wrong address or session_id; never for the monitor or the disk.
        """
        if session_id is not None:
            check_session_id(session_id)
        self._address = MonitorAddress.parse(url or DEFAULT_URL)
        self._session_id = session_id
        self._strict = strict
        self._exit_wait_s = exit_wait_s
        self._on_reply = on_reply
        self._root = Path(spool_dir) if spool_dir is not None else environment.spool_dir()
        self._spool = Spool(self._root / self._address.folder, limit_bytes=spool_bytes)
        self._invalid = 0
        self._told: dict[object, float] = {}
        self._told_fault: OSError | None = None
        self._closed = False
        self._settled = threading.Condition()
        self._delivery = Delivery(
            self._address,
            self._spool,
            client_id=client_id or f"publisher-{os.getpid()}-{new_event_id()[-6:]}",
            session_id=session_id,
            retry=retry or Retry(),
            settled=self._on_settled,
        )
        self._tell_fault()
        self._thread = threading.Thread(target=self._run, name="translation-monitor-publisher", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @classmethod
    def from_environment(cls, **options: Any) -> Self:
        """A publisher to `MONITOR_URL`, spooling under `MONITOR_SPOOL_DIR`; options as for the class."""
        return cls(environment.monitor_url(), **options)

    def emit(self, event_type: str, /, **fields: Any) -> str:
        """Publish one event and return its id; does not wait for the monitor and does not fail because of it.

        `fields` are those of the event (`step`, `message`, `progress`, `data` … and any of your own);
        `id`, `timestamp` and `session_id` are filled in. An invalid event is told, counted and dropped.
        Raises: InvalidEvent: only with `strict=True`.  Cost: some 15 µs.
        """
        return self.publish({"type": event_type, **fields})

    def publish(self, event: Mapping[str, Any] | bytes) -> str:
        """Publish a whole event, as a mapping or as JSON; else like `emit`."""
        event_id = ""
        try:
            body = dict(event) if isinstance(event, Mapping) else _members(event)
            if body.get("id") is None:
                body["id"] = new_event_id()
            if body.get("timestamp") is None:
                body["timestamp"] = round(time.time(), 6)
            if body.get("session_id") is None and self._session_id is not None:
                body["session_id"] = self._session_id
            decoded = decode_event(_json(body))
            event_id = decoded.id or ""
            self._take(decoded)
        except InvalidEvent as err:
            if self._strict:
                raise
            self._invalid += 1
            self._tell((err.code, err.field), "invalid event dropped", field=err.field, detail=err.detail)
            event_id = event_id or err.event_id or ""
        except Exception as err:  # noqa: BLE001  # the border: reporting must never stop what it reports on
            self._invalid += 1
            self._tell(type(err), "event dropped by a fault of the publisher", error=repr(err))
        return event_id

    @property
    def stats(self) -> PublisherStats:
        """Counts of now."""
        counters = self._delivery.counters
        return PublisherStats(
            sent=counters.sent,
            acked=counters.acked,
            duplicates=counters.duplicates,
            dropped=self._invalid + counters.refused + self._spool.dropped,
            spooled=self._spool.waiting,
            reconnects=max(0, counters.connections - 1),
            connected=counters.connected,
        )

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything emitted is acknowledged; False if that took longer than `timeout_s`."""
        with self._settled:
            return self._settled.wait_for(lambda: self._spool.drained, timeout_s)

    def close(self) -> None:
        """Wait for acknowledgements, 5 s at most, then leave the rest to the next publisher and say so."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._delivery.finish()
        self._thread.join(self._exit_wait_s)
        if self._thread.is_alive():
            self._delivery.stop()
            self._thread.join(TEARDOWN_S)
        waiting = self._spool.waiting
        lost = self._spool.close()
        if waiting > lost:
            self._tell_left(waiting - lost)
        if lost:
            client_log().error("events lost: the monitor is away and the spool takes nothing", events=lost)

    async def aclose(self) -> None:
        """`close` for asyncio code: the loop goes on while it waits."""
        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _take(self, event: Event) -> None:
        if self._closed:
            self._invalid += 1
            self._tell("closed", "event dropped: the publisher is closed")
            return
        dropped = self._spool.append(event.json, droppable=is_droppable(event.type))
        self._delivery.wake()
        if dropped:
            self._tell(
                "full",
                "spool full, progress events dropped",
                dropped=self._spool.dropped,
                spool=str(self._root),
            )
        self._tell_fault()

    def _run(self) -> None:
        try:
            asyncio.run(self._delivery.run())
        except Exception as err:  # noqa: BLE001  # the border of the thread
            client_log().error("publisher stopped, events wait in the spool", error=repr(err))

    def _on_settled(self, replies: list[Reply]) -> None:
        if self._on_reply is not None:
            try:
                for reply in replies:
                    self._on_reply(reply)
            except Exception as err:  # noqa: BLE001  # the border to the caller's code
                self._tell("on_reply", "on_reply raised", error=repr(err))
        with self._settled:
            self._settled.notify_all()

    def _tell(self, topic: object, what: str, **fields: object) -> None:
        """Say a thing once a minute at most: an emitter may be wrong a thousand times a second."""
        now = time.monotonic()
        if now - self._told.get(topic, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told[topic] = now
            client_log().warning(what, **fields)

    def _tell_fault(self) -> None:
        fault = self._spool.fault
        if fault is not None and fault is not self._told_fault:
            self._told_fault = fault
            self._tell(
                "fault", "spool not usable, events wait in memory", spool=str(self._root), reason=str(fault)
            )

    def _tell_left(self, waiting: int) -> None:
        folder = str(self._spool.folder)
        client_log().warning(
            "events wait in the spool",
            events=waiting,
            spool=folder,
            monitor=self._address.url,
            deliver=f"translation-monitor emit --spool {shlex.quote(folder)} --monitor {self._address.url}",
        )


def _members(event: bytes) -> dict[str, Any]:
    try:
        members: dict[str, Any] = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidEvent(ErrorCode.INVALID_JSON, f"The event is not a JSON object: {err}.") from err
    # An explicit null is an absent value, which is filled in.
    return {name: raw for name, raw in members.items() if bytes(raw) != b"null" or name not in _FILLED_IN}


def _json(body: dict[str, Any]) -> bytes:
    try:
        try:
            return _encode(body)
        except OverflowError:
            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()  # integers beyond 64 bits
    except (TypeError, ValueError, RecursionError, OverflowError) as err:
        raise InvalidEvent(ErrorCode.INVALID_EVENT, f"The event cannot be written as JSON: {err}.") from err
