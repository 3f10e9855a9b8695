"""Live progress bars: one row a session, moved by its events, put right by the monitor's own summaries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.display import duration, eta, items, printable
from cli.monitor_client import MonitorClient, Unreachable
from translation_events.errors import MonitorError

REFRESH_S: Final = 2.0
FRAMES_PER_S: Final = 4
MAX_SESSIONS: Final = 500  # kept; what the terminal has no room for is counted
MAX_EVENTS_FIELDS: Final = ("progress", "step", "message", "current_item", "total_items")
_ACTIVE: Final = ("running", "stalled")
_STYLES: Final = {
    "running": "cyan",
    "stalled": "yellow",
    "completed": "green",
    "completed_with_failures": "yellow",
    "cancelled": "yellow",
}


class TailView:
    """The rows of `tail`. `apply` takes events, `refresh` asks for what events do not say (status, ETA)."""

    def __init__(self, monitor: MonitorClient, session_id: str | None) -> None:
        self.notice = ""
        self._monitor = monitor
        self._only = None if session_id in (None, "*") else session_id
        self._rows: dict[str, dict[str, Any]] = {}
        self._touched: set[str] = set()

    def live(self, console: Console) -> Live:
        """The live display, to be used as a context manager."""
        return Live(
            get_renderable=lambda: self.render(console.size.height),
            console=console,
            refresh_per_second=FRAMES_PER_S,
            vertical_overflow="crop",
        )

    def apply(self, event: Mapping[str, Any]) -> None:
        """Move a session's row by one event."""
        session_id = event["session_id"]
        if event["type"] == "worker_status" or session_id.startswith("_"):
            return
        row = self._rows.setdefault(session_id, {"session_id": session_id, "status": "running", "errors": 0})
        row["updated_at"] = event["received_at"]
        row.update({name: event[name] for name in MAX_EVENTS_FIELDS if event.get(name) is not None})
        self._touched.add(session_id)
        self._bound()

    def merge(self, session: Mapping[str, Any]) -> None:
        """Put a session's row right by its summary."""
        self._rows.setdefault(session["session_id"], {}).update(session)

    async def refresh(self) -> None:
        """Every two seconds: the active sessions' summaries, and those of sessions that have just ended."""
        while True:
            try:
                await self._refresh_once()
            except Unreachable:
                pass  # the stream tells it, and goes on when the monitor is back
            except MonitorError as err:
                self.notice = err.detail
            await asyncio.sleep(REFRESH_S)

    async def _refresh_once(self) -> None:
        touched, self._touched = self._touched, set()
        active = (await self._monitor.get("/sessions"))["sessions"]
        listed = {session["session_id"] for session in active}
        for session in active:
            if self._only in (None, session["session_id"]):
                self.merge(session)
        believed_active = {name for name, row in self._rows.items() if row.get("status") in _ACTIVE}
        for session_id in (touched | believed_active) - listed:
            try:
                self.merge(await self._monitor.get(f"/sessions/{session_id}"))
            except Unreachable:
                raise
            except MonitorError:
                self._rows.pop(session_id, None)  # forgotten by retention
        self._bound()

    def _bound(self) -> None:
        while len(self._rows) > MAX_SESSIONS:
            oldest = min(self._rows, key=lambda name: self._rows[name].get("updated_at") or 0)
            del self._rows[oldest]

    def render(self, height: int) -> RenderableType:
        """The table, at most `height` lines."""
        rows = sorted(self._rows.values(), key=_order)
        room = max(1, height - 4)
        table = Table(box=None, pad_edge=False, expand=True, header_style="bold")
        for name in ("session", "status", "step", "progress", "%", "item", "time left", "errors", "worker"):
            table.add_column(
                name,
                no_wrap=True,
                overflow="ellipsis",
                justify="right" if name in ("%", "errors") else "left",
                ratio=2 if name == "progress" else None,
                min_width=10 if name == "progress" else None,
            )
        for row in rows[:room]:
            table.add_row(*_cells(row))
        parts: list[RenderableType] = [table]
        if len(rows) > room:
            parts.append(Text(f"and {len(rows) - room} more", style="dim"))
        if not rows:
            parts = [Text(f"Following {self._monitor.address.url}; no session yet.", style="dim")]
        if self.notice:
            parts.append(Text(printable(self.notice), style="yellow"))
        return Group(*parts)


def _order(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    ended = row.get("status") not in _ACTIVE
    return (
        ended,
        -(row.get("ended_at") or 0) if ended else (row.get("started_at") or time.time()),
        row["session_id"],
    )


def _cells(row: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    status = row.get("status", "running")
    progress = row.get("progress")
    style = _STYLES.get(status, "red")
    left = eta(row.get("eta_s")) if status in _ACTIVE else duration(row.get("duration_s"))
    errors = row.get("errors") or 0
    return (
        Text(printable(row["session_id"], 32), style="bold"),
        Text(status, style=style),
        Text(printable(row.get("step"), 16)),
        ProgressBar(total=100, completed=progress or 0, complete_style=style, finished_style=style),
        Text("" if progress is None else f"{progress:.0f}"),
        Text(items(row)),
        Text(left, style="dim"),
        Text(str(errors) if errors else "", style="red"),
        Text(printable(", ".join(row.get("workers") or ()), 24)),
    )
