"""P13: what a viewer that reads nothing for a minute costs the server and the viewers that do read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from benchmarks import client
from benchmarks.client import Figures
from benchmarks.machine import rss_mib
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P13",)
VIEWERS: Final = ("--viewers", "99")
# 340 bytes an event: a minute of them is far more than the sockets' buffers take.
TRAFFIC: Final = (*VIEWERS, "--rate", "1000", "--publishers", "4")
SECONDS: Final = 60.0
# Fills the ring of the newest events, whose growing would be taken for the viewer's memory.
WARM_UP: Final = (
    "--publishers",
    "4",
    "--window",
    "2",
    "--batch",
    "1000",
    "--events",
    "100000",
    "--seconds",
    "60",
)
ENVIRON: Final = {"MONITOR_EVENTS_PER_SESSION": "1000000"}
LATER: Final = 1.2
GROWN_MIB: Final = 8.0


class Pair(NamedTuple):
    """The same minute twice on one server: all viewers read, then one more that does not."""

    reading: Figures
    stalled: Figures
    grown_mib: float


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """A fresh server a repetition, so that each begins with the same memory."""
    return [_row([_pair(session) for _ in range(session.reps)], session)]


def _pair(session: BenchSession) -> Pair:
    options = [*TRAFFIC, "--seconds", str(session.seconds(SECONDS))]
    with session.directory() as directory:
        kind = relay(directory, environ=ENVIRON)
        with Server(kind, log=session.server_log) as server:
            server.kind = kind._replace(publisher_path="/events")
            client.run("post", server, WARM_UP)
            server.kind = kind
            session.quiet()
            reading = client.run("fanout", server, options)
            session.record("P13 reading", RELAY, reading)
            before = rss_mib(server.pid)
            with client.held(server, ["--viewers", "1"]):
                stalled = client.run("fanout", server, options)
                grown = rss_mib(server.pid) - before
            session.record("P13 stalled", RELAY, {**stalled, "grown_mib": round(grown, 2)})
    return Pair(reading, stalled, grown)


def _row(pairs: Sequence[Pair], session: BenchSession) -> Row:
    later = median(pair.stalled["p99_ms"] / pair.reading["p99_ms"] for pair in pairs)
    grown = max(pair.grown_mib for pair in pairs)
    lost = sum(pair.stalled["lost"] + pair.reading["lost"] for pair in pairs)
    p99s = median(pair.reading["p99_ms"] for pair in pairs), median(pair.stalled["p99_ms"] for pair in pairs)
    return Row(
        "P13",
        "a viewer reads nothing for a minute, 99 others do, 1,000 ev/s",
        f"the others' p99 ≤ {LATER:g} ×, server memory + < {GROWN_MIB:.0f} MB, nothing lost",
        f"p99 {later:.2f} × ({p99s[0]:.2f} / {p99s[1]:.2f} ms), memory + {grown:.1f} MB, lost {lost:.0f}",
        met=None if session.quick else later <= LATER and grown < GROWN_MIB and not lost,
    )
