"""A cable between a browser and a server that a test can cut: nothing is closed, nothing comes through."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

CHUNK_BYTES: Final = 65_536


class Cable:
    """A TCP proxy on a free port.

    `cut()` holds back every byte of every connection and lets new ones wait, as a lost network does; `mend()`
    lets them go on, as TCP's retransmissions do, or, with `forget`, leaves the old ones hanging for ever, as
    a router does that has forgotten them. `sever()` closes the connections there are and lets new ones hang.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._whole = asyncio.Event()
        self._new = asyncio.Event()
        self._open: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.carrying: set[asyncio.Task[None]] = set()
        self._whole.set()
        self._new.set()

    @property
    def url(self) -> str:
        """Where the browser goes."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """From now on nothing comes through."""
        self._whole.clear()
        self._new.clear()

    def sever(self) -> None:
        """Close every connection; a new one is taken and not answered."""
        self._new.clear()
        for ends in self._open:
            for end in ends:
                end.transport.abort()

    def mend(self, *, forget: bool = False) -> None:
        """Let bytes through again."""
        if forget:
            self._whole = asyncio.Event()
        self._whole.set()
        self._new.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join one connection with the server until either side closes or the test ends."""
        me = asyncio.current_task()
        assert me is not None
        self.carrying.add(me)
        # A server that is gone refuses: then the browser's side is closed as well.
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._join(reader, writer)
        writer.transport.abort()
        self.carrying.discard(me)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._new.wait()
        whole = self._whole
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        ends = (writer, inner_writer)
        self._open.add(ends)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(whole, reader, inner_writer), name="browser to server")
                tasks.create_task(self._pump(whole, inner_reader, writer), name="server to browser")
        finally:
            self._open.discard(ends)
            inner_writer.transport.abort()

    async def _pump(
        self, whole: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                await whole.wait()
                data = await reader.read(CHUNK_BYTES)
                await whole.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


@contextlib.asynccontextmanager
async def cabled(server_port: int) -> AsyncIterator[Cable]:
    """A cable to the server's port, taken away at the end."""
    cable = Cable(server_port)
    listening = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
    cable.port = listening.sockets[0].getsockname()[1]
    try:
        yield cable
    finally:
        listening.close()
        for task in cable.carrying:
            task.cancel()
        await asyncio.gather(*cable.carrying, return_exceptions=True)
