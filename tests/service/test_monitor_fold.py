"""Time travel's ground: the browser folds a session's events as the server does, at every position."""

from __future__ import annotations

import copy
import random
from typing import Any

import orjson
import pytest
from playwright.async_api import Page

from service.keys import LOG
from service.projections.sessions import SessionProjection
from tests.browser import OpenPage
from tests.monitor_server import Server, event
from translation_events.decode import decode_event, read_stored
from translation_events.event import ErrorType, EventType

FOLDED = """async ({id, positions, now, logId, stalledAfter}) => {
  const [{ fold, copyOf }, { viewOf }] = await Promise.all(
    [import("/static/fold.js"), import("/static/session_view.js")]);
  const events = [];
  for (let after = 0; after !== null;) {
    const answer = await (await fetch(`/sessions/${id}/events?after=${after}&limit=1000`)).json();
    events.push(...answer.events);
    after = answer.next_after;
  }
  const views = [];
  let state = null;
  events.forEach((event, at) => {
    state = fold(state, event);
    if (at % 97 === 0 && state !== null) state = copyOf(state);
    if (!positions.includes(at)) return;
    views.push(state === null ? null : viewOf(state, { now, logId, stalledAfter }));
  });
  return JSON.parse(JSON.stringify(views));
}"""
STALLED_AFTER_S = 300.0
WORDS = ("", "reading", "Übersetzung 🎉", "constructor", "__proto__", "x" * 300, "a\u202eb", "step 9")
NAMES = ("", "gpu-1", "😀" * 200, "toString")


def _usage(rng: random.Random) -> dict[str, Any]:
    offered: dict[str, Any] = {
        "provider": rng.choice(NAMES),
        "model": rng.choice(NAMES),
        "worker": rng.choice(NAMES),
        "requests": rng.randrange(4),
        "result": rng.choice(["success", "timeout"]),
        "duration_s": rng.random() * 9,
        "input_tokens": rng.randrange(5000),
        "output_tokens": rng.randrange(5000),
        "cost_usd": rng.choice([None, 0, rng.random() / 100]),
        "cache": rng.choice([None, "hit", "miss", "none"]),
    }
    return {name: value for name, value in offered.items() if rng.random() < 0.6}


def _event(rng: random.Random, session_id: str) -> dict[str, Any]:
    """One event of any type and shape that the rules allow, odd ones included."""
    kinds = [t.value for t in EventType if t not in (EventType.SESSION_ENDED, EventType.WORKER_STATUS)]
    often = ["translation_progress"] * 12 + ["conversion_progress"] * 3 + ["step_completed"] * 2
    worker = {
        name: value
        for name, value in (
            ("host", rng.choice(["gpu.lab", ""])),
            ("port", rng.choice([0, 22, 2222])),
            ("type", rng.choice(NAMES)),
            ("model", rng.choice(NAMES)),
            ("name", rng.choice(NAMES)),
        )
        if rng.random() < 0.5
    }
    data: dict[str, Any] = {
        "items_done": rng.choice([1, 5.0, 7.5, -1, "3", True, None, rng.randrange(100)]),
        "items_resumed": rng.choice([0, 3, rng.randrange(40)]),
        "engine": rng.choice([*NAMES, 7, None]),
        "model": rng.choice([*NAMES, {"a": 1}]),
        "worker_info": worker,
    }
    offered: dict[str, Any] = {
        "step": rng.choice(WORDS[:5]),
        "message": rng.choice(WORDS),
        "progress": rng.choice([0, 63.63636363636363, 100, rng.random() * 100]),
        "current_item": rng.choice([*range(-3, 90, 7), f"line_{rng.randrange(90)}", "٣", "9" * 40]),
        "total_items": rng.choice([0, 11, 90]),
        "timestamp": rng.choice([1, 1_790_000_000, 1_790_000_000_123, "2026-11-24T10:00:00Z"]),
        "error": rng.choice(WORDS),
        "error_type": rng.choice([*ErrorType, "odd", "constructor"]),
        "fatal": rng.random() < 0.15,
        "failed_items": rng.choice([0, 2]),
        "traceparent": f"00-{rng.getrandbits(127) + 1:032x}-{rng.getrandbits(63) + 1:016x}-01",
        "usage": rng.choice([_usage(rng), [_usage(rng) for _ in range(rng.randrange(4))]]),
        "worker_info": worker,
        "data": {name: value for name, value in data.items() if rng.random() < 0.3},
    }
    fields = {n: v for n, v in offered.items() if rng.random() < (0.05 if n == "traceparent" else 0.35)}
    if rng.random() < 0.04:
        status = {"worker": "gpu-1", "state": "down"}
        return event(session_id, "worker_status", data=status)
    return event(session_id, rng.choice(kinds + often), **fields)


async def _tell(server: Server, session_id: str, events: list[dict[str, Any]], rng: random.Random) -> None:
    """Publish the events in some groups, with verdicts of the server's own in between."""
    for start in range(0, len(events), 40):
        status, answer = await server.post(events[start : start + 40])
        assert status == 200, answer
        if rng.random() < 0.3:
            verdict = event(session_id, "session_ended", reason="gone", status="timed_out")
            await server.app[LOG].append([decode_event(orjson.dumps(verdict), internal=True)])


async def _views(page: Page, server: Server, session_id: str, positions: list[int], now: float) -> list[Any]:
    log_id = (await server.get("/status"))["event_log"]["id"]
    told = {"id": session_id, "positions": positions, "now": now, "logId": log_id}
    views: list[Any] = await page.evaluate(FOLDED, {**told, "stalledAfter": STALLED_AFTER_S})
    return views


async def _expected(server: Server, session_id: str, positions: list[int], now: float) -> list[Any]:
    """The same prefixes folded in Python from what the log holds."""
    log = server.app[LOG]
    stored, after = [], 0
    while page := await log.read(after, limit=1000, session_id=session_id):
        stored += page
        after = page[-1].seq
    projection = SessionProjection(log.id, (), stalled_after_s=STALLED_AFTER_S)
    views = []
    for at, one in enumerate(stored):
        projection.apply([read_stored(one.body)])
        if at in positions:
            session = projection.get(session_id)
            # A view shares its lists with the session, which goes on.
            views.append(None if session is None else copy.deepcopy(projection.view(session, now)))
    return views


@pytest.mark.parametrize("seed", range(6))
async def test_the_browsers_fold_is_the_servers_at_every_position(
    server: Server, open_page: OpenPage, seed: int
) -> None:
    """At random positions of varied streams the client's view equals the server's fold of the same prefix."""
    rng = random.Random(seed)
    session_id = f"varied-{seed}:" + "n" * rng.randrange(110)
    events = [_event(rng, session_id) for _ in range(rng.randrange(150, 500))]
    await _tell(server, session_id, events, rng)
    page = await open_page(server.url)
    now = (await server.get(f"/sessions/{session_id}"))["updated_at"] + rng.choice([1.0, 1000.0])
    positions = sorted(rng.sample(range(len(events)), 60))
    views = await _views(page, server, session_id, positions, now)
    expected = await _expected(server, session_id, positions, now)
    assert len(views) == len(positions)
    for position, view, wanted in zip(positions, views, expected, strict=True):
        assert view == wanted, position


@pytest.mark.parametrize("seed", range(6, 10))
async def test_at_the_last_event_the_browsers_view_is_what_the_server_answers(
    server: Server, open_page: OpenPage, seed: int
) -> None:
    """At the last event the client's view equals `/sessions/{id}` field by field."""
    rng = random.Random(seed)
    session_id = f"whole-{seed}"
    events = [_event(rng, session_id) for _ in range(300)]
    await _tell(server, session_id, events, rng)
    page = await open_page(server.url)
    answer = await server.get(f"/sessions/{session_id}")
    now = answer["started_at"] + answer["duration_s"]
    last = len((await server.get(f"/sessions/{session_id}/events?limit=1000"))["events"]) - 1
    (view,) = await _views(page, server, session_id, [last], now)
    assert view.pop("duration_s") == pytest.approx(answer.pop("duration_s"), abs=1e-3)
    assert view == answer
