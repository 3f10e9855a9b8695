"""A real browser on the monitor page, and what its tests ask of every page they open."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, async_playwright, expect

from tests.monitor_server import event
from tests.parts import need

CHROMIUM = Path("/usr/bin/chromium")
HAS_CHROMIUM = CHROMIUM.exists()
# An interface of this machine came or went meanwhile (a container's, say): no word about the page.
ELSEWHERE = ("net::ERR_NETWORK_CHANGED",)
# The browser itself notes refused and cut connections as errors: expected where a test takes the server away.
OUTAGE = ("net::ERR_", "WebSocket connection to", "Failed to load resource")
REPORT_CSP = (
    "addEventListener('securitypolicyviolation', v => "
    "console.error(`CSP: ${v.violatedDirective} ${v.blockedURI} ${v.sourceFile}:${v.lineNumber}`))"
)
SEQS = "() => [...document.querySelectorAll('#log-lines [data-seq]')].map(l => Number(l.dataset.seq))"

# One step of reading the log, up or down: the lines then in the page, and whether to go on.
STEP = """async down => {
  const frame = document.getElementById('log-lines');
  const frames = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const first = () => frame.querySelector('[data-seq]')?.dataset.seq;
  const place = () => `${frame.scrollTop} ${frame.scrollHeight} ${first()}`;
  const before = place();
  frame.scrollTop += (down ? 1 : -1) * frame.clientHeight;
  await frames();
  const [top, bottom] = [...frame.querySelectorAll('.edge')].map(edge => !edge.hidden);
  return {
    more: place() !== before || (down ? bottom : top),
    seqs: [...frame.querySelectorAll('[data-seq]')].map(line => Number(line.dataset.seq)),
  };
}"""


class Scripted(Protocol):
    """A page, whoever drives it."""

    async def evaluate(self, expression: str, /, *arguments: Any) -> Any:
        """The value of an expression, or of a function of one argument."""
        ...


OpenPage = Callable[..., Awaitable[Page]]


class Pages:
    """Opens pages and collects what went wrong in them."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.problems: list[str] = []

    async def open(
        self,
        url: str,
        path: str = "/monitor",
        *,
        forgive: tuple[str, ...] = (),
        live: bool = True,
        scripts: Sequence[str] = (),
        **options: Any,
    ) -> Page:
        """Open the monitor of a server and wait until it is live.

        `forgive` is text of expected messages; `scripts` run before those of the page.
        """

        def said(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not any(
                part in message.text for part in (*forgive, *ELSEWHERE)
            ):
                self.problems.append(f"console: {message.text} {message.location}")

        async def asked(dialog: Dialog) -> None:
            self.problems.append(f"dialog: {dialog.message}")
            await dialog.dismiss()

        context = await self._browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        page = await context.new_page()
        for script in (REPORT_CSP, *scripts):
            await page.add_init_script(script)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        page.on("console", said)
        page.on("dialog", asked)
        await page.goto(url + path)
        if live:
            await until_live(page)
        return page


@contextlib.asynccontextmanager
async def browsing() -> AsyncIterator[OpenPage]:
    """Open monitor pages: `await open_page(url, "/monitor", viewport=…, forgive=OUTAGE)`.

    Fails at the end on an error in the console, an uncaught exception or a breach of the page's
    Content-Security-Policy.
    """
    need(HAS_CHROMIUM, f"Chromium at {CHROMIUM}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        pages = Pages(browser)
        yield pages.open
        await browser.close()
    assert not pages.problems, pages.problems


async def until_live(page: Page) -> None:
    """Wait until the page says it is live."""
    await expect(page.locator("body[data-connection=live]")).to_have_count(1, timeout=20_000)


async def until_shown(page: Page, seq: int) -> None:
    """Wait until the log shows the event."""
    await expect(page.locator(f'#log-lines [data-seq="{seq}"]')).to_have_count(1, timeout=20_000)


async def faults(page: Page) -> list[str]:
    """What axe-core finds wrong, a line each; the page must be opened with `bypass_csp`, to let it in."""
    found = await Axe().run(page)
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]}"
        for fault in found.response["violations"]
        for node in fault["nodes"]
    ]


async def shown_seqs(page: Scripted) -> list[int]:
    """The seqs of the log's lines, from top to bottom."""
    seqs: list[int] = await page.evaluate(SEQS)
    return seqs


async def read_log(page: Scripted, *, down: bool = False) -> list[int]:
    """Scroll through the log, up to its beginning or down to its end; returns the seqs seen, ascending.

    Fails if a view of it on the way was out of order or left one out.
    """
    views: list[list[int]] = [await shown_seqs(page)]
    while True:
        step = await page.evaluate(STEP, down)
        views.append(step["seqs"])
        if not step["more"]:
            break
    seen = sorted({seq for view in views for seq in view})
    place = {seq: index for index, seq in enumerate(seen)}
    for view in views:
        assert view == (seen[place[view[0]] :][: len(view)] if view else []), view
    return seen


def progress(number: int, total: int = 1000, session_id: str = "book", **fields: Any) -> dict[str, Any]:
    """One line translated."""
    fields = {"current_item": f"line_{number}", "total_items": total, **fields}
    return event(session_id, step="translation", message=f"Line {number} of {total}", **fields)
