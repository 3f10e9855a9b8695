"""`/ws`: one WebSocket, publishing and viewing. Source: docs/protocol.md, "WebSocket"."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from exporters.prometheus import PrometheusExporter
from service.connections import Connection, Listening, Role
from service.ingest import Ingest
from service.keys import CONNECTIONS, INGEST, LOG, METRICS, RELAY
from service.problems import problem
from service.publishing import SOURCE, Publishing
from service.query import WrongParameter, flag_of, names_of, parse_number, session_of
from service.relay.frames import control_frame
from service.relay.relay import Relay
from service.relay.viewer import Filter, Style, Viewer
from translation_events.errors import ErrorCode
from translation_events.event import EventType
from translation_events.log import EventLog

log = structlog.get_logger(__name__)

BATCH_FRAME_BYTES: Final = 1024 * 1024
MAX_LAST: Final = 1000
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
# The kernel would otherwise take 4 MB for each viewer that stopped reading.
SEND_BUFFER_BYTES: Final = 128 * 1024
MAX_CLIENT_ID: Final = 128
_FAULTS: Final = {WSCloseCode.MESSAGE_TOO_BIG.value: "too_large"}
TYPES: Final = tuple(event_type.value for event_type in EventType)


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
    """Raises: WrongParameter."""
    query = request.query
    try:
        role = Role(query.get("role") or Role.BOTH)
    except ValueError:
        raise WrongParameter("role", "viewer, publisher or absent") from None
    after, _, after_log = query.get("after", "").partition("@")
    return Query(
        session_id=session_of(query),
        client_id=query.get("client_id", "")[:MAX_CLIENT_ID] or None,
        role=role,
        types=names_of(query, "types", TYPES),
        after=parse_number("after", after),
        after_log=after_log or None,
        last=parse_number("last", query.get("last", ""), most=MAX_LAST),
        ack=flag_of(query, "ack"),
        batch=flag_of(query, "batch"),
    )


async def websocket(request: web.Request) -> web.StreamResponse:
    """Serve one WebSocket from upgrade to close."""
    app = request.app
    connections, metrics = app[CONNECTIONS], app[METRICS]
    query = read_query(request)
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
    transport = request.transport
    if transport is None:
        return ws
    connection = Connection(ws, transport, query.role, query.client_id)
    connection.filter = {"session_id": query.session_id, "types": sorted(query.types or ()) or None}
    connections.add(connection)  # before the first await: of many that come at once none gets a place twice
    try:
        await ws.prepare(request)
        _prepare_transport(connection)
        try:
            await _serve(connection, query, ingest, app[LOG], app[RELAY], metrics)
        finally:
            metrics.relay_closed(query.role.value, _close_reason(connection))
    finally:
        connections.remove(connection)
    return ws


def _prepare_transport(connection: Connection) -> None:
    transport = connection.transport
    transport.set_protocol(Listening(connection))
    raw_socket = transport.get_extra_info("socket")
    if raw_socket is not None and raw_socket.family in (socket.AF_INET, socket.AF_INET6):
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


async def _serve(
    connection: Connection,
    query: Query,
    ingest: Ingest,
    event_log: EventLog,
    relay: Relay,
    metrics: PrometheusExporter,
) -> None:
    try:
        frames = _frames(connection, metrics)
        if query.role is Role.PUBLISHER:
            await _publish(connection, query, ingest, frames)
            return
        connection.viewer = await _attach(connection, query, event_log, relay)
        # Most viewers never send anything: what publishing takes, 2 KB, is made for the first frame.
        async for first in frames:
            await _publish(connection, query, ingest, frames, first)
    finally:
        if connection.viewer is not None:
            relay.detach(connection.viewer)


async def _publish(
    connection: Connection,
    query: Query,
    ingest: Ingest,
    frames: AsyncIterator[bytes],
    first: bytes | None = None,
) -> None:
    """Take frames until there are no more, and answer them."""
    publishing = Publishing(connection, ingest, session_id=query.session_id, ack=query.ack, batch=query.batch)
    try:
        if query.role is Role.PUBLISHER and query.session_id is not None:
            publishing.speaks_for(query.session_id)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishing.commit(), name="commit published events")
            if first is not None:
                await publishing.receive(first)
            async for raw in frames:
                await publishing.receive(raw)
            publishing.end()
    finally:
        publishing.close()


async def _frames(connection: Connection, metrics: PrometheusExporter) -> AsyncIterator[bytes]:
    """The text frames of a connection, until it closes; pings are answered here."""
    ws = connection.ws
    while True:
        message = await ws.receive()
        if message.type is _TEXT or message.type is _BINARY:
            yield message.data
        elif message.type is WSMsgType.PING:
            try:
                await ws.pong(message.data)
            except ConnectionError:
                return  # gone between its ping and our pong
        elif message.type is WSMsgType.PONG:
            continue
        else:
            # Not ws.close_code: aiohttp turns it into 1006 while it closes.
            if message.type is WSMsgType.ERROR and isinstance(message.data, WebSocketError):
                connection.reason = connection.reason or _FAULTS.get(message.data.code, "protocol")
                if message.data.code == WSCloseCode.MESSAGE_TOO_BIG:
                    metrics.event_rejected(SOURCE, ErrorCode.TOO_LARGE)
            return


async def _attach(connection: Connection, query: Query, event_log: EventLog, relay: Relay) -> Viewer:
    """Put the viewer at its place: after a seq, at the newest N, or live."""
    agreed = connection.ws.headers.get("Sec-WebSocket-Extensions", "")
    style = Style(
        Filter(query.session_id, query.types),
        query.batch,
        window_bits=int(connection.ws.compress or 0),
        takeover="server_no_context_takeover" not in agreed,
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
    return "client"
