"""The page on a line gone silent, in a computer that sleeps, with a wrong clock: it says so and heals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import OUTAGE, OpenPage, progress, read_log, until_live, until_shown
from tests.cable import cabled
from tests.monitor_server import Server, StartServer
from tests.shown import equals_the_server, work

SLACK_MS = 8_000  # of a busy machine
DOUBTFUL_WITHIN_MS = 13_000 + SLACK_MS  # docs/page.md: so long after the last event "No answer…" is said
WAITING_WITHIN_MS = 12_000 + SLACK_MS  # … and so long after that the connection is given up
# Shifts the page's wall clock by `window.ahead` ms: a device whose clock is wrong, or a laptop that slept.
WRONG_CLOCK = """
    window.ahead ??= AHEAD;
    const RealDate = Date;
    window.Date = class extends RealDate {
        constructor(...given) { super(...(given.length ? given : [RealDate.now() + window.ahead])); }
        static now() { return RealDate.now() + window.ahead; }
    };
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "forget",
    [pytest.param(False, marks=pytest.mark.soak), True],
    ids=["the connections live on", "the router forgot them"],
)
async def test_a_network_cut_of_thirty_seconds_is_said_and_heals(
    tmp_path: Path, start: StartServer, open_page: OpenPage, forget: bool
) -> None:
    """Nothing is closed and nothing answers: the page's own watch finds out within the promised time."""
    server = await start(tmp_path / "events.db")
    async with cabled(server.port) as cable:
        page = await open_page(cable.url, forgive=OUTAGE)
        seqs = await server.publish(*work(0, 60))
        await until_shown(page, seqs[-1])
        began = asyncio.get_running_loop().time()
        cable.cut()
        seqs += await server.publish(*work(60, 120))
        await expect(page.locator("body[data-connection=doubtful]")).to_have_count(
            1, timeout=DOUBTFUL_WITHIN_MS
        )
        await expect(page.locator("#connection-text")).to_have_text("No answer…")
        await expect(page.get_by_role("alert")).to_contain_text("Not live since")
        await expect(page.locator("body[data-connection=waiting]")).to_have_count(
            1, timeout=WAITING_WITHIN_MS
        )
        await expect(page.get_by_role("alert")).to_contain_text("no answer within 8 s")
        seqs += await server.publish(*work(120, 150))
        await asyncio.sleep(max(0.0, 30.0 - (asyncio.get_running_loop().time() - began)))
        cable.mend(forget=forget)
        await until_live(page)
        await expect(page.get_by_role("alert")).to_be_hidden()
        seqs += await server.publish(*work(150, 160))
        await until_shown(page, seqs[-1])
        assert await read_log(page) == seqs
        await equals_the_server(page, server.get)
        await page.close()


@pytest.mark.slow
async def test_connections_that_hang_are_tried_again_until_one_answers(
    start: StartServer, open_page: OpenPage
) -> None:
    """The line is cut and new connections hang: each attempt ends by the page's own time limit."""
    server = await start()
    async with cabled(server.port) as cable:
        page = await open_page(cable.url, forgive=OUTAGE)
        seqs = await server.publish(*work(0, 30))
        await until_shown(page, seqs[-1])
        cable.sever()
        await expect(page.locator("body[data-connection=waiting]")).to_have_count(1)
        await expect(page.get_by_role("alert")).to_contain_text("no answer within 8 s", timeout=15_000)
        seqs += await server.publish(*work(30, 60))
        cable.mend()
        await until_live(page)
        await until_shown(page, seqs[-1])
        assert await read_log(page) == seqs
        await equals_the_server(page, server.get)
        await page.close()


@pytest.mark.slow
async def test_a_laptop_that_slept_is_not_called_live_before_the_server_has_answered(
    server: Server, open_page: OpenPage
) -> None:
    """After a sleep the socket looks open and brings nothing: not live until asked, then nothing missing."""
    async with cabled(server.port) as cable:
        page = await open_page(cable.url, forgive=OUTAGE, scripts=[WRONG_CLOCK.replace("AHEAD", "0")])
        seqs = await server.publish(*work(0, 30))
        await until_shown(page, seqs[-1])
        cable.cut()
        seqs += await server.publish(*work(30, 60))
        await page.evaluate("window.ahead = 3_600_000")  # all the page can see of an hour's sleep
        await expect(page.locator("#log-lines [data-marker=asleep]")).to_have_count(1)
        await expect(page.locator("body[data-connection=live]")).to_have_count(0)
        cable.mend(forget=True)
        await until_live(page)
        await until_shown(page, seqs[-1])
        assert await read_log(page) == seqs
        await equals_the_server(page, server.get)
        await page.close()


@pytest.mark.slow
@pytest.mark.parametrize("ahead_ms", [3_600_000, -3_600_000], ids=["an hour fast", "an hour slow"])
async def test_a_wrong_clock_changes_no_duration(server: Server, open_page: OpenPage, ahead_ms: int) -> None:
    """Elapsed times are the server's: neither negative nor an hour too long, and they never jump back."""
    await server.publish(*(progress(n) for n in range(1, 9)))
    page = await open_page(server.url, scripts=[WRONG_CLOCK.replace("AHEAD", str(ahead_ms))])
    fact = page.locator('.card[data-session="book"] [data-fact=elapsed] dd')
    shown = [0]
    for n in range(9, 15):
        [seq] = await server.publish(progress(n))
        await until_shown(page, seq)
        await asyncio.sleep(0.5)
        shown.append(int((await fact.inner_text()).removesuffix(" s")))
        duration_s = (await server.get("/sessions/book"))["duration_s"]
        assert abs(shown[-1] - duration_s) < 2.5, "not what the server says"
    assert shown == sorted(shown)


@pytest.mark.slow
async def test_a_device_that_goes_offline_says_so_and_comes_back_at_once(
    server: Server, open_page: OpenPage
) -> None:
    """The browser's word that it is offline is the reason told; that it is online ends the wait."""
    page = await open_page(server.url, forgive=OUTAGE)
    seqs = await server.publish(*work(0, 30))
    await until_shown(page, seqs[-1])
    await page.context.set_offline(True)
    banner = page.get_by_role("alert")
    await expect(banner).to_contain_text("this device is offline", timeout=15_000)
    await expect(page.locator("body[data-connection=waiting]")).to_have_count(1, timeout=15_000)
    seqs += await server.publish(*work(30, 60))
    await page.context.set_offline(False)
    await expect(page.locator("body[data-connection=live]")).to_have_count(1, timeout=3_000)
    await expect(banner).to_be_hidden()
    await until_shown(page, seqs[-1])
    assert await read_log(page) == seqs
    await equals_the_server(page, server.get)


async def test_a_log_of_nothing_but_the_pages_own_lines_stays_usable(
    server: Server, open_page: OpenPage
) -> None:
    """Cut again and again while nothing happens: each return is a line, and the page goes on."""
    async with cabled(server.port) as cable:
        page = await open_page(cable.url, forgive=OUTAGE)
        for times in (1, 2, 3):
            cable.sever()
            cable.mend()
            await expect(page.locator("#log-lines [data-marker=reconnected]")).to_have_count(
                times, timeout=15_000
            )
        seqs = await server.publish(progress(1))
        await until_shown(page, seqs[-1])
        await page.close()
