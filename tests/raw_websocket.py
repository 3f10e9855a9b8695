"""A WebSocket client of the tests' own: it reads and writes single frames, as no library would let it."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import zlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

WAIT_S: Final = 20.0
TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1: what a sender leaves out

TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10


class RawWebSocket:
    """One connection, frame by frame. `headers` are the server's, in lower case."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: Mapping[str, str]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self.headers = headers
        self._inflater: Any = None

    @classmethod
    async def connect(
        cls,
        port: int,
        query: str = "",
        *,
        extensions: str | None = None,
        receive_buffer: int | None = None,
        window_bits: int = 15,
    ) -> RawWebSocket:
        """Shake hands with the server on `port`; `receive_buffer` bytes make the kernel take little."""
        raw = socket.socket()
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer or 2**16)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /ws?{query} HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        if extensions is not None:
            lines.append(f"Sec-WebSocket-Extensions: {extensions}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        status, *rest = [line async for line in _head(reader)]
        assert " 101 " in status, status
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        ws = cls(reader, writer, headers)
        if "permessage-deflate" in headers.get("sec-websocket-extensions", ""):
            ws._inflater = zlib.decompressobj(-window_bits)
        return ws

    def send(self, payload: bytes, *, first: int = 0x80 | TEXT) -> None:
        """Send one masked frame whose first byte is `first`."""
        self._writer.write(masked(payload, first=first))

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._writer.write(data)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload, inflated where its first byte says so."""
        async with asyncio.timeout(WAIT_S):
            first, second = await self._reader.readexactly(2)
            assert not second & 0x80, "a server's frames are not masked"
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
            payload = await self._reader.readexactly(size)
        assert first & 0x80, "the server never fragments"
        assert not first & 0x30, "reserved bits nobody asked for"
        if first & 0x40:
            assert self._inflater is not None, "compressed without an agreement"
            payload = self._inflater.decompress(payload + TAIL)
            assert not self._inflater.unused_data
        return first & 0x0F, payload

    async def message(self) -> Any:
        """The next text message as JSON; pings before it are answered."""
        while (received := await self.frame())[0] == PING:
            self.send(received[1], first=0x80 | PONG)
        opcode, payload = received
        assert opcode == TEXT, (opcode, payload[:200])
        return orjson.loads(payload)

    async def close_code(self) -> int:
        """The code of the close frame, which must be the next."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload[:200])
        return int.from_bytes(payload[:2], "big")

    def abort(self) -> None:
        """Cut the connection."""
        self._writer.transport.abort()


def masked(payload: bytes, *, first: int = 0x80 | TEXT) -> bytes:
    """A client's frame. Source: RFC 6455 §5.2, §5.3."""
    key = os.urandom(4)
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0x80 | 127]) + size.to_bytes(8, "big")
    mask = (key * (size // 4 + 1))[:size]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
    return head + key + body


async def _head(reader: asyncio.StreamReader) -> Any:
    async with asyncio.timeout(WAIT_S):
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            yield line
