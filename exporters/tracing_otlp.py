"""The way out to a collector: which OTLP exporter the standard `OTEL_*` variables ask for, made quiet.

Source: the OpenTelemetry specification, "OTLP exporter" and "SDK environment variables".
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from translation_events.errors import ConfigError

log = structlog.get_logger(__name__)

GRPC: Final = "grpc"
HTTP: Final = "http/protobuf"
# One export call, the SDK's own retries included. We retry for ever ourselves, so a call that hangs only
# delays; and as the SDK takes seconds where the standard says milliseconds, "10000" must not mean hours.
TIMEOUT_S: Final = 5.0
MAX_TIMEOUT_S: Final = 10.0
_LOGGERS: Final = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.common.http",
)


def otlp_exporter_from_environment(environ: Mapping[str, str]) -> SpanExporter | None:
    """The exporter that `environ` configures, None (silently) where it configures none.

    Only the protocol in use is imported: HTTP takes 8 MB, gRPC 16. Headers, compression and
    certificates are read by the SDK, from the process's environment.
    Raises: ConfigError: a variable has a value that is not allowed.
    """
    exporters = _value(environ, "OTEL_TRACES_EXPORTER")
    if exporters not in (None, "otlp", "none"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporters!r}; allowed are 'otlp' and 'none'.")
    if exporters == "none" or (_value(environ, "OTEL_SDK_DISABLED") or "").lower() == "true":
        return None
    own = _value(environ, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    shared = _value(environ, "OTEL_EXPORTER_OTLP_ENDPOINT")
    if own is None and shared is None and exporters is None:
        return None
    exporter: SpanExporter
    if _protocol(environ, own or shared or "") == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        exporter = GrpcExporter(endpoint=own or shared, timeout=_timeout_s(environ))
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        # The shared endpoint is a base, the one for traces a whole URL.
        endpoint = own or (f"{shared.rstrip('/')}/v1/traces" if shared is not None else None)
        exporter = HttpExporter(endpoint=endpoint, timeout=_timeout_s(environ))
    return QuietExporter(exporter)


class QuietExporter(SpanExporter):
    """An exporter that logs an outage once when it begins and once when it ends, not at every try.

    The SDK's own lines about a failed export are taken out of the log while it lasts; the first of them is
    the reason in ours.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self._closing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; any exception of the exporter's is a failure."""
        hush = _Hush()
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        for logger in loggers:
            logger.addFilter(hush)
        try:
            result = self._exporter.export(spans)
        except Exception as err:  # noqa: BLE001  # a border: whatever the SDK raises, the spans have not left
            hush.reason = hush.reason or type(err).__name__
            result = SpanExportResult.FAILURE
        finally:
            for logger in loggers:
                logger.removeFilter(hush)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing and not self._closing:
            log.warning("spans cannot be exported", reason=hush.reason)
        elif self._failing and not failing:
            log.info("spans are exported again")
        self._failing = failing
        return result

    def shutdown(self) -> None:
        """Close the connection; may block as long as the SDK likes, so call it from a thread to spare."""
        self._closing = True  # a call under way is cut short by it: no outage
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held back here."""
        return self._exporter.force_flush(timeout_millis)


class _Hush(logging.Filter):
    """Swallows the records of the thread it was made in; `reason` is the first one's text."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()
        self.reason: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """False for this thread's records."""
        if record.thread != self._thread:
            return True
        if self.reason is None:
            # An exception's text may hold the URL, and a URL a secret: its class is enough.
            args = record.args if isinstance(record.args, tuple) else ()
            shown = tuple(type(a).__name__ if isinstance(a, BaseException) else a for a in args)
            try:
                self.reason = (str(record.msg) % shown)[:300]
            except (TypeError, ValueError):
                self.reason = str(record.msg)[:300]
        return False


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """A variable's value; an empty one counts as unset, as the standard says."""
    return environ.get(name, "").strip() or None


def _protocol(environ: Mapping[str, str], endpoint: str) -> str:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = _value(environ, name)
        if protocol in (GRPC, HTTP):
            return protocol
        if protocol is not None:
            raise ConfigError(f"{name} is {protocol!r}; allowed are {GRPC!r} and {HTTP!r}.")
    # The SDK's default is gRPC, whose port is 4317; on 4318, HTTP's, that could only fail.
    return HTTP if urlsplit(endpoint).netloc.endswith(":4318") else GRPC


def _timeout_s(environ: Mapping[str, str]) -> float:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"):
        text = _value(environ, name)
        if text is None:
            continue
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not seconds > 0:
            raise ConfigError(f"{name} is {text!r}; allowed is a number above 0.")
        return min(seconds, MAX_TIMEOUT_S)
    return TIMEOUT_S
