"""A real browser on the monitor page, and what it says of itself: long tasks, frames, heap, paint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.machine import Missing
from benchmarks.page_watch import SCRIPT, Figures

VIEWPORT: Final = {"width": 1280, "height": 800}
LIVE_WITHIN_MS: Final = 20_000


class Tab:
    """One page in a context of its own, so with an empty cache, and its DevTools."""

    def __init__(self, browser: Any) -> None:
        self._context = browser.new_context(viewport=VIEWPORT)
        self.page = self._context.new_page()
        self.page.add_init_script(SCRIPT)
        self.devtools = self._context.new_cdp_session(self.page)
        # CPU time, which a busy machine leaves alone.
        self.devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def open(self, url: str) -> None:
        """Open a monitor page and wait until it says that it is live."""
        self.page.goto(url)
        self.page.wait_for_selector("body[data-connection=live]", timeout=LIVE_WITHIN_MS)

    def figures(self) -> Figures:
        """What the watch in the page has seen since it was last asked."""
        return Figures.read(self.page.evaluate("window.watch.take()"))

    def heap_mib(self) -> float:
        """What scripts hold after a full collection, which the watch does not count as the page's task."""
        since = self.page.evaluate("performance.now()")
        self.devtools.send("HeapProfiler.collectGarbage")
        self.page.evaluate("(since) => window.watch.ours(since)", since)
        used: float = self.devtools.send("Runtime.getHeapUsage")["usedSize"]
        return used / 2**20

    def main_thread_s(self) -> dict[str, float]:
        """CPU time of the page's main thread, in all and by kind."""
        found = {
            metric["name"]: metric["value"]
            for metric in self.devtools.send("Performance.getMetrics")["metrics"]
        }
        names = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration")
        return {name.removesuffix("Duration").lower(): found[name] for name in names}

    def close(self) -> None:
        """Close it with all it has stored."""
        self._context.close()


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser without a window. Raises: Missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise Missing("needs playwright (the `test` extra)") from error
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise Missing("needs Chromium (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()
