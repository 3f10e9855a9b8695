"""`translate` in the terminal: bars that move, or plain lines where the output is no terminal.

It takes the same events the monitor gets, so the two cannot tell different stories.
"""

from __future__ import annotations

import time
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cli.display import printable
from cli.terminal_bars import BAR_WIDTH, LINE_EVERY_S, TerminalBars

_TAKES_NO_WORK: Final = frozenset(("down", "wedged", "draining"))


class TranslateView(TerminalBars):
    """Shows one translation on `console`; an `Emitter`. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(compact=True),
            transient=False,
        )
        self._bar: TaskID | None = None
        self._last_line = 0.0
        self._troubled: set[str] = set()
        self._doubted: set[str] = set()
        self._held: list[tuple[str, bool]] | None = []  # None once the work has begun

    def begin(self) -> None:
        """Tell of the workers that cannot work, now that others can; where none can, the error says all."""
        held, self._held = self._held or [], None
        for line, bad in held:
            self._say(line, bad=bad)

    def emit(self, type: str, /, **fields: Any) -> None:  # noqa: A002  # the event's own word
        """Show one event."""
        step, data = fields.get("step"), fields.get("data", {})
        match type:
            case "translation_started":
                self._say(fields["message"])
            case "translation_progress" if step == "translation" and "segment" in data:
                self._advance(fields, data)
            case "translation_progress" if step == "translation":
                self._open_bar(fields)
            case "translation_error" if not fields.get("fatal"):
                self._say(
                    f"{fields['message']}: {fields.get('error', '')} ({fields.get('error_type')})", bad=True
                )
                self._advance(fields, data)
            case "worker_status":
                self._say_worker(data["worker"], data["state"], data.get("reason"))
            case "step_completed" if step != "translation":
                self._say(f"  {step}: {fields['message']}")
            case _:
                pass

    def _say_worker(self, worker: str, state: str, reason: str | None) -> None:
        """A worker that takes no work, when that begins and ends: else one would only see the bar stop.

        Of one that is degraded only the first word, for its state may change with every probe.
        """
        if state in _TAKES_NO_WORK:
            if worker not in self._troubled:
                self._say_when_begun(f"  worker {worker} is {state}: {reason}", bad=True)
            self._troubled.add(worker)
        elif worker in self._troubled:
            self._troubled.remove(worker)
            self._say_when_begun(f"  worker {worker} takes work again", bad=False)
        elif state == "degraded" and worker not in self._doubted:
            self._doubted.add(worker)
            self._say_when_begun(f"  worker {worker} is degraded, and used all the same: {reason}", bad=True)

    def _say_when_begun(self, line: str, *, bad: bool) -> None:
        if self._held is not None:
            self._held.append((line, bad))
        else:
            self._say(line, bad=bad)

    def _open_bar(self, fields: dict[str, Any]) -> None:
        self._last_line = time.monotonic()
        if self.bars is not None:
            engine = f"{fields['data']['engine']} {fields['data']['model']}"
            self._bar = self.bars.add_task(
                escape(printable(engine, 40)),
                total=fields.get("total_items") or 0,
                completed=fields["data"]["items_done"],
            )

    def _advance(self, fields: dict[str, Any], data: dict[str, Any]) -> None:
        if self.bars is not None and self._bar is not None:
            self.bars.advance(self._bar)
            return
        now = time.monotonic()
        done, total = data["items_done"], fields.get("total_items")
        if now - self._last_line >= LINE_EVERY_S or done == total:
            self._last_line = now
            self._say(f"  translation: {done} of {total} segments ({fields.get('progress', 0):.0f} %)")

    def _say(self, text: str, *, bad: bool = False) -> None:
        self.console.print(escape(printable(text)), style="red" if bad else None, highlight=False)
