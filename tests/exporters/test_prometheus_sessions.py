"""The series of single sessions: what they say, how many there are, when they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.exporters.conftest import Service


async def test_a_running_session_shows_where_it_stands(service: Service) -> None:
    """Progress, ETA, last event and what the session is."""
    worker = {"host": "10.0.0.7", "type": "ollama", "model": "qwen"}
    service.take({"type": "translation_started", "session_id": "s", "total_items": 20, "worker_info": worker})
    for n in range(1, 11):
        at = service.now + n * 2
        service.take({"type": "translation_progress", "session_id": "s", "current_item": n, "at": at})
    service.take({"type": "translation_progress", "session_id": "s", "progress": 50, "at": service.now + 20})
    page = await service.page()
    assert page.value("translation_session_progress_ratio", session_id="s") == 0.5
    assert page.value("translation_session_eta_seconds", session_id="s") == pytest.approx(20)
    assert page.value("translation_session_last_event_timestamp_seconds", session_id="s") == service.now + 20
    (info,) = page.series("translation_session_info")
    assert info.value == 1
    assert info.labels == {
        "session_id": "s",
        "kind": "translation",
        "worker": "10.0.0.7:22",
        "engine": "ollama",
        "model": "qwen",
        "trace_id": service.sessions["s"].attempt.root.trace_id,
    }


async def test_what_is_not_known_has_no_sample(service: Service) -> None:
    """No progress reported, no items timed: no sample, rather than a 0 that looks like one."""
    service.take({"type": "translation_started", "session_id": "s"})
    page = await service.page()
    assert page.series("translation_session_progress_ratio") == []
    assert page.series("translation_session_eta_seconds") == []


async def test_active_sessions_are_counted_by_kind_and_state(service: Service) -> None:
    """Running and stalled sessions by kind; an ended one is not active."""
    service.take(
        {"type": "translation_started", "session_id": "running"},
        {"type": "translation_started", "session_id": "stalled", "at": service.now - 301},
        {"type": "conversion_started", "session_id": "converting"},
        {"type": "translation_completed", "session_id": "done"},
    )
    page = await service.page()
    assert page.value("translation_sessions_active", kind="translation", state="running") == 1
    assert page.value("translation_sessions_active", kind="translation", state="stalled") == 1
    assert page.value("translation_sessions_active", kind="conversion", state="running") == 1
    assert page.value("translation_sessions_active", kind="conversion", state="stalled") == 0


async def test_a_sessions_series_are_gone_15_minutes_after_its_end(service: Service) -> None:
    """Gone 15 min after the end; a running session stays however quiet it is."""
    service.take(
        {"type": "translation_completed", "session_id": "done"},
        {"type": "translation_started", "session_id": "quiet"},
    )

    async def shown() -> set[str]:
        return {s.labels["session_id"] for s in (await service.page()).series("translation_session_info")}

    service.now += 899
    assert await shown() == {"done", "quiet"}
    service.now += 1
    assert await shown() == {"quiet"}


async def test_the_200_newest_sessions_have_series(service: Service) -> None:
    """At most 200 sessions, newest first: those that have had an event last."""
    service.take(*({"type": "translation_started", "session_id": f"s{n}", "progress": 1} for n in range(250)))
    service.take({"type": "translation_progress", "session_id": "s3"})
    page = await service.page()
    expected = {f"s{n}" for n in range(51, 250)} | {"s3"}
    for name in ("progress_ratio", "last_event_timestamp_seconds", "info"):
        series = page.series(f"translation_session_{name}")
        assert {sample.labels["session_id"] for sample in series} == expected
    assert page.value("translation_sessions_active", kind="translation", state="running") == 250


async def test_each_left_out_session_is_counted_once(service: Service) -> None:
    """Each left-out session counted once, however often one scrapes and however it comes and goes."""

    async def dropped() -> float | None:
        return (await service.page()).value("translation_session_series_dropped_total")

    service.take(*({"type": "translation_started", "session_id": f"s{n}"} for n in range(200)))
    assert await dropped() == 0
    service.take(*({"type": "translation_started", "session_id": f"s{n}"} for n in range(200, 205)))
    assert await dropped() == 5
    assert await dropped() == 5
    service.take({"type": "translation_progress", "session_id": "s0"})  # s0 returns, s5 has to go
    assert await dropped() == 6
    service.take(*({"type": "translation_progress", "session_id": f"s{n}"} for n in range(1, 205)))
    assert await dropped() == 6  # s0 is left out again: it was counted before
    service.sessions.clear()
    assert await dropped() == 6
