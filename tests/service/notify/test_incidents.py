"""Incidents: each is told once, and its end once."""

from __future__ import annotations

from typing import Any

import orjson

from service.notify.incidents import Incidents, Open
from service.projections.sessions import SessionProjection
from service.projections.worker import Worker
from translation_events.decode import decode_event, read_stored, stored_body
from translation_events.session import Ended, Session

URL = "http://monitor.example.org"
STALLED_AFTER_S = 300.0


class Story:
    """Events at chosen times, and what is told of them."""

    def __init__(self) -> None:
        self.projection = SessionProjection("log", (), stalled_after_s=STALLED_AFTER_S)
        self.incidents = Incidents(URL, worker_down_for_s=60.0)
        self.seq = 0

    def event(self, at: float, type_: str = "translation_progress", **fields: Any) -> list[str]:
        """Fold an event in; the titles of what its end brings about."""
        self.seq += 1
        raw = orjson.dumps({"type": type_, "session_id": "book", **fields})
        stored = read_stored(stored_body(decode_event(raw, internal=True), self.seq, at))
        (applied,) = self.projection.apply([stored])
        assert applied.session is not None
        ends = [change for change in applied.changes if isinstance(change, Ended)]
        told = [self.incidents.ended("book", end.attempt, end.result) for end in ends]
        return [one.title for one in told if one is not None]

    def look(self, now: float, *, listening_since: float = 0.0) -> list[str]:
        """Look at the sessions at a time; the titles."""
        found = self.incidents.sessions(
            self.projection.running(), now, STALLED_AFTER_S, listening_since=listening_since
        )
        return [one.title for one in found]

    @property
    def session(self) -> Session:
        """The one session."""
        session = self.projection.get("book")
        assert session is not None
        return session


def test_a_quiet_session_is_told_once_and_that_it_runs_again_once() -> None:
    """One message an incident with its recovery."""
    story = Story()
    story.event(1000.0)
    assert story.look(1299.0) == []
    assert story.look(1301.0) == ["Translation stalled: book"]
    assert story.look(1302.0) == story.look(9000.0) == []
    story.event(9001.0)
    assert story.look(9002.0) == ["Running again: book"]
    assert story.look(9003.0) == []
    assert story.look(9400.0) == ["Translation stalled: book"]


def test_a_quiet_session_that_ends_is_told_as_ended_alone() -> None:
    """Its end is the recovery."""
    story = Story()
    story.event(1000.0)
    assert story.look(1301.0) == ["Translation stalled: book"]
    ended = story.event(2000.0, "session_ended", status="timed_out", reason="no event for 24 hours")
    assert ended == ["Translation timed out: book"]
    assert story.look(2001.0) == []
    assert story.incidents.open == Open()


def test_silence_while_the_server_was_away_is_no_news() -> None:
    """Publishers need as long to come back as they may be quiet."""
    story = Story()
    story.event(1000.0)
    assert story.look(5000.0, listening_since=4990.0) == []
    assert story.look(5291.0, listening_since=4990.0) == ["Translation stalled: book"]


def test_who_cancels_a_session_knows() -> None:
    """A cancelled one is not told; every other end is, each attempt's."""
    story = Story()
    story.event(1.0, "translation_started")
    assert story.event(2.0, "translation_cancelled") == []
    story.event(3.0, "translation_started")
    assert story.event(4.0, "translation_error", fatal=True, error_type="worker_lost") == [
        "Translation lost its worker: book"
    ]
    story.event(5.0, "conversion_started")
    assert story.event(6.0, "conversion_completed", failed_items=2) == [
        "Conversion completed with failures: book"
    ]


def test_a_message_says_what_is_needed_and_nothing_of_the_document() -> None:
    """What, since when, how far, what it cost, where to look; no message and no error text."""
    story = Story()
    story.event(0.0, "translation_started", total_items=2000, message="secret chapter", timestamp=86_400)
    usage = {"provider": "p", "model": "m", "cost_usd": 1.239}
    story.event(
        100.0,
        current_item="line_812",
        usage=usage,
        worker_info={"name": "gpu\n\x1b[2J", "host": "h"},
        timestamp=86_500,
    )
    story.event(200.0, "translation_error", error="secret sentence", message="secret", error_type="timeout")
    story.event(7440.0, "translation_error", error="secret", error_type="timeout", fatal=True)
    attempt = story.session.attempt
    one = story.incidents.ended("book", attempt, attempt.status)
    assert one is not None
    first, *rest = one.body.splitlines()
    assert one.title == "Translation failed: book"
    assert first.endswith("last error timeout")
    assert rest == [
        "Item 812 of 2,000 · 2 errors · $1.24",
        "Worker gpu\ufffd\ufffd[2J",
        f"{URL}/monitor?session=book",
    ]
    assert "secret" not in one.title + one.body


def workers(incidents: Incidents, now: float, state: str, since: float) -> list[str]:
    """Look at one worker."""
    worker = Worker("gpu-1", configured=True, state=state, since=since, reason="no answer")
    return [f"{one.title}: {one.body.splitlines()[0]}" for one in incidents.workers([worker], now)]


def test_a_worker_is_told_down_after_two_probes_and_up_once() -> None:
    """A single lost packet wakes nobody; neither does a restart repeat what was told."""
    incidents = Incidents(URL, worker_down_for_s=60.0)
    assert workers(incidents, 100.0, "down", 100.0) == []
    assert workers(incidents, 130.0, "up", 130.0) == []
    assert workers(incidents, 131.0, "down", 131.0) == []
    assert workers(incidents, 140.0, "draining", 140.0) == []
    assert workers(incidents, 160.0, "down", 160.0) == []
    assert workers(incidents, 200.0, "down", 160.0) == []
    down = ["Worker down: gpu-1: Since 00:02:40 UTC: no answer"]
    assert workers(incidents, 220.0, "down", 160.0) == down
    assert workers(incidents, 250.0, "down", 160.0) == []

    again = Incidents(URL, worker_down_for_s=60.0, open_=incidents.open)
    assert workers(again, 300.0, "unknown", 300.0) == []
    assert workers(again, 400.0, "down", 310.0) == []
    assert workers(again, 520.0, "up", 520.0) == ["Worker up again: gpu-1: After 6 m 00 s"]
    assert workers(again, 521.0, "up", 520.0) == []


def test_a_drained_worker_is_neither_down_nor_up() -> None:
    """An operator has taken it out: what was told of it stays open until a probe says otherwise."""
    incidents = Incidents(URL, worker_down_for_s=0.0)
    assert len(workers(incidents, 1.0, "wedged", 1.0)) == 1
    assert workers(incidents, 2.0, "draining", 2.0) == []
    assert len(workers(incidents, 3.0, "up", 3.0)) == 1
