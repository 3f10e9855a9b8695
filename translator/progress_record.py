"""The record of one document's finished segments: lines appended as they come, each whole or not there.

NDJSON of `Header` and `Finished`. A header opens the file; a run that goes on under another name or with
another number of segments adds its own, and the newest holds. A line counts only when its line end is there:
what a crash cut off is no segment, and is cut away before more is written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from translator.output import sync_folder
from translator.segments import Segment

VERSION: Final = 1


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """A run's line. `segments` counts those of all its documents."""

    version: int = VERSION
    session_id: str
    input: str
    output: str
    source_language: str
    target_language: str
    segments: int


class Finished(msgspec.Struct, frozen=True, omit_defaults=True, tag="segment"):
    """A segment that needs no translating any more, and who made it; `text` holds its placeholders."""

    id: str
    source_hash: str
    text: str
    engine: str
    model: str
    worker: str | None = None

    def is_of(self, segment: Segment) -> bool:
        """True where the document still says what was translated."""
        return self.id == segment.id and self.source_hash == source_hash(segment)


class Record(NamedTuple):
    """What a record says: the finished segments by id, and how many of its bytes are whole lines."""

    header: Header
    finished: Mapping[str, Finished]
    size_bytes: int


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Header | Finished)


def source_hash(segment: Segment) -> str:
    """128 bits of the segment as the document has it."""
    return blake2b(segment.source.encode(), digest_size=16).hexdigest()


def read(path: Path) -> Record | None:
    """The record at `path`; None where there is none, or none of this version. Raises: OSError."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    header: Header | None = None
    finished: dict[str, Finished] = {}
    size_bytes = 0
    for line in content.splitlines(keepends=True):  # JSON has no line end inside
        try:
            entry = _decoder.decode(line)
        except msgspec.MsgspecError:
            break
        if not line.endswith(b"\n"):
            break
        size_bytes += len(line)
        if isinstance(entry, Header):
            header = entry
        else:
            finished[entry.id] = entry
    if header is None or header.version != VERSION:
        return None
    return Record(header, finished, size_bytes)


def create(path: Path) -> None:
    """An empty record in place of any other, for its owner's eyes only. Raises: OSError."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    sync_folder(path.parent)


def append(path: Path, size_bytes: int, lines: Sequence[Header | Finished]) -> int:
    """Write after the first `size_bytes` bytes and sync; returns the new size. Raises: OSError.

    Whatever stood after them was cut off, by a crash or by a full disk, and goes.
    """
    content = b"".join(_encoder.encode(line) + b"\n" for line in lines)
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(handle, size_bytes)
        os.lseek(handle, size_bytes, os.SEEK_SET)
        left = memoryview(content)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)
    return size_bytes + len(content)
