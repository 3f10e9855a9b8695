"""The shipped rules: promtool takes them, every alert is tested, documented and about metrics that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from exporters.prometheus_families import FAMILIES
from tests.rule_files import (
    PROMETHEUS,
    ROOT,
    RULES,
    SUFFIXES,
    TESTS,
    alerts,
    exposed,
    load,
    metrics_of,
    promtool_cases,
    rules,
)
from tests.tool import run_tool

EXPECTED = {
    "WorkerDown": {"critical"},
    "AllWorkersDown": {"critical"},
    "WorkerProbeStale": {"warning"},
    "WorkersAbsent": {"warning"},
    "WorkerHostKeyMismatch": {"critical"},
    "WorkerFlapping": {"warning"},
    "WorkerSaturated": {"info"},
    "WorkerWedged": {"warning"},
    "WorkerSlow": {"warning"},
    "SessionFailed": {"warning", "critical"},
    "SessionStalled": {"warning"},
    "SessionErrorRateHigh": {"warning"},
    "RelaySLOFastBurn": {"critical"},
    "RelaySLOSlowBurn": {"warning"},
    "TargetDown": {"critical", "warning"},
    "EventsRejected": {"warning"},
    "ConnectionsNearLimit": {"warning"},
    "LogErrors": {"critical", "warning"},
    "LogDiskLow": {"warning"},
    "BrokerDisconnected": {"critical"},
    "TelemetryDropping": {"warning"},
    "NotificationsFailing": {"warning"},
    "EventLoopBlocked": {"warning"},
    "SessionSeriesDropped": {"info"},
    "Watchdog": {"none"},
}
ALERTS = [pytest.param(rule, id=f"{rule['alert']}-{rule['labels']['severity']}") for rule in alerts()]
# The scrape's own, and what the client library tells of the process.
NOT_OURS = {"up", "process_start_time_seconds"}
# It fires whatever happens: that is its use.
ALWAYS = "TranslationWatchdog"


def test_prometheus_takes_the_configuration() -> None:
    """`promtool check config` passes, rules included."""
    done = run_tool("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout + done.stderr


def test_prometheus_takes_the_rules() -> None:
    """`promtool check rules --lint=all` passes."""
    done = run_tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_fire_and_keep_silent_as_told(path: Path) -> None:
    """`promtool test rules` passes."""
    done = run_tool("promtool", "test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_there_with_its_severity() -> None:
    """The list of alerts is a contract with whoever routes them."""
    found: dict[str, set[str]] = {}
    for rule in alerts():
        found.setdefault(rule["alert"].removeprefix("Translation"), set()).add(rule["labels"]["severity"])
    assert found == EXPECTED
    assert all(rule["alert"].startswith("Translation") for rule in alerts())


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    """Each has a summary, a description with its value, and a runbook that tells the same name."""
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    if rule["alert"] != "TranslationTargetDown":  # its value, 0 or 1, says nothing
        assert "$value" in annotations["description"]
    assert annotations["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"
    assert (ROOT / annotations["runbook_url"]).exists()


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_is_tested_both_ways(rule: dict[str, Any]) -> None:
    """One set of series makes it fire with its severity, one must not."""
    name, severity = str(rule["alert"]), rule["labels"]["severity"]
    cases = promtool_cases()
    assert cases.get((name, severity)) == {"fires"}
    assert name == ALWAYS or cases.get((name, "")) == {"silent"}


def test_every_metric_exists() -> None:
    """A rule about a metric that nobody exposes would be silent for ever."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = set()
    for rule in rules():
        named |= metrics_of(rule["expr"])
        used = set(re.findall(r"\b\w+:translation_\w+:\w+", rule["expr"]))
        assert used <= recorded, used - recorded
    assert len(named) > 20
    assert named <= exposed()


def test_the_tests_use_metrics_that_exist() -> None:
    """A promtool test with a misspelt series would prove silence."""
    for path in TESTS:
        for case in load(path)["tests"]:
            for series in case["input_series"]:
                name = series["series"].partition("{")[0]
                assert name in exposed() | NOT_OURS, f"{path.name}: {name}"


def test_the_tests_use_series_as_the_service_labels_them() -> None:
    """All its labels, no other, and values it can have: else a rule is tested on what never comes."""
    families = {f.name + s: f for f in FAMILIES for s in SUFFIXES.get(f.type, ("",))}
    for path in TESTS:
        for case in load(path)["tests"]:
            for series in case["input_series"]:
                name, _, matchers = series["series"].partition("{")
                family = families.get(name)
                if family is None:
                    continue
                found = dict(re.findall(r'(\w+)="([^"]*)"', matchers))
                bound = found.pop("le", "+Inf")
                assert set(found) == {*family.label_names, "job", "instance"}, (path.name, case["name"])
                assert bound == "+Inf" or float(bound) in family.buckets, (path.name, series["series"])
                for label in family.labels:
                    assert label.known(found[label.name]) == found[label.name], (path.name, series["series"])


def test_recorded_series_are_named_by_level_metric_and_operation() -> None:
    """`level:metric:operation`, the level being the labels that are left."""
    for rule in rules():
        if "record" in rule:
            assert re.fullmatch(r"(job|worker):translation_\w+:\w+", rule["record"]), rule["record"]


def test_states_are_one_series_whatever_the_address_of_the_monitor() -> None:
    """`max without (instance)` for state gauges; the least, for room that is left."""
    for rule in alerts():
        if re.search(r"translation_(worker_up|\w+_slots|sessions_active|log_connected)\b", rule["expr"]):
            assert re.search(r"max (without \(instance\)|by \(job\))", rule["expr"]) or (
                rule["alert"] == "TranslationWorkersAbsent"
            ), rule["alert"]


def test_every_runbook_belongs_to_an_alert() -> None:
    """One runbook an alert, none left behind; each says the same four things."""
    runbooks = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
    assert {path.stem for path in runbooks} == {rule["alert"] for rule in alerts()}
    for path in runbooks:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.stem}\n")
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["What it means", "What the user feels", "How to confirm", "How to fix"], path
        assert metrics_of(" ".join(re.findall(r"`([^`]+)`", text)).replace("translation_monitor", "")) <= (
            exposed()
        ), path


def test_the_scrape_is_bounded_and_its_flags_are_told() -> None:
    """`sample_limit` on every job; what only a flag can set stands where it is looked for."""
    path = PROMETHEUS / "prometheus.yml"
    config = load(path)
    assert all(job["sample_limit"] > 0 for job in config["scrape_configs"])
    text = path.read_text(encoding="utf-8")
    for flag in ("--storage.tsdb.retention.time=35d", "--enable-feature=exemplar-storage"):
        assert flag in text
    assert config["storage"]["exemplars"]["max_exemplars"] > 0
