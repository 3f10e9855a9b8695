"""Sessions become spans at real OTLP receivers, once, from the stored cursor on."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.otlp_receiver import grpc_receiver, http_receiver
from tests.span_sender import Sender, attributes, root_of
from tests.story import LOG_ID, T0, Story
from translation_events.trace_ids import attempt_span


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_an_ended_session_is_one_root_from_its_first_to_its_last_event(protocol: str) -> None:
    """Every ended attempt of a session has exactly one trace whose root spans its first to its last event."""
    story = Story()
    receiver = http_receiver() if protocol == "http/protobuf" else grpc_receiver()
    async with receiver as received:
        sender = Sender(received.port, protocol, timeout_s=5)
        async with sender.running():
            batch = story.translate(items=20)
            sender.spans.export(batch)
            await received.count(12)
            assert await sender.spans.flush()
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
    assert sender.outcomes == {"exported": 12}
    assert (sender.spans.cursor, sender.spans.lag(story.seq)) == (23, 0)


async def test_events_before_the_cursor_make_no_spans() -> None:
    """The span reader starts from its stored cursor."""
    story = Story()
    old, new = story.translate("old", items=1), story.translate("new", items=1)
    async with http_receiver() as received:
        sender = Sender(received.port, after=old[-1].stored.seq)
        async with sender.running():
            sender.spans.export([*old, *new])
            await received.until(lambda: len(received.named("translate")) == 1)
            assert await sender.spans.flush()
    assert {attributes(span)["session.id"] for span in received.spans} == {"new"}


async def test_the_end_of_a_superseded_attempt_counts_as_the_event_that_ended_it() -> None:
    """A cursor between an attempt's last event and the one that ended it does not lose the root."""
    story = Story()
    story.tell("conversion_started")
    ended = story.tell("translation_started")
    async with http_receiver() as received:
        sender = Sender(received.port, after=1)
        async with sender.running():
            sender.spans.export([ended])
            assert (sender.spans.cursor, sender.spans.lag(2)) == (1, 1)
            (root,) = await received.count(1)
            assert await sender.spans.flush()
    assert (root.name, attributes(root)["translation.seq.last"]) == ("convert", 1)


async def test_events_of_no_session_move_the_cursor_and_make_no_spans() -> None:
    """`worker_status` events belong to no session; the reader still passes them."""
    story = Story()
    status = story.tell("worker_status", "_workers", data={"worker": "gpu1", "state": "up"})
    async with http_receiver() as received:
        sender = Sender(received.port)
        sender.spans.export([status])
        assert (sender.spans.cursor, sender.spans.lag(1)) == (1, 0)


async def test_the_resource_says_who_made_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """`service.name` is ours unless the standard variables name another; version and instance are given."""
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=lab,service.instance.id=node-7"
    )
    async with grpc_receiver() as received:
        sender = Sender(received.port, "grpc", timeout_s=5)
        async with sender.running():
            sender.spans.export(Story().translate(items=1))
            await received.count(3)
            assert await sender.spans.flush()
        first = received.resource
        monkeypatch.setenv("OTEL_SERVICE_NAME", "books")
        sender = Sender(received.port, "grpc", timeout_s=5)
        async with sender.running():
            sender.spans.export(Story().translate("other", items=1))
            await received.count(6)
            assert await sender.spans.flush()
    assert first["service.name"] == "translation-monitor"
    assert first["service.version"]
    assert first["service.instance.id"] == "node-7"
    assert first["deployment.environment.name"] == "lab"
    assert received.resource["service.name"] == "books"
