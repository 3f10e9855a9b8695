"""The SSH workers of `translate`: which are configured, and how it uses them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from service.config import load_config
from service.worker_specs import specs_of
from sshworker.spec import WorkerSpec
from translation_events.address import MonitorAddress
from translation_events.errors import ConfigError
from translator.engines.choice import EngineName, Fleet
from translator.report import Emitter

PATIENCE_S: Final = 120.0
ANSWER_TIMEOUT_S: Final = 120.0
MAX_S: Final = 86_400.0


def add_fleet_options(parser: argparse.ArgumentParser) -> None:
    """Add what only the ssh engine takes."""
    group = parser.add_argument_group("SSH workers")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration file that names them (MONITOR_CONFIG)"
    )
    group.add_argument("--tags", type=_tags, default=(), metavar="A,B", help="only workers with all of these")
    group.add_argument(
        "--patience", type=_seconds, default=PATIENCE_S, metavar="S",
        help=f"seconds to go on waiting while no worker takes work ({PATIENCE_S:g})",
    )  # fmt: skip
    group.add_argument(
        "--answer-timeout", type=_seconds, default=ANSWER_TIMEOUT_S, metavar="S",
        help=f"seconds a worker may take for one segment before it counts as lost ({ANSWER_TIMEOUT_S:g})",
    )  # fmt: skip


def configured_workers(args: argparse.Namespace, environ: Mapping[str, str]) -> Sequence[WorkerSpec]:
    """The workers that are configured and enabled, where the engine may be `ssh`. Raises: ConfigError."""
    if args.engine not in (None, EngineName.SSH):
        if args.tags:
            raise ConfigError(f"--tags is for the ssh engine; {args.engine} has no workers")
        return ()
    named = args.config or environ.get("MONITOR_CONFIG") or environ.get("SSH_WORKER_HOST")
    if named is None and args.engine is None:
        return ()
    return specs_of(load_config(environ=environ, file=args.config).distributed)


def fleet_of(
    args: argparse.Namespace, specs: Sequence[WorkerSpec], emitter: Emitter, monitor: MonitorAddress | None
) -> Fleet:
    """The workers as the engine is told of them."""
    return Fleet(specs, emitter, monitor, args.tags, args.patience, args.answer_timeout)


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag for part in text.split(",") if (tag := part.strip()))


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= MAX_S:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most {MAX_S:g} seconds")
    return value
