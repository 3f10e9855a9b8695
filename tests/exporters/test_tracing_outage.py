"""Collectors that are down, silent or picky: nothing is lost, nothing comes twice, nobody waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from exporters.tracing_pending import MAX_CHILDREN_PER_SESSION
from tests.otlp_receiver import black_hole, free_port, grpc_receiver, http_receiver
from tests.span_sender import Sender
from tests.story import Story
from translation_events import session as life


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_spans_made_while_the_collector_was_down_arrive_once_it_is_back(protocol: str) -> None:
    """On failure it waits and retries with backoff; nothing is dropped, nothing exported twice."""
    port, story = free_port(), Story()
    sender = Sender(port, protocol)
    async with sender.running():
        with capture_logs() as logs:
            sender.spans.export(story.translate("first", items=10))
            await sender.until("export_failed", 30)
            assert sender.spans.cursor == 1
            assert sender.spans.lag(story.seq) == story.seq - 1
            sender.spans.export(story.translate("second", items=10))
            receiver = http_receiver(port) if protocol == "http/protobuf" else grpc_receiver(port)
            async with receiver as received:
                await sender.until("exported", 24)
                await received.count(24)
        assert sender.spans.cursor == story.seq
    assert await sender.spans.flush()
    assert len(received.ids()) == len(set(received.ids())) == 24
    assert [line["event"] for line in logs] == ["spans cannot be exported", "spans are exported again"]
    assert logs[0]["reason"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_spans_made_while_the_collector_was_silent_arrive_once_it_answers(protocol: str) -> None:
    """A collector that takes connections and never answers is a failure like any other."""
    story = Story()
    async with AsyncExitStack() as stack:
        async with black_hole() as (port, connected):
            sender = Sender(port, protocol)
            await stack.enter_async_context(sender.running())
            sender.spans.export(story.translate("first", items=10))
            await sender.until("export_failed")
            assert connected.is_set()
        receiver = http_receiver(port) if protocol == "http/protobuf" else grpc_receiver(port)
        received = await stack.enter_async_context(receiver)
        sender.spans.export(story.translate("second", items=10))
        await sender.until("exported", 24)
        await received.count(24)
        assert await sender.spans.flush()
    assert len(received.ids()) == len(set(received.ids())) == 24


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_silent_collector_does_not_hold_up_the_shutdown(protocol: str) -> None:
    """A dead collector holds up neither the relay nor the shutdown (3 s)."""
    async with black_hole() as (port, connected):
        sender = Sender(port, protocol, timeout_s=10)
        async with sender.running():
            sender.spans.export(Story().translate(items=10))
            async with asyncio.timeout(20):
                await connected.wait()
        began = time.monotonic()
        assert not await sender.spans.flush()
        assert time.monotonic() - began <= 3.5
        assert sender.spans.lag(13) > 0


async def test_a_refused_connection_ends_the_flush_at_once() -> None:
    """At shutdown one failed try is enough: the spans are kept for the next start."""
    sender = Sender(free_port())
    sender.spans.export(Story().translate(items=10))
    began = time.monotonic()
    assert not await sender.spans.flush()
    assert time.monotonic() - began < 2.0


async def test_flush_sends_what_is_pending() -> None:
    """SIGTERM: flush spans (3 s at most)."""
    async with http_receiver() as received:
        sender = Sender(received.port)
        sender.spans.export(Story().translate(items=10))
        assert await sender.spans.flush()
        await received.count(12)
    assert sender.outcomes == {"exported": 12}


async def test_a_hanging_export_does_not_keep_the_process_alive() -> None:
    """An export that hangs in its thread must not hold the process."""
    program = textwrap.dedent(
        """
        import asyncio, sys, threading
        from opentelemetry.sdk.trace.export import SpanExporter
        from exporters.tracing import TracingExporter
        from tests.story import Story

        class Hanging(SpanExporter):
            def export(self, spans):
                threading.Event().wait()
            shutdown = export

            def shutdown(self):
                threading.Event().wait()

        async def main():
            spans = TracingExporter(exporter=Hanging(), after=0, outcomes=lambda outcome, n: None)
            spans.export(Story().translate(items=2))
            assert not await spans.flush(0.2)

        asyncio.run(main())
        """
    )
    began = time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert time.monotonic() - began < 10


async def test_pending_spans_survive_a_restart_and_arrive_once() -> None:
    """After a restart nothing is exported twice under another id and nothing ended is lost."""
    port, story = free_port(), Story()
    before = Sender(port)
    before.spans.export(story.translate("book", items=10))
    folded = story.seq
    # The summary of "book" is stored here; of "late" only the log knows.
    blob, cursor = before.spans.snapshot("book"), before.spans.cursor
    before.spans.export([story.tell("translation_started", "late")])
    before.spans.export([story.tell("step_completed", "late", step="parsing")])
    assert not await before.spans.flush()

    after = Sender(port, after=cursor)
    after.spans.restore("book", blob)
    after.spans.restore("nothing", b"")
    story.sessions.pop("late")
    after.spans.export(story.replay(folded))
    async with http_receiver(port) as received, after.running():
        after.spans.export([story.tell("translation_completed", "late", failed_items=0)])
        await received.count(14)
        await after.until("exported", 14)
        assert await after.spans.flush()
    assert Counter(span.name for span in received.spans) == {
        "translate": 2,
        "step parsing": 2,
        "checkpoint": 10,
    }
    assert len(set(received.ids())) == 14
    assert after.spans.cursor == story.seq


async def test_a_replay_over_restored_spans_makes_none_twice() -> None:
    """A replay that overlaps what the snapshot holds regenerates the same spans: each is exported once."""
    story = Story()
    before = Sender(free_port())
    batch = story.translate(items=10)
    before.spans.export(batch)
    async with http_receiver() as received:
        after = Sender(received.port)
        after.spans.restore("book", before.spans.snapshot("book"))
        async with after.running():
            await after.until("exported", 12)
            after.spans.export(batch)
            after.spans.export(story.translate("other", items=1))
            await after.until("exported", 15)
        await received.count(15)
        assert await after.spans.flush()
    assert len(received.ids()) == len(set(received.ids())) == 15


async def test_spans_up_to_the_cursor_are_not_taken_back() -> None:
    """A snapshot older than the cursor holds spans that have been exported since."""
    story = Story()
    before = Sender(free_port())
    before.spans.export(story.translate(items=10))
    after = Sender(free_port(), after=story.seq)
    after.spans.restore("book", before.spans.snapshot("book"))
    assert (after.spans.cursor, after.spans.lag(story.seq)) == (story.seq, 0)


async def test_a_damaged_snapshot_is_logged_and_the_rest_goes_on() -> None:
    """Observability never stops the relay."""
    sender = Sender(free_port())
    with capture_logs() as logs:
        sender.spans.restore("book", b"\xc1")
    assert [line["event"] for line in logs] == ["the stored spans of a session cannot be read"]
    assert sender.spans.cursor == 0


async def test_memory_is_bounded_while_the_collector_is_dead() -> None:
    """A dead collector costs bounded memory, and is counted."""
    story = Story()
    sender = Sender(free_port())
    sender.spans.export([story.tell("translation_started")])
    for _ in range(1000):
        sender.spans.export([story.tell("translation_progress", after_s=700.0)])
    sender.spans.export([story.tell("translation_completed", failed_items=0)])
    assert sender.outcomes == {"export_failed": 1000 - MAX_CHILDREN_PER_SESSION}
    assert sender.spans.cursor == 1 + 1000 - MAX_CHILDREN_PER_SESSION
    assert len(sender.spans.snapshot("book")) < 100_000


async def test_a_collector_that_takes_only_small_messages_gets_small_ones() -> None:
    """A batch over the collector's limit is halved until it passes; it does not block those behind it."""
    story = Story()
    async with grpc_receiver(max_message_bytes=8_000) as received:
        sender = Sender(received.port, "grpc", timeout_s=0.2)
        async with sender.running():
            sender.spans.export([a for n in range(6) for a in story.translate(f"s{n}", items=10)])
            await sender.until("exported", 72)
        await received.count(72)
        assert await sender.spans.flush()
    assert len(set(received.ids())) == 72


async def test_a_change_no_span_can_be_made_of_is_counted_and_the_rest_goes_on() -> None:
    """It catches at its own border: never raises into the reader."""
    story = Story()
    batch = story.translate("broken", items=1)
    (ended,) = [c for a in batch for c in a.changes if isinstance(c, life.Ended)]
    ended.attempt.root = ended.attempt.root._replace(trace_id=object())  # type: ignore[arg-type]  # on purpose
    sender = Sender(free_port())
    with capture_logs() as logs:
        sender.spans.export([batch[-1], *story.translate("whole", items=1)])
    assert sender.outcomes == {"export_failed": 1}
    assert sender.spans.snapshot("whole")
    assert [line["event"] for line in logs] == ["a span could not be made"]


async def test_cancelling_the_sender_does_not_lose_the_outcome_of_a_call_under_way() -> None:
    """At shutdown the call under way is waited for, not made again: nothing arrives twice."""
    async with http_receiver() as received:
        sender = Sender(received.port)
        sender.spans.export(Story().translate(items=10))
        async with sender.running():
            await received.count(1)
        assert await sender.spans.flush()
        await received.count(12)
    assert len(received.ids()) == len(set(received.ids())) == 12
    assert sender.outcomes == {"exported": 12}
