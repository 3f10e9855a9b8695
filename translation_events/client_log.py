"""Where a publisher speaks: the program's own structlog, or warnings on stderr if it has none configured.

A client library must not write to the standard output of somebody's pipeline, which is where structlog, left
alone, would put every line.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def client_log() -> Any:
    """The logger to use now; asked for each record, as the program may configure structlog at any time."""
    if structlog.is_configured():
        return structlog.get_logger("translation_events")
    warnings_only = structlog.make_filtering_bound_logger(logging.WARNING)
    return structlog.wrap_logger(structlog.PrintLogger(sys.stderr), wrapper_class=warnings_only)
