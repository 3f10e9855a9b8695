"""Lines as they come from a pipe."""

from __future__ import annotations

import io
import os

import pytest

from cli.lines import read_lines


async def lines_of(data: bytes, *, max_bytes: int = 100) -> list[tuple[int, bytes]]:
    """All lines of some bytes."""
    return [numbered async for numbered in read_lines(io.BytesIO(data).read, max_bytes=max_bytes)]


async def test_lines_are_numbered_and_have_no_end() -> None:
    """Line ends of both kinds go; a last line needs none."""
    assert await lines_of(b"a\r\n\nb\nc") == [(1, b"a"), (2, b""), (3, b"b"), (4, b"c")]
    assert await lines_of(b"") == []


async def test_a_line_across_chunks_is_one_line() -> None:
    """What a read returns ends anywhere."""
    long = b"x" * 600_000
    assert await lines_of(long + b"\nb\n", max_bytes=1_000_000) == [(1, long), (2, b"b")]


async def test_an_overlong_line_is_cut_and_the_next_is_whole() -> None:
    """Memory stays bounded whatever a line is."""
    assert await lines_of(b"y" * 2_000_000 + b"\nb\n", max_bytes=10) == [(1, b"y" * 11), (2, b"b")]


async def test_a_line_arrives_while_the_pipe_stays_open() -> None:
    """Nothing waits for the end of the input."""
    reading, writing = os.pipe()
    with io.FileIO(reading) as raw, io.FileIO(writing, "w") as pipe:
        lines = read_lines(raw.read, max_bytes=100)
        pipe.write(b"a\nb")
        assert await anext(lines) == (1, b"a")
        pipe.write(b"c\n")
        assert await anext(lines) == (2, b"bc")
        pipe.close()
        with pytest.raises(StopAsyncIteration):
            await anext(lines)


async def test_a_failing_read_is_told() -> None:
    """A fault of the input is no end of file."""

    def fail(_: int) -> bytes:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        await anext(read_lines(fail, max_bytes=10))
