"""What the translator's tests share: a collector of events and a real model behind a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.llama import running_model
from translation_events import Event, decode_event


class Collector:
    """An emitter that keeps each event, having let the monitor's own reader check it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, type: str, /, **fields: Any) -> None:  # noqa: A002  # the event's own word
        """Keep one event. Raises: InvalidEvent: the monitor would refuse it."""
        event = {"type": type, "session_id": "s", **fields}
        decoded = decode_event(orjson.dumps(event))
        assert isinstance(decoded, Event)
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        """The types in order."""
        return [event["type"] for event in self.events]

    def of(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """The events of a type with these fields."""
        return [
            event
            for event in self.events
            if event["type"] == kind and all(event.get(key) == value for key, value in fields.items())
        ]


@pytest.fixture
def collector() -> Collector:
    """An empty collector."""
    return Collector()


@pytest.fixture(scope="module")
def llama_url() -> Iterator[str]:
    """The address of a real model's server, `/v1` included."""
    with running_model() as url:
        yield url
