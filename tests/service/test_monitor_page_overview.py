"""The overview as a person reads it: cards, workers, counts, times, history and the first start."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.browser import OpenPage, progress, until_live
from tests.monitor_server import Server, StartServer, event
from tests.scene import DISTRIBUTED, RUNNING, fill

TIMES = """() => [...document.querySelectorAll('time')].filter(node => node.textContent && node.offsetParent)
  .map(node => [node.textContent, node.dateTime, node.title])"""
# A time of day that stands outside of a <time>; inputs and the log's whole events are the producer's text.
LOOSE_TIMES = r"""() => {
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const { textContent: text, parentElement: parent } = walker.currentNode;
    if (/(^|[^\d.:])\d\d:\d\d\b/.test(text) && !parent.closest('time, .what')) found.push(text);
  }
  return found;
}"""
UTC = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC")


@pytest.fixture
async def full(start: StartServer) -> Server:
    """A server with everything on it that the page can show, and links to elsewhere."""
    links = {"grafana_url": "https://grafana.lab/", "trace_url": "https://jaeger.lab/trace/{trace_id}"}
    server = await start(distributed=DISTRIBUTED, event_log={"stalled_after_s": 3600.0}, telemetry=links)
    await fill(server)
    return server


@pytest.mark.parametrize("view", ["/enhanced-monitor.html", f"/monitor?session={RUNNING}"])
async def test_every_time_is_local_with_utc_on_hover(full: Server, open_page: OpenPage, view: str) -> None:
    """Times local with UTC on hover, and exact for machines: wherever one is shown."""
    page = await open_page(full.url, view, timezone_id="Asia/Kolkata")
    await expect(page.locator("#history-rows tr")).to_have_count(20)
    if "session" in view:
        await page.get_by_label("Event looked at").fill("200")
        await expect(page.locator("#session-then")).to_be_visible()
    times = await page.evaluate(TIMES)
    assert len(times) > 30
    for text, machine, title in times:
        assert UTC.search(title), (text, title)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", machine), text
    assert await page.evaluate(LOOSE_TIMES) == []


async def test_what_is_not_known_is_said_and_is_never_nothing(full: Server, open_page: OpenPage) -> None:
    """No total, no price, no worker, no probe: "unknown" or in words, never 0 or blank."""
    page = await open_page(full.url, "/enhanced-monitor.html")
    card = page.locator('.card[data-session="manual-de-fr"]')
    await expect(card.locator(".percent")).to_have_text("unknown")
    await expect(card.locator("[data-fact=cost] dd")).to_have_text("unknown")
    await expect(card.locator("[data-fact=left] dd")).to_have_text("unknown")
    await expect(card.locator("[data-fact=left] dd")).to_have_attribute(
        "title", re.compile("Not known before")
    )
    await expect(card.locator("[data-fact=items] dd")).to_have_attribute("title", "the total is not known")
    never = page.locator('[data-worker="gpu-rack-2"]')
    await expect(never.locator("[data-fact='last probe'] dd")).to_have_text("never")
    await expect(never.locator("[data-fact='slots busy'] dd")).to_have_text("? of 4")
    await expect(never.locator("[data-fact=model] dd")).to_have_text("unknown")
    await expect(never.locator(".reason")).to_contain_text("nobody probes it")
    empty = "() => [...document.querySelectorAll('dd')].filter(n => n.offsetParent && !n.textContent).length"
    assert await page.evaluate(empty) == 0


async def test_a_worker_tells_its_state_its_work_and_its_last_probe(
    full: Server, open_page: OpenPage
) -> None:
    """State and why, slots, rate, curve, the age of the last probe; each in its place, with its links."""
    page = await open_page(full.url, "/enhanced-monitor.html")
    await expect(page.locator("#workers-note")).to_have_text(
        "7 workers · 1 down · 1 wedged · 1 degraded · 1 draining"
    )
    probed = page.locator('[data-worker="gpu-rack-1"]')
    await expect(probed.locator("[data-fact='last probe'] dd")).to_have_text(re.compile(r"^\d+ s ago$"))
    await expect(probed.locator("[data-fact=load] dd")).to_have_text("31 %")
    busy = page.locator('[data-worker="10.1.0.20:22"], [data-worker="ada"]')
    await expect(busy).to_have_count(1)
    await expect(busy.locator(".name")).to_contain_text("ada")
    await expect(busy.locator("[data-fact='slots busy'] dd")).to_have_text("2 of 4")
    await expect(busy.locator(".spark b")).to_contain_text("tokens out / s", timeout=15_000)
    await expect(page.locator('[data-worker="euler"] .spark b')).to_have_text("no work seen in the last 2 m")
    worker_id = await busy.get_attribute("data-worker") or ""
    await expect(busy.get_by_role("link", name="Grafana")).to_have_attribute(
        "href", f"https://grafana.lab/d/translation-workers?var-worker={worker_id.replace(':', '%3A')}"
    )
    # What changes is changed in place: whoever is on a link stays there.
    link = busy.get_by_role("link", name=re.compile("Last worked on"))
    await link.focus()
    named = {"name": "ada", "host": "10.1.0.20", "port": 22}
    await full.post(event(RUNNING, "translation_error", worker_info=named, error="x", error_type="timeout"))
    await expect(busy.locator("[data-fact=errors] dd")).not_to_have_text("0", timeout=10_000)
    await expect(link).to_be_focused()


async def test_a_session_tells_how_fresh_it_is_and_where_else_it_is(
    full: Server, open_page: OpenPage
) -> None:
    """The time since its last event goes on; its report, trace and dashboard are one click away."""
    page = await open_page(full.url)
    card = page.locator(f'.card[data-session="{RUNNING}"]')
    await expect(card.locator(".last-event")).to_have_text(
        re.compile(r"last event \d+ s ago"), timeout=15_000
    )
    trace_id = (await full.get(f"/sessions/{RUNNING}"))["trace_id"]
    for name, address in (
        ("Report", f"/sessions/{RUNNING}/report"),
        ("Trace", f"https://jaeger.lab/trace/{trace_id}"),
        ("Grafana", f"https://grafana.lab/d/translation-session?var-session={RUNNING}"),
    ):
        await expect(card.get_by_role("link", name=f"{name} of")).to_have_attribute("href", address)


async def test_an_estimate_is_a_range(server: Server, open_page: OpenPage) -> None:
    """ETA as a range, from the faster to the slower quarter of the newest items."""
    for number in range(1, 12):
        await server.post(progress(number, 400, "book"))
        await asyncio.sleep(0.05 if number % 2 else 0.3)
    page = await open_page(server.url)
    left = page.locator('.card[data-session="book"] [data-fact=left] dd')
    await expect(left).to_have_text(re.compile(r"^(\d+ s – \d+ m|\d+–\d+ [sm])$"))
    await expect(left).to_have_attribute("title", re.compile("faster quarter – of the slower"))


@pytest.mark.parametrize("secure", [True, False])
async def test_the_id_of_a_session_can_be_copied(server: Server, open_page: OpenPage, secure: bool) -> None:
    """A click copies it, with the clipboard of today and, over plain HTTP from elsewhere, in the old way."""
    await server.post(progress(1, 9, "book-with-a-long-id"))
    page = await open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
    if not secure:
        await page.evaluate("() => Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = page.locator(".card").get_by_role("button", name="Copy id of the session")
    await button.click()
    await expect(page.locator(".card .copy")).to_have_text("Copied")
    await page.locator("#log-text").focus()
    await page.keyboard.press("Control+V")
    await expect(page.locator("#log-text")).to_have_value("book-with-a-long-id")
    await expect(page.locator(".card .copy")).to_have_text("Copy id")


async def test_a_first_start_says_what_to_do_next(server: Server, open_page: OpenPage) -> None:
    """Commands to copy, with this server's address; the one for any program works as it stands there."""
    page = await open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
    welcome = page.locator("#welcome")
    await expect(welcome).to_contain_text("Nothing has come yet")
    await expect(welcome).to_contain_text(f"--monitor {server.url}")
    await expect(page.locator("#sessions-empty")).to_be_hidden()
    await welcome.get_by_role("button", name="Copy: Report from a program").click()
    command: str = await page.evaluate("() => navigator.clipboard.readText()")
    told = await asyncio.create_subprocess_shell(
        command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    await asyncio.wait_for(told.communicate(), 20)
    assert told.returncode == 0
    await expect(page.locator('.card[data-session="first"]')).to_be_visible()
    await expect(welcome).to_be_hidden()


async def test_a_count_leads_to_those_it_counts(full: Server, open_page: OpenPage) -> None:
    """A click on "Failed" shows the failed, lost and timed out ones in the history."""
    page = await open_page(full.url)
    await page.get_by_role("button", name="Failed").click()
    rows = page.locator("#history-rows tr")
    await expect(rows).to_have_count(2)
    await expect(page.locator("#history-status")).to_be_focused()
    shown = {await rows.nth(place).get_attribute("data-session") for place in range(2)}
    assert shown == {"contract-final-v2", "thesis-ch-4"}
    await page.get_by_role("button", name="Completed", exact=False).first.click()
    await expect(rows).to_have_count(20)


async def _history_is(page: Page, first: str, note: str) -> None:
    await expect(page.locator("#history-rows tr").first).to_have_attribute("data-session", first)
    await expect(page.locator("#history-note")).to_have_text(note)


async def test_the_history_is_in_the_address(full: Server, open_page: OpenPage) -> None:
    """Search, status, sort and page: a reload and a link keep them, back and forward lead through them."""
    page = await open_page(full.url, viewport={"width": 2560, "height": 1440})
    await _history_is(page, "menu", "29 sessions")
    await page.get_by_role("button", name="Session", exact=True).click()
    await _history_is(page, "chapter-00", "29 sessions")
    await page.get_by_role("button", name="Older").click()
    await _history_is(page, "chapter-20", "29 sessions")
    assert "history.sort=session" in page.url
    assert "history.page=2" in page.url
    await page.reload()
    await until_live(page)
    await _history_is(page, "chapter-20", "29 sessions")
    await expect(page.locator("#history-page")).to_have_text("Page 2 of 2")
    await expect(page.locator("#history thead [data-sort=session]")).to_have_attribute(
        "aria-sort", "ascending"
    )
    await page.get_by_role("button", name="Newer").click()
    await _history_is(page, "chapter-00", "29 sessions")
    await page.get_by_label("Search ended sessions").fill("chapter-1")
    await _history_is(page, "chapter-10", "10 sessions")
    await page.wait_for_url("**history.q=chapter-1*")
    await page.go_back()
    await _history_is(page, "chapter-00", "29 sessions")
    await page.go_forward()
    await _history_is(page, "chapter-10", "10 sessions")
    linked = await open_page(full.url, "/monitor?history.status=cancelled&history.sort=x&history.page=-1")
    await _history_is(linked, "menu", "1 session")


HIDDEN = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => window.away === true});"
LOOK = "away => { window.away = away; document.dispatchEvent(new Event('visibilitychange')); }"
ICON = "() => document.querySelector('link[rel=icon]').href"


async def test_the_tab_counts_what_failed_while_nobody_looked(server: Server, open_page: OpenPage) -> None:
    """Title and icon bear the count of failures since the page was last looked at; looking takes it away."""
    await server.post([progress(1, 9, "before"), event("before", "translation_error", fatal=True, error="x")])
    page = await open_page(server.url)
    await page.evaluate(HIDDEN)
    await expect(page.locator('.card[data-session="before"]')).to_be_visible()
    await expect(page).to_have_title("Translation Monitor")
    await page.evaluate(LOOK, True)
    await server.post([progress(1, 9, "a"), event("a", "translation_error", fatal=True, error="x")])
    await server.post(
        [progress(1, 9, "b"), event("b", "translation_completed", failed_items=0), progress(1, 9, "c")]
    )
    await expect(page).to_have_title("1 failed · c · Translation Monitor")
    assert ">1</text>" in await page.evaluate(ICON)
    await page.evaluate(LOOK, False)
    await expect(page).to_have_title("c · Translation Monitor")
    assert "</text>" not in await page.evaluate(ICON)


async def test_what_stands_still_comes_first(start: StartServer, open_page: OpenPage) -> None:
    """A stalled session stands before those that run and says for how long it has been silent."""
    server = await start(event_log={"stalled_after_s": 3.0})
    await server.post(progress(1, 9, "quiet"))
    await server.post(progress(1, 900, "busy"))
    page = await open_page(server.url)
    first = page.locator("#session-cards .card").first
    await expect(first).to_have_attribute("data-session", "busy")

    async def go_on() -> None:
        for number in range(2, 900):
            await server.post(progress(number, 900, "busy"))
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as tasks:
        busy = tasks.create_task(go_on(), name="busy")
        await expect(first).to_have_attribute("data-session", "quiet", timeout=20_000)
        await expect(first.locator(".badge")).to_have_text("Stalled")
        await expect(first.locator("[data-fact=left]")).to_contain_text("Silent for")
        await expect(page.locator(".card").nth(1).locator(".badge")).to_have_text("Running")
        busy.cancel()
