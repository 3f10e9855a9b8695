"""`workers`: the configured SSH workers with their live state; probe, drain, trust a key, copy files."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import worker_files
from cli.display import moment, printable
from cli.monitor_client import Unreachable, open_monitor
from cli.options import add_log_options, add_monitor_option, monitor_address
from cli.worker_files import named
from cli.worker_probes import probe_all
from service.config import load_config
from service.worker_specs import specs_of
from sshworker.connect import hops
from sshworker.errors import WorkerError
from sshworker.host_keys import HostKey, fetch, is_trusted, trust
from sshworker.spec import WorkerSpec
from translation_events.errors import ConfigError, MonitorError

NAME: Final = "workers"
_PIPE_COLUMNS: Final = 400
HELP: Final = "list SSH workers, probe and drain them, trust a host's key, copy files"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options and the subcommands."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (MONITOR_CONFIG)")
    parser.add_argument("--json", action="store_true", help="as data")
    add_monitor_option(parser)
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(
        metavar="check | trust | drain | undrain | put | get", prog="translation-monitor workers"
    )

    check = actions.add_parser(
        "check",
        help="probe once",
        description="Probes workers once, layer by layer; exit code 1 if one cannot be used.",
    )
    check.add_argument("ids", nargs="*", metavar="ID", help="default: all")
    check.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as data")
    check.set_defaults(action=_check)

    into = actions.add_parser(
        "trust",
        help="add a host's key",
        description="Shows the fingerprint of the key a worker's host presents, and adds it to known_hosts.",
    )
    into.add_argument("id", metavar="ID")
    into.add_argument("--replace", action="store_true", help="take the place of a key that is known already")
    into.add_argument("--yes", action="store_true", help="do not ask: the fingerprint has been compared")
    into.set_defaults(action=_trust)

    drain = actions.add_parser(
        "drain",
        help="give it no new work",
        description="Tells the monitor that a worker is to take no new work. What it does, it finishes.",
    )
    drain.add_argument("--reason", metavar="TEXT", help="why, for whoever looks at it later")
    drain.set_defaults(action=_drain)
    undrain = actions.add_parser(
        "undrain", help="let it work again", description="Ends what `workers drain` began."
    )
    undrain.set_defaults(action=_undrain)
    for one in (drain, undrain):
        one.add_argument("id", metavar="ID")
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as data")
        add_monitor_option(one)
    for one in (check, into, drain, undrain, *worker_files.configure(actions)):
        one.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS)
        add_log_options(one)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code. Raises: ConfigError, MonitorError."""
    config = load_config(environ=os.environ, file=args.config)
    specs = specs_of(config.distributed)
    try:
        code: int = asyncio.run(args.action(specs, args))
    except WorkerError as err:
        whose = f"{err.worker}: " if err.worker else ""
        end = "" if err.told.endswith(("?", ")")) else "."
        raise MonitorError(err.failure.value, f"{whose}{err.told}{end}") from err
    return code


async def _list(specs: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    """The monitor's account of all workers; without a monitor, what the configuration says."""
    try:
        async with open_monitor(monitor_address(args)) as monitor:
            workers = (await monitor.get("/workers"))["workers"]
    except Unreachable:
        print("No monitor answers; this is the configuration alone.", file=sys.stderr)
        workers = [
            {
                "id": spec.id,
                "configured": True,
                "host": spec.host,
                "port": spec.port,
                "capacity": spec.max_capacity,
                "engine": None if spec.engine is None else spec.engine.kind,
            }
            for spec in specs
        ]
    if args.json:
        print(orjson.dumps(workers, option=orjson.OPT_INDENT_2).decode())
    elif workers:
        _show(workers)
    else:
        print("No workers: none are configured under distributed.workers, and no event has named one.")
    return 0


async def _check(specs: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    chosen = [named(specs, worker_id) for worker_id in args.ids] or list(specs)
    if not chosen:
        raise ConfigError(
            "There is nothing to check: distributed.workers names no enabled worker, or distributed.enabled "
            "is false. Name a file with --config, or one worker with SSH_WORKER_HOST."
        )
    results = await probe_all(chosen)
    if args.json:
        print(orjson.dumps(results, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())
    else:
        for result in results:
            layers = ", ".join(f"{layer} {seconds:.2f} s" for layer, seconds in result.layers_s.items())
            mark = "✓" if result.passed else "✗"
            print(f"{mark}  {result.worker}  {result.state}: {printable(result.reason)}  ({layers})")
    return 0 if all(result.passed for result in results) else 1


async def _trust(specs: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    """The keys of the jump hosts on the way, where they are not known, then the worker's own."""
    spec = named(specs, args.id)
    for hop in hops(spec):
        key = await fetch(hop)
        if hop.known_hosts is None or await asyncio.to_thread(is_trusted, hop.known_hosts, key):
            continue
        print(
            f"{spec.id} is reached through {key.host} port {key.port}; its {key.type} key has the fingerprint"
        )
        if not await _take(hop, hop.known_hosts, key, args):
            return 1
    if spec.known_hosts is None or spec.host_key is not None:
        raise ConfigError(f"The key of {spec.id} is pinned by host_key in the configuration; change that.")
    key = await fetch(spec)
    print(f"{spec.id} is {key.host} port {key.port}; its {key.type} key has the fingerprint")
    return 0 if await _take(spec, spec.known_hosts, key, args) else 1


async def _take(spec: WorkerSpec, known_hosts: Path, key: HostKey, args: argparse.Namespace) -> bool:
    """Show the fingerprint, ask, and add the key. False where the answer was no."""
    print(f"  {key.fingerprint}")
    if not args.yes:
        if not sys.stdin.isatty():
            raise ConfigError("Compare it with the host's own (ssh-keygen -lf) and repeat with --yes.")
        answer = await asyncio.to_thread(input, "Is it the host's own? Type yes to trust it: ")
        if answer.strip().lower() != "yes":
            print("Nothing was changed.")
            return False
    added = await asyncio.to_thread(
        trust, known_hosts, key.host, key.port, key, replace=args.replace, worker=spec.id
    )
    print(f"Added to {known_hosts}." if added else "It was known already.")
    return True


async def _drain(_: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    return await _order(args, "drain", {} if args.reason is None else {"reason": args.reason})


async def _undrain(_: Sequence[WorkerSpec], args: argparse.Namespace) -> int:
    return await _order(args, "undrain", {})


async def _order(args: argparse.Namespace, order: str, body: Mapping[str, str]) -> int:
    """Have the monitor do it and show what the worker is now."""
    async with open_monitor(monitor_address(args)) as monitor:
        worker = await monitor.post(f"/workers/{quote(args.id, safe='')}/{order}", body)
    if args.json:
        print(orjson.dumps(worker, option=orjson.OPT_INDENT_2).decode())
    else:
        print(f"{printable(worker['id'])} is {worker['state']}: {printable(worker['reason'])}")
    return 0


def _show(workers: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("worker", "state", "slots", "last probe", "host", "engine", "model", "reason"):
        table.add_column(heading)
    for worker in workers:
        slots = "/".join("–" if n is None else str(n) for n in (worker.get("active"), worker.get("capacity")))
        host = printable(worker.get("host"))
        models = worker.get("models") or []
        cells = (
            printable(worker["id"]),
            worker.get("state") or "unknown",
            slots,
            moment(worker.get("last_probe")) or "–",
            f"{host}:{worker['port']}" if worker.get("port") else host,
            printable(worker.get("engine") or "–"),
            printable(models[-1] if models else "–", 40),
            printable(worker.get("reason"), 240),
        )
        table.add_row(*(Text(cell) for cell in cells))
    # Into a file or another program a row is a line, whatever its length.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)
