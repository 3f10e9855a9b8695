"""P14: the monitor page under 1,000 events a second for a minute, beside itself with nothing to do."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from benchmarks.chromium import Tab, browsing
from benchmarks.machine import CLIENT_CORE, Missing, cpu_s, pinned
from benchmarks.page_watch import Figures, quantile
from benchmarks.row import Row, median
from benchmarks.server import RELAY, Server, relay
from benchmarks.session import BenchSession

NAMES: Final = ("P14",)
RATE: Final = 1000
SESSIONS: Final = 50
SECONDS: Final = 60.0
IDLE_S: Final = 10.0
SETTLE_S: Final = 3.0  # loading, compiling and the first drawing are no load
HEAP_EVERY_S: Final = 10.0
WARM_UP_S: Final = 20.0  # until the page's ring of events is full and its code compiled
SMOOTH: Final = 0.95
HEAP_GROWTH: Final = 0.1
USABLE_MS: Final = 500.0
ENVIRON: Final = {"MONITOR_EVENTS_PER_SESSION": "1000000"}
# When somebody works in the log meanwhile.
SCROLL_AT_S, FILTER_AT_S, BACK_AT_S = 25.0, 35.0, 45.0
SHOWN: Final = (
    "() => Number([...document.querySelectorAll('#log-lines [data-seq]')].at(-1)?.dataset.seq ?? 0)"
)
ALL_OF_ONE: Final = """() => {
  const lines = [...document.querySelectorAll('#log-lines [data-seq]')];
  return lines.length > 0 && lines.every((line) => line.dataset.session === 'session-7');
}"""


class Run(NamedTuple):
    """One minute: the page idle, the page under load, and what became of it."""

    idle: Figures
    load: Figures
    heap_mib: Sequence[float]
    reactions_ms: Mapping[str, float]
    main_thread: float
    server_cores: float
    published: int
    shown: int


def measure(session: BenchSession, names: Collection[str]) -> list[Row]:
    """A fresh server and a fresh browser a repetition."""
    try:
        runs = [_run(session) for _ in range(session.reps)]
    except Missing as reason:
        session.note(f"P14 left out: {reason}")
        return []
    return [_row(runs, session)]


def _run(session: BenchSession) -> Run:
    seconds = 10.0 if session.quick else SECONDS
    with (
        session.directory() as directory,
        Server(relay(directory, environ=ENVIRON), log=session.server_log, ready_path="/readyz") as server,
        browsing() as browser,
    ):
        tab = Tab(browser)
        session.quiet()
        tab.open(f"http://127.0.0.1:{server.port}/enhanced-monitor.html")
        tab.page.wait_for_timeout(1000 * SETTLE_S)
        tab.figures()
        tab.page.wait_for_timeout(1000 * session.seconds(IDLE_S))
        idle = tab.figures()
        heap = [tab.heap_mib()]
        worked, served = tab.main_thread_s(), cpu_s(server.pid)
        tab.figures()
        with _publisher(server, seconds) as publisher:
            reactions, more = _minute(tab, publisher)
            load = tab.figures()
            worked = {name: value - worked[name] for name, value in tab.main_thread_s().items()}
            served = cpu_s(server.pid) - served
            published = _newest(publisher)
        heap += more
        shown = _shown(tab, published)
        run = Run(
            idle,
            load,
            heap,
            reactions,
            main_thread=worked["task"] / load.seconds,
            server_cores=served / load.seconds,
            published=published,
            shown=shown if load.events <= published == tab.figures().events else 0,
        )
        _record(session, run, worked)
        return run


def _publisher(server: Server, seconds: float) -> subprocess.Popen[bytes]:
    options = ["--rate", str(RATE), "--sessions", str(SESSIONS), "--seconds", str(seconds)]
    command = [sys.executable, "-m", "benchmarks.pace", f"http://127.0.0.1:{server.port}", *options]
    return subprocess.Popen(pinned(command, CLIENT_CORE), stdout=subprocess.PIPE)


def _newest(publisher: subprocess.Popen[bytes]) -> int:
    out, _ = publisher.communicate(timeout=30.0)
    if publisher.returncode != 0:
        raise RuntimeError(f"the publisher ended with {publisher.returncode}")
    newest: int = json.loads(out)["newest"]
    return newest


def _minute(tab: Tab, publisher: subprocess.Popen[bytes]) -> tuple[dict[str, float], list[float]]:
    """Read the heap now and then, and meanwhile use the log, as long as events come."""
    began = time.monotonic()
    reactions: dict[str, float] = {}
    heap: list[float] = []
    todo = [(SCROLL_AT_S, _scroll), (FILTER_AT_S, _filter), (BACK_AT_S, _back)]
    while publisher.poll() is None:
        tab.page.wait_for_timeout(100)
        at = time.monotonic() - began
        if at >= HEAP_EVERY_S * (len(heap) + 1):
            heap.append(tab.heap_mib())
        if todo and at >= todo[0][0]:
            reactions |= todo.pop(0)[1](tab)
    return reactions, heap


def _scroll(tab: Tab) -> dict[str, float]:
    """Up with the wheel: the place is held, and the way back to the newest line offers itself."""
    page = tab.page
    page.locator("#log-lines").hover()
    began = time.monotonic()
    page.mouse.wheel(0, -600)
    page.wait_for_function("() => !document.getElementById('to-end').hidden")
    took = 1000 * (time.monotonic() - began)
    page.wait_for_timeout(2000)
    page.locator("#to-end").click()
    return {"scroll": took}


def _filter(tab: Tab) -> dict[str, float]:
    """One session of fifty: from the last key to the first moment when only its lines stand there."""
    tab.page.locator("#log-session").fill("session-7")
    began = time.monotonic()
    tab.page.wait_for_function(ALL_OF_ONE)
    return {"filter": 1000 * (time.monotonic() - began)}


def _back(tab: Tab) -> dict[str, float]:
    """All of them again: until lines of others stand there."""
    tab.page.locator("#log-session").fill("")
    began = time.monotonic()
    tab.page.wait_for_function(f"() => !({ALL_OF_ONE})()")
    return {"back": 1000 * (time.monotonic() - began)}


def _shown(tab: Tab, newest: int) -> int:
    """The seq of the log's last line once all must have been drawn."""
    tab.page.wait_for_function(f"(newest) => ({SHOWN})() === newest", arg=newest)
    shown: int = tab.page.evaluate(SHOWN)
    return shown


def _record(session: BenchSession, run: Run, worked: Mapping[str, float]) -> None:
    figures: dict[str, Any] = {
        "smooth": round(run.load.smooth_ratio, 3),
        "longest_task_ms": run.load.longest_task_ms,
        "frame_p50_ms": round(quantile(run.load.frame_ms, 0.5), 1),
        "frame_p95_ms": round(quantile(run.load.frame_ms, 0.95), 1),
        "frame_p99_ms": round(quantile(run.load.frame_ms, 0.99), 1),
        "idle_frame_p99_ms": round(quantile(run.idle.frame_ms, 0.99), 1),
        "input_p95_ms": round(quantile(run.load.input_ms, 0.95), 1),
        "server_cores": round(run.server_cores, 3),
        **{f"page_{name}_cores": round(value / run.load.seconds, 3) for name, value in worked.items()},
        **{f"heap_{number}_mib": round(value, 2) for number, value in enumerate(run.heap_mib)},
        **{f"{name}_ms": round(value, 1) for name, value in run.reactions_ms.items()},
        "published": run.published,
        "shown": run.shown,
    }
    session.record("P14", RELAY, figures)


def _row(runs: Sequence[Run], session: BenchSession) -> Row:
    smooth = median(run.load.smooth_ratio for run in runs)
    after = int(WARM_UP_S // HEAP_EVERY_S)
    grown = 0.0 if session.quick else median(run.heap_mib[-1] / run.heap_mib[after] - 1 for run in runs)
    frames = [
        [median(quantile(figures.frame_ms, share) for figures in found) for share in (0.5, 0.95, 0.99)]
        for found in ([run.load for run in runs], [run.idle for run in runs])
    ]
    slowest = max((took for run in runs for took in run.reactions_ms.values()), default=0.0)
    whole = all(run.shown == run.published for run in runs)
    loaded, idle = (" / ".join(f"{value:.0f}" for value in one) for one in frames)
    heap = ", ".join(f"{value:.1f}" for value in runs[0].heap_mib)
    return Row(
        "P14",
        f"the page in Chromium at {RATE:,} ev/s of {SESSIONS} sessions for a minute",
        f"no task > 50 ms in {SMOOTH:.0%} of seconds, heap flat after {WARM_UP_S:.0f} s, "
        f"reactions < {USABLE_MS:.0f} ms, all shown",
        f"{smooth:.0%} of seconds, longest {max(run.load.longest_task_ms for run in runs):.0f} ms; "
        f"frames p50 / p95 / p99 {loaded} ms, idle {idle}; heap {heap} MiB; "
        f"the log scrolls and filters within {slowest:.0f} ms; "
        f"main thread {median(run.main_thread for run in runs):.2f} core; "
        f"{'all shown' if whole else '**not all shown**'}",
        met=None
        if session.quick
        else smooth >= SMOOTH and grown <= HEAP_GROWTH and slowest <= USABLE_MS and whole,
    )
