"""What is told: one message, short enough for a phone at night. Pure.

Never a message or an error text of a session: those may hold what is being translated.
Source: docs/notifications.md, "What a message says".
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Final
from urllib.parse import quote

import msgspec

from service.duration import duration
from translation_events.session import Attempt, Session, Status

MAX_NAME: Final = 128


class Tone(StrEnum):
    """How urgent it is; receivers show a colour or a sign for it."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Notice(msgspec.Struct, frozen=True):
    """A message about one incident or its end. `key` is unique, `seq` the event it stems from (0: none),
    `at` Unix seconds."""

    key: str
    at: float
    seq: int
    tone: Tone
    title: str
    body: str


_WORDS: Final = {
    Status.COMPLETED: (Tone.GOOD, "completed"),
    Status.COMPLETED_WITH_FAILURES: (Tone.WARNING, "completed with failures"),
    Status.FAILED: (Tone.BAD, "failed"),
    Status.LOST: (Tone.BAD, "lost its worker"),
    Status.TIMED_OUT: (Tone.BAD, "timed out"),
}


def is_told(result: Status) -> bool:
    """Whether people hear of such an end; who cancels a session knows."""
    return result in _WORDS


def ended(session_id: str, attempt: Attempt, result: Status, monitor_url: str) -> Notice:
    """An attempt is over."""
    tone, words = _WORDS[result]
    kind = (attempt.kind or "session").capitalize()
    first = f"{_clock(attempt.ended_at)}, after {duration(attempt.duration_s or 0.0)}"
    # With `reason` the server itself has ended it; the last error is then not the cause.
    if attempt.reason:
        first += f": {attempt.reason}"
    elif tone is not Tone.GOOD and attempt.last_error_type:
        first += f", last error {attempt.last_error_type}"
    return Notice(
        key=f"end:{session_id}:{attempt.first_seq}",
        at=attempt.ended_received or 0.0,
        seq=attempt.last_seq,
        tone=tone,
        title=f"{kind} {words}: {session_id}",
        body=_lines(first, *_state(attempt), session_link(monitor_url, session_id)),
    )


def stalled(session: Session, now: float, monitor_url: str) -> Notice:
    """A running session has said nothing for too long."""
    attempt = session.attempt
    quiet = duration(now - attempt.last_received)
    return Notice(
        key=f"stalled:{session.session_id}:{attempt.last_seq}",
        at=now,
        seq=attempt.last_seq,
        tone=Tone.WARNING,
        title=f"{(attempt.kind or 'session').capitalize()} stalled: {session.session_id}",
        body=_lines(
            f"No event since {_clock(attempt.last_received)} ({quiet})",
            *_state(attempt),
            session_link(monitor_url, session.session_id),
        ),
    )


def runs_again(session: Session, quiet_since: float, monitor_url: str) -> Notice:
    """A stalled session has said something."""
    attempt = session.attempt
    quiet = duration(attempt.last_received - quiet_since)
    return Notice(
        key=f"runs:{session.session_id}:{attempt.last_seq}",
        at=attempt.last_received,
        seq=attempt.last_seq,
        tone=Tone.GOOD,
        title=f"Running again: {session.session_id}",
        body=_lines(
            f"After {quiet} without an event",
            *_state(attempt),
            session_link(monitor_url, session.session_id),
        ),
    )


def worker_down(worker: str, state: str, reason: str | None, since: float, monitor_url: str) -> Notice:
    """A configured worker cannot work."""
    return Notice(
        key=f"down:{worker}:{since:.3f}",
        at=since,
        seq=0,
        tone=Tone.BAD,
        title=f"Worker {state}: {_named(worker)}",
        body=_lines(f"Since {_clock(since)}{f': {reason}' if reason else ''}", _workers_link(monitor_url)),
    )


def worker_up(worker: str, since: float, now: float, monitor_url: str) -> Notice:
    """It can work again; `since` is when it could not."""
    return Notice(
        key=f"up:{worker}:{since:.3f}",
        at=now,
        seq=0,
        tone=Tone.GOOD,
        title=f"Worker up again: {_named(worker)}",
        body=_lines(f"After {duration(now - since)}", _workers_link(monitor_url)),
    )


def session_link(monitor_url: str, session_id: str) -> str:
    """Where the session is shown."""
    return f"{monitor_url}/monitor?session={quote(session_id, safe='')}"


def _state(attempt: Attempt) -> list[str]:
    """How far it is and what it has cost, as far as that is known."""
    facts = []
    if attempt.items_done is not None:
        of = f" of {attempt.total_items:,}" if attempt.total_items is not None else ""
        facts.append(f"Item {attempt.items_done:,}{of}")
    elif attempt.progress is not None:
        facts.append(f"{int(attempt.progress)} %")
    if attempt.errors:
        facts.append(f"{attempt.errors:,} error{'s' if attempt.errors > 1 else ''}")
    if attempt.usage.cost_usd:
        facts.append(f"${attempt.usage.cost_usd:.2f}")
    lines = [" · ".join(facts)]
    if attempt.workers:
        lines.append(f"Worker {_named(attempt.workers[-1])}")
    return [line for line in lines if line]


def _workers_link(monitor_url: str) -> str:
    return f"{monitor_url}/enhanced-monitor.html#workers"


def _lines(*lines: str) -> str:
    return "\n".join(lines)


def _clock(at: float | None) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(at or 0.0))


def _named(name: str) -> str:
    """A producer may have given the name: one line of it, nothing that steers a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name[:MAX_NAME])
