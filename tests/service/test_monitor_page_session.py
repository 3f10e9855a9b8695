"""The view of one session in a real browser: its course, its errors, its cost, and its past at any event."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.browser import OUTAGE, OpenPage, progress
from tests.monitor_server import Server, StartServer, event

WIDER_THAN_VIEW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
USAGE = {"input_tokens": 100, "output_tokens": 50, "duration_s": 2.0, "cost_usd": 0.01, "cache": "miss"}


async def _publish(server: Server, events: list[dict[str, Any]]) -> list[int]:
    seqs: list[int] = []
    for start in range(0, len(events), 500):
        status, answer = await server.post(events[start : start + 500])
        assert status == 200, answer
        seqs += [result["seq"] for result in answer["results"]]
    return seqs


def _book(lines: int, of: int, *, began: float, every_s: float = 1.0) -> list[dict[str, Any]]:
    """A translation that has read its book, translated some lines and met an error after the fifth."""
    events = [
        event("book", "translation_started", step="reading", total_items=of, timestamp=began),
        event("book", "step_completed", step="reading", timestamp=began + every_s),
    ]
    for number in range(1, lines + 1):
        at = began + every_s * (number + 1)
        line = progress(number, of, "book", progress=100 * number / of, timestamp=at, usage=USAGE)
        events.append(line)
        if number == 5:
            wrong = {"error": "Connection timeout", "error_type": "timeout", "timestamp": at}
            events.append(event("book", "translation_error", step="translation", **wrong))
    return events


async def _scrub(page: Page, index: int) -> None:
    await page.get_by_label("Event looked at").fill(str(index))


async def test_the_slider_shows_the_session_as_it_was_at_any_event(
    server: Server, open_page: OpenPage
) -> None:
    """Time travel: a real range input, by mouse and keyboard; the past beside now, and back to now."""
    began = time.time() - 100
    await _publish(server, _book(20, 40, began=began))
    page = await open_page(server.url, "/monitor?session=book")
    await expect(page.locator("#session-view-note")).to_have_text("23 events kept")
    await expect(page.locator("#session-errors li")).to_have_count(1)
    await expect(page.locator("#session-usage [data-usage='cost'] dd")).to_have_text("$0.20")
    await expect(page.locator("#session-steps li")).to_have_count(2)
    await expect(page.locator("#session-then")).to_be_hidden()
    await _scrub(page, 5)  # started, step_completed, lines 1 to 4
    past = page.locator("#session-past .card")
    await expect(past.locator("[data-fact=items] dd")).to_have_text("4 of 40")
    await expect(past.locator(".percent")).to_have_text("10 %")
    await expect(page.locator("#session-usage [data-usage='cost'] dd")).to_have_text("$0.04")
    await expect(page.locator("#session-errors-section")).to_be_hidden()
    await expect(page.locator("#session-cards .card [data-fact=items] dd")).to_have_text("20 of 40")
    await page.get_by_label("Event looked at").press("ArrowLeft")
    await expect(past.locator("[data-fact=items] dd")).to_have_text("3 of 40")
    await expect(page.locator("#scrub-said")).to_contain_text("Event 5 of 23")
    # What comes meanwhile leaves the past alone.
    await _publish(server, [progress(21, 40, "book", progress=52.5)])
    await expect(page.locator("#scrub-said")).to_contain_text("Event 5 of 24")
    await expect(past.locator("[data-fact=items] dd")).to_have_text("3 of 40")
    await page.get_by_role("button", name="Back to now").click()
    await expect(page.locator("#session-then")).to_be_hidden()
    await page.get_by_label("Event looked at").press("Home")
    await expect(past.locator(".now .step")).to_have_text("reading")
    await page.get_by_label("Event looked at").press("End")
    await expect(page.locator("#session-then")).to_be_hidden()


async def test_an_error_leads_to_the_moment_it_came(server: Server, open_page: OpenPage) -> None:
    """Errors first: each with its time, and one click away from the session as it was then."""
    seqs = await _publish(server, _book(20, 40, began=time.time() - 100))
    page = await open_page(server.url, "/monitor?session=book")
    error = page.locator("#session-errors li")
    await expect(error).to_contain_text("Connection timeout")
    await error.get_by_role("button").click()
    await expect(page.locator("#scrub-said")).to_contain_text(f"seq {seqs[7]} · translation_error")
    await expect(page.locator("#session-past .card [data-fact=items] dd")).to_have_text("5 of 40")
    await expect(page.locator("#session-past .last-error")).to_contain_text("1 error: Connection timeout")


@pytest.mark.slow
async def test_a_replay_runs_through_the_past_at_its_speed_and_can_be_paused(
    server: Server, open_page: OpenPage
) -> None:
    """Replay at 1×, 10× and 100×: the time of the session goes on by the speed; pause holds it."""
    began = time.time() - 1000
    await _publish(server, _book(400, 400, began=began, every_s=1.0))
    page = await open_page(server.url, "/monitor?session=book")
    await expect(page.locator("#session-view-note")).to_have_text("403 events kept")
    await page.get_by_label("Speed of the replay").select_option("10")
    await _scrub(page, 50)
    await page.get_by_role("button", name="Replay", exact=True).click()
    started = time.monotonic()
    await page.wait_for_function("() => Number(document.getElementById('scrub').value) >= 70")
    took = time.monotonic() - started
    assert took > 1.4, "20 seconds of the session at 10 × cannot pass faster than in 2 s"
    await page.get_by_role("button", name="Pause replay").click()
    held = await page.get_by_label("Event looked at").input_value()
    await expect(page.get_by_role("button", name="Replay", exact=True)).to_have_attribute(
        "aria-pressed", "false"
    )
    await page.get_by_label("Speed of the replay").select_option("100")
    assert await page.get_by_label("Event looked at").input_value() == held
    await page.get_by_role("button", name="Replay", exact=True).click()
    await expect(page.locator("#session-then")).to_be_hidden(timeout=20_000)
    await expect(page.locator("#scrub-said")).to_contain_text("Now, after 403 events")


async def test_what_retention_has_taken_is_a_gap_and_is_said(start: StartServer, open_page: OpenPage) -> None:
    """Gaps are shown as gaps, not as smooth lines; the page says what it does not know."""
    server = await start(event_log={"events_per_session": 100})
    began = time.time() - 2000
    await _publish(server, _book(600, 1200, began=began, every_s=1.0))
    kept = await server.get("/sessions/book/events?limit=1000")
    assert kept["events"][0]["seq"] > 1, "the test needs a session whose beginning is gone"
    page = await open_page(server.url, "/monitor?session=book")
    note = page.locator("#session-gap")
    await expect(note).to_contain_text("are no longer kept")
    await expect(page.locator(".chart .gap")).to_have_count(1)
    width = float(await page.locator(".chart .gap").get_attribute("width") or 0)
    line = await page.locator(".chart .curve-line").get_attribute("d") or ""
    begins = float(re.match(r"M([\d.]+) ", line).group(1))  # type: ignore[union-attr]
    assert width > 100
    assert begins >= width - 1, "the curve begins where the gap ends"
    await expect(page.locator("#session-usage [data-usage='requests'] dd")).to_have_text("600")
    await expect(page.locator("#session-steps li")).to_contain_text("at least")
    await _scrub(page, 3)
    await expect(page.locator("#session-then-title")).to_contain_text("counted since")
    await expect(page.locator("#session-usage-note")).to_have_text("not known for this moment")
    await expect(page.locator("#session-past [data-fact=elapsed] dd")).to_have_text("unknown")


async def test_events_removed_while_the_page_reads_are_a_gap_too(
    start: StartServer, open_page: OpenPage
) -> None:
    """Where retention overtakes the reading, the place is told instead of joined over."""
    server = await start(event_log={"events_per_session": 100})
    await _publish(server, _book(40, 1200, began=time.time() - 100))
    page = await open_page(server.url, "/monitor?session=other", forgive=OUTAGE)
    read_on = """async () => {
      const { Tape } = await import("/static/tape.js");
      window.tape ??= new Tape("book", { event() {} });
      await window.tape.extend();
      return [window.tape.count, window.tape.gaps.map((gap) => gap.index)];
    }"""
    assert await page.evaluate(read_on) == [43, []]
    seqs = await _publish(server, [progress(n, 1200, "book") for n in range(41, 500)])

    async def first_kept() -> int:
        kept = await server.get("/sessions/book/events?limit=1")
        return int(kept["events"][0]["seq"])

    while await first_kept() <= 43:
        await _publish(server, [progress(500, 1200, "book")])
    assert await first_kept() > seqs[0]
    count, gaps = await page.evaluate(read_on)
    assert gaps == [43]
    assert count < 43 + len(seqs)


async def test_a_long_session_is_read_in_pages_and_every_place_can_be_seen(
    start: StartServer, open_page: OpenPage
) -> None:
    """Sessions of many events come in pages; the first as well as the last can be looked at."""
    server = await start(event_log={"events_per_session": 20_000})
    await _publish(server, _book(12_000, 12_000, began=time.time() - 20_000))
    page = await open_page(server.url, "/monitor?session=book")
    await expect(page.locator("#session-view-note")).to_have_text("12,003 events kept", timeout=30_000)
    for index, items in ((1002, "1,000 of 12,000"), (11_001, "10,999 of 12,000"), (7, "5 of 12,000")):
        await _scrub(page, index)
        await expect(page.locator("#session-past .card [data-fact=items] dd")).to_have_text(items)
    points = (await page.locator(".chart .curve-line").get_attribute("d") or "").count("H")
    assert 1000 < points <= 4000


async def test_links_lead_where_they_are_configured_to_and_nowhere_else(
    server: Server, start: StartServer, open_page: OpenPage
) -> None:
    """Links to the trace and to Grafana only where their addresses are configured; the report always."""
    links = {"grafana_url": "https://grafana.lab/", "trace_url": "https://jaeger.lab/trace/{trace_id}"}
    linked = await start(telemetry=links)
    for one in (server, linked):
        await _publish(one, _book(3, 9, began=time.time() - 9))
    trace_id = (await linked.get("/sessions/book"))["trace_id"]
    page = await open_page(linked.url, "/monitor?session=book")
    expected = {
        "Trace": f"https://jaeger.lab/trace/{trace_id}",
        "Grafana": "https://grafana.lab/d/translation-session?var-session=book",
        "Report": "/sessions/book/report",
    }
    elsewhere = page.get_by_role("navigation", name="This session elsewhere")
    for name, address in expected.items():
        await expect(elsewhere.get_by_role("link", name=name)).to_have_attribute("href", address)
    async with linked.client.get(linked.url + expected["Report"]) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
    plain = await open_page(server.url, "/monitor?session=book")
    elsewhere = plain.get_by_role("navigation", name="This session elsewhere")
    await expect(elsewhere.get_by_role("link")).to_have_count(1)


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light"), (2560, "dark")])
async def test_a_moment_of_the_past_has_no_fault_of_accessibility(
    start: StartServer, open_page: OpenPage, width: int, scheme: str
) -> None:
    """axe-core finds nothing while somebody travels through a session with errors, steps and a gap."""
    server = await start(event_log={"events_per_session": 100})
    await _publish(server, _book(600, 1200, began=time.time() - 2000))
    size = {"width": width, "height": 900}
    options = {"viewport": size, "color_scheme": scheme, "bypass_csp": True}
    page = await open_page(server.url, "/monitor?session=book", **options)
    await expect(page.locator("#session-gap")).to_be_visible()
    await _scrub(page, 3)
    await expect(page.locator("#session-past .card")).to_be_visible()
    found = await Axe().run(page)
    assert [f"{fault['id']}: {fault['nodes'][0]['html']}" for fault in found.response["violations"]] == []
    assert await page.evaluate(WIDER_THAN_VIEW) <= 0


async def test_hostile_text_is_text_in_the_sessions_view_too(server: Server, open_page: OpenPage) -> None:
    """Markup, overrides and endless words of a producer break neither the steps nor the errors."""
    markup = '<img src=x onerror="window.hacked=1">'
    hostile = {"step": markup + "s" * 200, "error": markup + "\u202e" + "e" * 5000, "message": markup}
    await _publish(
        server,
        [
            event("book", "translation_error", **hostile),
            event("book", "translation_progress", step="__proto__", progress=1),
        ],
    )
    page = await open_page(server.url, "/monitor?session=book", viewport={"width": 390, "height": 844})
    await expect(page.locator("#session-errors li")).to_contain_text(markup + "⟦U+202E⟧")
    await expect(page.locator("#session-steps li")).to_have_count(2)
    await _scrub(page, 0)
    await expect(page.locator("#session-past .last-error")).to_contain_text("<img")
    assert await page.evaluate("() => window.hacked") is None
    assert await page.locator("main img").count() == 0
    assert await page.evaluate(WIDER_THAN_VIEW) <= 0


async def test_a_session_that_has_not_come_yet_is_waited_for(server: Server, open_page: OpenPage) -> None:
    """Of a session without events the view says so, and fills with its first."""
    # The browser itself notes each 404 as an error.
    page = await open_page(server.url, "/monitor?session=book", forgive=("Failed to load resource",))
    await expect(page.locator("#scrub-said")).to_have_text("No event has come yet.")
    await expect(page.get_by_label("Event looked at")).to_be_disabled()
    await _publish(server, _book(3, 9, began=time.time() - 9))
    await expect(page.locator("#session-view-note")).to_have_text("5 events kept")
    await expect(page.get_by_label("Event looked at")).to_be_enabled()
