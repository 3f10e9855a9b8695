"""`tail`: follows the stream in a terminal, as live progress bars or as JSON lines."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import aclosing
from typing import Final

import orjson
from rich.console import Console

from cli.display import items, moment, printable
from cli.monitor_client import MonitorClient, open_monitor
from cli.options import add_monitor_option, monitor_address
from cli.output import until_output_closed
from cli.stream import Query, Stream, StreamEvent
from cli.tail_view import TailView
from translation_events.decode import check_session_id
from translation_events.errors import ConfigError, InvalidEvent
from translation_events.event import EventType

NAME: Final = "tail"
HELP: Final = "follow the events live"
DESCRIPTION: Final = (
    "Follows the monitor's stream: live progress bars in a terminal, a line an event in a pipe, the events "
    "themselves with --json. Resumes by itself after a cut, without a gap and without a repeat. Ctrl-C ends."
)
MAX_LAST: Final = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--session", metavar="ID", help="only this session")
    parser.add_argument("--types", metavar="A,B", help="only events of these types")
    parser.add_argument("--last", type=int, metavar="N", help="the newest N events first (at most 1000)")
    parser.add_argument("--after", metavar="SEQ[@LOG]", help="everything after this position first")
    parser.add_argument("--json", action="store_true", help="one event a line, as relayed")
    add_monitor_option(parser)


def run(args: argparse.Namespace) -> int:
    """Follow until interrupted. Raises: ConfigError, Unreachable, MonitorError."""
    query = _query(args)
    asyncio.run(_tail(args, query))
    return 0


def _query(args: argparse.Namespace) -> Query:
    """Raises: ConfigError naming the option at fault."""
    if args.session not in (None, "*"):
        try:
            check_session_id(args.session, internal=True)
        except InvalidEvent as err:
            raise ConfigError(f"--session: {err.detail}") from err
    known = [event_type.value for event_type in EventType]
    if args.types and (unknown := sorted(set(args.types.split(",")) - set(known))):
        raise ConfigError(f"--types: {unknown[0]!r} is not a type; known are {', '.join(known)}.")
    if args.last is not None and not 1 <= args.last <= MAX_LAST:
        raise ConfigError(f"--last is {args.last}; allowed: 1 to {MAX_LAST}.")
    after, _, log_id = (args.after or "").partition("@")
    if args.after is not None and not (after.isascii() and after.isdecimal()):
        raise ConfigError(f"--after is {args.after!r}; allowed: a seq like 4711, or 4711@LOG.")
    return Query(args.session, args.types, args.last, int(after) if after else None, log_id or None)


async def _tail(args: argparse.Namespace, query: Query) -> None:
    async with open_monitor(monitor_address(args)) as monitor, asyncio.TaskGroup() as tasks:
        tasks.create_task(until_output_closed(), name="watch the output")
        if args.json:
            await _json_lines(Stream(monitor, query, _notice))
        elif sys.stdout.isatty():
            await _bars(monitor, query, tasks)
        else:
            await _text_lines(Stream(monitor, query, _notice))


async def _json_lines(stream: Stream) -> None:
    async with aclosing(stream.follow()) as batches:
        async for events in batches:
            sys.stdout.buffer.write(b"".join(event.body + b"\n" for event in events))
            sys.stdout.buffer.flush()


async def _text_lines(stream: Stream) -> None:
    async with aclosing(stream.follow()) as batches:
        async for events in batches:
            print("\n".join(_text(event) for event in events), flush=True)


async def _bars(monitor: MonitorClient, query: Query, tasks: asyncio.TaskGroup) -> None:
    console = Console(highlight=False)
    view = TailView(monitor, query.session_id)

    def notice(sentence: str) -> None:
        view.notice = f"{moment(time.time())}  {sentence}"

    with view.live(console):
        tasks.create_task(view.refresh(), name="read the sessions")
        async with aclosing(Stream(monitor, query, notice).follow()) as batches:
            async for events in batches:
                for event in events:
                    view.apply(orjson.loads(event.body))


def _text(event: StreamEvent) -> str:
    body = orjson.loads(event.body)
    progress = body.get("progress")
    parts = (
        moment(body["received_at"]),
        printable(body["session_id"]),
        event.type,
        "" if progress is None else f"{progress:g} %",
        printable(body.get("step")),
        items({**body, "items_done": (body.get("data") or {}).get("items_done")}),
        printable(body.get("message"), 200),
        printable(body.get("error"), 200),
    )
    return "  ".join(part for part in parts if part)


def _notice(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
