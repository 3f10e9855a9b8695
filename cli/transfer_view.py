"""File transfers in the terminal: a bar for each worker, or plain lines where the output is no terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from cli.display import printable

LINE_EVERY_S: Final = 5.0  # how often a log file gets a line of progress


class TransferView:
    """Shows how far each worker's file is. Use as a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: dict[str, TaskID] = {}
        self._last_line: dict[str, float] = {}
        self._progress: Progress | None = None
        if console.is_terminal:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=32),
                DownloadColumn(),
                TransferSpeedColumn(),
                TextColumn("{task.fields[what]}"),
                console=console,
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def moved(self, worker: str, done: int, total: int) -> None:
        """So many bytes of so many have arrived; after the last the checksums are compared."""
        what = "comparing checksums" if done == total else ""
        if self._progress is not None:
            if worker not in self._bars:
                self._bars[worker] = self._progress.add_task(escape(printable(worker, 40)), what="")
            self._progress.update(self._bars[worker], completed=done, total=total, what=what)
            return
        now = time.monotonic()
        last = self._last_line.setdefault(worker, now)
        if now - last >= LINE_EVERY_S:
            self._last_line[worker] = now
            share = what or f"{decimal(done)} of {decimal(total)}"
            self._console.print(f"  {printable(worker)}: {share}", highlight=False, markup=False)

    def ended(self, worker: str) -> None:
        """The worker's transfer is over, well or not."""
        if self._progress is not None and worker in self._bars:
            self._progress.remove_task(self._bars.pop(worker))
