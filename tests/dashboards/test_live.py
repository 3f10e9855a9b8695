"""Every query of every dashboard against a real Prometheus that scrapes a real monitor with real sessions."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.dashboard_files import BOARDS, Target, marks, selectors, targets
from tests.dashboards.conftest import Stage
from tests.otlp_receiver import attributes_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

WITHIN_S = 60.0
IDLE = "its only worker is away: no probe has passed and no slot is busy"
UNKNOWN_HOST = "no worker's host is there to tell"
WORKERS = "translation-workers"
# Queries that cannot answer here, and why. One that does answer fails the test, so the list can only shrink.
AWAITING: Mapping[tuple[str, str, str], str] = {
    (WORKERS, "Slots", "A"): IDLE,
    (WORKERS, "Busy", "A"): IDLE,
    (WORKERS, "Workers", "C"): IDLE,
    (WORKERS, "Workers", "E"): IDLE,
    (WORKERS, "Busy slots", "A"): IDLE,
    (WORKERS, "GPU", "A"): UNKNOWN_HOST,
    (WORKERS, "GPU memory", "A"): UNKNOWN_HOST,
    (WORKERS, "GPU memory", "B"): UNKNOWN_HOST,
    (WORKERS, "Load", "A"): UNKNOWN_HOST,
}
# Families whose points name the trace they come from.
WITH_EXEMPLARS = {
    "translation_events_total",
    "translation_errors_total",
    "translation_sessions_finished_total",
    "translation_session_duration_seconds_bucket",
    "translation_step_duration_seconds_bucket",
    "translation_llm_request_duration_seconds_bucket",
}


def filled_in(expr: str, session: str) -> str:
    """The query as Grafana would fill it in where a scrape comes each second.

    A subquery's step is shortened with the rest: 5 minutes are 20 scrapes in production.
    """
    values = {"job": ".+", "instance": ".+", "worker": ".+", "session": session}
    values |= {"__rate_interval": "5s", "__range": "15m"}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], expr).replace(":5m]", ":20s]")


async def answer(stage: Stage, target: Target) -> list[dict[str, Any]]:
    """The series with finite values that a query gives."""
    expr = filled_in(target.expr, stage.running)
    if target.target.get("range"):
        return await stage.prometheus.over_time(expr, stage.began, time.time())
    return await stage.prometheus.instant(expr)


async def test_every_query_returns_data(stage: Stage) -> None:
    """Every panel returns data against a real Prometheus that scraped the real service."""
    asked = {target.name: target for target in (*targets(), *marks())}
    assert AWAITING.keys() <= asked.keys()
    missing = asked.keys() - AWAITING.keys()
    until = time.monotonic() + WITHIN_S
    while missing and time.monotonic() < until:
        await stage.play()
        missing = {name for name in missing if not await answer(stage, asked[name])}
    assert not missing, "\n".join(map(str, sorted(missing)))
    answering = [name for name in AWAITING if await answer(stage, asked[name])]
    assert answering == [], "they answer now: take them off the list"


async def test_lines_are_named_by_labels_that_come_back(stage: Stage) -> None:
    """A legend says something: each label in it has a value in every series of the answer."""
    await stage.play()
    for target in (*targets(), *marks()):
        wanted = re.findall(r"{{(\w+)}}", target.target["legendFormat"])
        for series in await answer(stage, target):
            assert all(series["metric"].get(label) for label in wanted), (target.name, series["metric"])


async def test_variables_have_values(stage: Stage) -> None:
    """Job, instance, session, trace and worker can be chosen."""
    await stage.play()
    seen = set()
    for board in BOARDS:
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert found is not None
            series = await stage.prometheus.instant(filled_in(found[1], stage.running))
            assert {one["metric"].get(found[2], "") for one in series} - {""}, variable["name"]
            seen.add(variable["name"])
    assert seen == {"job", "instance", "session", "trace_id", "worker"}


async def test_points_lead_to_traces_that_a_collector_holds(stage: Stage) -> None:
    """The exemplar's trace id is a trace that a real OTLP receiver holds."""
    await stage.play()
    await stage.collector.until(lambda: len(stage.collector.named("translate")) >= 1)
    held = {span.trace_id.hex() for span in stage.collector.spans}
    led = set()
    for target in targets():
        metrics = {selector.metric for selector in selectors(target.expr)}
        if not target.target.get("exemplar") or not metrics & WITH_EXEMPLARS:
            continue
        expr = filled_in(target.expr, stage.running)
        exemplars = await stage.prometheus.exemplars(expr, stage.began, time.time())
        assert exemplars, target.name
        assert all(one["labels"]["session_id"] for one in exemplars)
        led |= metrics
        if {"translation_sessions_finished_total", "translation_session_duration_seconds_bucket"} & metrics:
            assert {one["labels"]["trace_id"] for one in exemplars} & held, target.name
    assert led >= WITH_EXEMPLARS


async def test_the_trace_panels_ask_for_what_spans_carry(stage: Stage) -> None:
    """Tempo's panels: every attribute they ask for is on a span that a real receiver got."""
    await stage.play()
    ended = await stage.end()

    def is_there() -> bool:
        roots = (attributes_of(span.attributes) for span in stage.collector.named("translate"))
        return any(root["session.id"] == ended for root in roots)

    await stage.collector.until(is_there)
    sent = {key for span in stage.collector.spans for key in attributes_of(span.attributes)}
    (spans, trace) = targets("tempo")
    asked = set(re.findall(r"span\.([\w.]+)", spans.target["query"]))
    assert len(asked) > 5
    assert asked <= sent
    assert trace.target["query"] == "${trace_id}"
