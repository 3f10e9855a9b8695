"""The page for every hand, eye and ear: keys, fingers, screen readers, walls, paper, forced colours."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from service.secret import Secret
from tests.alerting import answering
from tests.browser import OpenPage, faults, progress, until_shown
from tests.monitor_server import Server, StartServer, event
from tests.scene import DISTRIBUTED, RUNNING, alerts, fill

SESSION = f"/monitor?session={RUNNING}"
WIDER_THAN_VIEW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"

Check = Callable[[Page], Awaitable[object]]


@pytest.fixture
async def full(start: StartServer) -> AsyncIterator[Server]:
    """A server with everything on it that the page can show, and two alerts firing."""
    async with answering(alerts()) as url:
        telemetry = {
            "alertmanager_url": Secret(url),
            "grafana_url": "https://grafana.lab",
            "trace_url": "https://jaeger.lab/{trace_id}",
            "runbooks_url": "https://git.example.org/m/",
        }
        server = await start(distributed=DISTRIBUTED, event_log={"stalled_after_s": 2.0}, telemetry=telemetry)
        await fill(server)
        yield server


def _focuses(selector: str) -> Check:
    return lambda page: expect(page.locator(selector)).to_be_focused()


def _has(selector: str, name: str, value: str) -> Check:
    return lambda page: expect(page.locator(selector)).to_have_attribute(name, value)


def _says(selector: str, text: str) -> Check:
    return lambda page: expect(page.locator(selector)).to_contain_text(re.compile(text))


async def _is_copied(page: Page) -> None:
    await expect(page.locator("#session-cards .copy")).to_have_text("Copied")
    assert await page.evaluate("() => navigator.clipboard.readText()") == RUNNING


async def _is_at_the_end(page: Page) -> None:
    await page.wait_for_function(
        "() => { const n = document.getElementById('log-lines');"
        " return n.scrollHeight - n.scrollTop - n.clientHeight < 8; }"
    )


WORKS: dict[str, Check] = {
    "s": _focuses("#sessions"),
    "j": _focuses("#session-cards .name >> nth=0"),
    "k": _focuses("#session-cards .name >> nth=-1"),
    "g": _focuses("#goto-id"),
    "x": _focuses("#alerts"),
    "r": _focuses("#throughput[open] > summary"),
    "w": _focuses("#workers[open] > summary"),
    "h": _focuses("#history-q"),
    "c": _focuses("#scrub"),
    ",": _says("#scrub-said", r"^Event 4\d\d of 4\d\d"),
    ".": _says("#scrub-said", r"^Event 4\d\d of 4\d\d|^Now, after"),
    "y": _has("#replay", "aria-pressed", "true"),
    "b": lambda page: expect(page.locator("#to-now")).to_be_hidden(),
    "i": _is_copied,
    "o": _focuses("#log-lines"),
    "/": _focuses("#log-text"),
    "p": _has("#pause", "aria-pressed", "true"),
    "e": _is_at_the_end,
    "l": lambda page: expect(page.get_by_role("dialog", name="Layout")).to_be_visible(),
    "t": _has("#theme", "data-theme-name", "light"),
    "n": _has("#notices", "aria-pressed", "true"),
    "?": lambda page: expect(page.get_by_role("dialog", name="Keys")).to_be_visible(),
    "a": lambda page: expect(page).to_have_url(re.compile(r"/monitor$")),
}


async def test_every_key_of_the_list_does_what_it_says(full: Server, open_page: OpenPage) -> None:
    """`?` lists every key there is; each is pressed and does it, in the view that has them all."""
    granted = ["notifications", "clipboard-read", "clipboard-write"]
    page = await open_page(full.url, SESSION, permissions=granted)
    await expect(page.locator("#session-view-note")).to_contain_text("events kept")
    await expect(page.locator("#alerts .alert")).to_have_count(2)
    await page.keyboard.press("?")
    listed = await page.locator("#keys [data-key]").evaluate_all("keys => keys.map(key => key.dataset.key)")
    assert sorted(listed) == sorted(WORKS)
    for text in await page.locator("#keys dd").all_text_contents():
        assert len(text) > 5
    await page.keyboard.press("Escape")
    for key, works in WORKS.items():
        await page.evaluate("() => document.activeElement.blur()")
        await page.keyboard.press(key)
        try:
            await works(page)
        except AssertionError as err:
            raise AssertionError(f"the key {key}") from err
        await page.keyboard.press("Escape")


async def test_a_dialog_is_left_by_escape_and_gives_the_focus_back(full: Server, open_page: OpenPage) -> None:
    """The focus stays within an open dialog and returns to where it was."""
    page = await open_page(full.url)
    for opener, name in (("#layout-open", "Layout"), ("#keys-open", "Keys")):
        await page.locator(opener).focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name=name)
        await expect(dialog).to_be_visible()
        for _ in range(60):
            await page.keyboard.press("Tab")
            inside = (
                "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
            assert await page.evaluate(inside)
        await page.keyboard.press("Escape")
        await expect(dialog).to_be_hidden()
        await expect(page.locator(opener)).to_be_focused()


async def test_alerts_are_a_panel_like_the_others(full: Server, open_page: OpenPage) -> None:
    """Hidden, moved and sized in the layout, by keyboard alone; the screen reader hears where it went."""
    page = await open_page(full.url)
    panel = page.locator("#alerts")
    await expect(panel.locator(".alert")).to_have_count(2)
    await page.keyboard.press("l")
    dialog = page.get_by_role("dialog", name="Layout")
    await expect(dialog.locator("li").first).to_contain_text("Alerts")
    await expect(dialog.locator("li", has_text="Course")).to_contain_text("in the view of a session")
    await dialog.get_by_role("button", name="Move down Alerts").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#layout-said")).to_have_text("Alerts is panel 2 of 8 now.")
    await dialog.get_by_label("Size of Alerts").select_option("normal")
    await page.keyboard.press("Escape")
    counts, moved = await page.locator("#counts").bounding_box(), await panel.bounding_box()
    assert counts is not None
    assert moved is not None
    assert moved["y"] > counts["y"]
    assert moved["width"] < 700
    await page.keyboard.press("l")
    await dialog.get_by_role("checkbox", name="Alerts").focus()
    await page.keyboard.press("Space")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await page.reload()
    await expect(page.locator("#session-cards .card").first).to_be_visible()
    await expect(panel).to_be_hidden()
    await page.keyboard.press("x")  # whoever wants to go there wants to see it
    await expect(panel).to_be_focused()


async def test_a_panel_that_an_old_layout_does_not_know_stands_where_it_belongs(
    full: Server, open_page: OpenPage
) -> None:
    """A layout kept before there was a panel: that one comes in its usual place, not last."""
    page = await open_page(full.url)
    old = '[{"id":"counts"},{"id":"history"},{"id":"sessions"},{"id":"log"}]'
    await page.evaluate("text => localStorage.setItem('layout', text)", old)
    await page.reload()
    await expect(page.locator("#alerts .alert")).to_have_count(2)
    order = await page.locator("main > [data-panel]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert order[0] == "alerts"
    assert order.index("session-view") == order.index("sessions") + 1


HEARD = """() => {
  window.heard = [];
  const live = document.querySelectorAll("[role=status], [role=alert], [aria-live]:not([aria-live=off])");
  const note = (changes) => { for (const { target } of changes) window.heard.push(target.textContent); };
  const all = { childList: true, characterData: true, subtree: true };
  for (const region of live) new MutationObserver(note).observe(region, all);
  return live.length;
}"""


@pytest.mark.slow
async def test_live_regions_do_not_chatter(full: Server, open_page: OpenPage) -> None:
    """100 events a second for 6 s: a screen reader hears nothing of them; an outage is said once."""
    page = await open_page(full.url, "/enhanced-monitor.html")
    await expect(page.locator("#alerts .alert")).to_have_count(2)
    await expect(page.locator('.card[data-status="running"]')).to_have_count(0, timeout=20_000)
    assert await page.evaluate(HEARD) >= 4
    ends = time.monotonic() + 6
    number = 0
    while time.monotonic() < ends:
        await full.post([progress(n, 9000, f"book-{n % 5}") for n in range(number, number + 20)])
        number += 20
        await asyncio.sleep(0.2)
    assert number > 300
    _, answer = await full.post(event("book-1", "translation_completed", failed_items=0))
    await until_shown(page, answer["results"][0]["seq"])
    assert await page.evaluate("() => window.heard") == []


@pytest.mark.slow
async def test_what_goes_wrong_is_heard_and_a_flood_of_it_is_one_sentence(
    start: StartServer, open_page: OpenPage
) -> None:
    """A failed session and a worker that goes down are said; forty at once are three names and a count."""
    server = await start()
    await server.post([progress(1, 9, "before"), event("before", "translation_error", fatal=True, error="x")])
    page = await open_page(server.url)
    await expect(page.locator('.card[data-session="before"]')).to_be_visible()
    await expect(page.locator("#workers-note")).to_have_text("none yet")
    await page.evaluate(HEARD)
    worker = {"worker": "gpu-1", "state": "down", "reason": "refused"}
    await server.post([progress(1, 9, "book"), event("book", "worker_status", data=worker)])
    await expect(page.locator("#incidents")).to_have_text("Worker down: gpu-1.", timeout=15_000)
    for n in range(40):
        await server.post(event(f"b{n}", "translation_error", fatal=True, error="x"))
        await asyncio.sleep(0.05)
    await expect(page.locator("#incidents")).to_contain_text(
        re.compile(r"Failed: b\d+, .* more\."), timeout=15_000
    )
    heard: list[str] = await page.evaluate("() => window.heard")
    assert len(heard) <= 3
    assert not any("before" in text for text in heard)


TOO_SMALL = """() => {
  const seen = (node) => node.checkVisibility({ visibilityProperty: true }) && !node.closest(".log-lines");
  const pressed = [...document.querySelectorAll("button, a[href], input, select, summary")].filter(seen);
  return pressed.flatMap((node) => {
    const { width, height } = (node.closest("label") ?? node).getBoundingClientRect();
    return Math.min(width, height) < 44 ? [`${node.outerHTML.slice(0, 90)} ${width}×${height}`] : [];
  });
}"""


@pytest.mark.parametrize("view", ["/enhanced-monitor.html", SESSION, "/monitor?session=contract-final-v2"])
async def test_a_finger_hits_whatever_can_be_pressed(full: Server, open_page: OpenPage, view: str) -> None:
    """On a phone every target is at least 44 × 44 px, and nothing scrolls sideways."""
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = await open_page(full.url, view, **phone)
    await expect(page.locator("#alerts .alert")).to_have_count(2)
    await expect(page.locator("#history-rows tr")).to_have_count(20)
    if view == SESSION:
        await page.locator("#session-errors button").first.tap()
        await expect(page.locator("#session-past .card")).to_be_visible()
    assert await page.evaluate(TOO_SMALL) == []
    assert await page.evaluate(WIDER_THAN_VIEW) <= 0
    for opener in ("#layout-open", "#keys-open"):
        await page.locator(opener).tap()
        assert await page.evaluate(TOO_SMALL) == []
        await page.locator("dialog[open] form button").last.tap()


async def test_a_wall_is_read_from_afar(full: Server, open_page: OpenPage) -> None:
    """At 2560 × 1440 figures are larger than on a desk, and what is wrong is above the fold."""
    wall = await open_page(full.url, "/enhanced-monitor.html", viewport={"width": 2560, "height": 1440})
    desk = await open_page(full.url, "/enhanced-monitor.html")
    size = "node => parseFloat(getComputedStyle(node).fontSize)"
    for what, least in (
        (".count b", 36),
        (".card .percent:not(.unknown)", 26),
        (".alert .summary", 19),
        (".facts dd", 17),
    ):
        large = await wall.locator(what).first.evaluate(size)
        assert large >= least, what
        assert large > await desk.locator(what).first.evaluate(size), what
    for what in (
        "#alerts",
        "#counts",
        "#sessions .card >> nth=0",
        "#throughput",
        "#workers .worker >> nth=0",
    ):
        await expect(wall.locator(what)).to_be_in_viewport(ratio=1)
    assert await wall.evaluate(WIDER_THAN_VIEW) <= 0


async def test_whoever_wants_less_motion_gets_none(full: Server, open_page: OpenPage) -> None:
    """No transition and no animation anywhere, the progress bar's included."""
    moves = """() => [...document.querySelectorAll("*")].filter((node) => {
      const { transitionDuration, animationName } = getComputedStyle(node);
      return transitionDuration.split(", ").some((one) => parseFloat(one) > 0) || animationName !== "none";
    }).length"""
    lively = await open_page(full.url)
    await expect(lively.locator(".card .fill").first).to_have_count(1)
    assert await lively.evaluate(moves) > 0
    still = await open_page(full.url, reduced_motion="reduce")
    await expect(still.locator(".card .fill").first).to_have_count(1)
    assert await still.evaluate(moves) == 0


async def test_forced_colours_leave_state_and_progress_to_see(full: Server, open_page: OpenPage) -> None:
    """High contrast: a badge has an edge, a bar its filling, a stalled session a thicker frame."""
    page = await open_page(full.url, "/enhanced-monitor.html", forced_colors="active")
    edge = "node => parseFloat(getComputedStyle(node).borderTopWidth)"
    stalled = page.locator('.card[data-status="stalled"]').first
    await expect(stalled).to_be_visible(timeout=20_000)
    assert await stalled.locator(".badge").evaluate(edge) >= 1
    assert await stalled.evaluate(edge) > await page.locator('.card[data-status="completed"]').first.evaluate(
        edge
    )
    differs = """fill => getComputedStyle(fill).backgroundColor
      !== getComputedStyle(fill.parentElement).backgroundColor"""
    assert await page.locator('.card[data-status="completed"] .fill').first.evaluate(differs)


async def test_on_paper_there_is_what_is_known_and_no_controls(full: Server, open_page: OpenPage) -> None:
    """Printed: alerts, counts, sessions and history, on white, without buttons; it fits the sheet."""
    page = await open_page(full.url, "/enhanced-monitor.html", color_scheme="dark")
    await expect(page.locator("#history-rows tr")).to_have_count(20)
    await page.emulate_media(media="print")
    await page.set_viewport_size({"width": 718, "height": 1000})  # A4 within its margins
    for shown in ("#alerts", "#counts", "#sessions", "#history", ".worker >> nth=0"):
        await expect(page.locator(shown)).to_be_visible()
    for gone in ("#log", "#goto", ".tools", ".pager", ".copy >> nth=0"):
        await expect(page.locator(gone)).to_be_hidden()
    assert await page.evaluate(WIDER_THAN_VIEW) <= 0
    colour = await page.locator(".card").first.evaluate("node => getComputedStyle(node).color")
    assert sum(int(part) for part in re.findall(r"\d+", colour)[:3]) < 200, "dark text, whatever the theme"


async def test_the_enhanced_view_opens_workers_and_throughput(full: Server, open_page: OpenPage) -> None:
    """`/enhanced-monitor.html`: the same page with these two panels open."""
    plain = await open_page(full.url)
    enhanced = await open_page(full.url, "/enhanced-monitor.html")
    for panel in ("#workers", "#throughput"):
        await expect(plain.locator(panel)).not_to_have_attribute("open", "")
        await expect(enhanced.locator(panel)).to_have_attribute("open", "")
    await expect(enhanced.locator(".worker")).to_have_count(7)
    await expect(enhanced.locator("#throughput .rate")).to_have_count(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "view",
    ["/monitor", "/enhanced-monitor.html", SESSION, f"/sessions/{RUNNING}/report", "/static/offline.html"],
)
async def test_no_view_of_everything_has_a_fault_of_accessibility(
    full: Server, open_page: OpenPage, view: str
) -> None:
    """axe-core finds nothing with every state of sessions and workers and alerts shown, on phone and wall."""
    for width, height, scheme in ((390, 844, "light"), (2560, 1440, "dark")):
        page = await open_page(
            full.url,
            view,
            live="monitor" in view,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            bypass_csp=True,
        )
        if "monitor" in view:
            await expect(page.locator("#alerts .alert")).to_have_count(2)
            await expect(page.locator('.card[data-status="stalled"]').first).to_be_visible(
                timeout=20_000
            ) if "session" not in view else None
        assert await faults(page) == [], f"{width} {scheme}"
        await page.context.close()


async def test_the_first_start_has_no_fault_of_accessibility(server: Server, open_page: OpenPage) -> None:
    """axe-core finds nothing where nothing has come yet."""
    for scheme in ("light", "dark"):
        page = await open_page(server.url, color_scheme=scheme, bypass_csp=True)
        await expect(page.locator("#welcome")).to_be_visible()
        assert await faults(page) == []
