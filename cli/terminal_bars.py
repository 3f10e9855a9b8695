"""Bars that move where the output is a terminal; elsewhere there are none, and lines are due now and then."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn

LINE_EVERY_S: Final = 5.0  # how often a log file gets a line of progress
BAR_WIDTH: Final = 32  # characters


class TerminalBars:
    """What shows bars in a terminal: `bars` is None elsewhere. Use as a context manager."""

    def __init__(self, console: Console, *columns: ProgressColumn, transient: bool) -> None:
        """`transient` bars are gone once it ends."""
        self.console = console
        self.bars = Progress(*columns, console=console, transient=transient) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
