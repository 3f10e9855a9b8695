"""Real OTLP receivers on a port of their own: HTTP (oteltap), gRPC (the OTLP service), and two dead ones."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oteltap import OtelTapHttpProtobufReceiver, OtelTapHttpProtobufReceiverSettings

Value = str | int | float | bool | list[str] | None


class Received:
    """What a receiver has been sent, in order of arrival; `resource` is that of the newest request (gRPC)."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.spans: list[Span] = []
        self.resource: dict[str, Value] = {}
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def add(self, span: Span) -> None:
        """Take a span; from the loop's thread."""
        self.spans.append(span)
        self._changed.set()

    def add_from_thread(self, request: ExportTraceServiceRequest) -> None:
        """Take a request; from any thread."""
        for resource_spans in request.resource_spans:
            self.resource = attributes_of(resource_spans.resource.attributes)
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self._loop.call_soon_threadsafe(self.add, span)

    def named(self, name: str) -> list[Span]:
        """The spans of that name."""
        return [span for span in self.spans if span.name == name]

    def ids(self) -> list[str]:
        """The span ids, in order of arrival."""
        return [span.span_id.hex() for span in self.spans]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until a span's arrival has made `condition` true."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def count(self, spans: int, timeout_s: float = 20.0) -> list[Span]:
        """Wait for at least `spans` spans and return all."""
        await self.until(lambda: len(self.spans) >= spans, timeout_s)
        return self.spans


@asynccontextmanager
async def http_receiver(port: int | None = None) -> AsyncIterator[Received]:
    """OTLP over HTTP/protobuf on 127.0.0.1."""
    received = Received(port or free_port())
    settings = OtelTapHttpProtobufReceiverSettings(http_port=received.port)
    async with OtelTapHttpProtobufReceiver(settings) as tap, asyncio.TaskGroup() as tasks:

        async def consume() -> None:
            async for span in tap.stream_traces():
                received.add(span)

        task = tasks.create_task(consume(), name="otlp-http-receiver")
        yield received
        task.cancel()


@asynccontextmanager
async def grpc_receiver(
    port: int | None = None, *, max_message_bytes: int | None = None
) -> AsyncIterator[Received]:
    """OTLP over gRPC on 127.0.0.1; a larger message is refused."""
    options = [] if max_message_bytes is None else [("grpc.max_receive_message_length", max_message_bytes)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    received = Received(server.add_insecure_port(f"127.0.0.1:{port or 0}"))

    class Service(TraceServiceServicer):
        def Export(  # noqa: N802  # the name is the protocol's
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            received.add_from_thread(request)
            return ExportTraceServiceResponse()

    add_TraceServiceServicer_to_server(Service(), server)  # type: ignore[no-untyped-call]  # generated code
    server.start()
    try:
        yield received
    finally:
        await asyncio.to_thread(server.stop(None).wait)


@asynccontextmanager
async def black_hole() -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port that accepts connections and never answers, and an event set at the first connection."""
    connected = asyncio.Event()
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], connected
    finally:
        ended.set()
        server.close()


def free_port() -> int:
    """A port nobody listens on just now: a connection to it is refused."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    """OTLP attributes as a dict."""
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which == "array_value":
        return [item.string_value for item in value.array_value.values]
    found: Value = getattr(value, which)
    return found
