"""`/ws`: one WebSocket, publishing and viewing. Source: docs/protocol.md, "WebSocket"."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import structlog
from aiohttp import WSMsgType, web

from exporters.prometheus import PrometheusExporter
from service.connections import Connection, Role
from service.ingest import Ingest
from service.keys import CONNECTIONS, INGEST, LOG, METRICS, RELAY
from service.problems import problem
from service.publishing import SOURCE, Publishing
from service.relay.frames import control_frame
from service.relay.relay import Relay, style_of
from service.relay.viewer import Viewer, types_of
from translation_events.decode import check_session_id
from translation_events.errors import ErrorCode, InvalidEvent
from translation_events.event import EventType
from translation_events.log import EventLog

log = structlog.get_logger(__name__)

BATCH_FRAME_BYTES: Final = 1024 * 1024
MAX_LAST: Final = 1000
# The kernel would otherwise take 4 MB for each viewer that stopped reading.
SEND_BUFFER_BYTES: Final = 128 * 1024
MAX_CLIENT_ID: Final = 128


class Query(NamedTuple):
    """The query of `/ws`, checked."""

    session_id: str | None
    client_id: str | None
    role: Role
    types: frozenset[str] | None
    after: int | None
    after_log: str | None
    last: int | None
    ack: bool
    batch: bool


def read_query(request: web.Request) -> Query:
    """Raises: InvalidEvent naming the parameter at fault and what is allowed."""
    query = request.query
    session_id = query.get("session_id") or None
    if session_id == "*":
        session_id = None
    elif session_id is not None:
        check_session_id(session_id, internal=True)
    try:
        role = Role(query.get("role") or Role.BOTH)
    except ValueError:
        raise _wrong("role", "viewer, publisher or absent") from None
    types = types_of(query.get("types"))
    if types is not None and (unknown := set(types) - {e.value for e in EventType}):
        raise _wrong("types", f"event types separated by commas; unknown: {', '.join(sorted(unknown))[:100]}")
    after, _, after_log = query.get("after", "").partition("@")
    return Query(
        session_id=session_id,
        client_id=(query.get("client_id") or None) and query["client_id"][:MAX_CLIENT_ID],
        role=role,
        types=frozenset(types) if types is not None else None,
        after=_number("after", after, most=2**63 - 1),
        after_log=after_log or None,
        last=_number("last", query.get("last", ""), most=MAX_LAST),
        ack=_flag("ack", query.get("ack", "")),
        batch=_flag("batch", query.get("batch", "")),
    )


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket from upgrade to close."""
    app = request.app
    connections, metrics = app[CONNECTIONS], app[METRICS]
    try:
        query = read_query(request)
    except InvalidEvent as err:
        return problem("bad_request", err.detail, field=err.field)
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return problem(
            "upgrade_required", "Open this address as a WebSocket.", headers={"Upgrade": "websocket"}
        )
    if not connections.has_room(query.role):
        detail = f"All {connections.limit} places are taken; try again later."
        return problem("too_many_connections", detail)
    ingest = app[INGEST]
    limit = max(BATCH_FRAME_BYTES, ingest.max_event_bytes) if query.batch else ingest.max_event_bytes
    # aiohttp refuses a message of exactly max_msg_size bytes, we allow one. Its heartbeat is not used: it
    # cuts a viewer that is merely slow.
    ws = web.WebSocketResponse(max_msg_size=limit + 1, autoping=False, decode_text=False, compress=True)
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    raw_socket = transport.get_extra_info("socket")
    if raw_socket is not None and raw_socket.family in (socket.AF_INET, socket.AF_INET6):
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    connection = Connection(ws, transport, query.role, query.client_id)
    connection.filter = {"session_id": query.session_id, "types": sorted(query.types or ()) or None}
    connections.add(connection)
    try:
        await _serve(connection, query, ingest, app[LOG], app[RELAY], metrics)
    finally:
        connections.remove(connection)
        metrics.relay_closed(query.role.value, _close_reason(connection))
    return ws


async def _serve(
    connection: Connection,
    query: Query,
    ingest: Ingest,
    event_log: EventLog,
    relay: Relay,
    metrics: PrometheusExporter,
) -> None:
    publishing = Publishing(connection, ingest, session_id=query.session_id, ack=query.ack, batch=query.batch)
    try:
        if query.role is not Role.PUBLISHER:
            connection.viewer = await _attach(connection, query, event_log, relay)
        if query.role is Role.PUBLISHER and query.session_id is not None:
            publishing.speaks_for(query.session_id)
        async with asyncio.TaskGroup() as tasks:
            committer: asyncio.Task[None] | None = None
            async for raw in _frames(connection, metrics):
                publishing.receive(raw)
                if committer is None:
                    committer = tasks.create_task(publishing.commit(), name="commit published events")
                await publishing.room()
            publishing.end()
    finally:
        publishing.close()
        if connection.viewer is not None:
            relay.detach(connection.viewer)


async def _frames(connection: Connection, metrics: PrometheusExporter) -> AsyncIterator[bytes]:
    """The text frames of a connection, until it closes; pings are answered here."""
    ws = connection.ws
    while True:
        message = await ws.receive()
        connection.heard = time.monotonic()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            yield message.data
        elif message.type is WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type is WSMsgType.PONG:
            continue
        else:
            if message.type is WSMsgType.ERROR and ws.close_code == 1009:
                metrics.event_rejected(SOURCE, ErrorCode.TOO_LARGE)
            return


async def _attach(connection: Connection, query: Query, event_log: EventLog, relay: Relay) -> Viewer:
    """Put the viewer at its place: after a seq, at the newest N, or live."""
    style = style_of(
        query.session_id, query.types, batch=query.batch, window_bits=int(connection.ws.compress or 0)
    )
    viewer = Viewer(connection.transport, style, relay.cursor)
    if query.after is not None:
        viewer.resuming = True
        viewer.cursor = query.after
        other_log = query.after_log is not None and query.after_log != event_log.id
        if other_log or query.after > event_log.last_seq:
            connection.write(
                control_frame({"type": "reset", "log": event_log.id, "last_seq": event_log.last_seq})
            )
            viewer.cursor = 0
    elif query.last:
        horizon = event_log.last_seq
        newest = await event_log.newest(query.last, session_id=query.session_id, types=query.types)
        viewer.cursor = newest[0].seq - 1 if newest else horizon
        if newest and query.session_id is None:
            # Whoever asks for the newest N has not missed what retention took from between them.
            viewer.region_upto = horizon
            viewer.told = await event_log.missed(viewer.cursor, horizon + 1) or 0
    relay.attach(viewer)
    return viewer


def _close_reason(connection: Connection) -> str:
    if connection.reason is not None:
        return connection.reason
    if connection.viewer is not None and connection.viewer.cut_reason is not None:
        return connection.viewer.cut_reason
    code = connection.ws.close_code
    if code == 1009:
        return "too_large"
    return "protocol" if code in (1002, 1003, 1007) else "client"


def _wrong(name: str, allowed: str) -> InvalidEvent:
    return InvalidEvent(ErrorCode.INVALID_EVENT, f"{name} is wrong; allowed: {allowed}.", field=name)


def _number(name: str, value: str, *, most: int) -> int | None:
    if not value:
        return None
    if not (value.isascii() and value.isdecimal()) or int(value) > most:
        raise _wrong(name, f"a whole number from 0 to {most}")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("", "0", "false"):
        return False
    if value.lower() in ("1", "true"):
        return True
    raise _wrong(name, "1 or 0")
