"""`serve`: the monitor server."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from cli.options import add_log_options
from service.config import Config, load_config
from service.logs import configure_logs
from service.run import run_server

NAME: Final = "serve"
HELP: Final = "run the monitor server"

_FLAGS: Final = {
    "host": "server.host",
    "port": "server.port",
    "event_log": "event_log.url",
    "max_connections": "server.max_connections",
    "insecure": "server.insecure",
    "notify": "telemetry.notify",
    "log_level": "logging.level",
    "log_format": "logging.format",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what is not given comes from the environment, the file or the default."""
    add_log_options(parser)
    parser.add_argument("--host", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", help="port to listen on (8090; 0 takes any free one)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (JSON)")
    parser.add_argument("--event-log", metavar="URL", help="sqlite:///PATH or memory:")
    parser.add_argument("--max-connections", metavar="N", help="WebSockets at most (100)")
    parser.add_argument(
        "--notify",
        action="append",
        metavar="URL",
        help="tell people here what has ended, failed or stalled: ntfys://ntfy.sh/TOPIC; may be repeated",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="listen on an address that is not loopback, although there is no authentication yet",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted. Raises: MonitorError: it could not start."""
    config = config_of(args)
    configure_logs(config.logging)
    # The OpenTelemetry SDK reads the environment itself: what the file says has to stand there.
    os.environ.update(config.telemetry.otlp)
    return run_server(config)


def config_of(args: argparse.Namespace) -> Config:
    """The configuration these arguments ask for. Raises: ConfigError."""
    overrides = {key: getattr(args, name, None) for name, key in _FLAGS.items()}
    return load_config(environ=os.environ, argv_overrides=overrides, file=getattr(args, "config", None))
