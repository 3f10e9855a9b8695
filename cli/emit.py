"""`emit`: publishes events given as arguments or on standard input, prints each acknowledged `seq`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Final

import orjson

from cli.emit_delivery import MAX_EVENT_BYTES, Delivery, Outgoing
from cli.lines import read_lines
from cli.monitor_client import open_monitor
from cli.options import add_monitor_option, monitor_address
from translation_events.address import MonitorAddress
from translation_events.decode import check_session_id, decode_event
from translation_events.errors import ConfigError, InvalidEvent, MonitorError
from translation_events.ids import new_event_id
from translation_events.replies import Reply
from translation_events.spool_delivery import deliver_spool

NAME: Final = "emit"
HELP: Final = "publish events from arguments or standard input"
DESCRIPTION: Final = (
    "Publishes events and prints each one's seq once the monitor has stored it. Events are JSON objects "
    "given as arguments, or one built from --type, --session and --field, or one a line on standard input, "
    "each sent as it comes. A bad event is named on standard error and the rest goes on; the exit code is "
    "then 1."
)
# Their values are texts even where they look like numbers.
_TEXT_FIELDS: Final = frozenset(
    {"type", "session_id", "step", "message", "error", "id", "traceparent", "error_type"}
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("events", nargs="*", metavar="EVENT", help="an event as a JSON object")
    parser.add_argument("--session", metavar="ID", help="session_id of events that have none")
    parser.add_argument("--type", metavar="TYPE", help="build one event of this type")
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a field of the event that --type builds; VALUE is JSON, or text where it is not",
    )
    parser.add_argument("--spool", type=Path, metavar="DIR", help="deliver what a publisher left in DIR")
    add_monitor_option(parser)


def run(args: argparse.Namespace) -> int:
    """Publish; 0 if every event was stored. Raises: ConfigError, Unreachable, MonitorError."""
    if args.session is not None:
        try:
            check_session_id(args.session)
        except InvalidEvent as err:
            raise ConfigError(f"--session: {err.detail}") from err
    given = _given(args)
    if args.spool is not None:
        whole = _deliver(args.spool, monitor_address(args))
        if not given:
            return 0 if whole else 1
        return max(asyncio.run(_publish(args, given)), 0 if whole else 1)
    return asyncio.run(_publish(args, given))


async def _publish(args: argparse.Namespace, given: list[bytes]) -> int:
    async with open_monitor(monitor_address(args)) as monitor:
        delivery = Delivery(monitor, on_stored=_print_seqs, on_refused=_print_refusal)
        source = _from_arguments(given) if given else _from_stdin()
        await delivery.run(_checked(source, args.session, delivery))
    return 1 if delivery.refused else 0


def _deliver(folder: Path, address: MonitorAddress) -> bool:
    """Deliver a publisher's spool; whether nothing is left and nothing was refused. Raises: ConfigError."""
    number = 0

    def tell(reply: Reply) -> None:
        nonlocal number
        number += 1
        if reply.type == "ack" and reply.seq is not None:
            _print_seqs([reply.seq])
        else:
            _print_refusal(f"spooled event {reply.id or number}", reply.field, reply.detail)

    report = deliver_spool(folder, address.url, on_reply=tell)
    if report.left or report.busy:
        told = [f"{report.left} events could not be delivered and stay in {folder}"] if report.left else []
        told += [f"{report.busy} publishers are still at work there"] if report.busy else []
        print("; ".join(told) + ".", file=sys.stderr)
    return not (report.left or report.refused)


def _given(args: argparse.Namespace) -> list[bytes]:
    """The events of the arguments, as they stand there. Raises: ConfigError."""
    # What a shell passed on that is not UTF-8 comes back as the bytes it was, and is refused like any event.
    given = [os.fsencode(text) for text in args.events]
    if args.type is None:
        if args.field:
            raise ConfigError("--field needs --type, which says what event to build.")
        return given
    event: dict[str, Any] = {"type": args.type}
    for field in args.field:
        key, equals, value = field.partition("=")
        if not equals or not key:
            raise ConfigError(f"--field {field!r} is wrong; allowed: KEY=VALUE.")
        event[key] = value if key in _TEXT_FIELDS else _json_or_text(value)
    try:
        return [*given, orjson.dumps(event)]
    except orjson.JSONEncodeError as err:
        raise ConfigError(f"--field: {err}.") from err


def _json_or_text(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


async def _from_arguments(given: list[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    for number, body in enumerate(given, 1):
        yield f"event {number}", body


async def _from_stdin() -> AsyncIterator[tuple[str, bytes]]:
    if sys.stdin.isatty():
        print("Reading events, one JSON object a line; Ctrl-D ends.", file=sys.stderr)
    # Unbuffered: a thread that waits in a buffered reader holds a lock the interpreter wants at its end.
    raw = FileIO(sys.stdin.fileno(), closefd=False)
    async for number, line in read_lines(raw.read, max_bytes=MAX_EVENT_BYTES):
        if line.strip():
            yield f"line {number}", line


async def _checked(
    source: AsyncIterator[tuple[str, bytes]], session_id: str | None, delivery: Delivery
) -> AsyncIterator[Outgoing]:
    """What may be sent; each event gets an id, so that one resent after a cut is recognised."""
    async for place, body in source:
        try:
            event = decode_event(body, session_id=session_id, max_bytes=MAX_EVENT_BYTES)
        except InvalidEvent as err:
            delivery.refuse(place, err.field, err.detail)
            continue
        text = event.json
        if event.id is None:
            text = b'{"id":"%s",%s' % (new_event_id().encode(), text[1:].lstrip())
        yield Outgoing(place, text)


def _print_seqs(seqs: Sequence[int]) -> None:
    try:
        print(*seqs, sep="\n", flush=True)
    except BrokenPipeError as err:
        # Unlike a viewer's, this work is not done when its output is no longer wanted.
        raise MonitorError(
            "output_closed",
            "Standard output was closed, so publishing stopped; send it to /dev/null where no seq is wanted.",
        ) from err


def _print_refusal(place: str, field: str | None, detail: str) -> None:
    where = f"{place}, {field}" if field else place
    print(f"{where}: {detail}", file=sys.stderr, flush=True)
