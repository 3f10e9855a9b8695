"""Options several commands share, and the variables behind them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Final

from service.config import LoggingConfig
from service.config_sources import Sources
from translation_events.address import DEFAULT_URL, MonitorAddress

_LEVELS: Final = ("debug", "info", "warning", "error")
_FORMATS: Final = ("text", "json")


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add `--log-level` and `--log-format`."""
    group = parser.add_argument_group("log, on standard error")
    # SUPPRESS: a subcommand's parser must not reset what its parent's has found.
    group.add_argument(
        "--log-level", choices=_LEVELS, default=argparse.SUPPRESS, help="least severe record (LOG_LEVEL)"
    )
    group.add_argument(
        "--log-format",
        choices=_FORMATS,
        default=argparse.SUPPRESS,
        help="text or one JSON object a line (MONITOR_LOG_FORMAT)",
    )


def add_monitor_option(parser: argparse.ArgumentParser) -> None:
    """Add `--monitor URL`."""
    parser.add_argument(
        "--monitor",
        metavar="URL",
        default=argparse.SUPPRESS,
        help=f"the monitor to talk to (MONITOR_URL; default {DEFAULT_URL})",
    )


def monitor_address(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> MonitorAddress:
    """The monitor that `--monitor` or MONITOR_URL names. Raises: ConfigError."""
    return MonitorAddress.parse(getattr(args, "monitor", None) or environ.get("MONITOR_URL") or DEFAULT_URL)


def logging_config(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> LoggingConfig:
    """The log of a command: warnings only unless told otherwise. Raises: ConfigError."""
    overrides = {
        "logging.level": getattr(args, "log_level", None),
        "logging.format": getattr(args, "log_format", None),
    }
    sources = Sources(environ=environ, overrides=overrides, content={})
    return sources.read(LoggingConfig, "logging", defaults={"level": "warning"})
