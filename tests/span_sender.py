"""An exporter of spans with its sender loop, and what of a told story arrives at a real receiver."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from exporters.tracing import TracingExporter, otlp_exporter_from_environment
from tests.otlp_receiver import Received, Value, attributes_of, http_receiver
from tests.story import Story
from translation_events.log import Exporter
from translation_events.session import Applied


class Sender:
    """An exporter to a port, its counts, and a way to wait for them."""

    def __init__(
        self, port: int, protocol: str = "http/protobuf", *, after: int = 0, timeout_s: float = 0.5
    ) -> None:
        exporter = otlp_exporter_from_environment(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_TIMEOUT": str(timeout_s),
            }
        )
        assert exporter is not None
        self.outcomes = Counter[str]()
        self._counted = asyncio.Event()
        self.spans = TracingExporter(
            exporter=exporter, after=after, outcomes=self._count, monitor_url="http://monitor:8090"
        )
        self.seam: Exporter = self.spans  # the type checker holds it to the protocol

    def _count(self, outcome: str, spans: int) -> None:
        self.outcomes[outcome] += spans
        self._counted.set()

    async def until(self, outcome: str, spans: int = 1) -> None:
        """Wait until `spans` spans have had that outcome."""
        async with asyncio.timeout(20):
            while self.outcomes[outcome] < spans:
                self._counted.clear()
                await self._counted.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The sender loop, cancelled at the end."""
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.spans.run(), name="spans")
            yield
            task.cancel()


async def arrived(story: Story, batch: Sequence[Applied], spans: int) -> Received:
    """Export a batch over HTTP until `spans` spans have arrived, and return all that came."""
    async with http_receiver() as received:
        sender = Sender(received.port, timeout_s=5)
        async with sender.running():
            sender.spans.export(batch)
            await received.count(spans)
            assert await sender.spans.flush()
        assert sender.spans.cursor == story.seq
        await received.count(sender.outcomes["exported"])
    return received


def root_of(received: Received) -> Span:
    """The only root that arrived."""
    (root,) = [span for span in received.spans if span.kind == Span.SPAN_KIND_CONSUMER]
    return root


def attributes(span: Span) -> Mapping[str, Value]:
    """A span's attributes."""
    return attributes_of(span.attributes)
