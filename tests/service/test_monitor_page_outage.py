"""The HTML monitor when something fails: it says so, heals by itself, neither misses nor repeats an event."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser import OUTAGE, OpenPage, progress, read_log, shown_seqs, until_live, until_shown
from tests.monitor_server import StartServer
from tests.shown import equals_the_server, work


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


async def get_from(port: int, path: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{port}{path}") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_killed_and_restarted_server_leaves_no_gap_and_no_repeat(
    tmp_path: Path, open_page: OpenPage
) -> None:
    """Killed with -9 and started again on the same log: every seq is shown once, in order."""
    port, log = free_port(), f"sqlite:///{tmp_path / 'events.db'}"
    async with serving(port, log) as process:
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        seqs = await publish_to(port, *work(0, 30), *(progress(n) for n in range(60)))
        await until_shown(page, seqs[-1])
        await expect(page.locator('.card[data-session="book"]')).to_have_count(1)
        process.kill()
        await process.wait()
    await expect(page.locator("body[data-connection=waiting]")).to_have_count(1)
    await expect(page.get_by_role("button", name="Retry now")).to_be_visible()
    await expect(page).to_have_title("Disconnected · 2 active · Translation Monitor")
    await expect(page.get_by_role("alert")).to_contain_text("Not live since")
    async with serving(port, log):
        seqs += await publish_to(port, *work(30, 60), *(progress(n) for n in range(60, 150)))
        await until_live(page)
        seqs += await publish_to(port, *(progress(n) for n in range(150, 160)))
        await until_shown(page, seqs[-1])
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.locator('.card[data-session="book"] [data-fact=items] dd')).to_have_text(
            "159 of 1,000"
        )
        await equals_the_server(page, partial(get_from, port))
        assert await read_log(page) == seqs
        await page.locator("#log-level").select_option("warning")
        mark = page.locator("#log-lines [data-marker=reconnected]")
        await expect(mark).to_have_count(1)
        await expect(mark).to_contain_text(", not live since ")
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
        shown = await read_log(page)
        missed = len(seqs) - len(shown)
        assert missed > 0
        marker = page.locator("#log-lines [data-marker=gap]")
        await page.locator("#log-level").select_option("warning")
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
        # By session: the old log had an event with the same seq, and the page clears before it draws anew.
        await expect(page.locator('#log-lines [data-session="new"]')).to_have_count(len(new), timeout=20_000)
        await expect(page.locator("#log-lines [data-marker=reset]")).to_have_count(1)
        await expect(page.locator('#log-lines [data-session="old"]')).to_have_count(0)
        assert await shown_seqs(page) == new
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
        assert await shown_seqs(page) == seqs
        await page.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can limit another process's files")
async def test_an_unavailable_log_is_said_and_taken_back(tmp_path: Path, open_page: OpenPage) -> None:
    """Viewers are told when the log cannot be written and when it can again; the page passes it on."""
    port, log = free_port(), f"sqlite:///{tmp_path / 'events.db'}"
    async with serving(port, log) as process:
        page = await open_page(f"http://127.0.0.1:{port}", forgive=OUTAGE)
        seqs = await publish_to(port, progress(1))
        await until_shown(page, seqs[-1])
        unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
        url = f"http://127.0.0.1:{port}/events"
        async with aiohttp.ClientSession() as client, client.post(url, json=progress(2)) as refused:
            assert refused.status == 503, await refused.text()
        await expect(page.locator("#connection-text")).to_have_text("Log unavailable")
        await expect(page.get_by_role("alert")).to_contain_text("cannot write its event log")
        await page.reload()
        await expect(page.locator("#connection-text")).to_have_text("Log unavailable")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        await expect(page.locator("#connection-text")).to_have_text("Live", timeout=20_000)
        await expect(page.get_by_role("alert")).to_be_hidden()
        seqs += await publish_to(port, progress(3))
        await until_shown(page, seqs[-1])
        assert await shown_seqs(page) == seqs
        await page.close()


@pytest.mark.slow
async def test_a_full_server_is_named_as_the_reason(start: StartServer, open_page: OpenPage) -> None:
    """Over the limit the page says why it is not live and what to do; a free place brings it in."""
    server = await start(server={"max_connections": 4})
    taken = [await server.ws("role=viewer") for _ in range(3)]
    page = await open_page(server.url, forgive=OUTAGE, live=False)
    status, banner = await server.get("/status"), page.get_by_role("alert")
    assert (status["viewers"], status["viewers_limit"], status["viewers_free"]) == (3, 3, 0)
    await expect(banner).to_contain_text("no place for a viewer is free (3 of 3 taken)", timeout=15_000)
    await expect(banner).to_contain_text("Close a monitor page that nobody needs")
    await expect(page).to_have_title("Disconnected · Translation Monitor")
    _, answer = await server.post([progress(n) for n in range(40)])
    await expect(page.locator('.card[data-session="book"]')).to_have_count(1, timeout=15_000)
    await taken[0].close()
    await until_live(page)
    await expect(banner).to_be_hidden()
    assert await read_log(page) == [result["seq"] for result in answer["results"]]
