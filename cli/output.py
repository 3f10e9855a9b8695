"""What a command writes: a closed pipe is noticed at once, a file appears whole or not at all."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from translation_events.errors import MonitorError


async def until_output_closed() -> None:
    """Wait until the reader of a pipe on standard output is gone. Raises: BrokenPipeError, then.

    A follower would otherwise notice only with the next event, which may never come. Waits for ever where
    standard output is no pipe.
    """
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()
    output = sys.stdout.fileno()
    is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    if is_pipe:
        # The writing end of a pipe becomes "readable" with an error when the other end closes.
        loop.add_reader(output, closed.set)
    try:
        await closed.wait()
        raise BrokenPipeError
    finally:
        if is_pipe:
            loop.remove_reader(output)


@contextmanager
def open_output(file: Path | None) -> Iterator[BinaryIO]:
    """Bytes to `file`, which appears whole or not at all (None: standard output). Raises: MonitorError."""
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as temporary:
            unfinished = Path(temporary.name)
            try:
                yield temporary  # type: ignore[misc]  # typeshed knows the wrapper, not the file it wraps
                temporary.flush()
                os.fsync(temporary.fileno())
                unfinished.chmod(0o666 & ~_umask())
                unfinished.replace(file)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
    except OSError as err:
        raise MonitorError(
            "write_failed", f"{file} cannot be written: {err.strerror or err}; name another with -o."
        ) from err


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
