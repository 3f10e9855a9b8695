"""The HTML monitor in a real browser against a real server: right, inert to hostile text, and without a gap.

Every test fails on an error in the browser's console, an uncaught exception or a breach of the page's
Content-Security-Policy, whatever else it looks at.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, async_playwright, expect

from service.keys import RELAY
from service.relay.frames import control_frame
from tests.monitor_server import Server, StartServer, event
from tests.parts import need

CHROMIUM = Path("/usr/bin/chromium")
HAS_CHROMIUM = CHROMIUM.exists()
# The browser itself notes refused and cut connections as errors: expected where a test takes the server away.
OUTAGE = ("net::ERR_", "WebSocket connection to", "Failed to load resource")
REPORT_CSP = (
    "addEventListener('securitypolicyviolation', v => "
    "console.error(`CSP: ${v.violatedDirective} ${v.blockedURI} ${v.sourceFile}:${v.lineNumber}`))"
)
SEQS = "() => [...document.querySelectorAll('#log-lines [data-seq]')].map(l => Number(l.dataset.seq))"
WIDER_THAN_VIEW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

OpenPage = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page() -> AsyncIterator[OpenPage]:
    """Open the monitor of a server: `await open_page(url, "/monitor", viewport=…, forgive=OUTAGE)`."""
    need(HAS_CHROMIUM, f"Chromium at {CHROMIUM}")
    problems: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )

        async def begin(
            url: str,
            path: str = "/monitor",
            *,
            forgive: tuple[str, ...] = (),
            live: bool = True,
            **options: Any,
        ) -> Page:
            context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
            page = await context.new_page()
            await page.add_init_script(REPORT_CSP)
            page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
            page.on(
                "console",
                lambda said: (
                    problems.append(f"console: {said.text} {said.location}")
                    if said.type in ("error", "warning") and not any(part in said.text for part in forgive)
                    else None
                ),
            )
            await page.goto(url + path)
            if live:
                await until_live(page)
            return page

        yield begin
        await browser.close()
    assert problems == []


async def until_live(page: Page) -> None:
    await expect(page.locator("body[data-connection=live]")).to_have_count(1, timeout=20_000)


async def until_shown(page: Page, seq: int) -> None:
    await expect(page.locator(f'#log-lines [data-seq="{seq}"]')).to_have_count(1, timeout=20_000)


async def publish(server: Server, *events: dict[str, Any]) -> list[int]:
    """Publish over HTTP; returns the seq of each."""
    status, answer = await server.post(list(events))
    assert status == 200, answer
    return [result["seq"] for result in answer["results"]]


def progress(number: int, total: int = 1000, session_id: str = "book", **fields: Any) -> dict[str, Any]:
    fields = {"current_item": f"line_{number}", "total_items": total, **fields}
    return event(session_id, step="translation", message=f"Line {number} of {total}", **fields)


async def test_an_event_published_over_a_websocket_appears_in_log_and_session(
    server: Server, open_page: OpenPage
) -> None:
    """A viewer sees what a producer publishes: the line in the log, the session with its progress."""
    page = await open_page(server.url)
    publisher = await server.ws("role=publisher&ack=1")
    await publisher.send_json(event("book-1", "translation_started", step="reading", message="Reading"))
    worker = {"host": "gpu.lab", "port": 2222, "type": "ssh-llamacpp", "model": "qwen2.5"}
    usage = {
        "provider": "ssh",
        "model": "qwen2.5",
        "input_tokens": 700,
        "output_tokens": 500,
        "cost_usd": 0.02,
    }
    await publisher.send_json(
        progress(37, 120, "book-1", progress=31.7, data={"worker_info": worker, "engine": "ssh"}, usage=usage)
    )
    seqs = [(await publisher.receive_json())["seq"] for _ in range(2)]
    await until_shown(page, seqs[1])
    line = page.locator(f'#log-lines [data-seq="{seqs[1]}"]')
    await expect(line).to_contain_text("Line 37 of 120")
    await expect(line.locator(".who")).to_have_text("book-1")
    await expect(line.locator("time")).to_have_attribute(
        "title", re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC, received ")
    )
    card = page.locator('.card[data-session="book-1"]')
    await expect(card.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "31")
    await expect(card.locator(".badge")).to_have_text("Running")
    await expect(card.locator("[data-fact=items] dd")).to_have_text("37 of 120")
    await expect(card.locator("[data-fact=usage] dd")).to_contain_text("1,200 tok")
    await expect(card.locator("[data-fact=worker] dd")).to_contain_text("gpu.lab")
    await expect(page.locator("[data-count=active] b")).to_have_text("1")
    await page.locator("#workers > summary").click()
    await expect(page.locator('[data-worker="gpu.lab:2222"]')).to_contain_text("ssh-llamacpp")
    await publisher.close()


async def test_hostile_text_is_shown_as_text_and_breaks_nothing(server: Server, open_page: OpenPage) -> None:
    """Event text is only ever text: markup stays visible, overrides are written out, length is bounded."""
    script = '<script>window.hacked=1</script><img src=x onerror="window.hacked=2"><b>bold</b>'
    override = "\u202egnp.exe\u202c"
    long = "x" * 60_000
    hostile = {
        "step": script[:200],
        "message": script + override,
        "error": script,
        "current_item": script[:100],
        "data": {"engine": script[:60], "model": "</pre><script>1</script>"},
        "worker_info": {"host": "<i>host</i>", "type": "<script>", "model": override, "name": "<u>w</u>"},
    }
    page = await open_page(server.url, "/enhanced-monitor.html", viewport={"width": 390, "height": 844})
    seqs = await publish(
        server,
        event("hostile", "translation_error", **hostile),
        event("hostile", "translation_progress", step="s", message=long),
        event("hostile", "translation_error", fatal=True, error="\u0000\u2066" + long[:50_000]),
    )
    await until_shown(page, seqs[2])
    await expect(page.locator(f'#log-lines [data-seq="{seqs[0]}"]')).to_contain_text(script)
    await expect(page.locator(f'#log-lines [data-seq="{seqs[0]}"]')).to_contain_text(
        "⟦U+202E⟧gnp.exe⟦U+202C⟧"
    )
    await expect(page.locator(f'#log-lines [data-seq="{seqs[2]}"]')).to_contain_text("⟦U+0000⟧⟦U+2066⟧")
    await expect(page.locator('#history-rows [data-session="hostile"]')).to_have_count(1)
    await expect(page.locator(".worker")).to_contain_text("<u>w</u>")
    assert await page.evaluate("() => window.hacked") is None
    assert await page.locator("main :is(script, img, b b, i, u)").count() == 0
    long_line = page.locator(f'#log-lines [data-seq="{seqs[1]}"]')
    assert len(await long_line.inner_text()) < 1000
    await long_line.get_by_text("show all").click()
    assert long in (await long_line.locator(".whole").text_content() or "")
    assert await page.evaluate(WIDER_THAN_VIEW) <= 0


async def test_a_phone_shows_everything_without_scrolling_sideways(
    server: Server, open_page: OpenPage
) -> None:
    """From phone to wall screen no view is wider than its screen, names of 128 characters included."""
    name = "n" * 128
    await publish(
        server,
        progress(3, 9, name, worker_info={"host": "h" * 200, "name": "w" * 200}, data={"model": "m" * 200}),
        event(name, "translation_error", error="e" * 500),
        event("z" * 128, "translation_started"),
        event("z" * 128, "translation_completed", failed_items=0),
    )
    for width in (320, 390, 820, 1100, 2560):
        page = await open_page(server.url, "/enhanced-monitor.html", viewport={"width": width, "height": 844})
        await expect(page.locator(f'.card[data-session="{name}"]')).to_have_count(1)
        await expect(page.locator("#history-rows tr")).to_have_count(1)
        await expect(page.locator(".worker")).to_have_count(1)
        assert await page.evaluate(WIDER_THAN_VIEW) <= 0, width
        await page.close()


async def test_statuses_differ_by_word_and_by_colour_and_none_is_invented(
    start: StartServer, open_page: OpenPage
) -> None:
    """Stalled and lost sessions look it; 100 % alone is not "completed"."""
    server = await start(event_log={"stalled_after_s": 1.0})
    await publish(
        server,
        progress(1, 9, "quiet"),
        event("done", "translation_started"),
        event("done", "translation_completed", failed_items=0),
        event("partly", "translation_started"),
        event("partly", "translation_completed", failed_items=2),
        event("gone", "translation_error", fatal=True, error_type="worker_lost", error="no answer"),
        event("broken", "translation_error", fatal=True, error="disk full"),
        event("stopped", "translation_started"),
        event("stopped", "translation_cancelled"),
    )
    page = await open_page(server.url)
    expected = {
        "quiet": "Stalled",
        "done": "Completed",
        "partly": "Completed with failures",
        "gone": "Lost",
        "broken": "Failed",
        "stopped": "Cancelled",
    }
    tones = set()
    for session_id, word in expected.items():
        badge = page.locator(f'.card[data-session="{session_id}"] .badge')
        await expect(badge).to_have_text(word, timeout=20_000)
        tones.add(await badge.evaluate("badge => getComputedStyle(badge).color"))
    assert len(tones) == len(expected)
    await publish(server, progress(9, 9, "full", progress=100))
    full = page.locator('.card[data-session="full"]')
    await expect(full.locator(".percent")).to_have_text("100 %")
    await expect(full.locator(".badge")).to_have_text("Running")
    await expect(page.locator("[data-count=failed] b")).to_have_text("2")
    await expect(page.locator("[data-count=completed] b")).to_have_text("1")


async def test_pause_holds_the_log_still_and_loses_nothing(server: Server, open_page: OpenPage) -> None:
    """While paused new events are counted; resuming shows them all, in order."""
    page = await open_page(server.url)
    before = await publish(server, *(progress(n) for n in range(20)))
    await until_shown(page, before[-1])
    await page.get_by_role("button", name="Pause").click()
    during = await publish(server, *(progress(n) for n in range(20, 320)))
    await expect(page.locator("#log-note")).to_have_text("Paused, 300 new events")
    assert await page.evaluate(SEQS) == before
    await page.get_by_role("button", name="Resume").click()
    await until_shown(page, during[-1])
    assert await page.evaluate(SEQS) == before + during


async def test_the_log_filters_by_text_level_type_and_session(server: Server, open_page: OpenPage) -> None:
    """Live log: filter by text, level or type, and session; what a filter hides comes back with it."""
    page = await open_page(server.url)
    seqs = await publish(
        server,
        progress(1, session_id="alpha"),
        event("alpha", "translation_error", error="Timeout of the ENGINE"),
        event("beta", "step_completed", step="reading", message="read"),
        progress(2, session_id="beta"),
    )
    await until_shown(page, seqs[3])
    for fill, wanted in (
        (("#log-text", "engine"), [seqs[1]]),
        (("#log-text", ""), seqs),
        (("#log-session", "beta"), [seqs[2], seqs[3]]),
        (("#log-session", ""), seqs),
    ):
        await page.locator(fill[0]).fill(fill[1])
        await page.wait_for_function(f"wanted => String(({SEQS})()) === String(wanted)", arg=wanted)
    for kind, wanted in (
        ("level:error", [seqs[1]]),
        ("level:info", [seqs[1], seqs[2]]),
        ("type:step_completed", [seqs[2]]),
        ("", seqs),
    ):
        await page.locator("#log-kind").select_option(kind)
        await page.wait_for_function(f"wanted => String(({SEQS})()) === String(wanted)", arg=wanted)


async def test_the_log_stays_bounded_and_in_order_under_many_events(
    server: Server, open_page: OpenPage
) -> None:
    """The page keeps a bounded number of lines, the newest, in order; older ones can be asked for."""
    page = await open_page(server.url)
    seqs: list[int] = []
    for start_at in range(0, 2000, 500):
        seqs += await publish(server, *(progress(n, 2000) for n in range(start_at, start_at + 500)))
    await until_shown(page, seqs[-1])
    shown = await page.evaluate(SEQS)
    assert 500 <= len(shown) <= 501
    assert shown == seqs[-len(shown) :]
    await page.get_by_role("button", name="Show older lines").click()
    await page.wait_for_function(f"() => ({SEQS})().length === 1000")
    assert await page.evaluate(SEQS) == seqs[-1000:]


async def test_one_session_can_be_monitored_alone(server: Server, open_page: OpenPage) -> None:
    """`?session=ID` and the "monitor session" box narrow the page to one session."""
    mine = await publish(server, *(progress(n, 9, "mine") for n in range(1, 4)))
    await publish(server, *(progress(n, 9, "other") for n in range(1, 4)))
    page = await open_page(server.url)
    await page.get_by_label("Session id to monitor").fill("mine")
    await page.get_by_role("button", name="Monitor session").click()
    await page.wait_for_url("**/monitor?session=mine")
    await until_live(page)
    await expect(page.locator(".card")).to_have_count(1)
    await until_shown(page, mine[-1])
    later = await publish(server, progress(4, 9, "other"), progress(4, 9, "mine"))
    await until_shown(page, later[1])
    assert await page.evaluate(SEQS) == [*mine, later[1]]
    await expect(page).to_have_title("mine · Translation Monitor")
    await page.get_by_role("link", name="All sessions").click()
    await expect(page.locator(".card")).to_have_count(2)


async def test_history_pages_back_and_forth_and_can_be_searched(server: Server, open_page: OpenPage) -> None:
    """Ended sessions, newest first, by `next_before`; by status and text; the first page follows new ends."""
    for number in range(45):
        how: dict[str, Any] = {"type": "translation_completed", "failed_items": number % 2}
        await publish(
            server, event(f"book-{number:02d}", "translation_started"), event(f"book-{number:02d}", **how)
        )
    page = await open_page(server.url)
    first = page.locator("#history-rows tr").first
    await expect(first).to_have_attribute("data-session", "book-44")
    await expect(page.locator("#history-rows tr")).to_have_count(20)
    await page.get_by_role("button", name="Older").click()
    await expect(first).to_have_attribute("data-session", "book-24")
    await page.get_by_role("button", name="Older").click()
    await expect(page.locator("#history-rows tr")).to_have_count(5)
    await expect(page.get_by_role("button", name="Older")).to_be_disabled()
    # An older page stays where it is while sessions end; the first one follows.
    await publish(server, event("late", "translation_started"), event("late", "translation_cancelled"))
    await expect(page.locator('.card[data-session="late"]')).to_have_count(1)
    await expect(first).to_have_attribute("data-session", "book-04")
    await page.get_by_role("button", name="Newer").click()
    await expect(first).to_have_attribute("data-session", "book-24")
    await page.get_by_role("button", name="Newer").click()
    await expect(first).to_have_attribute("data-session", "late")
    await page.get_by_label("Search ended sessions").fill("book-1")
    await expect(page.locator("#history-rows tr")).to_have_count(10)
    await page.locator("#history-status").select_option("completed_with_failures")
    await expect(page.locator("#history-rows tr")).to_have_count(5)
    await expect(page.locator("#history-rows .badge").first).to_have_text("Completed with failures")


async def test_an_unavailable_log_is_said_and_taken_back(server: Server, open_page: OpenPage) -> None:
    """Viewers are told when the log cannot be written and when it can again; the page passes it on."""
    page = await open_page(server.url)
    relay = server.app[RELAY]
    relay.tell_all(control_frame({"type": "log_unavailable", "since": time.time()}))
    await expect(page.locator("#connection-text")).to_have_text("Log unavailable")
    await expect(page.get_by_role("alert")).to_contain_text("cannot write its event log")
    relay.tell_all(control_frame({"type": "log_available"}))
    await expect(page.locator("#connection-text")).to_have_text("Live")
    await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_full_server_is_named_as_the_reason(start: StartServer, open_page: OpenPage) -> None:
    """Over the connection limit the page says why it is not live, and comes in when a place is free."""
    server = await start(server={"max_connections": 2})
    taken = await server.ws("role=viewer")
    page = await open_page(server.url, forgive=OUTAGE, live=False)
    await expect(page.get_by_role("alert")).to_contain_text("takes no more viewers", timeout=15_000)
    await expect(page).to_have_title("Disconnected · Translation Monitor")
    await taken.close()
    await until_live(page)


@contextlib.asynccontextmanager
async def serving(port: int, event_log: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program itself on a port, until it is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service", "--port", str(port), "--event-log", event_log),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                        if response.status == 200:
                            break
                await asyncio.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def publish_to(port: int, *events: dict[str, Any]) -> list[int]:
    url = f"http://127.0.0.1:{port}/events"
    async with aiohttp.ClientSession() as client, client.post(url, json=list(events)) as response:
        assert response.status == 200, await response.text()
        return [result["seq"] for result in (await response.json())["results"]]


async def test_a_killed_and_restarted_server_leaves_no_gap_and_no_repeat(
    tmp_path: Path, open_page: OpenPage
) -> None:
    """Killed with -9 and started again on the same log: every seq is shown once, in order."""
    port, log = free_port(), f"sqlite:///{tmp_path / 'events.db'}"
    async with serving(port, log) as process:
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        seqs = await publish_to(port, *(progress(n) for n in range(60)))
        await until_shown(page, seqs[-1])
        await expect(page.locator('.card[data-session="book"]')).to_have_count(1)
        process.kill()
        await process.wait()
    await expect(page.locator("body[data-connection=waiting]")).to_have_count(1)
    await expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    await expect(page).to_have_title("Disconnected · book · Translation Monitor")
    await expect(page.get_by_role("alert")).to_contain_text("Not live since")
    async with serving(port, log):
        seqs += await publish_to(port, *(progress(n) for n in range(60, 150)))
        await until_live(page)
        seqs += await publish_to(port, *(progress(n) for n in range(150, 160)))
        await until_shown(page, seqs[-1])
        assert await page.evaluate(SEQS) == seqs
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator('.card[data-session="book"] [data-fact=items] dd')).to_have_text(
            "159 of 1,000"
        )
        await expect(page.locator("#log-lines [data-marker=reconnected]")).to_have_count(1)
        await page.close()


async def test_missed_events_leave_a_marker_with_their_number(tmp_path: Path, open_page: OpenPage) -> None:
    """Where retention has overtaken the page, a visible marker says how many events were missed."""
    port, elsewhere, log = free_port(), free_port(), f"sqlite:///{tmp_path / 'events.db'}"
    async with serving(port, log):
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        seqs = await publish_to(port, *(progress(n) for n in range(10)))
        await until_shown(page, seqs[-1])
    async with serving(elsewhere, log, MONITOR_EVENTS_PER_SESSION="50"):
        for start_at in range(10, 410, 40):
            seqs += await publish_to(elsewhere, *(progress(n) for n in range(start_at, start_at + 40)))
    async with serving(port, log):
        await until_shown(page, seqs[-1])
        shown = await page.evaluate(SEQS)
        assert shown == sorted(set(shown))
        missed = len(seqs) - len(shown)
        assert missed > 0
        marker = page.locator("#log-lines [data-marker=gap]")
        await expect(marker).to_have_count(1)
        await expect(marker).to_contain_text(f"{missed} events between")
        await page.close()


async def test_another_log_clears_the_page_and_begins_anew(open_page: OpenPage) -> None:
    """`reset`: a server with another log is not mixed with what came from the old one."""
    port = free_port()
    async with serving(port, "memory:"):
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        old = await publish_to(port, *(progress(n, session_id="old") for n in range(30)))
        await until_shown(page, old[-1])
    async with serving(port, "memory:"):
        new = await publish_to(port, *(progress(n, session_id="new") for n in range(5)))
        await until_shown(page, new[-1])
        await expect(page.locator("#log-lines [data-marker=reset]")).to_have_count(1)
        await expect(page.locator('#log-lines [data-session="old"]')).to_have_count(0)
        assert await page.evaluate(SEQS) == new
        await expect(page.locator(".card")).to_have_count(1)
        await expect(page.locator('.card[data-session="new"]')).to_have_count(1)
        await page.close()


@pytest.mark.slow
async def test_a_silent_server_is_not_called_live(tmp_path: Path, open_page: OpenPage) -> None:
    """A socket that stays open and brings nothing is found out; when the server wakes, nothing is missing."""
    port, log = free_port(), f"sqlite:///{tmp_path / 'events.db'}"
    async with serving(port, log) as process:
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        seqs = await publish_to(port, *(progress(n) for n in range(5)))
        await until_shown(page, seqs[-1])
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await expect(page.locator("body[data-connection=waiting]")).to_have_count(1, timeout=45_000)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        await until_live(page)
        seqs += await publish_to(port, progress(6))
        await until_shown(page, seqs[-1])
        assert await page.evaluate(SEQS) == seqs
        await page.close()


async def test_the_page_is_served_under_a_strict_policy(server: Server) -> None:
    """No inline script, no foreign source; both names of the page serve the same document."""
    bodies = set()
    for path in ("/monitor", "/enhanced-monitor.html"):
        async with server.client.get(server.url + path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            bodies.add(await response.text())
    (body,) = bodies
    assert "<script>" not in body
    assert "http" not in body.replace("http-equiv", "")
    async with server.client.get(server.url + "/", allow_redirects=False) as response:
        assert response.headers["Location"] == "/monitor"


async def test_the_page_is_usable_by_keyboard(server: Server, open_page: OpenPage) -> None:
    """Every control is reached by Tab, the log is one stop, and arrows go from event to event."""
    page = await open_page(server.url)
    seqs = await publish(server, *(progress(n) for n in range(30)))
    await until_shown(page, seqs[-1])
    reached: set[str] = set()
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.add(
            await page.evaluate("() => document.activeElement.id || document.activeElement.className")
        )
    assert {
        "goto-id",
        "pause",
        "log-text",
        "log-kind",
        "log-session",
        "log-lines",
        "seq",
        "history-q",
    } <= reached
    await page.locator(f'[data-seq="{seqs[-1]}"] .seq').focus()
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    whole = page.locator(f'[data-seq="{seqs[-2]}"] .whole')
    await expect(whole).to_contain_text('"current_item": "line_28"')
    await page.keyboard.press("Enter")
    await expect(whole).to_have_count(0)
