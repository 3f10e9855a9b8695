"""Work in several sessions, and whether a page shows of it just what the server's API tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Page, expect

from tests.browser import progress
from tests.monitor_server import event

Get = Callable[[str], Awaitable[Any]]


def work(first: int, last: int) -> list[dict[str, Any]]:
    """Three sessions at once; the first of them ends with errors and a cost, the second fails."""
    usage = {"provider": "x", "model": "m", "input_tokens": 100, "output_tokens": 50, "cost_usd": 0.25}
    events = [progress(n, session_id=f"book-{n % 3}", usage=usage) for n in range(first, last)]
    return [
        *events,
        event("book-0", "translation_error", error="line 7 was refused", error_type="refusal"),
        event("book-0", "translation_completed", failed_items=1),
        event("book-1", "translation_error", error="no worker left", error_type="worker_lost", fatal=True),
    ]


async def equals_the_server(page: Page, get: Get) -> None:
    """Counts, statuses, items, errors and cost as shown are those of the server's API."""
    status = await get("/status")
    active = (await get("/sessions"))["sessions"]
    ended = (await get("/sessions/history"))["sessions"]
    counts = status["sessions"]
    for name, number in {
        "active": counts["running"] + counts["stalled"],
        "completed": counts["completed"],
        "with failures": counts["completed_with_failures"],
        "failed": counts["failed"] + counts["lost"] + counts["timed_out"],
    }.items():
        await expect(page.locator(f'[data-count="{name}"] b')).to_have_text(str(number), timeout=12_000)
    for session in [*active, *ended]:
        card = page.locator(f'.card[data-session="{session["session_id"]}"]')
        await expect(card).to_have_attribute("data-status", session["status"], timeout=12_000)
        failed = f" · {session['failed_items']} failed" if session["failed_items"] else ""
        await expect(card.locator("[data-fact=errors] dd")).to_have_text(f"{session['errors']}{failed}")
        await expect(card.locator("[data-fact=items] dd")).to_have_text(
            f"{session['items_done']} of {session['total_items']:,}"
        )
        if cost := session["usage"]["cost_usd"]:
            await expect(card.locator("[data-fact=cost] dd")).to_have_text(f"${cost:.2f}")
