"""One call of `python -m benchmarks`: its settings, its scratch directories and its record of every run."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.build import HERE
from benchmarks.machine import busy_s

LOOK_S: Final = 0.5
QUIET_CORES: Final = 0.2
RESULTS: Final = HERE / "results"


class BenchSession:
    """`reps` repetitions of each measure; `quick` shortens them, `full` runs the longest ones whole.

    Before each run it waits up to `patience_s` for a quiet machine.
    """

    def __init__(self, *, reps: int, quick: bool, full: bool, patience_s: float = 0.0) -> None:
        self.reps = reps
        self.quick = quick
        self.full = full
        self.patience_s = patience_s
        RESULTS.mkdir(exist_ok=True)
        self._file = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
        self.server_log = RESULTS / "servers.log"

    def seconds(self, normal: float) -> float:
        """How long a run lasts."""
        return min(normal, 1.0) if self.quick else normal

    def quiet(self) -> None:
        """Wait, as long as patience lasts, until others leave the machine alone."""
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            busy = busy_s()
            time.sleep(LOOK_S)
            if busy_s() - busy < QUIET_CORES * LOOK_S:
                return

    def record(self, measure: str, server: str, figures: Mapping[str, float]) -> None:
        """Keep one run as a JSON line and show that it is done."""
        with self._file.open("a") as file:
            file.write(
                json.dumps({"at": time.time(), "measure": measure, "server": server, **figures}) + "\n"
            )
        shown = " ".join(f"{name}={value:g}" for name, value in figures.items())
        print(f"{measure:16} {server:12} {shown}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Tell of something that is left out."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """An empty directory for an event log, removed afterwards."""
        with tempfile.TemporaryDirectory(prefix="monitor-bench-") as path:
            yield Path(path)
