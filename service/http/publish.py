"""`POST /events`: one event, an array or NDJSON; all that is valid is taken.

Source: docs/protocol.md, "HTTP".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson
from aiohttp import web

from service.ingest import Ingest, Item
from service.keys import INGEST
from service.problems import problem, problem_of
from translation_events.errors import ErrorCode, InvalidEvent, LogUnavailable, MonitorError
from translation_events.event import Event
from translation_events.log import Appended

routes = web.RouteTableDef()

SOURCE: Final = "http"
MAX_EVENTS: Final = 10_000
MAX_BODY_BYTES: Final = 16 * 1024 * 1024
APPEND_AT_ONCE: Final = 500


@routes.post("/events")
async def publish(request: web.Request) -> web.Response:
    """Take events; 200, or 207 where some were refused, or a problem for a single refused object."""
    ingest = request.app[INGEST]
    if request.content_type == "application/x-ndjson":
        return await _publish_lines(request, ingest)
    if request.content_type != "application/json":
        detail = "Send application/json (one event or an array) or application/x-ndjson (one event a line)."
        return problem("unsupported_media_type", detail)
    received = time.monotonic()
    body = await _whole_body(request)
    if body is None:
        ingest.refuse(SOURCE, ErrorCode.TOO_LARGE, "")
        return problem(ErrorCode.TOO_LARGE, f"The body is over {MAX_BODY_BYTES} bytes.", accepted=0)
    parts = ingest.split(body, SOURCE)
    if parts is None:
        item = ingest.decode(body.strip(), SOURCE)
        (answer,) = await ingest.append([item], SOURCE, received)
        if isinstance(answer, MonitorError):
            return problem_of(answer)
        return _answer(_Results().add([answer], [_id(item)]))
    results = _Results()
    taken = parts[:MAX_EVENTS]
    for start in range(0, len(taken), APPEND_AT_ONCE):
        items = [ingest.decode(part, SOURCE) for part in taken[start : start + APPEND_AT_ONCE]]
        results.add(await ingest.append(items, SOURCE, received), [_id(item) for item in items])
        received = time.monotonic()
        await asyncio.sleep(0)  # a slice of refusals alone has waited for nothing
    return _answer(results, full=len(parts) > MAX_EVENTS)


async def _publish_lines(request: web.Request, ingest: Ingest) -> web.Response:
    results, pending = _Results(), list[Item]()
    received = time.monotonic()
    full = False
    lines = _Lines(request, ingest.max_event_bytes)
    async for some in lines:
        for line in some:
            if len(results.rows) + len(pending) >= MAX_EVENTS:
                full = True
                break
            if line is None:
                detail = f"The event is over {ingest.max_event_bytes} bytes."
                pending.append(ingest.refuse(SOURCE, ErrorCode.TOO_LARGE, detail))
            else:
                pending.append(ingest.decode(line, SOURCE))
            if len(pending) >= APPEND_AT_ONCE:
                results.add(await ingest.append(pending, SOURCE, received), [_id(item) for item in pending])
                pending, received = [], time.monotonic()
                await asyncio.sleep(0)
        if full:
            break
    if pending:
        results.add(await ingest.append(pending, SOURCE, received), [_id(item) for item in pending])
    return _answer(results, full=full or lines.over)


async def _whole_body(request: web.Request) -> bytes | None:
    """The body, or None where it is too large."""
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > MAX_BODY_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


class _Lines:
    """Non-empty lines of a streamed body, as they come; None for one over the limit, skipped, not kept.

    `over` is set where the body went past its own limit.
    """

    def __init__(self, request: web.Request, max_line_bytes: int) -> None:
        self._request = request
        self._max = max_line_bytes
        self.over = False

    async def __aiter__(self) -> AsyncIterator[Sequence[bytes | None]]:
        rest = b""
        skipping = False
        size = 0
        async for part in self._request.content.iter_any():
            size += len(part)
            if size > MAX_BODY_BYTES:
                # The lines that end within the limit are still taken.
                self.over = True
                part = part[: MAX_BODY_BYTES - size]
            *whole, rest = (rest + part).split(b"\n")
            if skipping and whole:
                skipping = False
                del whole[0]
            yield [line for line in whole if line.strip()]
            if self.over:
                return
            if len(rest) > self._max:
                if not skipping:
                    yield [None]
                skipping, rest = True, b""
        if rest.strip() and not skipping:
            yield [rest]


class _Results:
    """The answers so far, in the order of the events."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.accepted = 0
        self.unavailable: LogUnavailable | None = None

    @property
    def count(self) -> int:
        """Events answered."""
        return len(self.rows)

    def add(self, answers: list[Appended | MonitorError], ids: list[str | None]) -> _Results:
        """Add a bunch of answers."""
        for answer, event_id in zip(answers, ids, strict=True):
            index = len(self.rows)
            row: dict[str, Any]
            if isinstance(answer, Appended):
                self.accepted += 1
                row = {"index": index, "id": event_id, "seq": answer.seq}
                if answer.duplicate:
                    row["duplicate"] = True
            else:
                if isinstance(answer, LogUnavailable):
                    self.unavailable = answer
                field = answer.field if isinstance(answer, InvalidEvent) else None
                row = {"index": index, "code": str(answer.code), "field": field, "detail": answer.detail}
            self.rows.append(row)
        return self


def _answer(results: _Results, *, full: bool = False) -> web.Response:
    if full:
        detail = (
            f"At most {MAX_EVENTS} events or {MAX_BODY_BYTES} bytes a request; what fitted was taken. "
            "Send the rest in further requests."
        )
        return problem(ErrorCode.TOO_LARGE, detail, accepted=results.accepted, results=results.rows)
    if results.unavailable is not None:
        return problem(
            ErrorCode.LOG_UNAVAILABLE,
            results.unavailable.detail,
            accepted=results.accepted,
            results=results.rows,
        )
    status = 200 if results.accepted == results.count else 207
    body = {"accepted": results.accepted, "results": results.rows}
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _id(item: Item) -> str | None:
    return item.id if isinstance(item, Event) else None
