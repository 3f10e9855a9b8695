"""docker-compose.yml itself, started and ended by `make up` and `make down` on a real engine."""

from __future__ import annotations

import json
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.container_engine import HOOK
from tests.rule_files import alerts
from tests.stack import HOOK_PORT, Stack, answer, eventually, started

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything, with two workers."""
    with started(tmp_path_factory.mktemp("stack"), "WORKERS=1") as stack:
        yield stack


def test_one_command_starts_everything_connected(stack: Stack) -> None:
    """`make up WORKERS=1`: scraped, with rules, probed workers, and each container well by its own check."""
    eventually(lambda: all(map(stack.is_up, ("translation-monitor", "alertmanager", "prometheus"))))
    eventually(lambda: stack.workers() == {"worker-1", "worker-2"})
    seen = {one["id"]: one["probe_result"] for one in answer(stack.service, "/workers")["workers"]}
    assert seen == {"worker-1": "success", "worker-2": "success"}
    groups = answer(stack.prometheus, "/api/v1/rules")["data"]["groups"]
    loaded = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert loaded == {rule["alert"] for rule in alerts()}
    checked = {"service", "worker-1", "worker-2", "prometheus", "alertmanager"}
    eventually(lambda: {name for name, health in stack.health().items() if health == "healthy"} >= checked)


def test_an_alert_finds_its_way_from_the_monitor_to_people_and_back(stack: Stack) -> None:
    """A failed session is scraped, becomes an alert, reaches the webhook, and the monitor shows it."""
    # A counter has to be seen before it can be seen to grow.
    eventually(lambda: stack.query('translation_sessions_finished_total{result="failed"}') != [])
    for event in (
        {"type": "translation_started", "session_id": "fails"},
        {"type": "translation_error", "session_id": "fails", "error": "gone", "fatal": True},
    ):
        assert answer(stack.service, "/events", event)["accepted"] == 1
    hook = ("python3", "-c", HOOK, "0.0.0.0", str(HOOK_PORT), "TranslationSessionFailed")
    told = json.loads(stack.compose("exec", "-T", "service", *hook))
    assert {alert["labels"]["job"] for alert in told["alerts"]} == {"translation-monitor"}
    # The spans of the session were taken at the address that the compose file gives.
    eventually(lambda: stack.query('translation_spans_total{outcome="exported"} > 0') != [])
    eventually(lambda: "TranslationSessionFailed" in json.dumps(answer(stack.service, "/alerts")["alerts"]))
    # Always firing, and so what tells that the way from Prometheus to Alertmanager is open.
    watchdog = "/api/v2/alerts?" + urllib.parse.urlencode({"filter": 'alertname="TranslationWatchdog"'})
    eventually(lambda: len(answer(stack.alertmanager, watchdog)) == 1)


def test_down_forgets_nothing_and_up_needs_no_workers(stack: Stack) -> None:
    """After `make down` and a plain `make up`, sessions, series and silences are there, workers are not."""
    eventually(lambda: stack.is_up("translation-monitor"))
    event = {"type": "translation_started", "session_id": "before-the-end"}
    assert answer(stack.service, "/events", event)["accepted"] == 1
    silence = {
        "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2200-01-01T00:00:00Z",
        "createdBy": "a test", "comment": "stays",
    }  # fmt: skip
    answer(stack.alertmanager, "/api/v2/silences", silence)
    before = time.time()
    stack.make("down")
    assert stack.health() == {}

    stack.make("up")
    eventually(lambda: "before-the-end" in json.dumps(answer(stack.service, "/sessions")))
    eventually(lambda: len(stack.query('up{job="translation-monitor"} == 1', at=before)) == 1)
    eventually(
        lambda: [one["comment"] for one in answer(stack.alertmanager, "/api/v2/silences")] == ["stays"]
    )
    eventually(lambda: stack.is_up("translation-monitor"))
    assert not any(name.startswith("worker") for name in stack.health())
    assert not any(one.get("probe_result") for one in answer(stack.service, "/workers")["workers"])
