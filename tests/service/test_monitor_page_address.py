"""The page's state in its address: a link, a reload, back and forward bring back what was filtered."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.browser import SEQS, OpenPage, progress, until_shown
from tests.monitor_server import Server, event


async def until_seqs(page: Page, wanted: list[int]) -> None:
    """Wait until the log shows exactly these events."""
    await page.wait_for_function(f"wanted => String(({SEQS})()) === String(wanted)", arg=wanted)


async def test_the_filter_is_in_the_address_and_back_and_forward_lead_through_it(
    server: Server, open_page: OpenPage
) -> None:
    """The whole filter state is in the URL; a reload keeps it; back and forward work."""
    events = [
        progress(1, session_id="alpha"),
        event("alpha", "translation_error", error="Timeout & <more> + 100 %"),
        event("beta", "translation_error", error="Timeout"),
    ]
    seqs = [result["seq"] for result in (await server.post(events))[1]["results"]]
    page = await open_page(server.url)
    await until_shown(page, seqs[2])
    await page.locator("#log-level").select_option("error")
    await until_seqs(page, seqs[1:])
    await page.locator("#log-text").press_sequentially("& <more> + 100 %", delay=30)
    await until_seqs(page, [seqs[1]])
    assert "log.level=error" in page.url
    assert "%26" in page.url
    await page.reload()
    await until_seqs(page, [seqs[1]])
    await expect(page.locator("#log-text")).to_have_value("& <more> + 100 %")
    await page.go_back()
    await until_seqs(page, seqs[1:])
    await expect(page.locator("#log-text")).to_have_value("")
    await page.go_back()
    await until_seqs(page, seqs)
    await page.go_forward()
    await until_seqs(page, seqs[1:])
    await expect(page.locator("#log-level")).to_have_value("error")


async def test_letters_just_typed_are_in_the_address_at_once(server: Server, open_page: OpenPage) -> None:
    """A reload right after the last letter loses none; what is typed in one go is one step, Enter ends it."""
    page = await open_page(server.url)
    seqs = [result["seq"] for result in (await server.post([progress(n) for n in range(3)]))[1]["results"]]
    await until_shown(page, seqs[-1])
    text = page.locator("#log-text")
    await text.press_sequentially("Line ")
    assert await page.evaluate("() => new URLSearchParams(location.search).get('log.text')") == "Line"
    await text.press_sequentially("1")
    await text.press("Enter")
    await text.press_sequentially("x")
    await page.reload()
    await expect(text).to_have_value("Line 1x")
    await page.go_back()
    await expect(text).to_have_value("Line 1")
    await until_seqs(page, [seqs[1]])
    await page.go_back()
    await expect(text).to_have_value("")
    await until_seqs(page, seqs)
    history = page.locator("#history-q")
    await history.press_sequentially("book")
    await page.reload()
    await expect(history).to_have_value("book")
