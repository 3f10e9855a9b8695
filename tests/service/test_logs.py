"""The program's own log: one line a record, with its session and span, without secrets."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from service.config import LoggingConfig
from service.logs import configure_logs
from service.secret import Secret


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged(form: Literal["text", "json"], level: Literal["debug", "info"] = "info") -> io.StringIO:
    """Configure the log to go where the test can read it."""
    stream = io.StringIO()
    configure_logs(LoggingConfig(level=level, format=form), stream=stream)
    return stream


def test_a_json_record_is_one_line_with_its_session_and_span() -> None:
    """One JSON line a record, constant message plus fields, ids bound by context variables."""
    stream = logged("json")
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with (
        structlog.contextvars.bound_contextvars(session_id="book-1"),
        trace.use_span(NonRecordingSpan(context)),
    ):
        structlog.get_logger("service.relay").warning("Viewer cut.", reason="two\nlines")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["event"] == "Viewer cut."
    assert record["reason"] == "two\nlines"
    assert (record["logger"], record["level"], record["session_id"]) == ("service.relay", "warning", "book-1")
    assert record["trace_id"] == f"{0xABC:032x}"
    assert record["span_id"] == f"{0xDEF:016x}"


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_reaches_the_log(form: Literal["text", "json"]) -> None:
    """Never a secret: neither as a value nor among the local variables of a traceback."""
    stream = logged(form)
    log = structlog.get_logger("x")
    api_key = "hush-1"
    try:
        raise ValueError(len(api_key))
    except ValueError:
        log.exception("Failed.", api_key=api_key, Authorization="hush-2", field=Secret("hush-3"))
    text = stream.getvalue()
    assert "ValueError: 6" in text
    assert "hush" not in text


def test_counts_of_tokens_are_no_secrets() -> None:
    """Hiding by name must not eat what is measured."""
    stream = logged("json")
    structlog.get_logger("x").info("Done.", input_tokens=7)
    assert json.loads(stream.getvalue())["input_tokens"] == 7


def test_records_of_libraries_come_out_alike() -> None:
    """What aiohttp says through the standard library has the same form, and its access log stays out."""
    stream = logged("json")
    logging.getLogger("aiohttp.server").error("Error handling %s", "request")
    logging.getLogger("aiohttp.access").info("GET /")
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "Error handling request"


def test_the_level_holds() -> None:
    """Below the level nothing is written; calling again replaces the level."""
    stream = logged("text")
    structlog.get_logger("x").debug("hidden")
    assert stream.getvalue() == ""
    stream = logged("text", "debug")
    structlog.get_logger("x").debug("shown")
    assert "shown" in stream.getvalue()
