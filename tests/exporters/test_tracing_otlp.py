"""The standard variables, the live provider, and what each protocol imports."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest
from aiohttp import web
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from exporters import tracing_live
from exporters.tracing import live_provider, otlp_exporter_from_environment
from exporters.tracing_live import MAX_WAITING
from tests.otlp_receiver import attributes_of, black_hole, free_port, grpc_receiver, http_receiver
from translation_events import semconv
from translation_events.errors import ConfigError


def ignore(outcome: str, spans: int) -> None:
    """Whoever does not count."""


ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"},
        {ENDPOINT: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_configured_is_nothing_sent_and_nothing_said(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """None set, nothing is sent and nothing is warned."""
    with capture_logs() as logs, caplog.at_level(logging.DEBUG):
        assert otlp_exporter_from_environment(environ) is None
        assert live_provider(environ, service_name="translate", outcomes=ignore) is None
    assert not logs
    assert not caplog.records


@pytest.mark.parametrize(
    ("environ", "package"),
    [
        ({ENDPOINT: "http://h:4317"}, "grpc"),
        ({ENDPOINT: "http://h:4318"}, "http"),
        ({ENDPOINT: "http://h:4317", PROTOCOL: "http/protobuf"}, "http"),
        ({ENDPOINT: "http://h:4318", PROTOCOL: "grpc"}, "grpc"),
        ({PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:4318/v1/traces"}, "grpc"),
        (
            {ENDPOINT: "http://h:1", PROTOCOL: "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            "http",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "grpc"),
    ],
)
def test_the_standard_variables_choose_the_protocol_and_only_that_is_imported(
    environ: dict[str, str], package: str
) -> None:
    """Standard `OTEL_*` variables configure OTLP (gRPC and HTTP/protobuf)."""
    program = f"""
import sys
from exporters.tracing import otlp_exporter_from_environment
assert otlp_exporter_from_environment({environ!r}) is not None
print(*sorted(name for name in ("grpc", "requests") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == (["grpc"] if package == "grpc" else ["requests"])
    assert not done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PROTOCOL, "http/json"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "udp"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: str) -> None:
    """A wrong value stops the start with its name, what was found and what is allowed."""
    with pytest.raises(ConfigError, match=rf"{name} is '{value}'; allowed"):
        otlp_exporter_from_environment({ENDPOINT: "http://127.0.0.1:4318", name: value})


async def test_a_collector_that_refuses_is_named_with_its_reason_and_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One warning an outage that says why; a secret in the URL or the headers is never logged."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=401)

    app = web.Application()
    app.router.add_post("/v1/traces", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    refused = f"http://127.0.0.1:{free_port()}/v1/traces?key=SECRET"
    with capture_logs() as logs:
        for url in (f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces?key=SECRET", refused):
            exporter = otlp_exporter_from_environment(
                {
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": url,
                    PROTOCOL: "http/protobuf",
                    "OTEL_EXPORTER_OTLP_TIMEOUT": "1.5",
                }
            )
            assert exporter is not None
            for _ in range(2):
                assert await asyncio.to_thread(exporter.export, []) is SpanExportResult.FAILURE
            exporter.shutdown()
    await runner.cleanup()
    assert [line["event"] for line in logs] == ["spans cannot be exported"] * 2
    assert "401" in logs[0]["reason"]
    assert "ConnectionError" in logs[1]["reason"]
    assert "SECRET" not in str(logs) + caplog.text


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_live_span_arrives_with_its_genai_names(protocol: str) -> None:
    """`chat {model}`: CLIENT, live, by the translator, GenAI conventions."""
    receiver = http_receiver() if protocol == "http/protobuf" else grpc_receiver()
    async with receiver as received:
        outcomes: Counter[str] = Counter()
        provider = live_provider(
            {ENDPOINT: received.endpoint, PROTOCOL: protocol},
            service_name="translate",
            outcomes=lambda outcome, spans: outcomes.update({outcome: spans}),
        )
        assert provider is not None
        with provider.get_tracer("translator").start_as_current_span("chat m1", kind=SpanKind.CLIENT) as span:
            span.set_attribute(semconv.GEN_AI_REQUEST_MODEL, "m1")
            span.set_attribute(semconv.GEN_AI_USAGE_INPUT_TOKENS, 12)
        await asyncio.to_thread(provider.shutdown)
        (chat,) = await received.count(1)
    assert outcomes == {"exported": 1}
    assert chat.name == "chat m1"
    assert attributes_of(chat.attributes) == {"gen_ai.request.model": "m1", "gen_ai.usage.input_tokens": 12}
    if protocol == "grpc":
        assert received.resource["service.name"] == "translate"


async def test_a_live_providers_shutdown_is_short_with_a_silent_collector() -> None:
    """A dead collector holds up no shutdown; the SDK's default blocks 30 s."""
    async with black_hole() as (port, connected):
        environ = {
            ENDPOINT: f"http://127.0.0.1:{port}",
            PROTOCOL: "http/protobuf",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "10",
        }
        provider = live_provider(environ, service_name="translate", outcomes=ignore)
        assert provider is not None
        provider.get_tracer("translator").start_span("chat m1").end()
        async with asyncio.timeout(20):
            await connected.wait()
        began = time.monotonic()
        await asyncio.to_thread(provider.shutdown)
        assert time.monotonic() - began < 3.0


async def test_live_spans_to_a_dead_collector_are_bounded_and_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A dead collector costs bounded memory and one warning, not one a try."""
    environ = {ENDPOINT: f"http://127.0.0.1:{free_port()}", PROTOCOL: "http/protobuf"}
    environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "0.2"
    outcomes: Counter[str] = Counter()
    provider = live_provider(
        environ,
        service_name="translate",
        outcomes=lambda outcome, spans: outcomes.update({outcome: spans}),
    )
    assert provider is not None
    tracer = provider.get_tracer("translator")
    with capture_logs() as logs:
        for _ in range(3):
            tracer.start_span("chat m1").end()
            assert await asyncio.to_thread(provider.force_flush, 5000)
        await asyncio.to_thread(provider.shutdown)
    assert [line["event"] for line in logs] == ["spans cannot be exported"]
    assert outcomes == {"export_failed": 3}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_every_live_span_is_counted_once_with_a_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """`translation_spans_total{outcome}`: what a full queue drops is counted, what is left at the end too."""
    monkeypatch.setattr(tracing_live, "SHUTDOWN_S", 0.5)
    outcomes: Counter[str] = Counter()
    async with black_hole() as (port, connected):
        environ = {ENDPOINT: f"http://127.0.0.1:{port}", PROTOCOL: "http/protobuf"}
        provider = live_provider(
            environ,
            service_name="translate",
            outcomes=lambda outcome, spans: outcomes.update({outcome: spans}),
        )
        assert provider is not None
        tracer = provider.get_tracer("translator")
        tracer.start_span("chat m1").end()
        async with asyncio.timeout(20):
            await connected.wait()  # the first is under way and takes a place
        for _ in range(MAX_WAITING + 4):
            tracer.start_span("chat m1").end()
        assert outcomes == {"queue_full": 5}
        await asyncio.to_thread(provider.shutdown)
        assert outcomes == {"queue_full": 5, "export_failed": MAX_WAITING}
        async with asyncio.timeout(10):  # nothing goes on trying behind the back of whoever has ended it
            while "OtelBatchSpanRecordProcessor" in {one.name for one in threading.enumerate()}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
