"""A monitor with everything on it that its page can show: sessions and workers in every state, a history."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import orjson

from service.config_distributed import WorkerConfig
from service.keys import WORKERS
from sshworker.probe_result import Layer, ProbeOutcome, ProbeResult
from sshworker.state import WorkerState
from tests.browser import progress
from tests.monitor_server import Server, event

# Two hosts nobody has to reach: what a probe found of the one is told below, the other was never probed.
DISTRIBUTED: Final[dict[str, Any]] = {
    "workers": {
        "gpu-rack-1": WorkerConfig(host="10.1.0.11", name="Rack 1", max_capacity=4, tags=("fast", "eu")),
        "gpu-rack-2": WorkerConfig(host="10.1.0.12", name="Rack 2", max_capacity=4),
    }
}
STATES: Final = {
    "ada": ("up", "tokens move, 41.7 / s"),
    "bell": ("degraded", "load 11.8 on 8 cores"),
    "curie": ("wedged", "no token for 30 s while 2 slots are busy"),
    "darwin": ("draining", "drained: new GPU"),
    "euler": ("down", "TCP: connection refused by 10.1.0.25:22"),
}
RUNNING: Final = "novel-en-es"


ALERTS: Final[tuple[tuple[str, str, str, str, dict[str, str]], ...]] = (
    (
        "TranslationWorkerDown",
        "critical",
        "Worker euler is down",
        "No probe of it has passed.",
        {"worker": "euler"},
    ),
    ("TranslationSessionStalled", "warning", "A session stands still", "", {"session_id": "minutes-2026-03"}),
    ("TranslationWatchdog", "none", "", "", {}),
)


def alerts() -> bytes:
    """What an Alertmanager answers in which `ALERTS` are firing, since a fixed day."""
    return orjson.dumps(
        [
            {
                "labels": {"alertname": name, "severity": severity, **labels},
                "annotations": {
                    "summary": summary,
                    "description": description,
                    "runbook_url": f"docs/{name}.md",
                },
                "startsAt": "2026-01-02T03:04:05Z",
                "endsAt": "2099-01-01T00:00:00Z",
                "updatedAt": "2026-01-02T03:04:05Z",
                "fingerprint": name,
                "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
            }
            for name, severity, summary, description, labels in ALERTS
        ]
    )


async def fill(server: Server) -> None:
    """Tell it everything; the server was started with `DISTRIBUTED` and a short `stalled_after_s`."""
    for told in _chunks(list(_story(time.time()))):
        status, answer = await server.post(told)
        assert status == 200, answer
    server.app[WORKERS].probed(
        ProbeResult(
            worker="gpu-rack-1",
            state=WorkerState.UP,
            outcome=ProbeOutcome.SUCCESS,
            reason="tokens move, 38.2 / s",
            layer=Layer.ENGINE,
            finished_at=time.time() - 12,
            load_ratio=0.31,
            models=("qwen2.5-7b-instruct",),
        )
    )


async def go_on(server: Server, number: int) -> None:
    """What stands still is stalled: one more line for those that run."""
    now = time.time()
    await server.post(
        [*_line(RUNNING, 400 + number, 1200, now), *_line("manual-de-fr", 80 + number, None, now)]
    )


def _story(now: float) -> Iterator[dict[str, Any]]:
    yield from _running(now)
    yield event(
        "minutes-2026-03",
        "translation_started",
        step="reading",
        message="Reading minutes.md",
        timestamp=now - 900,
    )
    yield progress(31, 64, "minutes-2026-03", progress=48, timestamp=now - 700, worker_info=_worker("curie"))
    for name, (state, reason) in STATES.items():
        slots = {"capacity": 4, "active": 2 if state in ("up", "degraded", "wedged") else 0}
        data = {"worker": name, "state": state, "reason": reason, "since": now - 500, "slots": slots}
        yield event(RUNNING, "worker_status", data=data, timestamp=now)
    yield from _ended(now)


def _running(now: float) -> Iterator[dict[str, Any]]:
    yield event(RUNNING, "translation_started", step="reading", total_items=1200, timestamp=now - 430)
    yield event(RUNNING, "step_completed", step="reading", timestamp=now - 420)
    for number in range(1, 401):
        yield from _line(RUNNING, number, 1200, now - 420 + number)
        if number % 150 == 0:
            wrong = {"error": "No answer of ada within 30 s; the line goes to bell.", "error_type": "timeout"}
            yield event(
                RUNNING, "translation_error", step="translation", timestamp=now - 420 + number, **wrong
            )
    for number in range(1, 81):  # neither a total nor a price
        yield from _line("manual-de-fr", number, None, now - 90 + number)
    yield event(
        "glossary-import",
        "conversion_started",
        step="conversion",
        message="Reading terms.csv",
        timestamp=now - 5,
    )


def _line(session: str, number: int, total: int | None, at: float) -> Iterator[dict[str, Any]]:
    worker = "ada" if number % 3 else "bell"
    usage = {
        "provider": "ssh",
        "model": "qwen2.5-7b",
        "worker": worker,
        "input_tokens": 210,
        "output_tokens": 96,
        "duration_s": 1.4,
    }
    if total is None:
        line = {
            "step": "translation",
            "message": f"Translated segment {number}",
            "current_item": f"segment_{number}",
        }
        yield event(session, **line, usage=usage, worker_info=_worker(worker), timestamp=at)
    else:
        ratio = 100 * number / total
        more = {"usage": usage | {"cost_usd": 0.0004}, "data": {"engine": "ssh", "model": "qwen2.5-7b"}}
        yield progress(
            number, total, session, progress=ratio, worker_info=_worker(worker), timestamp=at, **more
        )


def _worker(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "host": f"10.1.0.{20 + list(STATES).index(name)}",
        "port": 22,
        "type": "ssh-openai",
        "model": "qwen2.5-7b",
    }


def _ended(now: float) -> Iterator[dict[str, Any]]:
    for number in range(24):
        yield from _whole(f"chapter-{number:02d}", now - 7200 + 120 * number, failed=0)
    yield from _whole("leaflet-with-gaps", now - 400, failed=7)
    yield from _whole("letter-to-the-editor", now - 300, failed=0)
    yield event("contract-final-v2", "translation_started", timestamp=now - 240, total_items=90)
    yield progress(41, 90, "contract-final-v2", progress=45.5, timestamp=now - 200)
    broken = {"error": "The disk is full: 0 bytes free in /srv/out.", "error_type": "disk_full"}
    yield event("contract-final-v2", "translation_error", fatal=True, timestamp=now - 190, **broken)
    yield progress(12, 90, "thesis-ch-4", progress=13.3, timestamp=now - 160)
    lost = {"error": "No worker has answered for 120 s.", "error_type": "worker_lost"}
    yield event("thesis-ch-4", "translation_error", fatal=True, timestamp=now - 150, **lost)
    yield progress(3, 9, "menu", timestamp=now - 120)
    yield event("menu", "translation_cancelled", reason="stopped by the user", timestamp=now - 100)


def _whole(name: str, began: float, *, failed: int) -> Iterator[dict[str, Any]]:
    yield event(name, "translation_started", total_items=20, timestamp=began)
    yield progress(20, 20, name, progress=100, timestamp=began + 60)
    yield event(name, "translation_completed", failed_items=failed, timestamp=began + 61)


def _chunks(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(events), 500):
        yield events[start : start + 500]
