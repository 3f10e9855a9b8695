"""The page around its panels: theme, keys, layout, notifications, offline. Real browser, real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser import OUTAGE, OpenPage, faults, progress, until_live, until_shown
from tests.monitor_process import MonitorProcess
from tests.monitor_server import Server, event

BACKGROUND = "() => getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(244, 245, 247)", "rgb(14, 17, 22)"
PANELS = (
    "() => [...document.querySelectorAll('main > [data-panel]')].filter(n => n.offsetParent).map(n => n.id)"
)
# The browser's own class does the work; what it is asked to show is noted on the way.
NOTE_NOTICES = """
window.notices = [];
const Real = Notification;
window.Notification = class extends Real {
  constructor(title, options) {
    super(title, options);
    window.notices.push([options.tag, title, options.body]);
  }
};
"""
NOTICES = "() => window.notices"


async def test_a_chosen_theme_holds_from_the_first_paint_on(server: Server, open_page: OpenPage) -> None:
    """System, light, dark: a toggle, kept in the browser, set before the page is painted."""
    page = await open_page(server.url, color_scheme="dark", forgive=OUTAGE)
    assert await page.evaluate(BACKGROUND) == DARK
    await page.get_by_role("button", name="Theme: System. Switch to Light.").click()
    assert await page.evaluate(BACKGROUND) == LIGHT
    # Painted in the chosen theme even where the page's modules never come.
    await page.route(
        "**/*.js",
        lambda route: route.abort() if "theme_first" not in route.request.url else route.continue_(),
    )
    await page.reload()
    assert await page.evaluate(BACKGROUND) == LIGHT
    await page.unroute("**/*.js")
    await page.reload()
    await until_live(page)
    assert await page.evaluate(BACKGROUND) == LIGHT
    await page.keyboard.press("t")
    assert await page.evaluate(BACKGROUND) == DARK
    await page.keyboard.press("t")
    await expect(page.locator("#theme")).to_have_attribute("data-theme-name", "system")
    await page.emulate_media(color_scheme="light")
    assert await page.evaluate(BACKGROUND) == LIGHT


async def test_a_question_mark_lists_the_keys_and_each_does_what_it_says(
    server: Server, open_page: OpenPage
) -> None:
    """`?` lists the keys; none of them fires while something is typed."""
    page = await open_page(server.url)
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    await expect(dialog).to_be_visible()
    keys = await dialog.locator("kbd").all_text_contents()
    assert {"/", "p", "t", "l", "?"} <= set(keys)
    assert len(keys) == len(set(keys))
    await page.keyboard.press("p")  # behind the dialog nothing moves
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("p")
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    await page.keyboard.press("/")
    await page.keyboard.type("pot?")
    await expect(page.locator("#log-text")).to_have_value("pot?")
    await expect(dialog).to_be_hidden()
    await expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    await page.locator("#log-text").blur()
    await page.keyboard.press("w")
    await expect(page.locator("#workers")).to_have_attribute("open", "")
    await expect(page.locator("#workers > summary")).to_be_focused()


async def test_panels_are_hidden_moved_and_sized_and_stay_so(server: Server, open_page: OpenPage) -> None:
    """Panels shown, hidden, reordered, sized by keyboard too; kept in the browser; one click undoes it."""
    page = await open_page(server.url)
    assert await page.evaluate(PANELS) == ["counts", "sessions", "log", "throughput", "workers", "history"]
    await page.keyboard.press("l")
    dialog = page.get_by_role("dialog", name="Layout")
    await dialog.get_by_role("checkbox", name="Throughput").uncheck()
    move = dialog.get_by_role("button", name="Move up History")
    await move.focus()
    for _ in range(3):
        await page.keyboard.press("Enter")  # the focus stays on what moves
    await dialog.get_by_label("Size of History").select_option("full")
    await dialog.get_by_role("button", name="Done").click()
    wanted = ["counts", "sessions", "history", "log", "workers"]
    assert await page.evaluate(PANELS) == wanted
    history = await page.locator("#history").bounding_box()
    log = await page.locator("#log").bounding_box()
    assert history is not None
    assert log is not None
    assert history["width"] > 1200
    assert log["y"] > history["y"]
    await page.reload()
    await until_live(page)
    assert await page.evaluate(PANELS) == wanted
    await page.get_by_role("button", name="Layout").click()
    await dialog.get_by_role("button", name="As it was").click()
    await page.reload()
    await until_live(page)
    assert await page.evaluate(PANELS) == ["counts", "sessions", "log", "throughput", "workers", "history"]


@pytest.mark.parametrize(
    "stored", ["{", "3", "null", '[{"id": "gone"}, 7, null, {"id": "log", "size": "__proto__"}]']
)
async def test_a_broken_layout_in_the_browser_breaks_nothing(
    server: Server, open_page: OpenPage, stored: str
) -> None:
    """Written by another version or by hand: every panel is there."""
    page = await open_page(server.url)
    await page.evaluate("(text) => localStorage.setItem('layout', text)", stored)
    await page.reload()
    await until_live(page)
    assert len(await page.evaluate(PANELS)) == 6


async def _notified(open_page: OpenPage, url: str) -> Page:
    page = await open_page(url, permissions=["notifications"])
    await page.add_init_script(NOTE_NOTICES)
    await page.reload()
    await until_live(page)
    return page


async def test_the_end_of_a_session_notifies_once_and_only_who_asked(
    server: Server, open_page: OpenPage
) -> None:
    """Opt-in, one an incident; a replay or a reload notifies of nothing again."""
    page = await _notified(open_page, server.url)

    async def book(name: str, **end: Any) -> int:
        await server.post(progress(1, 9, name))
        _, answer = await server.post(event(name, **end))
        seq: int = answer["results"][0]["seq"]
        await until_shown(page, seq)
        return seq

    await book("unasked", type="translation_completed", failed_items=0)
    assert await page.evaluate(NOTICES) == []
    await page.get_by_role("button", name="Notifications: off").click()
    await expect(page.locator("#notices")).to_have_attribute("aria-pressed", "true")
    await book("good", type="translation_completed", failed_items=0)
    await page.wait_for_function("() => window.notices.length === 1")
    await book("bad", type="translation_error", fatal=True, error="SECRET TEXT", error_type="auth")
    await page.wait_for_function("() => window.notices.length === 2")
    assert await page.evaluate(NOTICES) == [
        ["session:good", "Completed: good", "9 of 9 items"],
        ["session:bad", "Failed: bad", "1 of 9 items · 1 error"],
    ]
    await page.reload()
    await until_live(page)
    await expect(page.locator("#notices")).to_have_attribute("aria-pressed", "true")
    await book("after", type="translation_cancelled")
    await page.wait_for_function("() => window.notices.length === 1")
    assert [tag for tag, _, _ in await page.evaluate(NOTICES)] == ["session:after"]


@pytest.mark.slow
async def test_without_the_server_the_installed_page_says_it_is_offline(
    tmp_path: Path, open_page: OpenPage
) -> None:
    """An offline shell that says it is offline and steps aside once the server is back."""
    monitor = MonitorProcess(tmp_path / "events.db")
    await monitor.start()
    page = await open_page(monitor.url, forgive=OUTAGE)
    await page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    await page.wait_for_function(
        "async () => (await caches.match('/static/offline.html')) && navigator.serviceWorker.controller"
    )
    await monitor.kill()
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("The monitor cannot be reached")
    await expect(page.locator("main")).to_contain_text("nothing of it is live")
    await page.get_by_role("button", name="Try now").click()
    await expect(page.locator("#tried")).to_contain_text("no answer")
    await monitor.start()
    await until_live(page)
    await monitor.stop()


async def test_the_page_can_be_installed(server: Server, open_page: OpenPage) -> None:
    """A manifest that the browser takes without a complaint, and a service worker of this very version."""
    page = await open_page(server.url)
    devtools = await page.context.new_cdp_session(page)
    manifest = await devtools.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert manifest["url"].endswith("/static/monitor.webmanifest")
    async with server.client.get(f"{server.url}/service-worker.js") as response:
        assert response.content_type in ("text/javascript", "application/javascript")
        assert response.headers["Cache-Control"] == "no-cache"
        assert (await response.text()).startswith("// translation-monitor 0.")


VIEWS = ["/monitor", "/monitor?session=book-0", "/monitor?session=nobody", "/enhanced-monitor.html"]
SIZES = [(390, 844, "dark"), (1280, 800, "light"), (1280, 800, "dark"), (2560, 1440, "light")]


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
async def test_no_view_has_a_fault_of_accessibility(server: Server, open_page: OpenPage, view: str) -> None:
    """axe-core finds nothing, in any view, on a phone and on a wall, dark and light, with a dialog open."""
    for number, end in enumerate(
        [{"type": "translation_error", "error": "No answer", "error_type": "timeout"}, None, {"fatal": True}]
    ):
        worker = {"host": f"gpu-{number}", "port": 22, "type": "ssh", "model": "m"}
        await server.post(progress(3, 9, f"book-{number}", progress=33, data={"worker_info": worker}))
        if end is not None:
            await server.post(event(f"book-{number}", **{"type": "translation_error", **end}))
    for width, height, scheme in SIZES:
        page = await open_page(
            server.url,
            view,
            forgive=("Failed to load resource",),  # a session that nobody knows is a 404
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            bypass_csp=True,
        )
        assert await faults(page) == [], f"{width}×{height} {scheme}"
        if width == 1280:
            await page.keyboard.press("?")
            assert await faults(page) == [], f"keys, {scheme}"
            await page.keyboard.press("Escape")
            await page.keyboard.press("l")
            assert await faults(page) == [], f"layout, {scheme}"
        await page.context.close()
