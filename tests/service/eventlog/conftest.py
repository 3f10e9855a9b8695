"""Events to append, and both logs under one name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.eventlog.memory import MemoryEventLog
from service.eventlog.sqlite import SqliteEventLog
from translation_events.decode import decode_event
from translation_events.event import Event
from translation_events.log import EventLog

MakeEvent = Callable[..., Event]


@pytest.fixture
def make_event() -> MakeEvent:
    """Makes an event as the ingest would: `make_event("s1", id="a", progress=5)`."""

    def make(session_id: str = "s", type: str = "translation_progress", **fields: Any) -> Event:  # noqa: A002
        return decode_event(msgspec.json.encode({"type": type, "session_id": session_id, **fields}))

    return make


@pytest.fixture(params=["memory", "sqlite"])
async def log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventLog]:
    """An empty log of each kind."""
    opened: EventLog = (
        MemoryEventLog() if request.param == "memory" else await SqliteEventLog.open(tmp_path / "events.db")
    )
    yield opened
    await opened.aclose()
