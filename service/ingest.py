"""The way in: bytes become events, events become durable, and whoever sent them is answered.

WebSocket and HTTP both come through here, so they validate, count and refuse alike.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from exporters.prometheus import PrometheusExporter
from service.presence import Presence
from translation_events.decode import decode_event
from translation_events.errors import ErrorCode, InvalidEvent, MonitorError
from translation_events.event import Event
from translation_events.log import Appended, EventLog

_decode_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
MAX_VALUES: Final = 1_000_000  # a hundred for each of the 10,000 events that a request may hold

Item = Event | MonitorError


class Ingest:
    """Decodes, appends and counts; `presence` knows which sessions have someone connected."""

    def __init__(self, event_log: EventLog, metrics: PrometheusExporter, *, max_event_bytes: int) -> None:
        self._log = event_log
        self._metrics = metrics
        self.max_event_bytes = max_event_bytes
        self.presence = Presence()

    def decode(self, raw: bytes, source: str, session_id: str | None = None) -> Item:
        """One event, or the error that answers it (counted)."""
        try:
            return decode_event(raw, session_id=session_id, max_bytes=self.max_event_bytes)
        except InvalidEvent as err:
            self._metrics.event_rejected(source, str(err.code))
            # Kept until it is answered; its frames would keep the bytes and the parser's error with it.
            err.__traceback__ = err.__cause__ = err.__context__ = None
            return err

    def split(self, raw: bytes, source: str) -> Sequence[bytes] | None:
        """The members of a JSON array, each still to be decoded; None if it is something else.

        Raises: InvalidEvent: the array as a whole is refused (counted).
        """
        if not raw.lstrip(b" \t\r\n").startswith(b"["):
            return None
        if raw.count(b",") > MAX_VALUES:
            # Sixteen million bytes of `[1,1,1…` would become half a gigabyte of objects.
            raise self.refuse(
                source, ErrorCode.TOO_LARGE, "The array holds too many values; send fewer events."
            )
        try:
            raw.decode()
            return _decode_array(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            detail = f"The array of events is not valid JSON: {err}."
        raise self.refuse(source, ErrorCode.INVALID_JSON, detail)

    def refuse(self, source: str, code: ErrorCode, detail: str) -> InvalidEvent:
        """An error to answer with, counted."""
        self._metrics.event_rejected(source, str(code))
        return InvalidEvent(code, detail)

    def refuse_all(
        self, items: Sequence[Item], source: str, err: MonitorError
    ) -> list[Appended | MonitorError]:
        """Answer every event among `items` with `err`, counted."""
        for item in items:
            if isinstance(item, Event):
                self._metrics.event_rejected(source, str(err.code))
        return [err if isinstance(item, Event) else item for item in items]

    async def append(
        self, items: Sequence[Item], source: str, received: float
    ) -> list[Appended | MonitorError]:
        """Store the events among `items`; one answer each, in order, once durable.

        `received` is the monotonic time at which the first of them came in. Where the log cannot be written
        each event is answered with `LogUnavailable`, worth a resend.
        """
        events = [item for item in items if isinstance(item, Event)]
        try:
            appended = await self._log.append(events) if events else ()
        except MonitorError as err:
            return self.refuse_all(items, source, err)
        if events:
            self._metrics.ingest_observed(source, time.monotonic() - received, len(events))
        for answer in appended:
            if answer.duplicate:
                self._metrics.event_duplicate(source)
        if len(events) == len(items):
            return list(appended)
        stored = iter(appended)
        return [next(stored) if isinstance(item, Event) else item for item in items]
