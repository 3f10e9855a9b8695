"""P9: how long a server takes to be ready over a full log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from benchmarks import story
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P9",)
EVENTS: Final = 1_000_000
QUICK_EVENTS: Final = 50_000
SESSIONS: Final = 2000
READY_S: Final = 2.0


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Fill a log once, then start over it: after a clean end, and after a kill."""
    events = QUICK_EVENTS if session.quick else EVENTS
    clean: list[float] = []
    killed: list[float] = []
    with session.directory() as directory:
        kind = relay(directory)
        with Server(kind, log=session.server_log, ready_path="/readyz") as server:
            story.post(server.port, story.lives(SESSIONS, events))
        for _ in range(session.reps):
            session.quiet()
            with Server(kind, log=session.server_log, ready_path="/readyz") as server:
                clean.append(server.started_in_s)
                story.post(server.port, story.lives(SESSIONS, 4 * SESSIONS))
                server.kill()
            with Server(kind, log=session.server_log, ready_path="/readyz") as server:
                killed.append(server.started_in_s)
            session.record("P9", RELAY, {"clean_s": clean[-1], "after_kill_s": killed[-1], "events": events})
    return [
        Row(
            "P9",
            f"start with {events:,} events of {SESSIONS:,} sessions in the log",
            f"ready in < {READY_S:.0f} s",
            f"{median(clean):.2f} s, after kill -9 {median(killed):.2f} s",
            met=None if session.quick else median(clean) < READY_S,
        )
    ]
