"""A journal: one publisher's directory in the spool, which one process at a time may read and write.

Layout: `lock` (held with flock while a process owns the journal), `cursor` (what has been acknowledged) and
segments `NNNNNNNN.G.ndjson`, one event a line. G counts how often a segment was rewritten without its
progress events: the newest wins, so that a crash between the new file and the removal of the old is harmless.
Source: docs/protocol.md, "The publisher's spool".
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import Final

from translation_events.ids import new_event_id

_SEGMENT: Final = re.compile(r"(\d{8})\.(\d+)\.ndjson")
CREATE_ATTEMPTS: Final = 8
_CURSOR_WIDTH: Final = 64  # a fixed width: one write inside one page, never half old and half new


class Journal:
    """A locked journal. Released by `release`, or by the system when the process dies, however it dies."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd
        self._cursor_fd = -1

    @classmethod
    def create(cls, folder: Path) -> Journal:
        """A fresh journal in `folder`; names sort by age. Raises: OSError, also where there are no locks."""
        for _ in range(CREATE_ATTEMPTS):
            path = folder / new_event_id()
            path.mkdir(mode=0o700)
            # Another publisher may adopt, even remove, the directory before it is locked: take the next.
            if (journal := cls.claim(path)) is not None:
                return journal
        raise OSError(f"no lock can be had in {folder}")

    @classmethod
    def claim(cls, path: Path) -> Journal | None:
        """The journal at `path`, or None while another process has it or where there is none."""
        try:
            fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The lock is worth nothing if its file was removed while we waited at the door.
            if os.path.samestat(os.fstat(fd), os.stat(path / "lock")):
                return cls(path, fd)
        except OSError:
            pass
        os.close(fd)
        return None

    @classmethod
    def paths(cls, folder: Path) -> list[Path]:
        """The journals in `folder`, the oldest first, whoever holds them."""
        try:
            return sorted(path.parent for path in folder.glob("*/lock"))
        except OSError:
            return []

    def segments(self) -> list[Path]:
        """The segments in order; leftovers of an interrupted rewrite are removed."""
        newest: dict[int, tuple[int, Path]] = {}
        for path in sorted(self.path.iterdir()):
            if path.suffix == ".new":
                path.unlink()
            if (match := _SEGMENT.fullmatch(path.name)) is None:
                continue
            number, generation = int(match[1]), int(match[2])
            older, newer = sorted([newest.get(number, (-1, path)), (generation, path)])
            if older[0] >= 0:
                older[1].unlink()
            newest[number] = newer
        return [newest[number][1] for number in sorted(newest)]

    def cursor(self) -> tuple[str, int]:
        """The name of the oldest segment and how many of its bytes are acknowledged; ("", 0) if unknown."""
        try:
            name, offset = (self.path / "cursor").read_text().split()
            return (name, int(offset)) if _SEGMENT.fullmatch(name) else ("", 0)
        except (OSError, ValueError):
            return "", 0

    def mark(self, segment: str, offset: int) -> None:
        """Remember that `segment` is acknowledged up to `offset`. Raises: OSError."""
        if self._cursor_fd < 0:
            self._cursor_fd = os.open(self.path / "cursor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.pwrite(self._cursor_fd, f"{segment} {offset}".ljust(_CURSOR_WIDTH - 1).encode() + b"\n", 0)

    def release(self) -> None:
        """Leave the journal to the next publisher."""
        for fd in (self._cursor_fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._cursor_fd = self._lock_fd = -1

    def remove(self) -> None:
        """Delete a journal of which everything is delivered, and let go of it."""
        try:
            for path in sorted(self.path.iterdir(), key=lambda path: path.name == "lock"):
                path.unlink()
            self.path.rmdir()
        except OSError:
            pass  # an empty journal that stays is adopted, found empty and removed by the next publisher
        self.release()
