"""A session as a file: its events as JSON, NDJSON or CSV, page by page, or its report as HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from cli.monitor_client import MonitorClient

FORMATS: Final = ("json", "ndjson", "csv", "html")
PAGE_EVENTS: Final = 1000
# New columns are added at the end: sheets and scripts count on the order.
COLUMNS: Final = (
    "seq",
    "received_at",
    "timestamp",
    "type",
    "session_id",
    "step",
    "message",
    "progress",
    "current_item",
    "total_items",
    "error",
    "error_type",
    "fatal",
    "failed_items",
    "worker_info",
    "usage",
    "data",
    "id",
    "traceparent",
    "other",
)
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


async def export(monitor: MonitorClient, session: Mapping[str, Any], form: str, output: BinaryIO) -> None:
    """Write the events of `session`, ascending, or its report to `output`.

    Raises: Unreachable, MonitorError, OSError.
    """
    if form == "html":
        output.write(await monitor.page(f"/sessions/{session['session_id']}/report"))
        return
    pages = _pages(monitor, session["session_id"])
    if form == "json":
        output.write(b'{"session":' + orjson.dumps(session) + b',"events":[')
        separator = b"\n"
        async for page in pages:
            for event in page:
                output.write(separator + orjson.dumps(event))
                separator = b",\n"
        output.write(b"\n]}\n")
        return
    if form == "csv":
        output.write(csv_lines([COLUMNS]))
    async for page in pages:
        if form == "csv":
            output.write(csv_lines([csv_row(event) for event in page]))
        else:
            output.writelines(orjson.dumps(event) + b"\n" for event in page)


async def _pages(monitor: MonitorClient, session_id: str) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    after: int | None = 0
    while after is not None:
        answer = await monitor.get(f"/sessions/{session_id}/events", {"after": after, "limit": PAGE_EVENTS})
        yield answer["events"]
        after = answer["next_after"]


def csv_row(event: Mapping[str, Any]) -> Sequence[Any]:
    """An event's cells in the order of `COLUMNS`; objects as JSON, unknown fields together in `other`."""
    other = {name: value for name, value in event.items() if name not in COLUMNS}
    return [_cell(event.get(name)) for name in COLUMNS[:-1]] + [_cell(other or None)]


def csv_lines(rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows as RFC 4180 wants them, in UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        # A spreadsheet would run it; with the quote it shows it.
        return f"'{value}"
    return value
