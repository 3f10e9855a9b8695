"""P15: how soon a cold page paints, and how much of it comes over the wire."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from benchmarks.chromium import Tab, browsing
from benchmarks.machine import Missing
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P15",)
LOADS: Final = 9
PAINT_MS: Final = 300.0
BYTES: Final = 100_000
TIMING: Final = """() => {
  const paint = (name) => performance.getEntriesByName(name)[0]?.startTime ?? NaN;
  const [page] = performance.getEntriesByType("navigation");
  // A module that is preloaded and then imported has two entries.
  const named = performance.getEntriesByType("resource").map((file) => [new URL(file.name).pathname, file]);
  const files = [...new Map(named).values()].filter(({ name }) => name.includes("/static/"));
  return {
    paint_ms: paint("first-paint"),
    contentful_ms: paint("first-contentful-paint"),
    interactive_ms: page.domContentLoadedEventEnd, // all modules have run
    bytes: [page, ...files].reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0),
    files: files.length,
  };
}"""


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """Each load in a context of its own, so with an empty cache; the browser itself is running."""
    loads: list[dict[str, float]] = []
    try:
        with (
            session.directory() as directory,
            Server(relay(directory), log=session.server_log, ready_path="/readyz") as server,
            browsing() as browser,
        ):
            for _ in range(3 if session.quick else LOADS):
                session.quiet()
                tab = Tab(browser)
                tab.open(f"http://127.0.0.1:{server.port}/monitor")
                loads.append(tab.page.evaluate(TIMING))
                session.record("P15", RELAY, loads[-1])
                tab.close()
    except Missing as reason:
        session.note(f"P15 left out: {reason}")
        return []
    paint, ready = (median(load[name] for load in loads) for name in ("paint_ms", "interactive_ms"))
    size = loads[0]["bytes"]
    return [
        Row(
            "P15",
            f"first paint of a cold page on loopback, {len(loads)} loads",
            f"< {PAINT_MS:.0f} ms, < {BYTES / 1000:.0f} KB",
            f"{paint:.0f} ms ({min(load['paint_ms'] for load in loads):.0f} to "
            f"{max(load['paint_ms'] for load in loads):.0f}), scripts have run after {ready:.0f} ms; "
            f"{size / 1000:.0f} KB in {loads[0]['files']:.0f} files",
            met=None if session.quick else paint < PAINT_MS and size < BYTES,
        )
    ]
