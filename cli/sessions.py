"""`sessions`: what is running and what has ended, one session in full, and its events as a file."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.display import duration, eta, items, moment, printable
from cli.export import FORMATS, export
from cli.monitor_client import MonitorClient, open_monitor
from cli.options import add_log_options, add_monitor_option, monitor_address
from cli.output import open_output
from translation_events.decode import check_session_id
from translation_events.errors import ConfigError, InvalidEvent
from translation_events.session import Status

NAME: Final = "sessions"
HELP: Final = "list sessions, show one, export its events or its report"
MAX_LIMIT: Final = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options and the two subcommands."""
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="ended sessions at most (20)")
    parser.add_argument("--status", choices=[status.value for status in Status], help="only this status")
    parser.add_argument(
        "--search",
        metavar="TEXT",
        help="only sessions whose id, message, engine, model or worker contains this",
    )
    parser.add_argument("--json", action="store_true", help="as the monitor says it")
    add_monitor_option(parser)
    parser.set_defaults(action=_list)
    actions = parser.add_subparsers(metavar="show | export", prog="translation-monitor sessions")

    show = actions.add_parser("show", help="one session in full", description="Shows one session in full.")
    show.add_argument("session_id", metavar="ID")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as the monitor says it")
    show.set_defaults(action=_show)

    into = actions.add_parser(
        "export",
        help="a session's events or its report as a file",
        description="Writes all events the monitor still has, or with --format html a report to print.",
    )
    into.add_argument("session_id", metavar="ID")
    into.add_argument("--format", choices=FORMATS, default="json", help="default: json")
    into.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    into.set_defaults(action=_export)
    for one in (show, into):
        add_monitor_option(one)
        add_log_options(one)


def run(args: argparse.Namespace) -> int:
    """Ask and print. Raises: ConfigError, Unreachable, MonitorError."""
    if not 1 <= args.limit <= MAX_LIMIT:
        raise ConfigError(f"--limit is {args.limit}; allowed: 1 to {MAX_LIMIT}.")
    if (session_id := getattr(args, "session_id", None)) is not None:
        try:
            check_session_id(session_id, internal=True)
        except InvalidEvent as err:
            raise ConfigError(err.detail) from err
    asyncio.run(_ask(args))
    return 0


async def _ask(args: argparse.Namespace) -> None:
    async with open_monitor(monitor_address(args)) as monitor:
        await args.action(monitor, args)


async def _list(monitor: MonitorClient, args: argparse.Namespace) -> None:
    active = (await monitor.get("/sessions"))["sessions"]
    query = {"limit": args.limit, "status": args.status, "q": args.search}
    ended = (await monitor.get("/sessions/history", query))["sessions"]
    sessions = [*_matching(active, args.status, args.search), *ended]
    if args.json:
        _print_json({"sessions": sessions})
    elif not sessions:
        print("No sessions." if args.status is args.search is None else "No session matches.")
    else:
        Console(highlight=False).print(_table(sessions))


def _matching(
    sessions: Iterable[Mapping[str, Any]], status: str | None, search: str | None
) -> list[Mapping[str, Any]]:
    """The active ones by the rules the monitor has for the ended ones."""
    needle = (search or "").strip().casefold()
    names = ("session_id", "message", "engine", "model", "last_error")
    return [
        session
        for session in sessions
        if status in (None, session["status"])
        and any(
            needle in str(text or "").casefold()
            for text in (*(session[name] for name in names), *session["workers"])
        )
    ]


def _table(sessions: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("session", "kind", "status", "%", "item", "errors", "started", "duration", "time left"):
        table.add_column(name, justify="right" if name in ("%", "errors") else "left", overflow="fold")
    for session in sessions:
        progress = session["progress"]
        cells = (
            printable(session["session_id"]),
            session["kind"],
            session["status"],
            "" if progress is None else f"{progress:.0f}",
            items(session),
            str(session["errors"] or ""),
            moment(session["started_at"]),
            duration(session["duration_s"]),
            eta(session["eta_s"]),
        )
        table.add_row(*(Text(cell or "") for cell in cells))
    return table


async def _show(monitor: MonitorClient, args: argparse.Namespace) -> None:
    session = await monitor.get(f"/sessions/{args.session_id}")
    if args.json:
        _print_json(session)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in session.items():
        table.add_row(name, Text(_worded(name, value)))
    Console(highlight=False).print(table)


def _worded(name: str, value: Any) -> str:
    match name, value:
        case _, None | [] | {}:
            return "–"
        case "eta_s", _:
            return eta(value)
        case (("started_at" | "updated_at" | "ended_at"), _):
            return moment(value)
        case "duration_s", _:
            return duration(value)
        case _, list():
            return ", ".join(printable(one) for one in value)
        case _, dict():
            return ", ".join(f"{key} {printable(one)}" for key, one in value.items() if one)
    return printable(value)


async def _export(monitor: MonitorClient, args: argparse.Namespace) -> None:
    session = await monitor.get(f"/sessions/{args.session_id}")
    with open_output(args.output) as output:
        await export(monitor, session, args.format, output)


def _print_json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
