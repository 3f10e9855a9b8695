"""`doctor`: looks for what keeps the monitor from working and says what to do about each fault."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson
from rich.console import Console
from rich.text import Text

from cli import checks
from cli.checks import Check, State
from cli.display import printable
from cli.monitor_client import open_monitor
from service.config import Config, load_config
from service.worker_specs import specs_of
from translation_events.address import MonitorAddress
from translation_events.environment import spool_dir
from translation_events.errors import ConfigError

NAME: Final = "doctor"
HELP: Final = "look for faults and say what to do"
DESCRIPTION: Final = (
    "Looks at the configuration, the server, the event log, the disk, the keys (only whether they are "
    "set), engines, SSH workers, the OTLP endpoint, Alertmanager, whom to tell and the publishers' spool. "
    "Changes nothing. The exit code is 1 if something is broken."
)
_MARKS: Final = {State.FINE: ("✓", "green"), State.WARNING: ("!", "yellow"), State.BROKEN: ("✗", "red")}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (MONITOR_CONFIG)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Check everything; 1 if something is broken."""
    found = asyncio.run(_check(args.config))
    if args.json:
        print(
            orjson.dumps(
                {"checks": [check._asdict() for check in found]}, option=orjson.OPT_INDENT_2
            ).decode()
        )
    else:
        _print(found)
    return 1 if any(check.state is State.BROKEN for check in found) else 0


async def _check(file: Path | None) -> Sequence[Check]:
    found: list[Check] = []
    try:
        config = load_config(environ=os.environ, file=file)
    except ConfigError as err:
        found.append(Check("config", State.BROKEN, err.detail, "correct it: the server will not start"))
    else:
        found.append(Check("config", State.FINE, "every setting is valid"))
        found.extend(Check("config", State.WARNING, warning) for warning in config.warnings)
        found.append(await _check_server(config))
        found.append(checks.check_event_log(config.event_log))
        found.append(checks.check_disk(config.event_log))
        found.append(checks.check_otlp(config.telemetry.otlp))
        found.append(checks.check_alertmanager(config.telemetry.alertmanager_url))
        found.append(checks.check_notify(config.telemetry.notify))
        found.extend(await _check_workers(config))
    found.extend(checks.check_keys(os.environ))
    found.append(checks.check_engines(os.environ))
    found.append(checks.check_spool(spool_dir()))
    return found


async def _check_server(config: Config) -> Check:
    # A server that listens everywhere is asked on this machine.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)  # noqa: S104
    async with open_monitor(MonitorAddress(False, host, config.server.port, "")) as monitor:
        return await checks.check_server(config, monitor)


async def _check_workers(config: Config) -> Sequence[Check]:
    """Each enabled worker as a probe of this moment finds it."""
    specs = specs_of(config.distributed)
    if not specs:
        return [Check("workers", State.FINE, "no SSH worker is configured and enabled")]
    # Here, not above: SSH takes a third of a second to load.
    from cli.worker_probes import probe_all

    return [
        Check(
            f"worker {one.worker}",
            State.BROKEN if not one.passed else State.FINE if one.state == "up" else State.WARNING,
            f"{one.state}: {printable(one.reason)}",
            "" if one.passed else f"then look again: translation-monitor workers check {one.worker}",
        )
        for one in await probe_all(specs)
    ]


def _print(found: Sequence[Check]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(check.name) for check in found)
    for check in found:
        mark, style = _MARKS[check.state]
        console.print(
            Text.assemble((mark, style), "  ", (f"{check.name:<{width}}", "bold"), "  ", check.found)
        )
        if check.advice:
            console.print(Text(f"   {'':<{width}}  → {check.advice}", style=style))
