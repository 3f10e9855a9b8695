"""Lines of a stream as they come, without holding up the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

_QUEUE_LINES: Final = 1000  # a full queue stops the reading thread, and the pipe then stops its writer
_CHUNK_BYTES: Final = 256 * 1024


async def read_lines(
    read: Callable[[int], bytes | None], *, max_bytes: int
) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (line number from 1, line without its end) of what a raw file's blocking `read(size)` returns.

    Of a line longer than `max_bytes`, `max_bytes` + 1 bytes are given and the rest is left out.
    Raises: OSError: reading failed.
    """
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[tuple[int, bytes] | OSError | None] = asyncio.Queue()
    room = threading.Semaphore(_QUEUE_LINES)

    def put(item: tuple[int, bytes] | OSError | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            for numbered in enumerate(_split(read, max_bytes), 1):
                put(numbered)
            put(None)
        except OSError as err:
            put(err)
        except RuntimeError:
            return  # the loop is gone: nobody wants what is left

    # A thread of its own and a daemon: the default executor would wait at exit for a read that may never end.
    threading.Thread(target=work, name="read lines", daemon=True).start()
    while (item := await queue.get()) is not None:
        room.release()
        if isinstance(item, OSError):
            raise item
        yield item


def _split(read: Callable[[int], bytes | None], max_bytes: int) -> Iterator[bytes]:
    rest = bytearray()
    while chunk := read(_CHUNK_BYTES):
        begin = 0
        while (end := chunk.find(b"\n", begin)) >= 0:
            rest += chunk[begin:end]
            yield bytes(rest[: max_bytes + 1]).removesuffix(b"\r")
            rest.clear()
            begin = end + 1
        rest += chunk[begin:]
        del rest[max_bytes + 1 :]
    if rest:
        yield bytes(rest).removesuffix(b"\r")
