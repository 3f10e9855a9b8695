"""The page while nobody looks: frozen by the browser, or hidden with its timers all but stopped."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.browser import progress, read_log
from tests.cable import cabled
from tests.lone_browser import SOON_THROTTLED, Tab, lone_browser
from tests.monitor_server import Server, StartServer, event

LIVE = "document.body?.dataset.connection === 'live'"
CHOOSE_LEVEL = """
    const level = document.getElementById('log-level');
    level.value = 'warning';
    level.dispatchEvent(new Event('input', { bubbles: true }));
"""
MARKER = "document.querySelector('#log-lines [data-marker={}]')?.textContent"
FREEZE_WORTH_SAYING_S = 6.0  # a sleep is marked from 5 s on


async def open_tab(opening: Any, url: str) -> Tab:
    tab: Tab = await opening(f"{url}/monitor")
    await tab.until(LIVE)
    return tab


def shown(seq: int) -> str:
    return f"document.querySelector('#log-lines [data-seq=\"{seq}\"]') !== null"


def fact(session: str, name: str) -> str:
    return f"document.querySelector('.card[data-session=\"{session}\"] [data-fact={name}] dd')?.textContent"


@pytest.mark.slow
async def test_a_frozen_page_says_so_and_catches_up(server: Server, tmp_path: Path) -> None:
    """Frozen while events go on: from when to when is said, nothing is missing, cards are the server's."""
    async with lone_browser(tmp_path / "profile") as opening:
        tab = await open_tab(opening, server.url)
        seqs = await server.publish(*(progress(n) for n in range(1, 31)))
        await tab.until(shown(seqs[-1]))
        began = asyncio.get_running_loop().time()
        await tab.freeze()
        for first in range(31, 331, 30):
            seqs += await server.publish(*(progress(n) for n in range(first, first + 30)))
        seqs += await server.publish(event("book", "translation_error", error="lost", fatal=True))
        await asyncio.sleep(began + FREEZE_WORTH_SAYING_S - asyncio.get_running_loop().time())
        await tab.wake()
        await tab.until(f"{MARKER.format('asleep')}?.includes('This page stood still from')")
        await tab.until(LIVE)
        await tab.until(shown(seqs[-1]))
        assert await read_log(tab) == seqs
        await tab.until(f"{fact('book', 'errors')} === '1' && {fact('book', 'items')} === '330 of 1,000'")


async def test_what_a_frozen_page_can_no_longer_get_is_marked_with_its_number(
    start: StartServer, tmp_path: Path
) -> None:
    """Frozen past what the server keeps: the marker's number and what came make up all that was published."""
    kept = {"events_per_session": 50}
    server = await start(tmp_path / "events.db", event_log=kept, server={"max_event_bytes": 65_536})
    noise = random.Random(7)
    async with lone_browser(tmp_path / "profile") as opening:
        tab = await open_tab(opening, server.url)
        seqs = await server.publish(*(progress(n) for n in range(1, 31)))
        await tab.until(shown(seqs[-1]))
        await tab.freeze()
        for first in range(31, 2431, 100):
            # Nothing that compresses: it must not fit into what lies between the server and the page.
            texts = (noise.randbytes(6_000).hex() for _ in range(100))
            seqs += await server.publish(
                *(progress(first + n, session_id=f"s-{n % 3}", text=text) for n, text in enumerate(texts)),
            )
        await trimmed_to(server, 3 * 100 + 100)
        await tab.wake()
        await tab.until(shown(seqs[-1]), 60)
        await tab.until(LIVE)
        # The log draws only the lines in sight: progress is hidden, so that those of the page's own are.
        await tab.evaluate(CHOOSE_LEVEL)
        await tab.until(f"{MARKER.format('gap')} != null", 60)
        came = {
            one["seq"] for text in tab.frames for one in listed(orjson.loads(text)) if "received_at" in one
        }
        assert came <= set(seqs)
        missed = len(seqs) - len(came)
        assert missed > 0, "the page has got all of it: nothing was tested"
        marks = await tab.evaluate(
            "[...document.querySelectorAll('#log-lines [data-marker=gap] .what')].map(m => m.textContent)"
        )
        assert sum(int(mark.split(" ")[0].replace(",", "")) for mark in marks) == missed, marks
        await tab.until("document.querySelector('[data-count=active] b').textContent === '4'")


def listed(frame: Any) -> list[dict[str, Any]]:
    return frame if isinstance(frame, list) else [frame]


async def trimmed_to(server: Server, events: int) -> None:
    """Wait until retention has left at most so many."""
    async with asyncio.timeout(30):
        while (await server.get("/status"))["events"] > events:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_tab_in_the_background_is_right_when_one_looks_again(server: Server, tmp_path: Path) -> None:
    """Its timers run once a minute: a dead line is found all the same, and the look back heals at once."""
    async with cabled(server.port) as cable, lone_browser(tmp_path / "profile", SOON_THROTTLED) as opening:
        tab = await open_tab(opening, cable.url)
        await tab.hide()
        await tab.evaluate("setInterval(() => window.ticked = performance.now(), 1000)")
        await tab.until("performance.now() - window.ticked > 10_000", 150)  # throttled by now
        seqs = await server.publish(*(progress(n) for n in range(1, 31)))
        # What a hidden tab shows of itself: its title.
        await tab.until("document.title.includes('book')", 150)
        cable.cut()
        seqs += await server.publish(*(progress(n) for n in range(31, 61)))
        await tab.until("/^(Disconnected|Connecting)/.test(document.title)", 150)
        cable.mend(forget=True)
        await tab.show()
        await tab.until(LIVE, 30)
        await tab.until(shown(seqs[-1]))
        assert await read_log(tab) == seqs
        assert await tab.evaluate(f"{MARKER.format('asleep')} ?? null") is None, "a slow timer is no sleep"
