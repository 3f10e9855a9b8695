"""The program's own log on standard error: text for people or one JSON object a line, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from opentelemetry import trace

from service.config_sections import LoggingConfig
from service.secret import HIDDEN

_SECRET_NAME: Final = re.compile(
    r"password|passwd|secret|api_?key|authorization|cookie|(^|_)token$", re.IGNORECASE
)
# These log each request or each frame at INFO; the log is for changes of state.
_TALKATIVE: Final = ("aiohttp.access", "asyncio", "httpx", "httpcore", "openai", "markdown_it")


def configure_logs(config: LoggingConfig, *, stream: TextIO | None = None) -> None:
    """Send structlog's and the standard library's records to `stream` (standard error), formatted alike.

    Fields bound by `structlog.contextvars` (`session_id`, `client_id` …) and the ids of the current span are
    part of each record. Calling it again replaces what was set before.
    """
    stream = stream if stream is not None else sys.stderr
    level = logging.getLevelNamesMapping()[config.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        _add_span,
        _hide_secrets,
    ]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(config.format, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _renderers(form: str, *, colors: bool) -> list[structlog.typing.Processor]:
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # The plain formatter: the rich one prints local variables, hence keys and document text.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, pad_event_to=0)]


def _add_span(logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        fields.setdefault("trace_id", trace.format_trace_id(context.trace_id))
        fields.setdefault("span_id", trace.format_span_id(context.span_id))
    return fields


def _hide_secrets(logger: object, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in fields:
        if _SECRET_NAME.search(name):
            fields[name] = HIDDEN
    return fields
