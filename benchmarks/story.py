"""Events of many sessions at work, as producers send them, to fill a log or to be folded."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

STEPS: Final = ("reading", "translation", "review", "writing")
EVENTS_A_REQUEST: Final = 2000
ANSWER_WITHIN_S: Final = 60.0


def running(sessions: int, workers: int) -> Iterator[bytes]:
    """Sessions that have begun and go on: started, a step done, items with usage and a worker, an error."""
    for number in range(sessions):
        worker = number % workers
        yield _event(number, "translation_started", total_items=100)
        yield _event(number, "step_completed", step=STEPS[number % len(STEPS)])
        for item in range(1, 8):
            yield _item(number, item, 100, worker)
        yield _event(number, "translation_error", step="translation", error_type="timeout", error="timed out")


def lives(sessions: int, events: int) -> Iterator[bytes]:
    """`events` events of `sessions` sessions side by side; each session runs from its start to its end."""
    each = max(4, events // sessions)
    items = each - 3
    for at in range(each):
        for number in range(sessions):
            if at == 0:
                yield _event(number, "translation_started", total_items=items)
            elif at == each - 2:
                yield _event(number, "step_completed", step="translation")
            elif at == each - 1:
                yield _event(number, "translation_completed", failed_items=0)
            else:
                yield _item(number, at, items, number % 20)


def post(port: int, events: Iterable[bytes]) -> int:
    """Publish as NDJSON; returns how many were taken. Raises: RuntimeError where one was not."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_WITHIN_S)
    taken = 0
    for part in _parts(events, EVENTS_A_REQUEST):
        headers = {"Content-Type": "application/x-ndjson"}
        connection.request("POST", "/events", b"\n".join(part), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"events were refused: {answer.status} {body[:300]!r}")
        taken += int(json.loads(body)["accepted"])
    connection.close()
    return taken


def _parts(events: Iterable[bytes], size: int) -> Iterator[Sequence[bytes]]:
    iterator = iter(events)
    while part := list(islice(iterator, size)):
        yield part


def _item(number: int, item: int, total: int, worker: int) -> bytes:
    return _event(
        number,
        "translation_progress",
        step="translation",
        message=f"Translating line {item}/{total}",
        progress=round(100 * item / total, 2),
        current_item=f"line_{item}",
        total_items=total,
        worker_info={"host": f"worker-{worker}", "port": 22, "type": "llm", "model": f"model-{worker % 5}"},
        usage={
            "provider": f"provider-{worker % 3}",
            "model": f"model-{worker % 5}",
            "duration_s": 0.8,
            "input_tokens": 120,
            "output_tokens": 140,
        },
    )


def _event(number: int, event_type: str, **fields: Any) -> bytes:
    event = {"type": event_type, "session_id": f"session-{number}", "timestamp": round(time.time(), 3)}
    return json.dumps({**event, **fields}).encode()
