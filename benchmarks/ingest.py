"""P4: how many events a second one process takes in, durable and acknowledged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks import client
from benchmarks.client import Figures
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P4",)
SECONDS: Final = 4.0
PUBLISHERS: Final = 4


class Way(NamedTuple):
    """A way in; `least` is the target in events a second."""

    words: str
    mode: str
    path: str
    batch: int
    window: int
    least: float


# Every event carries an id, as the client library's do, so that looking for duplicates is paid for.
WAYS: Final[Mapping[str, Way]] = {
    "ws": Way("WebSocket", "ingest", "/ws?role=publisher&ack=1", 1, 512, 40_000),
    "ws batch=1": Way("WebSocket batch=1", "ingest", "/ws?role=publisher&ack=1&batch=1", 64, 8, 40_000),
    "ndjson": Way("NDJSON of 1,000", "post", "/events", 1000, 2, 50_000),
}


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """All ways in, interleaved."""
    runs: dict[str, list[Figures]] = defaultdict(list)
    for _ in range(session.reps):
        for name, way in WAYS.items():
            figures = _run(session, way)
            session.record(f"P4 {name}", RELAY, figures)
            runs[name].append(figures)
    return [_row(runs)]


def _run(session: BenchSession, way: Way) -> Figures:
    options = [
        *("--publishers", str(PUBLISHERS), "--window", str(way.window), "--batch", str(way.batch)),
        *("--sessions", "20", "--ids", "--seconds", str(session.seconds(SECONDS))),
    ]
    with session.directory() as directory:
        kind = relay(directory)._replace(publisher_path=way.path)
        with Server(kind, log=session.server_log) as server:
            session.quiet()
            return client.run(way.mode, server, options)


def _row(runs: Mapping[str, Sequence[Figures]]) -> Row:
    words: list[str] = []
    met = True
    for name, way in WAYS.items():
        rate = median(run["events_per_s"] for run in runs[name])
        cost = median(run["cpu_us_per_event"] for run in runs[name])
        unanswered = sum(run["sent"] - run["acknowledged"] for run in runs[name])
        met = met and rate >= way.least and unanswered == 0
        words.append(f"{way.words} {rate / 1000:.1f}k/s ({cost:.1f} µs)")
    target = "≥ 40k ev/s over WebSocket, ≥ 50k in NDJSON batches"
    return Row("P4", "durable acknowledged ingest, one process", target, ", ".join(words), met=met)
