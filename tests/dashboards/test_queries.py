"""Every query is about metrics and labels that exist, and asks them the way their type wants to be asked."""

from __future__ import annotations

import re

import pytest

from exporters.prometheus_families import FAMILIES
from exporters.prometheus_family import Family, FamilyType
from tests.dashboard_files import BOARDS, Target, marks, selectors, targets

SUFFIXES = {FamilyType.HISTOGRAM: ("_bucket", "_count", "_sum")}
EXPOSED: dict[str, Family] = {
    family.name + suffix: family for family in FAMILIES for suffix in SUFFIXES.get(family.type, ("",))
}
# Exposed on Linux by the client library; the scrape's own; Prometheus's view of its rules.
PROCESS_COUNTERS = {"process_cpu_seconds_total"}
PROCESS_GAUGES = {
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
}
OTHERS = PROCESS_COUNTERS | PROCESS_GAUGES | {"up", "ALERTS"}
COUNTING = {"rate", "increase"}
# An increase over a fixed window shows that window, and its panel or legend says so.
WINDOWS = {"15m": "15 min", "30d": "30 days", "5m": "5m", "1h": "1h", "6h": "6h", "1d": "1d", "3d": "3d"}
QUERIES = [pytest.param(target, id="/".join(target.name)) for target in (*targets(), *marks())]


@pytest.mark.parametrize("target", QUERIES)
def test_every_metric_exists(target: Target) -> None:
    """Every metric in a query is a family of ours, with its suffix where it is a histogram."""
    found = {selector.metric for selector in selectors(target.expr)}
    assert found
    assert found <= EXPOSED.keys() | OTHERS
    named = set(re.findall(r"\b(?:translation|process)_\w+", target.expr))
    assert named == found - {"up", "ALERTS"}, (
        "a metric without a selector is not narrowed to job and instance"
    )


@pytest.mark.parametrize("target", QUERIES)
def test_every_label_exists(target: Target) -> None:
    """A query matches, groups and names its lines by labels that its metrics have."""
    known = {"job", "instance", "alertname", "alertstate", "severity"}
    for selector in selectors(target.expr):
        family = EXPOSED.get(selector.metric)
        own = set(family.label_names) if family is not None else set()
        own |= {"le"} if selector.metric.endswith("_bucket") else set()
        assert selector.labels <= own | known
        known |= own
        for label, value in re.findall(r'(\w+)="(\w+)"', selector.matchers):
            closed = next((one.values for one in family.labels if one.name == label), ()) if family else ()
            assert not closed or value in closed, f"{label} is never {value}"
    grouped = {
        label.strip()
        for group in re.findall(r"(?:by|on) \(([^)]*)\)", target.expr)
        for label in group.split(",")
    }
    assert grouped <= known
    assert set(re.findall(r"{{(\w+)}}", target.target["legendFormat"])) <= grouped


@pytest.mark.parametrize("target", QUERIES)
def test_every_selector_is_narrowed_to_job_and_instance(target: Target) -> None:
    """Job and instance as variables: without them two monitors would be added up."""
    for selector in selectors(target.expr):
        if selector.metric != "ALERTS":  # a rule that sums has neither
            assert selector.matchers.startswith('job=~"$job", instance=~"$instance"')


@pytest.mark.parametrize("target", QUERIES)
def test_counters_are_rated_and_gauges_are_not(target: Target) -> None:
    """A counter says something only as a rate or an increase, a gauge never as one."""
    for selector in selectors(target.expr):
        family = EXPOSED.get(selector.metric)
        counter = selector.metric in PROCESS_COUNTERS or (
            family is not None and family.type != FamilyType.GAUGE
        )
        assert (selector.function in COUNTING) == counter, selector
        assert bool(selector.range) == counter, selector


@pytest.mark.parametrize("target", QUERIES)
def test_rates_follow_the_rate_interval(target: Target) -> None:
    """`$__rate_interval`; a fixed window only in an increase that says so."""
    for selector in selectors(target.expr):
        if selector.function == "rate":
            assert selector.range == "$__rate_interval"
        elif selector.function == "increase" and not selector.range.startswith("$__"):
            shown = WINDOWS[selector.range]
            assert shown in target.panel["title"] or shown == target.target["legendFormat"]


@pytest.mark.parametrize("target", QUERIES)
def test_quantiles_keep_the_bounds_of_the_buckets(target: Target) -> None:
    """A quantile needs `le`, and only buckets have it."""
    for inner in re.findall(r"histogram_quantile\([\d.]+, sum by \(([^)]*)\) \(rate\((\w+)", target.expr):
        labels, metric = inner
        assert labels.split(", ")[0] == "le"
        assert metric.endswith("_bucket")
    assert target.expr.count("histogram_quantile") == len(re.findall(r"_bucket\{(?![^}]*le=)", target.expr))
    for bound in re.findall(r'\ble="([^"]+)"', target.expr):
        assert float(bound) in EXPOSED["translation_relay_latency_seconds_bucket"].buckets


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_every_variable_that_is_used_is_defined(board: dict[str, object]) -> None:
    """A name after a dollar is a variable of the dashboard or one of Grafana's own."""
    used = set(re.findall(r"\$\{?([a-z]\w*)", str(board)))
    listed = board["templating"]["list"]  # type: ignore[index]  # JSON
    assert used <= {variable["name"] for variable in listed}
