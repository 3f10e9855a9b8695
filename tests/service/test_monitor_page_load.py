"""How the page comes to the browser: how much, how soon, and whole. Real browser, real server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error, Page, Route, expect

from service.http import pages
from tests.browser import OUTAGE, OpenPage, until_live
from tests.monitor_process import MonitorProcess
from tests.monitor_server import Server

MAX_BYTES = 100_000
BLOCKED = "Service Worker registration blocked"  # by the tests, where it would answer instead of the server
FORGIVEN = (*OUTAGE, BLOCKED)
OF_THE_PAGE = {"Document", "Script", "Stylesheet", "Image", "Manifest", "Other"}


class Wire:
    """What came for a page, as the browser's network stack counts it."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._bodies: dict[str, int] = {}
        self._with_headers: dict[str, int] = {}

    async def watch(self, page: Page) -> None:
        """Listen from now on."""
        devtools = await page.context.new_cdp_session(page)
        devtools.on("Network.requestWillBeSent", self._sent)
        devtools.on("Network.dataReceived", self._received)
        devtools.on("Network.loadingFinished", self._finished)
        await devtools.send("Network.enable")

    def _sent(self, sent: dict[str, Any]) -> None:
        if sent.get("type", "Other") in OF_THE_PAGE:
            self._paths[sent["requestId"]] = sent["request"]["url"].split("/", 3)[3]

    def _received(self, received: dict[str, Any]) -> None:
        number = received["requestId"]
        self._bodies[number] = self._bodies.get(number, 0) + received["encodedDataLength"]

    def _finished(self, finished: dict[str, Any]) -> None:
        self._with_headers[finished["requestId"]] = int(finished["encodedDataLength"])

    @property
    def came(self) -> list[str]:
        """The paths that came over the wire; what the browser had already did not."""
        return [path for number, path in self._paths.items() if self._with_headers.get(number)]

    def bytes(self, *, headers: bool) -> int:
        """All of the page, without what it reads once it runs."""
        sizes = self._with_headers if headers else self._bodies
        return sum(sizes.get(number, 0) for number in self._paths)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/monitor", True),
        ("/enhanced-monitor.html", True),
        ("/monitor?session=book", False),
    ],
)
async def test_a_cold_page_is_under_100_kilobytes(
    monitor: MonitorProcess, open_page: OpenPage, path: str, headers: bool
) -> None:
    """Page, scripts, styles and pictures as they come over the wire, each once; mostly with their headers."""
    page = await open_page("about:blank", "", live=False, forgive=FORGIVEN, service_workers="block")
    wire = Wire()
    await wire.watch(page)
    await page.goto(monitor.url + path)
    await until_live(page)
    modules = [name.rpartition("/")[2] for name in wire.came]
    build = pages.build()
    assert set(modules) >= set(build.session_modules if "session" in path else build.modules)
    assert len(modules) == len(set(modules))
    assert wire.bytes(headers=headers) < MAX_BYTES


async def test_a_second_visit_asks_for_the_page_alone(monitor: MonitorProcess, open_page: OpenPage) -> None:
    """Everything of a build is kept by the browser; the page itself is a 304."""
    page = await open_page(monitor.url, forgive=FORGIVEN, service_workers="block")
    wire = Wire()
    await wire.watch(page)
    await page.goto("about:blank")
    await page.goto(monitor.url + "/monitor")
    await until_live(page)
    assert set(wire.came) <= {"monitor", "static/mend.js", "static/monitor.webmanifest"}
    assert wire.bytes(headers=True) < 2_000


async def test_a_page_of_a_release_that_is_gone_loads_the_new_one(
    server: Server, open_page: OpenPage
) -> None:
    """The server was updated between the page and its modules: never a mix, never half a page."""
    page = await open_page("about:blank", "", live=False, forgive=FORGIVEN, service_workers="block")
    build = pages.build().id
    loads: list[str] = []

    async def old_release(route: Route) -> None:
        answer = await route.fetch()
        loads.append(answer.url)
        await route.fulfill(response=answer, body=(await answer.text()).replace(build, "0" * 24))

    await page.route("**/monitor", old_release, times=1)
    await page.goto(server.url + "/monitor")
    await until_live(page)
    assert len(loads) == 1
    assert await page.evaluate("document.querySelector('script[type=module]').src") == (
        f"{server.url}/static/{build}/monitor.js"
    )


async def test_a_server_that_goes_away_while_the_page_loads_is_waited_for(
    monitor: MonitorProcess, open_page: OpenPage
) -> None:
    """Half a page would be dead for ever, since nothing in it runs; it comes to life with the server."""
    page = await open_page("about:blank", "", live=False, forgive=FORGIVEN, service_workers="block")

    mender_is_here = asyncio.Event()
    page.on("requestfinished", lambda done: "/mend.js" in done.url and mender_is_here.set())

    async def cut(route: Route) -> None:
        await mender_is_here.wait()
        await monitor.kill()
        await route.abort()

    await page.route("**/stream.js", cut, times=1)
    await page.goto(monitor.url + "/monitor")
    await expect(page.locator("#connection-text")).to_have_text("Connecting…")
    await monitor.start()
    await until_live(page)


async def test_a_page_that_outlives_an_update_offers_the_new_one(
    monitor: MonitorProcess, open_page: OpenPage
) -> None:
    """It goes on with the scripts it has, says so, and loses nothing by it."""
    page = await open_page(monitor.url, forgive=FORGIVEN)
    button = page.locator("#release")
    await expect(button).to_be_hidden()

    async def updated(route: Route) -> None:
        try:
            answer = await route.fetch()
        except Error:  # not there yet
            await route.abort()
            return
        await route.fulfill(response=answer, json={**await answer.json(), "version": "9.1.0"})

    await page.route("**/status", updated)
    await monitor.stop()
    await expect(page.locator("#connection-text")).to_contain_text("Reconnecting")
    await monitor.start()
    await until_live(page)
    await expect(button).to_have_text("Reload for 9.1.0")
    async with page.expect_navigation():
        await button.click()
    await until_live(page)
    await expect(button).to_be_hidden()
