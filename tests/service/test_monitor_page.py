"""The HTML monitor in a real browser against a real server: what it shows is right, hostile text is inert."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import SEQS, OpenPage, progress, read_log, shown_seqs, until_live, until_shown
from tests.monitor_server import Server, StartServer, event

WIDER_THAN_VIEW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


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
    await expect(card.locator("[data-fact=tokens] dd")).to_have_text("1,200")
    await expect(card.locator("[data-fact=cost] dd")).to_have_text("$0.02")
    await expect(card.locator("[data-fact=errors] dd")).to_have_text("0")
    await expect(card.locator("[data-fact=worker] dd")).to_contain_text("gpu.lab")
    await expect(page.locator("[data-count=active] b")).to_have_text("1")
    await page.locator("#workers > summary").click()
    await expect(page.locator('[data-worker="gpu.lab:2222"]')).to_contain_text("ssh-llamacpp")
    await publisher.close()


async def test_a_price_nobody_told_is_not_shown_as_nothing(server: Server, open_page: OpenPage) -> None:
    """Usage without `cost_usd`, as of a model of one's own: its tokens are known, its cost is not."""
    usage = {"provider": "own", "model": "m", "input_tokens": 900, "output_tokens": 600}
    await server.publish(progress(3, 9, "free", usage=usage), event("free", "translation_completed"))
    page = await open_page(server.url, "/monitor?session=free")
    card = page.locator('.card[data-session="free"]')
    await expect(card.locator("[data-fact=tokens] dd")).to_have_text("1,500")
    await expect(card.locator("[data-fact=cost] dd")).to_have_text("unknown")
    await expect(page.locator("#session-usage [data-usage='cost'] dd")).to_have_text("unknown")
    await expect(page.locator("#history-rows tr .wide-only")).to_have_text("unknown")


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
    seqs = await server.publish(
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
    await server.publish(
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


@pytest.mark.slow
async def test_statuses_differ_by_word_and_by_colour_and_none_is_invented(
    start: StartServer, open_page: OpenPage
) -> None:
    """Stalled and lost sessions look it; 100 % alone is not "completed"."""
    server = await start(event_log={"stalled_after_s": 1.0})
    await server.publish(
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
    quiet = page.locator('.card[data-session="quiet"] [data-fact=left]')
    await expect(quiet).to_contain_text("Silent for")
    await server.publish(progress(9, 9, "full", progress=100))
    full = page.locator('.card[data-session="full"]')
    await expect(full.locator(".percent")).to_have_text("100 %")
    await expect(full.locator(".badge")).to_have_text("Running")
    await expect(page.locator("[data-count=failed] b")).to_have_text("2")
    await expect(page.locator("[data-count=completed] b")).to_have_text("1")


async def test_pause_holds_the_log_still_and_loses_nothing(server: Server, open_page: OpenPage) -> None:
    """While paused new events are counted; resuming shows them all, in order."""
    page = await open_page(server.url)
    before = await server.publish(*(progress(n) for n in range(20)))
    await until_shown(page, before[-1])
    await page.get_by_role("button", name="Pause").click()
    during = await server.publish(*(progress(n) for n in range(20, 320)))
    await expect(page.locator("#log-note")).to_have_text("Paused, 300 new events")
    assert await shown_seqs(page) == before
    await page.get_by_role("button", name="Resume").click()
    await until_shown(page, during[-1])
    assert await read_log(page) == before + during


async def test_the_log_filters_by_text_level_type_and_session(server: Server, open_page: OpenPage) -> None:
    """Live log: filter by text, level or type, and session; what a filter hides comes back with it."""
    page = await open_page(server.url)
    seqs = await server.publish(
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
    for select, chosen, wanted in (
        ("#log-level", "error", [seqs[1]]),
        ("#log-level", "info", [seqs[1], seqs[2]]),
        ("#log-type", "step_completed", [seqs[2]]),
        ("#log-level", "", [seqs[2]]),
        ("#log-type", "", seqs),
    ):
        await page.locator(select).select_option(chosen)
        await page.wait_for_function(f"wanted => String(({SEQS})()) === String(wanted)", arg=wanted)


async def test_whoever_reads_further_up_keeps_the_place(server: Server, open_page: OpenPage) -> None:
    """The log scrolls by itself only at its end; elsewhere it says how much is new and leads there."""
    page = await open_page(server.url)
    seqs = await server.publish(*(progress(n) for n in range(200)))
    await until_shown(page, seqs[-1])
    await page.locator("#log-lines").hover()
    await page.mouse.wheel(0, -2000)
    await expect(page.locator("#to-end")).to_have_text("↓ Newest")
    top = page.locator(f'#log-lines [data-seq="{seqs[100]}"]')
    await expect(top).to_be_in_viewport()
    before = await top.bounding_box()
    for start_at in range(0, 1000, 500):
        seqs += await server.publish(*(progress(n) for n in range(start_at, start_at + 500)))
    await expect(page.locator("#to-end")).to_have_text("↓ 1,000 new")
    assert await top.bounding_box() == before
    await page.locator("#to-end").click()
    await until_shown(page, seqs[-1])
    await expect(page.locator(f'#log-lines [data-seq="{seqs[-1]}"]')).to_be_in_viewport()
    shown = await shown_seqs(page)
    assert shown == seqs[-len(shown) :]


async def test_one_session_can_be_monitored_alone(server: Server, open_page: OpenPage) -> None:
    """`?session=ID` and the "monitor session" box narrow the page to one session."""
    mine = await server.publish(*(progress(n, 9, "mine") for n in range(1, 4)))
    await server.publish(*(progress(n, 9, "other") for n in range(1, 4)))
    page = await open_page(server.url)
    await page.get_by_label("Session id to monitor").fill("mine")
    await page.get_by_role("button", name="Monitor session").click()
    await page.wait_for_url("**/monitor?session=mine")
    await until_live(page)
    await expect(page.locator(".card")).to_have_count(1)
    await until_shown(page, mine[-1])
    later = await server.publish(progress(4, 9, "other"), progress(4, 9, "mine"))
    await until_shown(page, later[1])
    assert await shown_seqs(page) == [*mine, later[1]]
    await expect(page).to_have_title("mine · Translation Monitor")
    await page.get_by_role("link", name="All sessions").click()
    await expect(page.locator(".card")).to_have_count(2)


async def test_history_pages_back_and_forth_and_can_be_searched(server: Server, open_page: OpenPage) -> None:
    """Ended sessions, newest first, by `next_before`; by status and text; the first page follows new ends."""
    for number in range(45):
        how: dict[str, Any] = {"type": "translation_completed", "failed_items": number % 2}
        await server.publish(
            event(f"book-{number:02d}", "translation_started"), event(f"book-{number:02d}", **how)
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
    await server.publish(event("late", "translation_started"), event("late", "translation_cancelled"))
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


async def test_the_history_can_be_sorted_by_its_heads(server: Server, open_page: OpenPage) -> None:
    """History: a head sorts by its figure, once one way round, once the other, then newest first again."""
    for name, errors in (("calm", 0), ("wild", 3), ("fair", 1)):
        wrong = [event(name, "translation_error", error="no")] * errors
        await server.publish(*wrong, event(name, "translation_completed", failed_items=0))
    page = await open_page(server.url, viewport={"width": 2560, "height": 1440})
    rows = page.locator("#history-rows tr")
    head = page.locator("#history thead [data-sort=errors]")
    await expect(page.locator("#history-note")).to_have_text("3 sessions")
    for wanted, said in ((["wild", "fair", "calm"], "descending"), (["calm", "fair", "wild"], "ascending")):
        await head.get_by_role("button", name="Errors").click()
        await expect(head).to_have_attribute("aria-sort", said)
        for place, name in enumerate(wanted):
            await expect(rows.nth(place)).to_have_attribute("data-session", name)
    await head.get_by_role("button", name="Errors").click()
    await expect(rows.first).to_have_attribute("data-session", "fair")
    await expect(page.locator("#history thead [data-sort=ended]")).to_have_attribute(
        "aria-sort", "descending"
    )
    phone = await open_page(server.url, viewport={"width": 390, "height": 844})
    await phone.locator("#history-sort").select_option("Most errors")
    await expect(phone.locator("#history-rows tr").first).to_have_attribute("data-session", "wild")


async def test_a_workers_last_minutes_are_a_curve_with_its_rate(server: Server, open_page: OpenPage) -> None:
    """Workers show their rates as a sparkline, from the events that name them."""
    page = await open_page(server.url, "/enhanced-monitor.html")
    worker = {"host": "gpu.lab", "port": 2222, "type": "ssh-llamacpp"}
    usage = {"provider": "ssh", "output_tokens": 4000}
    await server.publish(*(progress(n, 9, worker_info=worker, usage=usage) for n in range(5)))
    spark = page.locator('[data-worker="gpu.lab:2222"] .spark')
    await expect(spark.locator("b")).to_have_text(re.compile(r"1,000 tokens out / s"), timeout=15_000)
    assert "M0 20L" in (await spark.locator("path").get_attribute("d") or "")


@pytest.mark.slow
async def test_a_card_tells_how_fast_its_tokens_come(server: Server, open_page: OpenPage) -> None:
    """Tokens a second: over the last half minute once watched so long, before that on the whole."""
    page = await open_page(server.url)
    await server.publish(progress(1, 900, "book", usage={"output_tokens": 0, "input_tokens": 9}))
    speed = page.locator('.card[data-session="book"] [data-fact="tokens / s"] dd')
    await expect(speed).to_have_attribute("title", "output tokens, mean of the whole attempt")
    before = time.monotonic()
    while time.monotonic() - before < 7:
        await server.publish(progress(2, 900, "book", usage={"output_tokens": 100}))
        await page.wait_for_timeout(500)
    await expect(speed).to_have_attribute("title", re.compile(r"output tokens, over the last \d+ s"))
    told = float((await speed.inner_text()).replace(",", ""))
    assert 60 < told < 220


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
    seqs = await server.publish(*(progress(n) for n in range(30)))
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
        "log-level",
        "log-type",
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
