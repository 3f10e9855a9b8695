"""P6: memory at the start, of an idle viewer, and after many events."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from benchmarks import client
from benchmarks.client import Figures
from benchmarks.collector import collector
from benchmarks.machine import rss_mib
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P6",)
VIEWERS: Final = 1000
SETTLE_S: Final = 1.0
FULL_EVENTS: Final = 10_000_000
EVENTS: Final = 600_000
QUICK_EVENTS: Final = 150_000
# The ring in memory (65,536 events or 32 MiB) and every session's bound are full after the first part.
PARTS: Final = 4
SESSIONS: Final = 50
IDLE_KIB: Final = 17.0
START_MIB: Final = 85.0
FLAT_MIB: Final = 16.0  # the allocator's own coming and going; a leak of 4 bytes an event would show


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Start with either exporter, hold viewers, and let events pass."""
    with collector() as endpoint:
        starts = {
            protocol: [_start(session, endpoint, protocol) for _ in range(session.reps)]
            for protocol in ("http/protobuf", "grpc")
        }
        idle = [_idle(session, deflate) for _ in range(session.reps) for deflate in (False, True)]
        flat = _flat(session, endpoint)
    return [_start_row(starts), _idle_row(idle), _flat_row(flat, session)]


def _environ(endpoint: str, protocol: str = "http/protobuf") -> Mapping[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}


def _start(session: BenchSession, endpoint: str, protocol: str) -> float:
    with session.directory() as directory:
        kind = relay(directory, environ=_environ(endpoint, protocol))
        with Server(kind, log=session.server_log, ready_path="/readyz") as server:
            time.sleep(SETTLE_S)
            size = rss_mib(server.pid)
    session.record("P6 start", RELAY, {protocol: round(size, 1)})
    return size


def _idle(session: BenchSession, deflate: bool) -> float:
    options = ["--viewers", str(VIEWERS), *(["--deflate"] if deflate else [])]
    with (
        session.directory() as directory,
        Server(relay(directory), log=session.server_log) as server,
        client.held(server, options) as figures,
    ):
        session.record("P6 idle", RELAY, {**figures, "deflate": deflate})
        return figures["kib_per_viewer"]


def _flat(session: BenchSession, endpoint: str) -> Sequence[Figures]:
    """Memory after each part of the events."""
    events = FULL_EVENTS if session.full else QUICK_EVENTS if session.quick else EVENTS
    options = [
        *("--publishers", "4", "--window", "2", "--batch", "1000", "--ids", "--sessions", str(SESSIONS)),
        *("--events", str(events // PARTS), "--seconds", "3600"),
    ]
    parts: list[Figures] = []
    with session.directory() as directory:
        kind = relay(directory, environ=_environ(endpoint))._replace(publisher_path="/events")
        with Server(kind, log=session.server_log) as server:
            for _ in range(PARTS):
                parts.append(client.run("post", server, options, timeout_s=3600))
                session.record("P6 flat", RELAY, parts[-1])
    return parts


def _start_row(starts: Mapping[str, Sequence[float]]) -> Row:
    sizes = {protocol: median(found) for protocol, found in starts.items()}
    measured = ", ".join(f"{protocol} {size:.0f} MB" for protocol, size in sizes.items())
    met = all(size <= START_MIB for size in sizes.values())
    return Row("P6", "memory at start, all exporters", f"≤ {START_MIB:.0f} MB", measured, met=met)


def _idle_row(idle: Sequence[float]) -> Row:
    plain, deflate = median(idle[::2]), median(idle[1::2])
    return Row(
        "P6",
        f"memory of an idle viewer, {VIEWERS} of them",
        f"≤ {IDLE_KIB:.0f} KB",
        f"{plain:.1f} KB, with deflate {deflate:.1f} KB",
        met=max(plain, deflate) <= IDLE_KIB,
    )


def _flat_row(parts: Sequence[Figures], session: BenchSession) -> Row:
    total = sum(part["acknowledged"] for part in parts)
    sizes = [part["rss_mib"] for part in parts]
    rise = sizes[-1] - sizes[0]
    measured = f"{', '.join(f'{size:.0f}' for size in sizes)} MB after each quarter of {total:,.0f} events"
    judged = None if session.quick else rise <= FLAT_MIB
    return Row("P6", "memory flat over many events", "flat over 10⁷ events", measured, met=judged)
