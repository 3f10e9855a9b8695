"""The metrics as Prometheus sees them: scraped, parsed, compared with what happened."""

from __future__ import annotations

import asyncio
import shutil
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.parts import need
from translation_events.event import EventType
from translation_events.session import Ended, ErrorCounted, ItemsDone, Started, StepEnded

if TYPE_CHECKING:
    from tests.exporters.conftest import Service

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

EXPECTED = {
    "translation_events_total": "counter",
    "translation_events_rejected_total": "counter",
    "translation_events_duplicate_total": "counter",
    "translation_ingest_duration_seconds": "histogram",
    "translation_sessions_started_total": "counter",
    "translation_sessions_finished_total": "counter",
    "translation_session_duration_seconds": "histogram",
    "translation_step_duration_seconds": "histogram",
    "translation_errors_total": "counter",
    "translation_items_total": "counter",
    "translation_sessions_active": "gauge",
    "translation_session_progress_ratio": "gauge",
    "translation_session_eta_seconds": "gauge",
    "translation_session_last_event_timestamp_seconds": "gauge",
    "translation_session_info": "gauge",
    "translation_session_series_dropped_total": "counter",
    "translation_workers_configured": "gauge",
    "translation_worker_up": "gauge",
    "translation_worker_probes_total": "counter",
    "translation_worker_probe_duration_seconds": "histogram",
    "translation_worker_last_success_timestamp_seconds": "gauge",
    "translation_worker_last_probe_timestamp_seconds": "gauge",
    "translation_worker_capacity_slots": "gauge",
    "translation_worker_active_slots": "gauge",
    "translation_worker_info": "gauge",
    "translation_worker_tokens_total": "counter",
    "translation_worker_busy_seconds_total": "counter",
    "translation_worker_gpu_utilization_ratio": "gauge",
    "translation_worker_gpu_memory_used_bytes": "gauge",
    "translation_worker_gpu_memory_total_bytes": "gauge",
    "translation_worker_load_ratio": "gauge",
    "translation_llm_requests_total": "counter",
    "translation_llm_tokens_total": "counter",
    "translation_llm_cost_usd_total": "counter",
    "translation_llm_request_duration_seconds": "histogram",
    "translation_cache_lookups_total": "counter",
    "translation_relay_connections": "gauge",
    "translation_relay_connections_limit": "gauge",
    "translation_relay_messages_total": "counter",
    "translation_relay_bytes_total": "counter",
    "translation_relay_latency_seconds": "histogram",
    "translation_relay_gaps_total": "counter",
    "translation_relay_missed_events_total": "counter",
    "translation_relay_lag_events": "gauge",
    "translation_relay_closed_total": "counter",
    "translation_relay_resumes_total": "counter",
    "translation_log_append_duration_seconds": "histogram",
    "translation_log_append_events": "histogram",
    "translation_log_errors_total": "counter",
    "translation_log_last_seq": "gauge",
    "translation_log_free_bytes": "gauge",
    "translation_log_connected": "gauge",
    "translation_spans_total": "counter",
    "translation_notifications_total": "counter",
    "translation_notifications_waiting": "gauge",
    "translation_reader_lag_events": "gauge",
    "translation_auth_failures_total": "counter",
    "translation_event_loop_lag_seconds": "histogram",
    "translation_build_info": "gauge",
}


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_every_family_is_exposed_before_anything_has_happened(service: Service, accept: str) -> None:
    """Every family in the table is always exposed with HELP and TYPE, samples or not."""
    lines = (await service.page(accept)).text.splitlines()
    for name, family_type in EXPECTED.items():
        exposed = name.removesuffix("_total") if accept else name
        assert f"# TYPE {exposed} {family_type}" in lines
        assert any(line.startswith(f"# HELP {exposed} ") and line[len(exposed) + 8 :] for line in lines)


async def test_closed_label_sets_start_at_zero(service: Service) -> None:
    """Known label values start at 0, so that `increase()` sees the first one."""
    page = await service.page()
    for event_type in EventType:
        assert page.value("translation_events_total", type=event_type.value) == 0
    assert page.value("translation_events_rejected_total", source="http", reason="too_large") == 0
    assert page.value("translation_sessions_finished_total", kind="translation", result="lost") == 0
    assert page.value("translation_step_duration_seconds_count", step="parsing") == 0
    assert page.value("translation_relay_closed_total", role="both", reason="ping_timeout") == 0
    assert page.value("translation_relay_resumes_total", result="gap") == 0
    assert page.value("translation_spans_total", outcome="queue_full") == 0
    assert page.value("translation_cache_lookups_total", result="hit") == 0
    assert page.value("translation_sessions_active", kind="conversion", state="stalled") == 0
    assert page.value("translation_errors_total", step="other", error_type="timeout") == 0


async def test_label_pairs_are_initialised_at_a_labels_first_use(service: Service) -> None:
    """Label pairs are initialised at a label's first use: before the first error of a step, all are 0."""
    before = await service.page()
    assert before.value("translation_errors_total", step="parsing", error_type="timeout") is None
    assert (
        before.value("translation_session_duration_seconds_count", kind="translation", result="lost") is None
    )
    service.take({"type": "translation_started", "session_id": "s", "step": "parsing"})
    after = await service.page()
    assert after.value("translation_errors_total", step="parsing", error_type="timeout") == 0
    assert after.value("translation_session_duration_seconds_count", kind="translation", result="lost") == 0
    assert after.value("translation_errors_total", step="generation", error_type="timeout") is None


async def test_a_translation_from_start_to_end_is_counted(service: Service) -> None:
    """One session's events, items, step, error and end show in its families."""
    service.take(
        {"type": "translation_started", "session_id": "s", "step": "translation", "at": service.now - 100},
        {"type": "translation_progress", "session_id": "s", "current_item": "line_3", "at": service.now - 50},
        {"type": "translation_error", "session_id": "s", "error_type": "timeout", "error": "Failed: line 4"},
        {"type": "step_completed", "session_id": "s", "step": "translation", "at": service.now - 10},
        {"type": "translation_completed", "session_id": "s", "failed_items": 1},
    )
    page = await service.page()
    assert page.value("translation_events_total", type="translation_progress") == 1
    assert page.value("translation_sessions_started_total", kind="translation") == 1
    assert page.value("translation_items_total", kind="translation") == 3
    assert page.value("translation_errors_total", step="translation", error_type="timeout") == 1
    assert page.value("translation_step_duration_seconds_sum", step="translation") == pytest.approx(90)
    end = {"kind": "translation", "result": "completed_with_failures"}
    assert page.value("translation_sessions_finished_total", **end) == 1
    assert page.value("translation_session_duration_seconds_sum", **end) == pytest.approx(100)
    assert page.value("translation_session_duration_seconds_bucket", le="60.0", **end) == 0
    assert page.value("translation_session_duration_seconds_bucket", le="300.0", **end) == 1
    assert page.value("translation_session_duration_seconds_bucket", le="+Inf", **end) == 1


async def test_events_of_the_server_and_of_workers_count_too(service: Service) -> None:
    """`session_ended` and `worker_status` are events like any other."""
    service.take(
        {"type": "translation_started", "session_id": "s"},
        {"type": "worker_status", "session_id": "_workers", "data": {"worker": "gpu-1", "state": "up"}},
        {
            "type": "session_ended",
            "session_id": "s",
            "status": "timed_out",
            "reason": "24 h without an event",
        },
    )
    page = await service.page()
    assert page.value("translation_events_total", type="worker_status") == 1
    assert page.value("translation_events_total", type="session_ended") == 1
    assert page.value("translation_sessions_finished_total", kind="translation", result="timed_out") == 1


async def test_an_unknown_step_is_other(service: Service) -> None:
    """A step that is not one of the known ones counts as `other`."""
    service.take(
        {"type": "step_completed", "session_id": "s", "step": "proofreading by hand"},
        {"type": "translation_error", "session_id": "s", "step": "proofreading by hand", "error_type": "new"},
    )
    page = await service.page()
    assert page.value("translation_step_duration_seconds_count", step="other") == 1
    assert page.value("translation_errors_total", step="other", error_type="other") == 1


async def test_what_the_service_reports_is_counted(service: Service) -> None:
    """Ingest, log, relay, auth, loop and spans are counted as they are reported."""
    metrics = service.metrics
    metrics.event_rejected("ws", "invalid_json")
    metrics.event_rejected("http", "a code of next year")
    metrics.event_duplicate("http")
    metrics.ingest_observed("ws", 0.004, 3)
    metrics.append_observed(0.002, 64)
    metrics.log_failed("append")
    metrics.relay_flushed(100, 34_000)
    metrics.relay_latency(1.0, 100)
    metrics.relay_gap(12)
    metrics.relay_gap(None)
    metrics.relay_closed("viewer", "slow")
    metrics.relay_resumed("complete")
    metrics.auth_failed("origin")
    metrics.loop_lag(0.02)
    metrics.spans("exported", 5)
    page = await service.page()
    assert page.value("translation_events_rejected_total", source="ws", reason="invalid_json") == 1
    assert page.value("translation_events_rejected_total", source="http", reason="other") == 1
    assert page.value("translation_events_duplicate_total", source="http") == 1
    assert page.value("translation_ingest_duration_seconds_count", source="ws") == 3
    assert page.value("translation_ingest_duration_seconds_sum", source="ws") == pytest.approx(0.012)
    assert page.value("translation_log_append_duration_seconds_count") == 1
    assert page.value("translation_log_append_events_sum") == 64
    assert page.value("translation_log_append_events_bucket", le="64.0") == 1
    assert page.value("translation_log_errors_total", op="append") == 1
    assert page.value("translation_relay_messages_total") == 100
    assert page.value("translation_relay_bytes_total") == 34_000
    assert page.value("translation_relay_latency_seconds_bucket", le="1.0") == 100
    assert page.value("translation_relay_latency_seconds_bucket", le="0.5") == 0
    assert page.value("translation_relay_gaps_total") == 2
    assert page.value("translation_relay_missed_events_total") == 12
    assert page.value("translation_relay_closed_total", role="viewer", reason="slow") == 1
    assert page.value("translation_relay_resumes_total", result="complete") == 1
    assert page.value("translation_auth_failures_total", reason="origin") == 1
    assert page.value("translation_event_loop_lag_seconds_count") == 1
    assert page.value("translation_spans_total", outcome="exported") == 5


async def test_state_comes_from_the_snapshot(service: Service) -> None:
    """State comes from a snapshot at scrape; what the log's medium cannot tell has no sample."""
    service.take({"type": "translation_started", "session_id": "s"})
    page = await service.page()
    assert page.value("translation_workers_configured") == 2
    assert page.value("translation_relay_connections", role="viewer") == 3
    assert page.value("translation_relay_connections_limit", role="both") == 90
    assert page.value("translation_relay_lag_events") == 7
    assert page.value("translation_log_last_seq") == 1
    assert page.value("translation_log_free_bytes") == 1e9
    assert page.value("translation_log_connected") == 1
    assert page.value("translation_reader_lag_events", reader="spans") == 11
    info = page.series("translation_build_info")[0]
    assert info.value == 1
    assert info.labels["version"] == "1.2.3"
    assert info.labels["revision"] == "abc123"
    assert info.labels["python"].startswith("3.")
    service.state = type(service.state)(
        **{f: getattr(service.state, f) for f in service.state.__slots__}
        | {"log_free_bytes": None, "log_connected": False}
    )
    page = await service.page()
    assert page.value("translation_log_free_bytes") is None
    assert page.value("translation_log_connected") == 0


async def test_memory_and_file_descriptors_of_the_process_are_exposed(service: Service) -> None:
    """The Service dashboard shows RSS and file descriptors."""
    page = await service.page()
    if page.value("process_open_fds") is None:
        pytest.skip("this system has no /proc")
    assert (page.value("process_resident_memory_bytes") or 0) > 1e6


async def test_exemplars_lead_to_the_trace(service: Service) -> None:
    """Exemplars under OpenMetrics on counters and buckets: `trace_id` and `session_id`."""
    long_id = "s" * 65
    (first, *_, last) = service.take(
        {"type": "translation_started", "session_id": "short", "step": "reading", "at": service.now - 20},
        {"type": "translation_error", "session_id": "short", "error_type": "timeout"},
        {"type": "step_completed", "session_id": "short", "step": "reading"},
        {"type": "translation_completed", "session_id": "short"},
        {"type": "translation_cancelled", "session_id": long_id},
    )
    page = await service.page(OPENMETRICS)
    assert first.session is not None
    assert last.session is not None
    here = {"trace_id": first.session.attempt.root.trace_id, "session_id": "short"}
    end = {"kind": "translation", "result": "completed_with_failures"}
    for name, labels, value in (
        ("translation_events_total", {"type": "translation_started"}, 1),
        ("translation_errors_total", {"step": "reading", "error_type": "timeout"}, 1),
        ("translation_sessions_finished_total", end, 1),
        ("translation_session_duration_seconds_bucket", {"le": "60.0", **end}, 20),
        ("translation_step_duration_seconds_bucket", {"le": "60.0", "step": "reading"}, 20),
    ):
        sample = page.sample(name, **labels)
        assert sample is not None, name
        assert sample.exemplar is not None, name
        assert sample.exemplar.labels == here
        assert sample.exemplar.value == pytest.approx(value)
    cancelled = page.sample("translation_events_total", type="translation_cancelled")
    assert cancelled is not None
    assert cancelled.exemplar is not None
    # 128 characters are all an exemplar may have, so a long session_id is left out.
    assert cancelled.exemplar.labels == {"trace_id": last.session.attempt.root.trace_id}
    assert "# {" not in (await service.page()).text


async def test_no_created_series_are_exposed(service: Service) -> None:
    """`_created` series double the cost of a counter and tell nothing."""
    service.take({"type": "translation_started", "session_id": "s"})
    assert "_created" not in (await service.page(OPENMETRICS)).text


async def test_a_fault_in_counting_is_contained_logged_and_counted(service: Service) -> None:
    """An exporter catches at its own border: the next event counts, the relay never notices."""
    good, bad = (service.fold(type="translation_started", session_id=name) for name in "ab")
    with capture_logs() as logs:
        service.count([bad._replace(stored=bad.stored._replace(event=None)), good])  # type: ignore[arg-type]
    page = await service.page()
    assert page.value("translation_events_total", type="translation_started") == 1
    assert page.value("translation_metrics_errors_total") == 1
    assert [(entry["event"], entry["seq"]) for entry in logs] == [("event_not_counted", bad.stored.seq)]


async def test_promtool_finds_nothing_to_complain_about(service: Service) -> None:
    """The page passes `promtool check metrics`: names, units, help."""
    promtool = shutil.which("promtool")
    need(promtool is not None, "promtool comes with Prometheus")
    assert promtool is not None
    service.take(
        {"type": "translation_started", "session_id": "s", "total_items": 9},
        {"type": "translation_progress", "session_id": "s", "progress": 10, "usage": {"model": 'a "\\\n b'}},
        {"type": "step_completed", "session_id": "s", "step": "reading"},
        {"type": "translation_completed", "session_id": "s"},
    )
    process = await asyncio.create_subprocess_exec(
        promtool, "check", "metrics", stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(60):
        complaints, _ = await process.communicate((await service.page()).text.encode())
    assert (process.returncode, complaints.decode()) == (0, "")


_from_producers = st.fixed_dictionaries(
    {
        "type": st.sampled_from([t.value for t in EventType if t not in ("worker_status", "session_ended")]),
        "session_id": st.sampled_from(["a", "b", "c"]),
    },
    optional={
        "step": st.sampled_from(["reading", "translation", "unheard-of"]),
        "progress": st.integers(0, 100),
        "total_items": st.integers(0, 40),
        "current_item": st.integers(0, 50),
        "error_type": st.sampled_from(["timeout", "worker_lost", "unheard-of"]),
        "fatal": st.booleans(),
        "failed_items": st.integers(0, 3),
        "usage": st.fixed_dictionaries(
            {"requests": st.integers(0, 5), "input_tokens": st.integers(0, 10**6)},
            optional={"cache": st.sampled_from(["hit", "miss", "none"]), "result": st.just("timeout")},
        ),
    },
)
_worker_status = {"type": "worker_status", "session_id": "a", "data": {"worker": "gpu-1", "state": "up"}}
_session_ended = {"type": "session_ended", "session_id": "b", "status": "failed", "reason": "it went away"}
_events = st.one_of(_from_producers, _from_producers, st.sampled_from([_worker_status, _session_ended]))


@settings(max_examples=60, deadline=None)
@given(events=st.lists(_events, max_size=60), groups=st.integers(1, 7))
async def test_the_counts_are_exact(make_service: type[Service], events: list[Any], groups: int) -> None:
    """Counters equal what the log stored and what the fold made of it, event by event, change by change."""
    service = make_service()
    applied = [service.fold(at=service.now + n, **event) for n, event in enumerate(events)]
    for start in range(0, len(applied), groups):
        service.count(applied[start : start + groups])
    page = await service.page()
    stored = Counter(event["type"] for event in events)
    assert page.total("translation_events_total") == len(events)
    for event_type in EventType:
        assert page.value("translation_events_total", type=event_type.value) == stored[event_type.value]
    changes = [change for one in applied for change in one.changes]
    started = Counter(change.kind.value for change in changes if isinstance(change, Started))
    items = Counter[str]()
    for change in changes:
        if isinstance(change, ItemsDone):
            items[change.kind.value] += change.items
    for kind in ("translation", "conversion"):
        assert page.value("translation_sessions_started_total", kind=kind) == started[kind]
        assert page.value("translation_items_total", kind=kind) == items[kind]
    ends = [change for change in changes if isinstance(change, Ended)]
    for (kind, result), count in Counter((end.kind.value, end.result.value) for end in ends).items():
        assert page.value("translation_sessions_finished_total", kind=kind, result=result) == count
        seconds = page.value("translation_session_duration_seconds_sum", kind=kind, result=result)
        assert seconds == pytest.approx(
            sum(e.attempt.duration_s or 0 for e in ends if (e.kind.value, e.result.value) == (kind, result))
        )
    assert page.total("translation_sessions_finished_total") == len(ends)
    assert page.total("translation_session_duration_seconds_count") == len(ends)
    assert page.total("translation_errors_total") == sum(isinstance(c, ErrorCounted) for c in changes)
    assert page.total("translation_step_duration_seconds_count") == sum(
        isinstance(c, StepEnded) for c in changes
    )
    usages = [event["usage"] for event in events if "usage" in event]
    assert page.total("translation_llm_requests_total") == sum(u["requests"] for u in usages)
    assert page.total("translation_llm_tokens_total") == sum(u["input_tokens"] for u in usages)
    assert page.total("translation_cache_lookups_total") == sum(
        u.get("cache") in ("hit", "miss") for u in usages
    )
    assert page.total("translation_metrics_errors_total") == 0
