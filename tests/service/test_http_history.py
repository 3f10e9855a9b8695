"""The history over HTTP: sorted by any figure, page after page, without a repeat."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.monitor_server import Server, event

TOOK = {"short": 5.0, "long": 50.0, "middle": 20.0}
COST = {"short": 0.02, "long": None, "middle": 0.5}
SORTED = {
    "took": ["short", "middle", "long"],
    "-took": ["long", "middle", "short"],
    "cost": ["short", "middle", "long"],  # what is not known comes last, whichever way round
    "-cost": ["middle", "short", "long"],
    "session": ["long", "middle", "short"],
    "-session": ["short", "middle", "long"],
    "-errors": ["middle", "long", "short"],
    "started": ["short", "long", "middle"],
    "-items": ["short", "long", "middle"],
}


async def _tell(server: Server) -> None:
    """Three sessions that end in the order short, long, middle."""
    for place, name in enumerate(("short", "long", "middle")):
        began = time.time() - 100 + place
        costs = COST[name]
        usage = {} if costs is None else {"usage": {"cost_usd": costs}}
        end: dict[str, Any] = {"timestamp": began + TOOK[name], "failed_items": 0}
        wrong = [event(name, "translation_error", timestamp=began, error="no")] * (name == "middle")
        await server.post(
            [
                event(name, "translation_started", timestamp=began),
                *wrong,
                event(name, "translation_progress", timestamp=began, current_item=len(name) % 6, **usage),
                event(name, "translation_completed", **end),
            ]
        )


@pytest.mark.parametrize("sort", SORTED)
async def test_the_history_is_sorted_by_any_figure(server: Server, sort: str) -> None:
    """`sort` orders the ended sessions by a figure, with `-` the largest first; the unknown come last."""
    await _tell(server)
    answer = await server.get(f"/sessions/history?sort={sort}")
    assert [row["session_id"] for row in answer["sessions"]] == SORTED[sort]
    assert (answer["total"], answer["next_before"], answer["next_offset"]) == (3, None, None)


async def test_a_sorted_history_goes_on_by_offset(server: Server) -> None:
    """Pages of a sorted history follow `next_offset`; together they hold each session once."""
    for number in range(7):
        await server.post(
            [
                event(f"book-{number}", "translation_started"),
                event(f"book-{number}", "translation_completed", failed_items=0),
            ]
        )
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        answer = await server.get(f"/sessions/history?sort=session&limit=3&offset={offset}")
        seen += [row["session_id"] for row in answer["sessions"]]
        offset = answer["next_offset"]
    assert seen == [f"book-{number}" for number in range(7)]


async def test_an_unknown_sort_says_what_is_allowed(server: Server) -> None:
    """A wrong parameter is a problem that names it and what is allowed."""
    async with server.client.get(f"{server.url}/sessions/history?sort=colour") as response:
        problem = await response.json()
    assert (response.status, problem["field"]) == (400, "sort")
    assert "cost" in problem["detail"]
