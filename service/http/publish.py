"""`POST /events`: one event, an array or NDJSON; all that is valid is taken.

Source: docs/protocol.md, "HTTP".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice
from typing import Any, Final

import orjson
from aiohttp import web

from service.http.cut_array import whole_elements
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
# A body that stands still would hold its connection and what has come of it for ever.
BODY_IDLE_S: Final = 30.0


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
    try:
        body, over = await _whole_body(request)
    except TimeoutError:
        return _stood_still(_Results())
    if over:
        elements = islice(whole_elements(body), MAX_EVENTS)
        results = await _append_all(ingest, elements, received)
        ingest.refuse(SOURCE, ErrorCode.TOO_LARGE, "")  # the one that was cut
        return _answer(results, full=True)
    parts = ingest.split(body, SOURCE)
    if parts is None:
        item = ingest.decode(body.strip(), SOURCE)
        (answer,) = await ingest.append([item], SOURCE, received)
        if isinstance(answer, MonitorError):
            return problem_of(answer)
        return _answer(_Results().add([answer], [_id(item)]))
    results = await _append_all(ingest, parts[:MAX_EVENTS], received)
    return _answer(results, full=len(parts) > MAX_EVENTS)


async def _append_all(ingest: Ingest, parts: Iterable[bytes], received: float) -> _Results:
    """Append in slices; `received` is when the first was whole, in monotonic seconds."""
    results, rest = _Results(), iter(parts)
    while items := [ingest.decode(part, SOURCE) for part in islice(rest, APPEND_AT_ONCE)]:
        results.add(await ingest.append(items, SOURCE, received), [_id(item) for item in items])
        received = time.monotonic()
        await asyncio.sleep(0)  # a slice of refusals alone has waited for nothing
    return results


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
    if lines.stood_still:
        return _stood_still(results)
    return _answer(results, full=full or lines.over)


async def _whole_body(request: web.Request) -> tuple[bytes, bool]:
    """The body up to the limit, and whether there was more. Raises: TimeoutError: it stood still."""
    parts: list[bytes] = []
    size = 0
    async for part in _parts(request):
        size += len(part)
        parts.append(part)
        if size > MAX_BODY_BYTES:
            return b"".join(parts)[:MAX_BODY_BYTES], True
    return b"".join(parts), False


async def _parts(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises: TimeoutError: not a byte for `BODY_IDLE_S`."""
    while True:
        async with asyncio.timeout(BODY_IDLE_S):
            part = await request.content.readany()
        if not part:
            return
        yield part


class _Lines:
    """Non-empty lines of a streamed body, as they come; None for one over the limit, skipped, not kept.

    `over` is set where the body went past its own limit, `stood_still` where no more of it came.
    """

    def __init__(self, request: web.Request, max_line_bytes: int) -> None:
        self._request = request
        self._max = max_line_bytes
        self.over = False
        self.stood_still = False

    async def __aiter__(self) -> AsyncIterator[Sequence[bytes | None]]:
        try:
            async for some in self._split():
                yield some
        except TimeoutError:
            self.stood_still = True  # the lines before are taken, and the answer tells which

    async def _split(self) -> AsyncIterator[Sequence[bytes | None]]:
        rest = b""
        skipping = False
        size = 0
        async for part in _parts(self._request):
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


def _stood_still(results: _Results) -> web.Response:
    detail = f"No byte of the body came for {BODY_IDLE_S:g} s; what was whole was taken. Send the rest again."
    answer = problem("request_timeout", detail, accepted=results.accepted, results=results.rows)
    answer.force_close()  # what may still come of the body is not the next request
    return answer


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
