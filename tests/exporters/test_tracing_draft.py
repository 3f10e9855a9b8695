"""What the spans of a session say: their places, times, attributes and status."""

from __future__ import annotations

from itertools import pairwise

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from tests.otlp_receiver import attributes_of
from tests.span_sender import arrived, attributes, root_of
from tests.story import LOG_ID, T0, Story
from translation_events.trace_ids import attempt_span

PRODUCER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LATER = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"


async def test_steps_and_checkpoints_are_children_of_the_root() -> None:
    """`step {step}`: a child of the derived root; a checkpoint each 10 % or 10 min."""
    story = Story()
    received = await arrived(story, story.translate(items=20), 12)
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
    received = await arrived(story, batch, 1)
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
    received = await arrived(story, batch, 2)
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
    root = root_of(await arrived(story, batch, 1))
    assert root.status.code == Status.STATUS_CODE_ERROR
    assert root.status.message == ""
    assert attributes(root)["error.type"] == error_type
    assert attributes(root)["translation.result"] == name
    assert b"SECRET" not in root.SerializeToString()


async def test_a_cancelled_session_is_no_error() -> None:
    """Cancelled: the status stays unset, the result is an attribute."""
    story = Story()
    root = root_of(
        await arrived(story, [story.tell("translation_started"), story.tell("translation_cancelled")], 1)
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
    received = await arrived(story, batch, 2)
    root, (step,) = root_of(received), received.named("step parsing")
    assert root.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c" == step.trace_id.hex()
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert root.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert not step.flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    assert root.span_id.hex() == attempt_span(LOG_ID, "book", 1).span_id
    assert step.parent_span_id == root.span_id
    assert [link.span_id.hex() for link in root.links] == ["00f067aa0ba902b7"]


async def test_a_clock_that_runs_backwards_is_clamped_and_the_skew_kept() -> None:
    """A clock that runs backwards is clamped, the skew kept as an attribute."""
    story = Story()
    batch = [
        story.tell("translation_started", step="parsing"),
        story.tell("step_completed", step="parsing", timestamp=T0 - 500),
        story.tell("translation_progress", step="translation", progress=50, timestamp=T0 - 900),
        story.tell("step_completed", step="translation", timestamp=T0 - 800),
        story.tell("translation_completed", failed_items=0, timestamp=T0 - 1000),
    ]
    received = await arrived(story, batch, 4)
    for span in received.spans:
        assert span.end_time_unix_nano >= span.start_time_unix_nano >= (T0 + 1) * 10**9
    root = root_of(received)
    for event in root.events:
        assert root.start_time_unix_nano <= event.time_unix_nano <= root.end_time_unix_nano
    assert attributes(root)["translation.clock_skew_s"] == pytest.approx(-1005.0)


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
    received = await arrived(story, batch, 5)
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
