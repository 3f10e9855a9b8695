"""The live log as a tool: filters, places in the log, taking lines along."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from playwright.async_api import Page, expect

from tests.browser import SEQS, OpenPage, progress, read_log, until_shown
from tests.monitor_server import Server, StartServer, event, until


async def until_seqs(page: Page, wanted: list[int]) -> None:
    """Wait until the log shows exactly these events."""
    await page.wait_for_function(f"wanted => String(({SEQS})()) === String(wanted)", arg=wanted)


async def test_a_regular_expression_filters_and_a_bad_one_says_so(
    server: Server, open_page: OpenPage
) -> None:
    """Filter by regex; a bad regex says so; what comes later is filtered too; the address keeps it."""
    page = await open_page(server.url)
    seqs = await server.publish(*(progress(n) for n in range(1, 31)))
    await until_shown(page, seqs[-1])
    await page.get_by_label("Regular expression").check()
    await page.locator("#log-text").fill(r"^line (7|2\d) OF")
    await until_seqs(page, [seqs[6], *seqs[19:29]])
    later = await server.publish(progress(7), progress(8))
    await until_seqs(page, [seqs[6], *seqs[19:29], later[0]])
    await page.reload()
    await until_seqs(page, [seqs[6], *seqs[19:29], later[0]])
    await page.locator("#log-text").fill("Line (")
    await expect(page.locator("#log-fault")).to_contain_text("Not a regular expression")
    await expect(page.locator("#log-text")).to_have_attribute("aria-invalid", "true")
    await until_seqs(page, seqs + later)
    await page.locator("#log-text").fill("Line 8 ")
    await expect(page.locator("#log-fault")).to_be_hidden()
    await until_seqs(page, [seqs[7], later[1]])


async def test_a_catastrophic_pattern_is_ended_and_the_page_stays_quick(
    server: Server, open_page: OpenPage
) -> None:
    """A pattern that would run for years does not freeze the page: it is ended and named."""
    page = await open_page(server.url)
    seqs = await server.publish(event("book", message="a" * 60 + "!"), progress(1))
    await until_shown(page, seqs[-1])
    await page.evaluate(
        "() => { window.longest = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "task => { window.longest = Math.max(window.longest, task.duration); "
        "})).observe({type: 'longtask'}); }"
    )
    await page.get_by_label("Regular expression").check()
    await page.locator("#log-text").fill("^(a+)+$")
    await expect(page.locator("#log-fault")).to_contain_text("takes too long", timeout=15_000)
    assert await page.evaluate("() => window.longest") < 1000
    seqs += await server.publish(progress(2))
    await until_seqs(page, seqs)


async def test_the_log_filters_by_worker(server: Server, open_page: OpenPage) -> None:
    """Filter by worker: however an event names it."""
    page = await open_page(server.url)
    seqs = await server.publish(
        progress(1, worker_info={"host": "gpu-1.lab", "port": 2222, "name": "left"}),
        progress(2, data={"worker_info": {"host": "gpu-2.lab"}}),
        progress(3, usage=[{"provider": "ssh", "model": "m", "worker": "right"}]),
        event("book", "worker_status", data={"worker": "right", "state": "up"}),
        progress(5),
    )
    for wanted, found in (
        ("left", seqs[:1]),
        ("gpu-1.lab:2222", seqs[:1]),
        ("GPU-2", seqs[1:2]),
        ("right", seqs[2:4]),
        ("", seqs),
    ):
        await page.locator("#log-worker").fill(wanted)
        await until_seqs(page, found)


async def test_a_link_to_a_line_opens_it_where_only_the_server_has_it(
    server: Server, open_page: OpenPage
) -> None:
    """`#seq` opens around a line never sent to the page; from there one reads on, back and to live."""
    seqs: list[int] = []
    for start in range(0, 3000, 500):
        sent = (progress(n, 3000, f"book-{n % 4}") for n in range(start, start + 500))
        seqs += await server.publish(*sent)
    wanted = seqs[1200]
    page = await open_page(server.url, f"/monitor#{wanted}")
    line = page.locator(f'#log-lines [data-seq="{wanted}"]')
    await expect(line).to_be_in_viewport()
    await expect(line).to_have_attribute("aria-current", "true")
    await expect(line.locator(".seq")).to_be_focused()
    await expect(page.locator("#log-note")).to_have_text("From the server's log")
    before = await line.bounding_box()
    seqs += await server.publish(*(progress(n) for n in range(50)))
    await expect(page.locator("#to-end")).to_contain_text("Back to live, 50 new")
    assert await line.bounding_box() == before
    up = await read_log(page)
    down = await read_log(page, down=True)
    assert sorted({*up, *down}) == seqs
    await expect(page.locator("#to-end")).to_be_hidden()  # whoever has read on to the end is live again
    newer = await server.publish(progress(1))
    await until_shown(page, newer[0])


async def test_to_live_leaves_the_line_that_was_asked_for(server: Server, open_page: OpenPage) -> None:
    """A line gives the link that leads to it; the newest lines are one click away, and back leads back."""
    page = await open_page(server.url)
    seqs = await server.publish(*(progress(n) for n in range(300)))
    await until_shown(page, seqs[-1])
    newest = page.locator(f'#log-lines [data-seq="{seqs[-1]}"]')
    await newest.locator(".seq").click()
    await newest.get_by_role("link", name="Link to event").click()
    await expect(page).to_have_url(f"{server.url}/monitor#{seqs[-1]}")
    await expect(newest).to_have_attribute("aria-current", "true")
    await page.goto(f"{server.url}/monitor#{seqs[20]}")
    line = page.locator(f'#log-lines [data-seq="{seqs[20]}"]')
    await expect(line).to_be_in_viewport()
    await page.locator("#to-end").click()
    await expect(newest).to_be_in_viewport()
    assert "#" not in page.url
    assert await page.locator("[aria-current]").count() == 0
    await page.go_back()
    await expect(line).to_be_in_viewport()
    await page.go_forward()
    await expect(newest).to_be_in_viewport()


async def test_a_link_to_a_line_that_is_gone_says_so(start: StartServer, open_page: OpenPage) -> None:
    """A permalink says so if retention has trimmed the line, or if there is no such event yet."""
    server = await start(event_log={"events_per_session": 50})
    for first in range(0, 400, 20):
        await server.publish(*(progress(n) for n in range(first, first + 20)))
    kept = (await server.get("/events?limit=1000"))["events"]
    assert kept[0]["seq"] > 5
    page = await open_page(server.url, "/monitor#5")
    marker = page.locator("#log-lines .marker")
    await expect(marker).to_contain_text("Event 5 is no longer kept")
    await page.goto(f"{server.url}/monitor#999999")
    await expect(marker).to_contain_text("no event 999,999 yet")


async def test_a_hole_that_retention_has_made_is_told_at_its_place(
    start: StartServer, open_page: OpenPage
) -> None:
    """Where events were removed between those that are kept, the line says how many."""
    server = await start(event_log={"events_per_session": 50})
    quiet = await server.publish(progress(1, session_id="quiet"))
    for first in range(0, 600, 20):
        await server.publish(*(progress(n) for n in range(first, first + 20)))
        if first == 200:
            quiet += await server.publish(progress(2, session_id="quiet"))
    kept = [e["seq"] for e in (await server.get("/events?limit=1000"))["events"]]
    assert kept[:2] == quiet
    page = await open_page(server.url, f"/monitor#{quiet[1]}")
    line = page.locator(f'#log-lines [data-seq="{quiet[0]}"]')
    await expect(line.locator(".removed.after")).to_have_text("220 events after this one no longer kept")
    line = page.locator(f'#log-lines [data-seq="{kept[2]}"]')
    await expect(line.locator(".removed.before")).to_have_text(
        f"{kept[2] - kept[1] - 1} events before this one no longer kept"
    )


@pytest.mark.slow
async def test_a_pause_keeps_its_lines_however_much_comes(server: Server, open_page: OpenPage) -> None:
    """Pause without losing: what was on the page stays, can be filtered, and all that came is there after."""
    page = await open_page(server.url)
    before = await server.publish(*(progress(n) for n in range(1, 21)))
    await until_shown(page, before[-1])
    await page.get_by_role("button", name="Pause").click()
    during: list[int] = []
    for first in range(0, 6000, 500):
        sent = (progress(n, 9, f"s{n % 8}") for n in range(first, first + 500))
        during += await server.publish(*sent)
    await expect(page.locator("#log-note")).to_have_text("Paused, 6,000 new events", timeout=20_000)
    await page.locator("#log-text").fill("Line 7 of")
    await until_seqs(page, [before[6]])
    await page.locator("#log-text").fill("")
    await until_seqs(page, before)
    await page.get_by_role("button", name="Resume").click()
    await until_shown(page, during[-1])
    # The page keeps the newest 5,000; what came before them is read from the server's log.
    assert await read_log(page) == before + during


async def test_a_time_leads_to_its_place_in_the_log(server: Server, open_page: OpenPage) -> None:
    """Jump to time: the first event at or after it, wherever it is kept."""
    first = await server.publish(*(progress(n) for n in range(1, 6)))
    at = (await server.get(f"/events?after={first[-1] - 1}"))["events"][0]["received_at"]
    # datetime-local counts whole seconds: the next event must lie in a later one than the first.
    await until(lambda: time.time() > int(at) + 1.05, "the next second")
    second = await server.publish(*(progress(n) for n in range(6, 9)))
    page = await open_page(server.url, timezone_id="UTC")
    await page.get_by_role("button", name="Tools").click()
    text = await page.evaluate("at => new Date(at * 1000).toISOString().slice(0, 19)", int(at) + 1)
    await page.locator("#log-time").fill(text)
    await page.get_by_role("button", name="Go", exact=True).click()
    await expect(page.locator("#log-lines [aria-current]")).to_have_attribute("data-seq", str(second[0]))
    assert page.url.endswith(f"#{second[0]}")
    await page.locator("#log-time").fill("2099-01-01T00:00:00")
    await page.get_by_role("button", name="Go", exact=True).click()
    await expect(page.locator("#log-said")).to_have_text("Nothing has come since then.")


async def test_what_the_filter_shows_can_be_copied_and_saved(
    server: Server, open_page: OpenPage, tmp_path: Path
) -> None:
    """Copy, NDJSON and CSV hold exactly what the filter lets through; no cell of the CSV is a formula."""
    page = await open_page(server.url, permissions=["clipboard-read", "clipboard-write"])
    seqs = await server.publish(
        event(
            "book", "translation_error", error='=HYPERLINK("x")\nsecond, "line"', data={"a": [1]}, mine="own"
        ),
        progress(2),
        event("book", "translation_error", error="plain"),
    )
    await until_shown(page, seqs[-1])
    await page.locator("#log-level").select_option("error")
    await until_seqs(page, [seqs[0], seqs[2]])
    await page.get_by_role("button", name="Tools").click()
    saved = {}
    for form in ("ndjson", "csv"):
        async with page.expect_download() as downloading:
            await page.locator(f"#log-{form}").click()
        await (await downloading.value).save_as(tmp_path / form)
        saved[form] = (tmp_path / form).read_bytes().decode()
    lines = [orjson.loads(line) for line in saved["ndjson"].splitlines()]
    assert lines == [e for e in (await server.get("/events"))["events"] if e["seq"] != seqs[1]]
    rows = list(csv.DictReader(io.StringIO(saved["csv"], newline="")))
    assert [int(row["seq"]) for row in rows] == [seqs[0], seqs[2]]
    assert rows[0]["error"] == "'" + lines[0]["error"]
    assert (rows[0]["data"], rows[0]["other"]) == ('{"a":[1]}', '{"mine":"own"}')
    await page.locator("#log-copy").click()
    await expect(page.locator("#log-said")).to_have_text("Copied 2 events.")
    copied = await page.evaluate("() => navigator.clipboard.readText()")
    assert f"#{seqs[2]}  " in copied
    assert "translation_error  book  plain" in copied


async def test_an_end_by_the_server_is_told_with_its_reason(start: StartServer, open_page: OpenPage) -> None:
    """`session_ended` carries status and reason: the log says both."""
    server = await start(event_log={"session_timeout_s": 0.5})
    page = await open_page(server.url)
    await server.publish(progress(1))
    line = page.locator("#log-lines [data-type=session_ended] .message")
    await expect(line).to_have_text("timed_out: no event for 0.000138889 hours", timeout=20_000)


async def test_all_that_is_kept_is_saved_as_the_server_has_it(
    server: Server, open_page: OpenPage, tmp_path: Path
) -> None:
    """Not the lines in sight but all that the filter shows: the server's log, each event once, in order."""
    page = await open_page(server.url)
    seqs: list[int] = []
    for first in range(0, 1500, 500):
        lines = (
            progress(n, 1500, f"book-{n % 3}", extra={"\u202e": [n / 7, None, "\U0001f469\u200d\U0001f466"]})
            for n in range(first, first + 500)
        )
        seqs += await server.publish(*lines)
    await until_shown(page, seqs[-1])
    await page.get_by_role("button", name="Tools").click()
    async with page.expect_download() as downloading:
        await page.locator("#log-ndjson").click()
    await (await downloading.value).save_as(tmp_path / "all")
    saved = [orjson.loads(line) for line in (tmp_path / "all").read_bytes().splitlines()]
    log: list[Any] = []
    while len(log) < len(seqs):
        log += (await server.get(f"/events?limit=1000&after={log[-1]['seq'] if log else 0}"))["events"]
    assert saved == log
    await expect(page.locator("#log-said")).to_have_text("Saved 1,500 events.")


async def test_the_whole_filter_is_in_the_address(server: Server, open_page: OpenPage) -> None:
    """Text, regex, level, type, session and worker: a fresh page at the same address shows the same."""
    seqs = await server.publish(
        progress(1, session_id="alpha", worker_info={"host": "gpu-1", "name": "left"}),
        event(
            "alpha", "translation_error", error="Timeout 17", worker_info={"host": "gpu-1", "name": "left"}
        ),
        event(
            "alpha", "translation_error", error="Timeout 17", worker_info={"host": "gpu-2", "name": "right"}
        ),
        event("beta", "translation_error", error="Timeout 17", worker_info={"host": "gpu-1", "name": "left"}),
        event("alpha", "translation_error", error="Timeout", worker_info={"host": "gpu-1", "name": "left"}),
    )
    page = await open_page(server.url)
    await until_shown(page, seqs[-1])
    await page.get_by_label("Regular expression").check()
    await page.locator("#log-text").fill(r"timeout \\d+$".replace("\\\\", "\\"))
    await page.locator("#log-level").select_option("error")
    await page.locator("#log-type").select_option("translation_error")
    await page.locator("#log-session").fill("alpha")
    await page.locator("#log-worker").fill("left")
    await until_seqs(page, [seqs[1]])
    fresh = await open_page(page.url, "")
    await until_seqs(fresh, [seqs[1]])
    for wanted in ([seqs[1], seqs[2]], [seqs[1], seqs[2], seqs[3]]):
        await page.go_back()
        await until_seqs(page, wanted)
    await page.go_forward()
    await until_seqs(page, [seqs[1], seqs[2]])
