"""File transfers in the terminal: a bar for each worker, or plain lines where the output is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TransferSpeedColumn

from cli.display import printable
from cli.terminal_bars import BAR_WIDTH, LINE_EVERY_S, TerminalBars


class TransferView(TerminalBars):
    """Shows how far each worker's file is. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[what]}"),
            transient=True,
        )
        self._bar_of: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}

    def moved(self, worker: str, done: int, total: int) -> None:
        """So many bytes of so many have arrived; after the last the checksums are compared."""
        what = "comparing checksums" if done == total else ""
        if self.bars is not None:
            if worker not in self._bar_of:
                self._bar_of[worker] = self.bars.add_task(escape(printable(worker, 40)), what="")
            self.bars.update(self._bar_of[worker], completed=done, total=total, what=what)
            return
        now = time.monotonic()
        last = self._last_line.setdefault(worker, now)
        if now - last >= LINE_EVERY_S:
            self._last_line[worker] = now
            share = what or f"{decimal(done)} of {decimal(total)}"
            self.console.print(f"  {printable(worker)}: {share}", highlight=False, markup=False)

    def ended(self, worker: str) -> None:
        """The worker's transfer is over, well or not."""
        if self.bars is not None and worker in self._bar_of:
            self.bars.remove_task(self._bar_of.pop(worker))
