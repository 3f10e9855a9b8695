"""Every query of every dashboard against a real Prometheus that scrapes a real monitor with real sessions."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard_files import BOARDS, GRAFANA, Target, marks, panels, selectors, targets
from tests.dashboards.conftest import Stage
from tests.otlp_receiver import attributes_of

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

WITHIN_S = 90.0
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
    missing = set(asked)
    until = time.monotonic() + WITHIN_S
    while missing and time.monotonic() < until:
        await stage.play()
        missing = {name for name in missing if not await answer(stage, asked[name])}
    assert not missing, "\n".join(map(str, sorted(missing)))


async def test_lines_are_named_by_labels_that_come_back(stage: Stage) -> None:
    """A legend says something: each label in it has a value in every series of the answer."""
    await stage.play()
    for target in (*targets(), *marks()):
        wanted = re.findall(r"{{(\w+)}}", target.target["legendFormat"])
        for series in await answer(stage, target):
            assert all(series["metric"].get(label) for label in wanted), (target.name, series["metric"])


async def test_the_process_panels_speak_of_the_monitor_alone(stage: Stage) -> None:
    """With all jobs chosen, what Prometheus tells of its own process is not added to the monitor's."""
    await stage.play()
    asked = {target.panel["title"]: target for target in targets() if target.board == "translation-service"}
    (memory,) = await answer(stage, asked["Memory"])
    assert memory["metric"] == {"instance": f"127.0.0.1:{stage.monitor.port}"}
    assert memory["values"][-1][1] == pytest.approx(stage.monitor.rss_bytes(), rel=0.2)
    (files,) = await answer(stage, asked["File descriptors"])
    (all_files,) = await stage.prometheus.instant("sum(process_open_fds)")
    assert files["values"][-1][1] < float(all_files["value"][1])


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


async def test_every_panel_can_be_looked_at_without_grafana(stage: Stage, tmp_path: Path) -> None:
    """The preview draws each panel from the same answers; only Tempo's stay empty."""
    await stage.play()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dashboards.grafana.preview", stage.prometheus.url, str(tmp_path)),
        *("--scrape", "1", "--minutes", "2", "--session", stage.running),
        cwd=GRAFANA.parents[1],
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    empty = set()
    for board in BOARDS:
        drawn = (tmp_path / f"{board['uid']}.html").read_text(encoding="utf-8")
        for uid, panel in panels():
            if uid != board["uid"]:
                continue
            (body,) = re.findall(rf"<h3>{re.escape(panel['title'])}</h3>(.+?)</section>", drawn, re.DOTALL)
            if 'class="none"' in body:
                empty.add(panel["title"])
    tempo = {panel["title"] for _, panel in panels() if panel["datasource"]["type"] == "tempo"}
    # It looks once in 5 min, which the server here has seldom lived through.
    assert empty - {"Decode speed against its own median"} == tempo


async def test_points_lead_to_traces_that_a_collector_holds(stage: Stage) -> None:
    """Every exemplar's trace id is a trace that a real OTLP receiver holds, and it is of that session."""
    await stage.play()
    led, points = set(), set()
    for target in targets():
        metrics = {selector.metric for selector in selectors(target.expr)}
        if not target.target.get("exemplar") or not metrics & WITH_EXEMPLARS:
            continue
        expr = filled_in(target.expr, stage.running)
        exemplars = await stage.prometheus.exemplars(expr, stage.began, time.time())
        assert exemplars, target.name
        led |= metrics
        points |= {(one["labels"]["session_id"], one["labels"]["trace_id"]) for one in exemplars}
    assert led >= WITH_EXEMPLARS
    assert stage.running in {session_id for session_id, _ in points}
    await stage.end()  # a session's root span comes with its end

    def held() -> set[tuple[object, str]]:
        roots = [*stage.collector.named("translate"), *stage.collector.named("convert")]
        return {(attributes_of(span.attributes)["session.id"], span.trace_id.hex()) for span in roots}

    await stage.collector.until(lambda: points <= held())


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
    # As many spans of a trace as Tempo answers with unless told otherwise; left out, Grafana asks for three.
    assert spans.target["spss"] == 100
    asked = set(re.findall(r"span\.([\w.]+)", spans.target["query"]))
    assert len(asked) > 5
    assert asked <= sent
    assert trace.target["query"] == "${trace_id}"
