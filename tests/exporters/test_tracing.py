"""Spans of whole sessions, from real events to real OTLP receivers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from exporters.tracing import TracingExporter, otlp_exporter_from_environment
from tests.otlp_receiver import Received, attributes_of, grpc_receiver, http_receiver
from tests.story import LOG_ID, T0, Story
from translation_events.trace_ids import attempt_span

PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LATER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


def spans_to(
    received: Received,
    protocol: str = "http/protobuf",
    *,
    after: int = 0,
    outcomes: Counter[str] | None = None,
) -> TracingExporter:
    """An exporter that sends to `received`."""
    exporter = otlp_exporter_from_environment(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    )
    assert exporter is not None
    counts = Counter[str]() if outcomes is None else outcomes

    def count(outcome: str, spans: int) -> None:
        counts[outcome] += spans

    return TracingExporter(exporter=exporter, after=after, outcomes=count, monitor_url="http://monitor:8090")


@asynccontextmanager
async def sending(spans: TracingExporter) -> AsyncIterator[None]:
    """The sender loop runs inside, is cancelled and flushed at the end."""
    async with asyncio.TaskGroup() as tasks:
        sender = tasks.create_task(spans.run(), name="spans")
        yield
        sender.cancel()
    assert await spans.flush()


def root_of(received: Received) -> Span:
    """The only root that arrived."""
    (root,) = [span for span in received.spans if span.kind == Span.SPAN_KIND_CONSUMER]
    return root


def attributes(span: Span) -> Mapping[str, object]:
    """A span's attributes."""
    return attributes_of(span.attributes)


async def export_all(story: Story, batch: list, spans_expected: int) -> Received:  # type: ignore[type-arg]
    """Send a batch over HTTP and return what arrived."""
    async with http_receiver() as received:
        spans = spans_to(received)
        async with sending(spans):
            spans.export(batch)
            await received.count(spans_expected)
        assert spans.cursor == story.seq
    return received


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_an_ended_session_is_one_root_from_its_first_to_its_last_event(protocol: str) -> None:
    """Every ended attempt of a session has exactly one trace whose root spans its first to its last event."""
    story, outcomes = Story(), Counter[str]()
    receiver = http_receiver() if protocol == "http/protobuf" else grpc_receiver()
    async with receiver as received:
        spans = spans_to(received, protocol, outcomes=outcomes)
        async with sending(spans):
            batch = story.translate(items=20)
            spans.export(batch)
            await received.count(12)
    root = root_of(received)
    ref = attempt_span(LOG_ID, "book", 1)
    assert (root.trace_id.hex(), root.span_id.hex()) == ref
    assert (root.name, root.parent_span_id) == ("translate", b"")
    assert root.start_time_unix_nano == (T0 + 1) * 10**9
    assert root.end_time_unix_nano == (T0 + 23) * 10**9
    assert root.status.code == Status.STATUS_CODE_UNSET
    shown = attributes(root)
    assert shown["session.id"] == "book"
    assert shown["translation.kind"] == "translation"
    assert shown["translation.result"] == "completed"
    assert (shown["translation.seq.first"], shown["translation.seq.last"]) == (1, 23)
    assert (shown["translation.items.done"], shown["translation.items.total"]) == (20, 20)
    assert shown["translation.monitor_url"] == "http://monitor:8090/monitor?session=book"
    assert len(received.named("checkpoint")) == 10
    assert outcomes == {"exported": 12}
    assert (spans.cursor, spans.lag(story.seq)) == (23, 0)


async def test_steps_and_checkpoints_are_children_of_the_root() -> None:
    """`step {step}`: a child of the derived root; a checkpoint each 10 % or 10 min."""
    story = Story()
    received = await export_all(story, story.translate(items=20), 12)
    root = root_of(received)
    children = [span for span in received.spans if span is not root]
    assert {span.parent_span_id for span in children} == {root.span_id}
    assert {span.trace_id for span in received.spans} == {root.trace_id}
    assert {span.kind for span in children} == {Span.SPAN_KIND_INTERNAL}
    (step,) = received.named("step parsing")
    assert (step.start_time_unix_nano, step.end_time_unix_nano) == ((T0 + 1) * 10**9, (T0 + 2) * 10**9)
    assert attributes(step)["translation.step"] == "parsing"
    checkpoints = received.named("checkpoint")
    assert attributes(checkpoints[0])["translation.progress"] == 10.0
    assert attributes(checkpoints[0])["translation.items.done"] == 2
    assert all(a.end_time_unix_nano == b.start_time_unix_nano for a, b in pairwise(checkpoints))
    assert len(set(received.ids())) == 12


async def test_an_unfinished_session_is_visible() -> None:
    """A checkpoint makes an unfinished session visible; its root comes only at the terminal event."""
    story = Story()
    batch = [
        story.tell("translation_started", total_items=100),
        story.tell("translation_progress", after_s=700.0, current_item=1, total_items=100),
    ]
    received = await export_all(story, batch, 1)
    (checkpoint,) = received.spans
    assert checkpoint.name == "checkpoint"
    assert checkpoint.parent_span_id.hex() == attempt_span(LOG_ID, "book", 1).span_id


async def test_what_a_session_used_is_on_its_root() -> None:
    """Kind, items, engine, model, worker, tokens, cost; milestones as span events."""
    story = Story()
    batch = [
        story.tell(
            "conversion_started", step="reading", worker_info={"host": "gpu1", "type": "llm", "model": "m1"}
        ),
        story.tell("step_completed", step="reading"),
        story.tell(
            "conversion_progress",
            progress=5,
            usage=[
                {"requests": 2, "input_tokens": 100, "output_tokens": 40, "cost_usd": 0.25, "worker": "gpu2"},
                {"requests": 1, "input_tokens": 1, "output_tokens": 2, "cost_usd": 0.5, "worker": "gpu2"},
            ],
        ),
        story.tell("conversion_error", error="SECRET TEXT", message="SECRET TEXT", error_type="timeout"),
        story.tell("conversion_completed", failed_items=3),
    ]
    received = await export_all(story, batch, 2)
    root = root_of(received)
    assert root.name == "convert"
    assert root.status.code == Status.STATUS_CODE_UNSET
    shown = attributes(root)
    assert shown["translation.kind"] == "conversion"
    assert shown["translation.result"] == "completed_with_failures"
    assert shown["translation.items.failed"] == 3
    assert shown["translation.engine"] == "llm"
    assert shown["translation.model"] == "m1"
    assert shown["translation.worker"] == "gpu2"
    assert shown["translation.workers"] == ["gpu1:22", "gpu2"]
    assert shown["translation.requests"] == 3
    assert (shown["translation.tokens.input"], shown["translation.tokens.output"]) == (101, 42)
    assert shown["translation.cost_usd"] == 0.75
    assert [event.name for event in root.events] == [
        "started",
        "step_completed",
        "error",
        "completed_with_failures",
    ]
    assert attributes_of(root.events[2].attributes)["error.type"] == "timeout"
    assert not [span for span in received.spans if b"SECRET" in span.SerializeToString()]


@pytest.mark.parametrize(
    ("end", "name", "error_type"),
    [
        ({"type_": "translation_error", "fatal": True, "error_type": "engine_down"}, "failed", "engine_down"),
        ({"type_": "translation_error", "fatal": True, "error_type": "worker_lost"}, "lost", "worker_lost"),
        ({"type_": "session_ended", "status": "timed_out", "reason": "silence"}, "timed_out", "timeout"),
        ({"type_": "session_ended", "status": "failed", "reason": "x"}, "failed", "other"),
    ],
)
async def test_a_failure_is_an_error_with_its_type_and_no_text(
    end: dict[str, object], name: str, error_type: str
) -> None:
    """Status: ERROR with `error.type` on failure; never `message` or `error`."""
    story = Story()
    fields = {"error": "SECRET TEXT", "message": "SECRET TEXT", **end}
    batch = [story.tell("translation_started"), story.tell(**fields)]  # type: ignore[arg-type]
    root = root_of(await export_all(story, batch, 1))
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert root.status.message == ""
    assert attributes(root)["error.type"] == error_type
    assert attributes(root)["translation.result"] == name
    assert b"SECRET" not in root.SerializeToString()


async def test_a_cancelled_session_is_no_error() -> None:
    """Cancelled: the status stays unset, the result is an attribute."""
    story = Story()
    root = root_of(
        await export_all(story, [story.tell("translation_started"), story.tell("translation_cancelled")], 1)
    )
    assert root.status.code == Status.STATUS_CODE_UNSET
    assert attributes(root)["translation.result"] == "cancelled"
    assert "error.type" not in attributes(root)


async def test_a_producers_span_becomes_the_parent_and_a_later_one_a_link() -> None:
    """A `traceparent` in an attempt's first event makes the session a child of that span; another, a link."""
    story = Story()
    batch = [
        story.tell("translation_started", traceparent=PRODUCER),
        story.tell("step_completed", step="parsing", traceparent=LATER),
        story.tell("translation_completed", traceparent=PRODUCER),
    ]
    received = await export_all(story, batch, 2)
    root, (step,) = root_of(received), received.named("step parsing")
    assert root.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" == step.trace_id.hex()
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert root.span_id.hex() == attempt_span(LOG_ID, "book", 1).span_id
    assert step.parent_span_id == root.span_id
    assert [link.span_id.hex() for link in root.links] == ["00f067aa0ba902b7"]


async def test_a_clock_that_runs_backwards_is_clamped_and_the_skew_kept() -> None:
    """A clock that runs backwards is clamped, the skew kept as an attribute."""
    story = Story()
    batch = [
        story.tell("translation_started", step="parsing"),
        story.tell("step_completed", step="parsing", timestamp=T0 - 500),
        story.tell("translation_progress", progress=50, timestamp=T0 - 900),
        story.tell("translation_completed", failed_items=0, timestamp=T0 - 1000),
    ]
    received = await export_all(story, batch, 3)
    for span in received.spans:
        assert span.end_time_unix_nano >= span.start_time_unix_nano >= (T0 + 1) * 10**9
    root = root_of(received)
    for event in root.events:
        assert root.start_time_unix_nano <= event.time_unix_nano <= root.end_time_unix_nano
    assert attributes(root)["translation.clock_skew_s"] == pytest.approx(-1004.0)


async def test_every_attempt_has_a_trace_of_its_own() -> None:
    """A session run again, or a conversion that a translation follows, is another root in another trace."""
    story = Story()
    batch = [
        story.tell("conversion_started"),
        story.tell("conversion_progress", progress=5),
        story.tell("translation_started"),  # the conversion was never reported complete: it has failed
        story.tell("translation_completed", failed_items=0),
        *story.translate(items=1),
    ]
    received = await export_all(story, batch, 5)
    roots = [span for span in received.spans if span.kind == Span.SPAN_KIND_CONSUMER]
    assert [(root.name, attributes(root)["translation.attempt"]) for root in roots] == [
        ("convert", 1),
        ("translate", 2),
        ("translate", 3),
    ]
    assert [root.status.code for root in roots] == [Status.STATUS_CODE_ERROR, 0, 0]
    assert [root.trace_id.hex() for root in roots] == [
        attempt_span(LOG_ID, "book", seq).trace_id for seq in (1, 3, 5)
    ]


async def test_events_before_the_cursor_make_no_spans() -> None:
    """The span reader starts from its stored cursor."""
    story = Story()
    old, new = story.translate("old", items=1), story.translate("new", items=1)
    async with http_receiver() as received:
        spans = spans_to(received, after=old[-1].stored.seq)
        async with sending(spans):
            spans.export([*old, *new])
            await received.until(lambda: len(received.named("translate")) == 1)
    assert {attributes(span)["session.id"] for span in received.spans} == {"new"}


async def test_events_of_no_session_move_the_cursor_and_make_no_spans() -> None:
    """`worker_status` events belong to no session; the reader still passes them."""
    story = Story()
    status = story.tell("worker_status", "_workers", data={"worker": "gpu1", "state": "up"})
    async with http_receiver() as received:
        spans = spans_to(received)
        spans.export([status])
        assert (spans.cursor, spans.lag(1)) == (1, 0)


async def test_the_resource_says_who_made_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """`service.name` is ours unless the standard variables name another; version and instance are given."""
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab,service.instance.id=node-7"
    )
    async with grpc_receiver() as received:
        spans = spans_to(received, "grpc")
        async with sending(spans):
            spans.export(Story().translate(items=1))
            await received.count(3)
        first = received.resource
        monkeypatch.setenv("OTEL_SERVICE_NAME", "books")
        spans = spans_to(received, "grpc")
        async with sending(spans):
            spans.export(Story().translate("other", items=1))
            await received.count(6)
    assert first["service.name"] == "translation-monitor"
    assert first["service.version"]
    assert first["service.instance.id"] == "node-7"
    assert first["deployment.environment.name"] == "lab"
    assert received.resource["service.name"] == "books"
